#!/bin/sh
# publish_image.sh REPOSITORY: pushes fraudloop:latest (IMAGE=… another name) there, as its version; where
# that version is taken, which in ECR never moves, as version-commit. A login to ECR is made where the
# address is one of ECR. In a workflow the digest becomes an output.
set -eu
cd "$(dirname "$0")/.."
to=${1-}
[ -n "$to" ] || {
    echo 'Say where to push: make publish-image TO=REGISTRY/NAME.' >&2
    exit 1
}
why=$(scripts/docker_answers.sh 2>&1) || {
    echo "Pushing the image needs Docker, and $why: install and start it." >&2
    exit 1
}
to=$(printf '%s' "$to" | tr '[:upper:]' '[:lower:]') # an owner of GitHub may have capitals, an image may not
version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' src/fraudloop/__init__.py)
commit=${GITHUB_SHA:-${CODEBUILD_RESOLVED_SOURCE_VERSION:-$(git rev-parse --verify --quiet HEAD || true)}}
commit=$(printf '%s' "$commit" | tr -cd 'A-Za-z0-9' | cut -c 1-12)

case $to in
    *.dkr.ecr.*.amazonaws.com*/*) .venv/bin/python deploy/aws/ecr_login.py "${to%%/*}" ;;
esac
tag=$version
if [ -n "$commit" ] && docker manifest inspect "$to:$tag" >/dev/null 2>&1; then
    tag=$version-$commit
fi
docker tag "${IMAGE:-fraudloop}:latest" "$to:$tag"
docker push --quiet "$to:$tag" >/dev/null
digest=$(docker image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$to:$tag" |
    grep "^$to@" | head -n 1)
echo "$to:$tag is $digest."
if [ -n "${GITHUB_OUTPUT-}" ]; then
    printf 'digest=%s\nsha256=%s\n' "$digest" "${digest#*@}" >>"$GITHUB_OUTPUT"
fi
