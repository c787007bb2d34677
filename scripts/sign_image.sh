#!/bin/sh
# sign_image.sh REPOSITORY@sha256:…: signs an image that is pushed, and attests dist/sbom.cdx.json of it, with
# cosign and without a key: who runs this is the identity, in a workflow the workflow itself.
set -eu
cd "$(dirname "$0")/.."
digest=${1-}
case $digest in
    *@sha256:*) ;;
    *)
        echo 'Say what to sign by its digest: make sign-image DIGEST=REGISTRY/NAME@sha256:….' >&2
        exit 1
        ;;
esac
[ -f dist/sbom.cdx.json ] || {
    echo "There is no dist/sbom.cdx.json to attest: \`make sbom\` writes it." >&2
    exit 1
}
command -v cosign >/dev/null || {
    echo "Signing needs cosign: install it as its documentation says, and verify what you install." >&2
    exit 1
}
cosign sign --yes "$digest"
cosign attest --yes --type cyclonedx --predicate dist/sbom.cdx.json "$digest"
