#!/bin/sh
# Serves the pipeline's bundle on http://127.0.0.1:8080 (PORT=… takes another port) until Ctrl-C: in
# Docker where an engine answers, else, or with ENGINE=local, by a local process. A retrained model is
# taken up by itself in both.
set -eu
cd "$(dirname "$0")/.."
port=${PORT:-8080}
bundle=${BUNDLE:-ml/output/credit-card-fraud}
log=.cache/image.log

[ -f "$bundle/manifest.json" ] || {
    echo "There is no model in $bundle yet: \`make run\` makes one." >&2
    exit 1
}
bundle=$(cd "$bundle" && pwd -P)

serving() {
    echo "Serving $1 on http://127.0.0.1:$port; Ctrl-C ends it." >&2
}

locally() {
    scripts/install.sh
    serving "by a local process ($1)"
    exec .venv/bin/fraudloop serve --host 127.0.0.1 --port "$port" --bundle "$bundle"
}

# The last words of the step that failed, where BuildKit repeats them between two rules; else of the build.
failure() {
    awk '$0 == "------" && line !~ /^( > |#)/ { why = line; sub(/^[0-9.]+ /, "", why) }
        NF { line = $0 }
        END { print why ? why : line }' "$log"
}

if [ "${ENGINE-}" = local ]; then
    locally 'as ENGINE=local says'
fi
why=$(scripts/docker_answers.sh 2>&1) || locally "$why"
case $(docker context inspect --format '{{.Endpoints.docker.Host}}' 2>/dev/null) in
    '' | unix://* | npipe://*) ;;
    *) locally 'the Docker engine is on another machine' ;;
esac
mkdir -p .cache
echo 'Building the image: the first time takes a minute or two.' >&2
if ! scripts/image.sh >"$log" 2>&1; then
    locally "the image cannot be built: $(failure); $log says more"
fi
image=$(docker image inspect --format '{{.Id}}' "${IMAGE:-fraudloop}:latest")

set -- --rm --name "fraudloop-$port-$$" --publish "127.0.0.1:$port:8080" \
    --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges \
    --volume "$bundle:/bundle:ro" --env "FRAUDLOOP_AUTH=${FRAUDLOOP_AUTH:-none}"
# What the user reads, the container does too; root's container has the image's own user.
if [ "$(id -u)" != 0 ]; then
    set -- "$@" --user "$(id -u):$(id -g)"
fi
# Where DVC links (cache.type symlink), the links must lead to the same place inside.
link=$(readlink "$bundle/manifest.json" || true)
case $link in
    /*/files/md5/*) set -- "$@" --volume "${link%/files/md5/*}/files/md5:${link%/files/md5/*}/files/md5:ro" ;;
esac
if [ -n "${FRAUDLOOP_USERS-}" ]; then
    users=$(cd "$(dirname "$FRAUDLOOP_USERS")" && pwd -P)/$(basename "$FRAUDLOOP_USERS")
    set -- "$@" --volume "$users:/run/fraudloop-users:ro" --env FRAUDLOOP_USERS=/run/fraudloop-users
fi
for limit in $(env | sed -n 's/^\(FRAUDLOOP_[A-Z_]*\)=.*/\1/p' | grep -v -e _AUTH -e _USERS); do
    set -- "$@" --env "$limit"
done
serving 'in Docker'
exec docker run "$@" "$image"
