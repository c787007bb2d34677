#!/bin/sh
# Starts the server on a free port, lets it decide ml/input/api/payload.json, prints the answer, stops it.
# Usage: scripts/try_serving.sh [FOLDER], one that `fraudloop use` made instead of the project's own.
set -eu
cd "$(dirname "$0")/.."
PATH=$PWD/.venv/bin:$PATH
cd "${1:-.}"
said=$(mktemp)
server=''

# Whatever happens: no server stays behind, and what it said is shown only if something went wrong.
finish() {
    code=$?
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    [ "$code" = 0 ] || cat "$said" >&2
    rm -f "$said"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

FRAUDLOOP_AUTH='' fraudloop serve --port 0 2>"$said" &
server=$!
url=''
tries=0
while [ -z "$url" ] && [ "$tries" -lt 300 ] && kill -0 "$server" 2>/dev/null; do
    sleep 0.1
    tries=$((tries + 1))
    url=$(sed -n 's/.*"event":"serving","url":"\([^"]*\)".*/\1/p' "$said")
done
if [ -z "$url" ]; then
    echo 'The server did not start: what it said follows.' >&2
    exit 1
fi
echo "POST $url/predict < ml/input/api/payload.json"
fraudloop predict --server "$url" ml/input/api/payload.json
kill "$server"
wait "$server"
server=''
