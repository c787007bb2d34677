#!/bin/sh
# Lets a server of its own decide payload.json: online, then as the batch job does it.
# Usage: scripts/try_serving.sh [CARD], whose runs/CARD `fraudloop use` made and dvc has filled.
set -eu
cd "$(dirname "$0")/.."
here=${1:+runs/$1/}
[ -z "$here" ] || export BUNDLE="${here}ml/output/$1"
[ -n "${SERVER-}" ] || exec scripts/with_server.sh scripts/try_serving.sh "$@"
payload=${here}ml/input/api/payload.json
response=${here:-scripts/batch_predict/}response.json
echo "POST $SERVER/predict < $payload"
fraudloop predict --server "$SERVER" "$payload"
echo "POST $SERVER/invocations < $payload > $response"
PAYLOAD=$payload RESPONSE=$response python scripts/batch_predict/request.py
cat "$response"
