#!/bin/sh
# Brings .venv/ to what Pipfile.lock pins and puts the package itself into it, editable. Does nothing, and
# says nothing, where that is so already. An installation that was not finished is not trusted: it is
# made anew (pip may take a half-copied package for a whole one); what was downloaded is still in pip's cache.
set -eu
cd "$(dirname "$0")/.."
categories='packages pipeline dev-packages'
# Categories once installed stay: EXTRAS=spark adds what `--engine spark` needs.
for extra in $(cat .venv/extras 2>/dev/null || true) ${EXTRAS-}; do
    case " $categories " in
    *" $extra "*) ;;
    *) categories="$categories $extra" ;;
    esac
done
locked=.venv/installed-from # where this .venv stands, its Python, the lock and categories it follows
packaged=.venv/packaged-from # what the package was installed from

version_of() {
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true
}

# Runs a command that needs the network up to three times.
insist() {
    for pause in 3 10 0; do
        if "$@"; then
            return
        fi
        [ "$pause" = 0 ] || {
            echo "That failed: once more in $pause seconds." >&2
            sleep "$pause"
        }
    done
    echo 'The packages could not be installed (the reason stands above): see that a package index is' \
        'reached, then run the same command again.' >&2
    return 1
}

# Says what the command said only when it failed.
quietly() {
    said=$("$@" 2>&1) || {
        echo "$said" >&2
        return 1
    }
}

found=''
if [ -n "${PYTHON-}" ]; then
    found=$(scripts/find_python.sh)
fi
version=$(version_of .venv/bin/python)
place="$(pwd -P) $version"
lock="$(cksum <Pipfile.lock) $categories"
package=$(cat pyproject.toml src/fraudloop/__init__.py | cksum)

if [ -z "$version" ] || [ "$(sed -n 1p "$locked" 2>/dev/null)" != "$place" ] ||
    { [ -n "$found" ] && [ "${found%% *}" != "$version" ]; }; then
    found=${found:-$(scripts/find_python.sh)}
    version=${found%% *}
    echo "Setting up .venv with Python $version: the first time takes a minute or two."
    rm -f "$locked"
    rm -rf .venv
    insist quietly scripts/pipenv.sh --python "${found#* }"
    place="$(pwd -P) $(version_of .venv/bin/python)"
fi

if [ "$(cat "$locked" 2>/dev/null)" != "$place
$lock" ]; then
    rm -f "$locked" "$packaged"
    insist scripts/pipenv.sh sync --categories "$categories"
    printf '%s\n%s\n' "$place" "$lock" >"$locked"
    echo "${categories#packages pipeline dev-packages}" >.venv/extras
fi

if [ "$(cat "$packaged" 2>/dev/null)" != "$package" ] || ! .venv/bin/python -c 'import fraudloop' 2>/dev/null; then
    rm -f "$packaged"
    PIP_USER=0 .venv/bin/python -m pip install --quiet --disable-pip-version-check \
        --no-deps --no-build-isolation --no-index --editable .
    echo "$package" >"$packaged"
    echo 'Everything is installed in .venv.'
fi
