#!/bin/sh
# Runs fraudloop:latest (IMAGE=… another name) as it is meant to be run, on a free port of this machine,
# lets it decide deploy/aws/transaction.json, and stops it.
set -eu
cd "$(dirname "$0")/.."
why=$(scripts/docker_answers.sh 2>&1) || {
    echo "Trying the image needs Docker, and $why: install and start it." >&2
    exit 1
}
container=$(docker run --detach --publish 127.0.0.1::8080 --read-only --tmpfs /tmp --cap-drop ALL \
    --security-opt no-new-privileges --env FRAUDLOOP_AUTH=none "${IMAGE:-fraudloop}:latest")
finish() {
    code=$?
    [ "$code" = 0 ] || docker logs "$container" >&2
    docker rm --force "$container" >/dev/null
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

address=http://$(docker port "$container" 8080/tcp | head -n 1)
tries=0
until curl --silent --fail --output /dev/null "$address/ready"; do
    tries=$((tries + 1))
    [ "$tries" -lt 300 ] || {
        echo 'The image was not ready within a minute: what it said follows.' >&2
        exit 1
    }
    sleep 0.2
done
curl --silent --show-error --fail-with-body --header 'Content-Type: application/json' \
    --data @deploy/aws/transaction.json "$address/predict"
echo
