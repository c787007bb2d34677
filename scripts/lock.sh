#!/bin/sh
# Locks every category of the Pipfile anew, and pipenv's own packages (PIPENV_VERSION=… takes another
# pipenv). On Python 3.11: what is chosen there also installs on 3.12 and 3.13. Neither this machine's pip
# settings nor an index address gets into what is written.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd -P)
found=$("$root/scripts/find_python.sh" 3.11)
pins=$root/scripts/pipenv-requirements.txt
pipenv_version=${PIPENV_VERSION:-$(sed -n 's/^pipenv==\([^; ]*\).*/\1/p' "$pins")}

export PIP_CONFIG_FILE=/dev/null
unset PIP_FIND_LINKS PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_NO_INDEX PIPENV_PYPI_MIRROR PIPENV_VERSION
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/project" "$scratch/pipenv"

# In a folder aside: .venv stays as it is, and a failed lock leaves the old one.
cp "$root/Pipfile" "$scratch/project/"
cd "$scratch/project"
"$root/scripts/pipenv.sh" --python "${found#* }" lock
"${found#* }" "$root/scripts/strip_lock.py" Pipfile.lock

cd "$scratch/pipenv"
printf '[packages]\npipenv = "==%s"\n' "$pipenv_version" >Pipfile
"$root/scripts/pipenv.sh" --python "${found#* }" lock
{
    echo '# pipenv and what it needs, as scripts/pipenv.sh installs it. Written by make lock.'
    "$root/scripts/pipenv.sh" requirements --hash --exclude-index | grep '=='
} >requirements.txt

mv "$scratch/pipenv/requirements.txt" "$pins"
mv "$scratch/project/Pipfile.lock" "$root/Pipfile.lock"
