#!/bin/sh
# Builds the image fraudloop:VERSION, which is also fraudloop:latest, around the pipeline's bundle. With
# `tar` it also writes dist/fraudloop-VERSION.tar.gz, which `docker load` takes on a server without a
# registry. IMAGE=… takes another name than fraudloop, BASE=… another base image, BUNDLE=… another bundle,
# PIP_INDEX_URL=… another package index.
set -eu
cd "$(dirname "$0")/.."
what=${1-}
bundle=${BUNDLE:-ml/output/credit-card-fraud}
inside=ml/output/credit-card-fraud # where .dockerignore lets one through
version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' src/fraudloop/__init__.py)
name=${IMAGE:-fraudloop}

refuse() {
    echo "$*" >&2
    exit 1
}

[ -f "$bundle/manifest.json" ] || refuse "There is no model in $bundle yet: \`make run\` makes one."
why=$(scripts/docker_answers.sh 2>&1) || refuse "The image needs Docker, and $why: install and start it."

sha256() {
    if command -v sha256sum >/dev/null; then sha256sum "$1"; else shasum -a 256 "$1"; fi
}

# As .dockerignore names it, in a folder aside: DVC may have made links of a bundle's files, and a build
# would copy the links.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$scratch/$inside" "$scratch/scripts" "$scratch/src"
cp Dockerfile .dockerignore LICENSE Pipfile Pipfile.lock "$scratch/"
cp scripts/pipenv-requirements.txt scripts/bake.py "$scratch/scripts/"
cp -R src/fraudloop "$scratch/src/"
cp -R -L "$bundle/manifest.json" "$bundle/model.joblib" "$bundle/compiled" "$scratch/$inside/"

set -- --build-arg "VERSION=$version" \
    --build-arg "MODEL_VERSION=$(sha256 "$scratch/$inside/manifest.json" | cut -c 1-12)"
if revision=$(git rev-parse --verify --quiet HEAD 2>/dev/null); then
    set -- "$@" --build-arg "REVISION=$revision"
fi
if [ -n "${BASE-}" ]; then
    set -- "$@" --build-arg "BASE=$BASE"
fi
if [ -n "${PIP_INDEX_URL-}" ]; then
    set -- "$@" --build-arg PIP_INDEX_URL # its value is read from the environment
fi
docker build "$@" --tag "$name:$version" --tag "$name:latest" "$scratch"
echo "The image is $name:$version, and $name:latest."

if [ "$what" = tar ]; then
    file=dist/fraudloop-$version.tar.gz
    mkdir -p dist
    docker save "$name:$version" >"$scratch/image.tar"
    gzip -n -c "$scratch/image.tar" >"$file.part"
    mv "$file.part" "$file"
    echo "$file is written: \`docker load --input $file\` takes it."
fi
