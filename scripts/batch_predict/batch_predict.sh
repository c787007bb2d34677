#!/bin/sh
# The batch job: payload.json in, response.json out. Brings up the server and a client that posts once, by
# docker compose or docker-compose where an engine answers, else (or with ENGINE=local) by a local process;
# shows the answer, and takes everything down again whatever happened. Works from any folder.
# PAYLOAD=…, RESPONSE=…, BUNDLE=… take other files, TIME_LIMIT=… other seconds than 300.
set -eu
payload=${PAYLOAD-}
response=${RESPONSE-}
bundle=${BUNDLE-}
limit=${TIME_LIMIT:-300}
here=$(cd "$(dirname "$0")" && pwd -P)
root=$(cd "$here/../.." && pwd -P)

refuse() {
    echo "$*" >&2
    exit 1
}

# As the caller's folder has it; the defaults are the project's.
absolute() {
    case $1 in
    /*) printf '%s\n' "$1" ;;
    *) printf '%s/%s\n' "$PWD" "$1" ;;
    esac
}
payload=$(absolute "${payload:-$root/ml/input/api/payload.json}")
response=$(absolute "${response:-$here/response.json}")
bundle=$(absolute "${bundle:-$root/ml/output/credit-card-fraud}")
case $limit in
'' | *[!0-9]* | 0*) refuse "TIME_LIMIT is '$limit': give a whole number of seconds" ;;
esac

[ -f "$bundle/model.joblib" ] && [ -f "$bundle/manifest.json" ] ||
    refuse "There is no model.joblib in $bundle yet: \`make run\` makes one."
[ -f "$payload" ] ||
    refuse "There is no $payload: \`git checkout ml/input/api/payload.json\` brings the committed one back, or name yours by PAYLOAD=…."
mkdir -p "$(dirname "$response")"
cd "$root"

# Nobody but this user looks into the folder, so what lies in it may be open to the container's user.
job=$(mktemp -d)
mkdir "$job/in" "$job/out"
cp "$payload" "$job/in/payload.json"
cp "$here/request.py" "$job/in/"
chmod 755 "$job/in"
chmod 644 "$job/in/payload.json" "$job/in/request.py"
chmod 777 "$job/out"
compose=''
running=''
name=fraudloop-batch-$$

finish() {
    code=$?
    trap '' INT TERM
    [ -z "$running" ] || kill "$running" 2>/dev/null || true
    [ -z "$running" ] || wait "$running" 2>/dev/null || true
    # shellcheck disable=SC2086  # it is two words where compose is a part of docker
    [ -z "$compose" ] || $compose --project-name "$name" --file "$here/docker-compose.yml" \
        down --volumes --timeout 5 >"$job/down" 2>&1 || cat "$job/down" >&2
    rm -rf "$job"
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

compose_command() {
    if docker compose version >/dev/null 2>&1; then
        echo 'docker compose'
    elif command -v docker-compose >/dev/null; then
        echo docker-compose
    else
        echo 'there is neither docker compose nor docker-compose here'
        return 1
    fi
}

# Whether the engine is on another machine, whose disk is not this one's.
elsewhere() {
    case $(docker context inspect --format '{{.Endpoints.docker.Host}}' 2>/dev/null) in
    '' | unix://* | npipe://*) return 1 ;;
    esac
}

# Why it is not done in Docker, or nothing where it can be.
instead() {
    if [ "${ENGINE-}" = local ]; then
        echo 'as ENGINE=local says'
    elif ! said=$(scripts/docker_answers.sh 2>&1) || ! said=$(compose_command); then
        echo "$said"
    elif elsewhere; then
        echo 'the Docker engine is on another machine'
    elif echo 'Building the image: the first time takes a minute or two.' >&2 &&
        ! BUNDLE=$bundle scripts/image.sh >"$job/image.log" 2>&1; then
        mkdir -p .cache
        cp "$job/image.log" .cache/image.log
        echo 'the image cannot be built: .cache/image.log says why'
    fi
}

# Waits for the process $running, but not beyond the time limit.
wait_for_it() {
    left=$limit
    while kill -0 "$running" 2>/dev/null; do
        [ "$left" -gt 0 ] || refuse "There was no answer within $limit s (TIME_LIMIT), so it was given up; an older ${response##*/} is as it was."
        sleep 1
        left=$((left - 1))
    done
    code=0
    wait "$running" || code=$?
    running=''
}

why=$(instead)
if [ -n "$why" ]; then
    scripts/install.sh
    echo "Asking a server that is a local process ($why)." >&2
    BUNDLE=$bundle PAYLOAD=$job/in/payload.json RESPONSE=$job/out/response.json WITHIN=$limit \
        scripts/with_server.sh python scripts/batch_predict/request.py &
    running=$!
    wait_for_it
    [ "$code" = 0 ] || refuse "There is no new ${response##*/}: the reason stands above."
else
    echo 'Asking a server in Docker.' >&2
    IMAGE=$(docker image inspect --format '{{.Id}}' "${IMAGE:-fraudloop}:latest")
    JOB=$job
    WITHIN=$limit
    export IMAGE JOB WITHIN
    compose=$(compose_command)
    # shellcheck disable=SC2086  # it is two words where compose is a part of docker
    $compose --project-name "$name" --file "$here/docker-compose.yml" \
        up --abort-on-container-exit --exit-code-from request >"$job/up" 2>&1 &
    running=$!
    wait_for_it
    [ "$code" = 0 ] || {
        cat "$job/up" >&2
        refuse "There is no new ${response##*/}: what the containers said stands above."
    }
fi

# Complete, and into its place in one step.
cp "$job/out/response.json" "$response.part"
mv "$response.part" "$response"
cat "$response"
echo "The answer is in $response." >&2
