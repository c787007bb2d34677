#!/bin/sh
# Runs actionlint over .github/workflows, built once into .cache/apart/bin by Go, which checks what it fetches
# against its own public log of hashes. With `install` only builds it.
set -eu
cd "$(dirname "$0")/.."
version=v1.7.12
home=$PWD/.cache/apart/bin
if [ "$(cat "$home/actionlint.version" 2>/dev/null)" != "$version" ] || ! "$home/actionlint" --version >/dev/null 2>&1; then
    command -v go >/dev/null || {
        echo "actionlint is built by Go, which is not here: install it with \`apt-get install golang-go\`." >&2
        exit 1
    }
    mkdir -p "$home"
    GOBIN=$home GOFLAGS=-mod=mod go install "github.com/rhysd/actionlint/cmd/actionlint@$version"
    echo "$version" >"$home/actionlint.version"
fi
[ "${1-}" = install ] || exec "$home/actionlint" -shellcheck .venv/bin/shellcheck -pyflakes ''
