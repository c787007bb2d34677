#!/bin/sh
# Writes dist/sbom.cdx.json: what the image has of Python, by name, version and hash, as CycloneDX. The same
# lock gives the same bytes.
set -eu
cd "$(dirname "$0")/.."
mkdir -p dist
.venv/bin/cyclonedx-py pipenv --output-reproducible --output-format JSON --mc-type application \
    --output-file dist/sbom.cdx.json.part .
mv dist/sbom.cdx.json.part dist/sbom.cdx.json
echo 'dist/sbom.cdx.json is written.'
