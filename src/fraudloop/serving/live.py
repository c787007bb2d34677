"""The published model: one immutable snapshot, and how the next one takes its place."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from fraudloop.errors import FraudloopError
from fraudloop.lifecycle.following import Place, source_of
from fraudloop.model.bundle import Bundle
from fraudloop.model.scorer import Scorer
from fraudloop.serving.asked import Asked
from fraudloop.serving.dialects import Dialects


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

    def __init__(self, where: Place, *, sha256: str | None, most_rows: int, threads: int) -> None:
        self.source = source_of(where, sha256=sha256)
        self._most_rows = most_rows
        self._threads = threads
        self._lock = threading.Lock()
        self.fault: str | None = None
        self.snapshot = self._load()

    @property
    def remarks(self) -> list[str]:
        """What a person should know though a model decides."""
        return [each for each in (self.fault, self.source.note) if each is not None]

    def changed(self) -> bool:
        """Whether another bundle lies there than when it was last looked at."""
        return self.source.changed()

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
        bundle = self.source.load()
        scorer = Scorer(bundle, threads=self._threads)
        return Snapshot(scorer, Dialects(bundle.manifest.card, most_rows=self._most_rows))


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
