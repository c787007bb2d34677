#!/bin/sh
# Runs a command while a local server listens on a free port: SERVER tells the command where. BUNDLE=…
# takes another bundle than the pipeline's. Ends as the command ends, and leaves no server behind.
set -eu
PATH=$(cd "$(dirname "$0")/.." && pwd -P)/.venv/bin:$PATH
said=$(mktemp)
server=''
command=''

# What the server said is shown only if something went wrong.
# shellcheck disable=SC2329  # the trap calls it
finish() {
    code=$?
    trap '' INT TERM
    [ -z "$command" ] || kill "$command" 2>/dev/null || true
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    [ -z "$server" ] || wait "$server" 2>/dev/null || true
    [ "$code" = 0 ] || cat "$said" >&2
    rm -f "$said"
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

set -- "${BUNDLE-}" "$@"
if [ -n "$1" ]; then
    FRAUDLOOP_AUTH='' fraudloop serve --port 0 --bundle "$1" 2>"$said" &
else
    FRAUDLOOP_AUTH='' fraudloop serve --port 0 2>"$said" &
fi
server=$!
shift
SERVER=''
tries=0
while [ -z "$SERVER" ] && [ "$tries" -lt 600 ] && kill -0 "$server" 2>/dev/null; do
    sleep 0.1
    tries=$((tries + 1))
    SERVER=$(sed -n 's/.*"event":"serving","url":"\([^"]*\)".*/\1/p' "$said")
done
if [ -z "$SERVER" ]; then
    echo 'The server did not start: what it said follows.' >&2
    exit 1
fi
export SERVER PATH
"$@" &
command=$!
code=0
wait "$command" || code=$?
command=''
exit "$code"
