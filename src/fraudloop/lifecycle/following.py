"""Where a bundle comes from: a folder, or the registry, which is followed.

`Live` asks a source now and then whether another bundle lies there; servers and scorers alike.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fraudloop.errors import FraudloopError, RegistryAwayError, RegistryError
from fraudloop.lifecycle.cache import Cache, Pointer
from fraudloop.lifecycle.registry import CHALLENGER, CHAMPION, PREVIOUS, Registry
from fraudloop.lifecycle.store import Store, Version, opened
from fraudloop.model import bundle as bundles
from fraudloop.model import manifest as manifests
from fraudloop.model.bundle import Bundle
from fraudloop.settings import RegistrySettings

SCHEME = "registry:"
ALIASES = (CHAMPION, CHALLENGER, PREVIOUS)
ASKED_EVERY = 1.0  # seconds, by all processes together that share a cache

Signature = dict[str, tuple[int, int, int] | None]


@dataclass(frozen=True)
class FromRegistry:
    """A bundle as the registry names it: by an alias, which is followed, or a version."""

    model: str
    which: str
    settings: RegistrySettings

    def __str__(self) -> str:
        """As `--bundle` says it, in full."""
        return f"{SCHEME}{self.model}/{self.which}"


Place = Path | FromRegistry


def place(text: str, settings: RegistrySettings, default_model: Callable[[], str]) -> Place:
    """What `--bundle` says: a folder, or registry:champion, registry:VERSION, registry:MODEL/…

    >>> place("ml/output/x", RegistrySettings(), str)
    PosixPath('ml/output/x')
    >>> str(place("registry:champion", RegistrySettings(), lambda: "cards"))
    'registry:cards/champion'
    """
    if not text.startswith(SCHEME):
        return Path(text)
    model, _, which = text.removeprefix(SCHEME).rpartition("/")
    if not which:
        raise RegistryError(f"{text!r} names no version: give {SCHEME}{CHAMPION}")
    return FromRegistry(model or settings.model or default_model(), which, settings)


class Source(Protocol):
    """Where a bundle comes from; it is to be looked at `every` so many seconds."""

    every: float
    gone: bool  # nothing lies there any more

    @property
    def note(self) -> str | None:
        """What a person should know though a model decides."""

    def changed(self) -> bool:
        """Whether another bundle lies there than when it was last loaded, or tried to be."""

    def load(self) -> Bundle:
        """What lies there now, verified whole."""

    def close(self) -> None:
        """Let go of whatever is open."""


def source_of(where: Place, *, sha256: str | None = None) -> Source:
    """The source of a place; `sha256` is what a folder's manifest must be."""
    if isinstance(where, FromRegistry):
        if sha256 is not None:
            raise RegistryError(
                f"{where} and --sha256 contradict each other: the registry says what it must be"
            )
        return RegistrySource(where, opened(where.settings))
    return FolderSource(where, sha256)


def loaded(where: Place, *, sha256: str | None = None) -> Bundle:
    """The bundle that lies at a place now, verified whole."""
    with closing(source_of(where, sha256=sha256)) as source:
        return source.load()


class FolderSource:
    """A folder that somebody may write another bundle into."""

    every: float = 1.0
    gone: bool = False
    note: str | None = None

    def __init__(self, directory: Path, sha256: str | None) -> None:
        self._directory = directory
        self._sha256 = sha256
        self._seen: Signature = {}

    def changed(self) -> bool:
        """Whether any file of the bundle is another than when it was last looked at."""
        return self._signature(self._seen) != self._seen

    def load(self) -> Bundle:
        """What lies there now, verified whole."""
        # Looked at before it is read: what is changed meanwhile will count as a change.
        self._seen = self._signature(self._promised() or self._seen)
        return bundles.load(self._directory, sha256=self._sha256)

    def close(self) -> None:
        """Nothing stays open between two calls."""

    def _promised(self) -> Iterable[str]:
        """The files of the bundle that lies there, whether or not they are there already."""
        with suppress(OSError, FraudloopError):
            return manifests.parse((self._directory / manifests.NAME).read_bytes(), "").files
        return ()

    def _signature(self, names: Iterable[str]) -> Signature:
        """What tells a changed file from the same one without reading it."""
        signature: Signature = {}
        for name in {manifests.NAME, *names}:
            signature[name] = None
            with suppress(OSError):
                stat = (self._directory / name).stat()
                signature[name] = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        return signature


class RegistrySource:
    """A name in the registry, and a cache that stands in for it while it is away.

    Of all processes that share the cache one asks the registry, once a second; the others read
    what it was told, and so look more often.
    """

    every: float = 0.2
    gone: bool = False

    def __init__(
        self,
        where: FromRegistry,
        store: Store,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.where = where
        self.registry = Registry(store, where.model)
        self._cache = Cache(where.settings.cache)
        self._now = now
        self._name = f"{store.address} {where}"
        self._lock = threading.Lock()
        self._loaded: Pointer | None = None
        self._tried: Pointer | None = None
        self.note: str | None = None

    @property
    def follows(self) -> bool:
        """Whether it is an alias, which may come to name another version."""
        return self.where.which in ALIASES

    @property
    def number(self) -> int | None:
        """The version that was loaded last, as MLflow counts them."""
        return None if self._loaded is None else self._loaded.number

    def changed(self) -> bool:
        """Whether the name stands for another version; False while nobody knows."""
        if not self.follows and self._tried is not None:
            return False
        try:
            return self._look() != self._tried
        except RegistryError as error:
            self.note = str(error)
            self.gone = not isinstance(error, RegistryAwayError)
            if self.gone:  # what comes under this name next is new, be it the same
                self._tried = None
            return False

    def load(self) -> Bundle:
        """The bundle of the version that is named now, from the cache or fetched."""
        try:
            wanted = self._look(at_once=True)
        except RegistryAwayError as error:
            wanted = self._remembered(error)
        cached = self._cache.bundle(wanted.sha256)
        try:
            bundle = cached or self._fetch(wanted)
        except RegistryAwayError:  # to be tried again
            raise
        except FraudloopError:
            self._tried = wanted
            raise
        self._tried = self._loaded = wanted
        return bundle

    def close(self) -> None:
        """Let go of the registry."""
        self.registry.store.close()

    def bundle_of(self, version: Version) -> Bundle:
        """The bundle of any version, from the cache or fetched, verified whole."""
        store = self.registry.store
        return self._cache.take(version.sha256, lambda file: store.fetch(version, file))

    def _fetch(self, wanted: Pointer) -> Bundle:
        # What was named a moment ago: the same number is the same bundle, or is refused.
        version = self.registry.version(str(wanted.number))
        store = self.registry.store
        return self._cache.take(wanted.sha256, lambda file: store.fetch(version, file))

    def _look(self, *, at_once: bool = False) -> Pointer:
        """What the name stands for: asked, or as another process was told a moment ago."""
        with self._lock:
            age = self._now() - self._cache.asked_at(self._name)
            if not at_once and 0 <= age < ASKED_EVERY:
                told = self._cache.pointer(self._name)
                if told is not None:
                    self.note, self.gone = None, False
                    return told
            version = self.registry.version(self.where.which)
            pointer = Pointer(version.number, version.sha256)
            self._cache.point(self._name, pointer)
            self.note, self.gone = None, False
            return pointer

    def _remembered(self, error: RegistryAwayError) -> Pointer:
        told = self._cache.pointer(self._name)
        if told is None:
            raise error
        self.note = f"{error}; meanwhile version {told.number} decides, as it was named last"
        return told
