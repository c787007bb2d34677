#!/bin/sh
# Lets a server of its own decide payload.json: online, then as the batch job does it.
set -eu
cd "$(dirname "$0")/.."
[ -n "${SERVER-}" ] || exec scripts/with_server.sh scripts/try_serving.sh
payload=ml/input/api/payload.json
response=scripts/batch_predict/response.json
echo "POST $SERVER/predict < $payload"
fraudloop predict --server "$SERVER" "$payload"
echo "POST $SERVER/invocations < $payload > $response"
PAYLOAD=$payload RESPONSE=$response python scripts/batch_predict/request.py
cat "$response"
