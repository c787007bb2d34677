"""A store in memory that can crash, go away and hand out files that were changed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fraudloop.errors import RegistryAwayError, RegistryError
from fraudloop.lifecycle.store import CANDIDATE, SHA256, Model, Version
from fraudloop.model import bundle as bundles
from fraudloop.model import manifest as manifests
from fraudloop.model.bundle import Bundle
from fraudloop.settings import RegistrySettings

NAME = "cards"
RUN = "steps"


class Crash(BaseException):  # nothing that catches errors catches it: the process is dead
    """The process ends here."""


@dataclass
class MemoryStore:
    """A store of the model `cards`, with versions 1 to N."""

    count: int = 3
    address: str = "memory"
    aliases: dict[str, int] = field(default_factory=dict)
    written: dict[str, str] = field(default_factory=dict)
    tags: dict[int, dict[str, str]] = field(default_factory=dict)
    files: dict[int, Mapping[str, bytes]] = field(default_factory=dict)
    away: bool = False
    writes: list[str] = field(default_factory=list)  # what was written, in order
    crash_before: int | None = None  # the write of this place is not made
    crash_after: int | None = None  # it is, and nothing after it
    at_write: Callable[[str], None] = lambda _: None
    asked: int = 0
    closed: bool = False

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        for number in range(1, self.count + 1):
            self.tags[number] = {SHA256: f"{number:064x}", CANDIDATE: "none-x"}

    def model(self, name: str) -> Model | None:
        self._ask()
        return Model(NAME, dict(self.aliases), RUN) if name == NAME else None

    def alias(self, name: str, alias: str) -> Version | None:
        self._ask()
        return self.version(name, self.aliases[alias]) if alias in self.aliases else None

    def version(self, name: str, number: int) -> Version | None:
        self._ask()
        if name != NAME or number not in self.tags:
            return None
        return Version(number, f"run{number}", "here", 0, dict(self.tags[number]))

    def versions(self, name: str) -> list[Version]:
        self._ask()
        found = [self.version(name, number) for number in sorted(self.tags, reverse=True)]
        return [each for each in found if each is not None]

    def params(self, run: str) -> dict[str, str]:
        self._ask()
        with self._lock:
            return dict(self.written)

    def fetch(self, version: Version, file: str) -> bytes:
        self._ask()
        try:
            return self.files[version.number][file]
        except KeyError as error:
            raise RegistryError(f"no {file}: register it again") from error

    def write_once(self, run: str, key: str, value: str) -> bool:
        with self._write(f"once {key}"), self._lock:
            return self.written.setdefault(key, value) == value

    def set_alias(self, name: str, alias: str, number: int) -> None:
        with self._write(f"alias {alias}={number}"), self._lock:
            if number not in self.tags:
                raise RegistryError(f"no version {number}: look again")
            self.aliases[alias] = number

    def drop_alias(self, name: str, alias: str) -> None:
        with self._write(f"alias {alias}=none"), self._lock:
            self.aliases.pop(alias, None)

    def tag(self, name: str, number: int, key: str, value: str) -> None:
        with self._write(f"tag {number} {key}"):
            self.tags[number][key] = value

    def close(self) -> None:
        self.closed = True

    def hold(self, *bundles: Bundle) -> None:
        """Have these bundles as versions 1, 2, ..."""
        self.tags.clear()
        for number, bundle in enumerate(bundles, start=1):
            self.tags[number] = {SHA256: bundle.sha256, CANDIDATE: bundle.manifest.candidate}
            manifest = {manifests.NAME: bundle.manifest.to_bytes()}
            self.files[number] = {**bundle.files, **manifest}

    def _ask(self) -> None:
        self.asked += 1
        if self.away:
            raise RegistryAwayError("the registry at memory does not answer: look")

    @contextmanager
    def _write(self, what: str) -> Iterator[None]:
        self._ask()
        place = len(self.writes)
        if place == self.crash_before:
            raise Crash
        self.at_write(what)
        yield
        self.writes.append(what)
        if place == self.crash_after:
            raise Crash


@dataclass
class Clock:
    """A clock that is set."""

    now: datetime = datetime(2026, 11, 30, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def changed(bundle: Bundle, *, threshold: float | None = None, card: str | None = None) -> Bundle:
    """The same model with another operating point, or of a card that is called otherwise."""
    updates: dict[str, Any] = {} if threshold is None else {"threshold": threshold}
    if card is not None:
        updates["card"] = bundle.manifest.card.model_copy(update={"id": card})
    manifest = bundle.manifest.model_copy(update=updates)
    content = manifest.to_bytes()
    return replace(
        bundle,
        manifest=manifest,
        version=manifests.version(content),
        sha256=manifests.sha256(content),
    )


def saved(folder: Path, bundle: Bundle) -> Path:
    """The folder, with the bundle in it."""
    bundles.save(folder, bundle)
    return folder


def settings_in(folder: Path, uri: str | None = None) -> RegistrySettings:
    """Settings of a registry and a cache in a folder."""
    return RegistrySettings(
        uri=uri or f"sqlite:///{folder / 'registry' / 'mlflow.db'}", cache=folder / "cache"
    )
