#!/bin/sh
# lock.sh checkov: pins the newest checkov, and all it needs, into scripts/apart/checkov.txt. On Python
# 3.11, by the pipenv this project pins, without an index address, as scripts/lock.sh does for the rest.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd -P)
name=$1
found=$("$root/scripts/find_python.sh" 3.11)
export PIP_CONFIG_FILE=/dev/null
unset PIP_FIND_LINKS PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_NO_INDEX PIPENV_PYPI_MIRROR
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
printf '[packages]\n%s = "*"\n' "$name" >Pipfile
"$root/scripts/pipenv.sh" --python "${found#* }" lock
{
    echo "# $name and all it needs, for scripts/apart.sh. Written by \`scripts/apart/lock.sh $name\`."
    "$root/scripts/pipenv.sh" requirements --hash --exclude-index | grep '=='
} >requirements.txt
mv requirements.txt "$root/scripts/apart/$name.txt"
