#!/bin/sh
# Runs the pipenv this project pins, with these arguments and in this folder. It lives in a virtualenv of
# its own under .cache/pipenv/, made here when it is missing: the user's Python stays as it is.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd -P)
home=$root/.cache/pipenv
pins=$root/scripts/pipenv-requirements.txt

# What another project, an activated virtualenv or a user's settings would change.
unset VIRTUAL_ENV PYTHONHOME PYTHONPATH PIPENV_ACTIVE PIPENV_PIPFILE PIPENV_CUSTOM_VENV_NAME PIPENV_PYTHON \
    PIPENV_DEFAULT_PYTHON_VERSION PIP_TARGET PIP_PREFIX
export PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1
export PIPENV_VENV_IN_PROJECT=1 PIPENV_IGNORE_VIRTUALENVS=1 PIPENV_DONT_LOAD_ENV=1
export PIPENV_NOSPIN=1 PIPENV_YES=1 LANG="${LANG:-C.UTF-8}"

# A virtualenv knows where it stands: one that was moved is made anew.
wanted="$root $(cksum <"$pins")"
if [ "$(cat "$home/made-from" 2>/dev/null)" != "$wanted" ] || ! "$home/bin/python" -c '' 2>/dev/null; then
    found=$("$root/scripts/find_python.sh")
    rm -rf "$home"
    mkdir -p "$root/.cache"
    "${found#* }" -m venv "$home"
    "$home/bin/python" -m pip install --quiet --require-hashes --requirement "$pins"
    echo "$wanted" >"$home/made-from"
fi
unset PYTHON
exec "$home/bin/python" -m pipenv "$@"
