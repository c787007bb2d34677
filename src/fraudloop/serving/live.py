"""The published model: one immutable snapshot, and how the next one takes its place."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from fraudloop.errors import FraudloopError
from fraudloop.model import bundle as bundles
from fraudloop.model import manifest as manifests
from fraudloop.model.bundle import Bundle
from fraudloop.model.scorer import Scorer
from fraudloop.serving.asked import Asked
from fraudloop.serving.dialects import Dialects

Signature = dict[str, tuple[int, int, int] | None]


@dataclass(frozen=True)
class Snapshot:
    """A model that decides, and what reads requests for it. A request takes it once."""

    scorer: Scorer
    dialects: Dialects

    @property
    def bundle(self) -> Bundle:
        """The verified bundle that decides."""
        return self.scorer.bundle

    def read(self, body: bytes | bytearray, *, unnamed: bool) -> Asked:
        """What a body asks of this model."""
        return self.dialects.read(body, unnamed=unnamed)

    def read_query(self, pairs: Sequence[tuple[str, str]]) -> Asked:
        """What a query asks of this model."""
        return self.dialects.read_query(pairs)


class Live:
    """Holds the snapshot that decides; `fault` says why a newer bundle does not."""

    def __init__(
        self, directory: Path, *, sha256: str | None, most_rows: int, threads: int
    ) -> None:
        self._directory = directory
        self._sha256 = sha256
        self._most_rows = most_rows
        self._threads = threads
        self._lock = threading.Lock()
        self.fault: str | None = None
        self._seen: Signature = {}
        self.snapshot = self._load()

    def changed(self) -> bool:
        """Whether any file of the bundle is another than when it was last looked at."""
        return self._signature(self._seen) != self._seen

    def reload(self) -> Snapshot | None:
        """Load what lies there now aside, prove it, and let it decide; None if it already does.

        What cannot be loaded is refused by an error, and the old snapshot goes on deciding.
        """
        with self._lock, self._blaming():
            loaded = self._load()
            _prove_the_rest(loaded.scorer)
            self.fault = None
            if loaded.bundle.sha256 == self.snapshot.bundle.sha256:
                return None
            self.snapshot = loaded
            return loaded

    def warm_up(self) -> None:
        """Prove what only large bodies and reasons need, before the first of them comes."""
        with self._blaming():
            _prove_the_rest(self.snapshot.scorer)

    @contextmanager
    def _blaming(self) -> Iterator[None]:
        """Keep in `fault` why something failed."""
        try:
            yield
        except Exception as error:
            known = isinstance(error, FraudloopError)
            self.fault = str(error) if known else f"the bundle cannot be loaded here ({error!r})"
            raise

    def _load(self) -> Snapshot:
        """Load what lies there, prove it on its smoke row, and make it ready to decide."""
        # Looked at before it is read: what is changed meanwhile will count as a change.
        self._seen = self._signature(self._promised() or self._seen)
        bundle = bundles.load(self._directory, sha256=self._sha256)
        scorer = Scorer(bundle, threads=self._threads)
        return Snapshot(scorer, Dialects(bundle.manifest.card, most_rows=self._most_rows))

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


def _prove_the_rest(scorer: Scorer) -> None:
    """The native form and the reasons: what is not needed for a few scores is loaded by need."""
    import_alone("xgboost", without=("pandas", "sklearn", "pyarrow"))
    row = np.array([scorer.bundle.manifest.smoke.features], dtype=np.float32)
    if scorer.bundle.manifest.native is not None:
        scorer.by_native_form(row)
    scorer.reasons(row)


def import_alone(library: str, *, without: Sequence[str]) -> None:
    """Import a library without those it would take along wherever they are installed.

    An image has none of them; in a data scientist's environment they would cost each worker 90 MB.
    """
    loaded: dict[str, Any] = sys.modules  # of which Python also reads None: not installed
    hidden = [name for name in without if name not in loaded]
    loaded.update(dict.fromkeys(hidden))
    try:
        import_module(library)
    finally:
        for name in hidden:
            del loaded[name]
