#!/bin/sh
# Holds deploy/aws against checkov's rules; what a template skips it says where it does, and why.
set -eu
cd "$(dirname "$0")/.."
scripts/apart.sh checkov
exec .cache/apart/checkov/bin/checkov --directory deploy/aws --framework cloudformation --skip-download \
    --compact --quiet "$@"
