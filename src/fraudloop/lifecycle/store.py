"""What the loop wants of MLflow: versions, aliases, values that are written once, files.

Two stores fill it: a server spoken to over HTTP (`rest.py`), and a local SQLite file (`local.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from fraudloop.errors import RegistryError, SettingsError
from fraudloop.settings import RegistrySettings

# A version's tags: how its bundle is known, and what it was made of.
SHA256 = "fraudloop.manifest_sha256"
CANDIDATE = "fraudloop.candidate"
DATA_VERSION = "fraudloop.data_version"
CODE_VERSION = "fraudloop.code_version"
# A model's tag: the run that holds the steps of its aliases.
STEPS = "fraudloop.steps"


@dataclass(frozen=True)
class Version:
    """A registered bundle."""

    number: int
    run: str
    source: str
    made_at: int  # milliseconds since 1970
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def sha256(self) -> str:
        """The digest of its manifest, by which its bundle is known."""
        found = self.tags.get(SHA256, "")
        if len(found) != 64 or not set(found) <= set("0123456789abcdef"):
            raise RegistryError(
                f"version {self.number} has no {SHA256} among its tags, so that nothing vouches "
                "for its bundle: register it by `fraudloop registry register`"
            )
        return found

    @property
    def name(self) -> str:
        """What its bundle calls itself, or a dash where it is no bundle of ours."""
        return self.tags.get(SHA256, "")[:12] or "-"


@dataclass(frozen=True)
class Model:
    """A registered model: its aliases by name, and the run that holds their steps."""

    name: str
    aliases: Mapping[str, int]
    steps: str | None


class Store(Protocol):
    """MLflow, as far as the loop needs it; whatever it cannot do it says by a RegistryError."""

    @property
    def address(self) -> str:
        """What it is called in sentences: without a password."""

    def model(self, name: str) -> Model | None:
        """The registered model of this name."""

    def alias(self, name: str, alias: str) -> Version | None:
        """The version an alias names."""

    def version(self, name: str, number: int) -> Version | None:
        """One version."""

    def versions(self, name: str) -> list[Version]:
        """All versions, the newest first."""

    def params(self, run: str) -> dict[str, str]:
        """What was written once, all of it."""

    def fetch(self, version: Version, file: str) -> bytes:
        """The content of a file of a version's bundle, unverified."""

    def write_once(self, run: str, key: str, value: str) -> bool:
        """Write a value where none stands; False where another stands already."""

    def set_alias(self, name: str, alias: str, number: int) -> None:
        """Let an alias name a version, in one write."""

    def drop_alias(self, name: str, alias: str) -> None:
        """Let an alias name nothing."""

    def tag(self, name: str, number: int, key: str, value: str) -> None:
        """Tag a version, in the place of what the tag said before."""

    def close(self) -> None:
        """Let go of whatever is open; it opens again by itself."""


def opened(settings: RegistrySettings) -> Store:
    """The store that the settings name."""
    uri = settings.uri
    if uri.startswith(("http://", "https://")):
        from fraudloop.lifecycle.rest import RestStore

        return RestStore(uri)
    if uri.startswith("sqlite:///"):
        from fraudloop.lifecycle.local import LocalStore

        return LocalStore(Path(uri.removeprefix("sqlite:///")))
    raise SettingsError(
        f"MLFLOW_TRACKING_URI names a store of the kind {urlsplit(uri).scheme[:20]!r}: give "
        "sqlite:///FILE, or the http:// address of an MLflow server"
    )
