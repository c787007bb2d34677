"""The bundle on disk: written in one place, verified whole before any of it is used."""

from __future__ import annotations

import hashlib
import hmac
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fraudloop.errors import BundleError
from fraudloop.files import write_bytes
from fraudloop.model import manifest as manifests
from fraudloop.model.manifest import FileDigest, Manifest


@dataclass(frozen=True)
class Bundle:
    """A verified bundle: its manifest, and its files as the bytes that were verified."""

    manifest: Manifest
    version: str
    sha256: str
    files: Mapping[str, bytes]

    def pipeline(self, *, sha256: str) -> Any:
        """Unpickle `model.joblib`, the champion as a fitted scikit-learn pipeline.

        Unpickling runs whatever was pickled. So it wants the digest of the manifest from outside
        the bundle: a digest that came with the files would vouch for nothing.
        """
        _compare(sha256, self.sha256, manifests.NAME)
        import joblib

        return joblib.load(io.BytesIO(self.files[self.manifest.pipeline]))


def digests(files: Mapping[str, bytes]) -> dict[str, FileDigest]:
    """What a manifest says of its files."""
    return {
        name: FileDigest(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))
        for name, content in sorted(files.items())
    }


def save(directory: Path, bundle: Bundle) -> None:
    """Write a bundle, its manifest last: until it stands, what stands there is no bundle."""
    for name, content in bundle.files.items():
        write_bytes(directory / name, content)
    write_bytes(directory / manifests.NAME, bundle.manifest.to_bytes())


def load(directory: Path, *, sha256: str | None = None) -> Bundle:
    """Read a bundle and verify every file of it; nothing of it is run or unpickled.

    `sha256` is the digest of `manifest.json` as it is known from outside the bundle (the registry,
    a release note). Without it the files are only held against each other.
    """
    content = _read(directory, manifests.NAME)
    digest = manifests.sha256(content)
    if sha256 is not None:
        _compare(sha256, digest, str(directory / manifests.NAME))
    manifest = manifests.parse(content, str(directory / manifests.NAME))
    files = {}
    for name, expected in manifest.files.items():
        files[name] = _read(directory, name)
        _compare(expected.sha256, hashlib.sha256(files[name]).hexdigest(), str(directory / name))
    named = {manifest.graph, manifest.pipeline}
    if manifest.native is not None:
        named.add(manifest.native.file)
    if manifest.reasons is not None:
        named.add(manifest.reasons.file)
    if not named <= files.keys():
        raise BundleError(
            f"{directory / manifests.NAME} vouches for no {min(named - files.keys())}: "
            "run `fraudloop package`"
        )
    return Bundle(manifest, manifests.version(content), digest, files)


def _read(directory: Path, name: str) -> bytes:
    try:
        return (directory / name).read_bytes()
    except OSError as error:
        raise BundleError(
            f"no {name} in {directory} ({error.strerror}): run `dvc repro`, or name another bundle"
        ) from error


def _compare(expected: str, found: str, where: str) -> None:
    if not hmac.compare_digest(expected.lower().encode(), found.encode()):
        raise BundleError(
            f"{where} is not the file that was vouched for (sha256 {found[:12]}…, "
            f"expected {expected[:12]}…): restore it, or run `fraudloop package`"
        )
