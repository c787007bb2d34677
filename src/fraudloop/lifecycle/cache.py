"""Bundles that were fetched once: a folder for each, by its manifest's sha256, never changed."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fraudloop import files
from fraudloop.errors import BundleError
from fraudloop.model import bundle as bundles
from fraudloop.model import manifest as manifests
from fraudloop.model.bundle import Bundle

KEPT = 6  # of the bundles that were used last
POINTERS = "followed"
UNFINISHED = ".part"


@dataclass(frozen=True)
class Pointer:
    """What an alias named when the registry was last asked."""

    number: int
    sha256: str


class Cache:
    """A folder of bundles, shared by every process that is told of it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def bundle(self, sha256: str) -> Bundle | None:
        """The bundle of this digest, verified whole; None if it is not here, or is damaged."""
        place = self._folder / sha256
        try:
            found = bundles.load(place, sha256=sha256)
        except BundleError:
            return None
        with suppress(OSError):  # a cache that may only be read serves as well
            os.utime(place)
        return found

    def take(self, sha256: str, fetch: Callable[[str], bytes]) -> Bundle:
        """The bundle of this digest: from here, or fetched file by file, verified and kept."""
        found = self.bundle(sha256)
        if found is not None:
            return found
        fetched = _fetched(sha256, fetch)
        with suppress(OSError):  # a full disk: it decides all the same
            self._keep(fetched)
        return fetched

    def pointer(self, name: str) -> Pointer | None:
        """What was last known under a name."""
        try:
            said = json.loads(self._pointer(name).read_bytes())
            return Pointer(int(said["number"]), str(said["sha256"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def point(self, name: str, pointer: Pointer) -> None:
        """Keep what is known now."""
        path = self._pointer(name)
        with suppress(OSError):
            if self.pointer(name) == pointer:
                os.utime(path)
            else:
                files.write_json(path, {"number": pointer.number, "sha256": pointer.sha256})

    def asked_at(self, name: str) -> float:
        """When the registry last answered anybody here, in seconds since 1970."""
        try:
            return self._pointer(name).stat().st_mtime
        except OSError:
            return 0.0

    def _pointer(self, name: str) -> Path:
        return self._folder / POINTERS / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"

    def _keep(self, bundle: Bundle) -> None:
        """Write it aside, then rename it; what is damaged under its name makes room."""
        place = self._folder / bundle.sha256
        aside = self._folder / f"{UNFINISHED}-{secrets.token_hex(4)}"
        try:
            bundles.save(aside, bundle)
            if place.exists():
                place.rename(aside.with_name(f"{UNFINISHED}-{secrets.token_hex(4)}"))
            aside.rename(place)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        self._make_room()

    def _make_room(self) -> None:
        """Remove all but the bundles used last, and what killed processes left."""
        bundled = [each for each in self._folder.iterdir() if len(each.name) == 64]
        bundled.sort(key=lambda each: each.stat().st_mtime, reverse=True)
        left = [each for each in self._folder.iterdir() if each.name.startswith(UNFINISHED)]
        newest = bundled[0].stat().st_mtime if bundled else 0.0
        old = [each for each in left if newest - each.stat().st_mtime > 3600]
        for each in (*bundled[KEPT:], *old):
            shutil.rmtree(each, ignore_errors=True)


def _fetched(sha256: str, fetch: Callable[[str], bytes]) -> Bundle:
    """Every file of a bundle, each held against what vouches for it before it is used."""
    content = fetch(manifests.NAME)
    _require(manifests.sha256(content), sha256, manifests.NAME)
    manifest = manifests.parse(content, f"{manifests.NAME} of {sha256[:12]} in the registry")
    found = {}
    for name, expected in manifest.files.items():
        found[name] = fetch(name)
        _require(hashlib.sha256(found[name]).hexdigest(), expected.sha256, name)
    return Bundle(manifest, manifests.version(content), sha256, found)


def _require(found: str, expected: str, name: str) -> None:
    if not hmac.compare_digest(found, expected):
        raise BundleError(
            f"{name} in the registry is not the file that was vouched for (sha256 {found[:12]}…, "
            f"expected {expected[:12]}…): look who changed it, and register the bundle again"
        )
