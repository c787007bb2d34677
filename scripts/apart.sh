#!/bin/sh
# apart.sh NAME: a tool whose own packages fight with those of Pipfile.lock, in an environment of its own:
# .cache/apart/NAME, made from scripts/apart/NAME.txt, which pins all of it with hashes. Does nothing where
# that is so already. scripts/apart/lock.sh pins anew.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd -P)
name=$1
pins=$root/scripts/apart/$name.txt
home=$root/.cache/apart/$name

[ -f "$pins" ] || {
    echo "Nothing is pinned for $name: there is no scripts/apart/$name.txt." >&2
    exit 1
}
# A virtualenv knows where it stands: one that was moved is made anew.
wanted="$root $(cksum <"$pins")"
if [ "$(cat "$home/made-from" 2>/dev/null)" != "$wanted" ] || ! "$home/bin/python" -c '' 2>/dev/null; then
    found=$("$root/scripts/find_python.sh")
    echo "Setting up $name in .cache/apart/$name: once, about a minute." >&2
    rm -rf "$home"
    mkdir -p "$root/.cache/apart"
    "${found#* }" -m venv "$home"
    PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1 "$home/bin/python" -m pip install --quiet \
        --require-hashes --no-deps --requirement "$pins"
    echo "$wanted" >"$home/made-from"
fi
