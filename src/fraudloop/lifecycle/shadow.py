"""A challenger in the shadow: it scores what the champion decides, and decides nothing itself.

It works in a thread of its own, on what was put aside for it. Nobody waits for it: what it cannot
take in time it leaves, and that is counted.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fraudloop.errors import FraudloopError
from fraudloop.lifecycle.following import Place, source_of
from fraudloop.model.bundle import Bundle
from fraudloop.model.scorer import Features, Scorer, Scores

MOST_ROWS = 50_000  # that wait
AT_ONCE = 2_000  # rows that are scored by one call
LATE = 10.0  # seconds after which nobody wants a row scored any more
SHARE = 0.25  # of one core's time, at most
TOLD_EVERY = 20.0  # seconds
PAUSE = 0.25  # seconds between looks while nothing comes


class Compared(NamedTuple):
    """The same rows, scored by both."""

    champion: str
    challenger: str
    scores: Scores
    others: Scores
    predictions: NDArray[np.bool_]
    other_predictions: NDArray[np.bool_]


class Tally(Protocol):
    """Where it is counted."""

    def compared(self, made: Compared) -> None:
        """Count rows that both scored."""

    def left(self, reason: str, rows: int) -> None:
        """Count rows that the challenger did not score."""


class _Waiting(NamedTuple):
    champion: Bundle
    features: Features
    scores: Sequence[float]
    since: float


class Shadow:
    """A challenger beside a champion; `close` ends its thread.

    `report` is called now and then, and at the end.
    """

    def __init__(
        self,
        where: Place,
        tally: Tally,
        *,
        report: Callable[[Shadow], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        share: float = SHARE,
    ) -> None:
        self.tally = tally
        self.clock = clock
        self.share = share
        self.report = report
        self.source = source_of(where)
        self.note: str | None = "no challenger yet"
        self._scorer: Scorer | None = None
        self._waiting: deque[_Waiting] = deque()
        self._rows = 0
        self._came = threading.Condition()
        self._over = threading.Event()
        self._looked = float("-inf")
        self._told = self.clock()
        self._thread = threading.Thread(target=self._work, name="shadow", daemon=True)
        self._thread.start()

    @property
    def challenger(self) -> Bundle | None:
        """The bundle that scores in the shadow."""
        return None if self._scorer is None else self._scorer.bundle

    def offer(self, champion: Bundle, features: Features, scores: Sequence[float]) -> None:
        """Put aside what was just decided; it returns at once, whatever the challenger does."""
        if self._scorer is None:
            return
        rows = len(scores)
        with self._came:
            full = self._rows + rows > MOST_ROWS
            if not full:
                self._waiting.append(_Waiting(champion, features, scores, self.clock()))
                self._rows += rows
                self._came.notify()
        if full:
            self.tally.left("full", rows)

    def close(self) -> None:
        """Let the thread end; what still waits is left."""
        self._over.set()
        with self._came:
            self._came.notify()
        self._thread.join(timeout=10)

    def _work(self) -> None:
        while not self._over.is_set():
            self._look()
            self._tell()
            some = self._next()
            if not some:
                continue
            began = self.clock()
            try:
                self._compare(some)
            except Exception as error:  # it is but a shadow: whatever it is, the server goes on
                self.note = f"the challenger cannot score this ({error!r})"
                self.tally.left("failed", sum(len(each.scores) for each in some))
            # Of one core it takes no more than its share.
            worked = self.clock() - began
            self._over.wait(worked * (1 / self.share - 1))
        self._tell(at_the_end=True)
        self.source.close()

    def _tell(self, *, at_the_end: bool = False) -> None:
        if self.report is not None and (at_the_end or self.clock() - self._told > TOLD_EVERY):
            self._told = self.clock()
            with suppress(FraudloopError):  # the registry is away: the next time
                self.report(self)

    def _look(self) -> None:
        """Take up another challenger, or let go of the one that is none any more."""
        if self.clock() - self._looked < max(self.source.every, PAUSE):
            return
        self._looked = self.clock()
        try:
            if self.source.changed():
                self._scorer = Scorer(self.source.load())
                self.note = None
            elif self.source.gone:
                self._scorer = None
                self.note = self.source.note
        except FraudloopError as error:
            self.note = str(error)
        except Exception as error:
            self.note = f"the challenger cannot be loaded here ({error!r})"

    def _next(self) -> list[_Waiting]:
        """What waits, as much as is scored at once, of one champion."""
        some: list[_Waiting] = []
        with self._came:
            self._came.wait_for(lambda: self._waiting or self._over.is_set(), PAUSE)
            rows = 0
            while self._waiting and not self._over.is_set():
                first = self._waiting[0]
                if some and (rows + len(first.scores) > AT_ONCE or not _alike(first, some[0])):
                    break
                some.append(self._waiting.popleft())
                rows += len(first.scores)
            self._rows -= rows
        return some

    def _compare(self, some: list[_Waiting]) -> None:
        scorer, champion = self._scorer, some[0].champion
        now = self.clock()
        fresh = [each for each in some if now - each.since <= LATE]
        late = [each for each in some if now - each.since > LATE]
        self._leave("late", sum(len(each.scores) for each in late))
        if not fresh or scorer is None:
            return
        features = np.concatenate([each.features for each in fresh])
        if scorer.bundle.manifest.card != champion.manifest.card:
            self.note = "the challenger reads transactions otherwise: it cannot be compared"
            self._leave("unlike", len(features))
            return
        scores = np.concatenate([np.asarray(each.scores, np.float64) for each in fresh])
        threshold = champion.manifest.threshold
        until = self.clock() + LATE
        for start in range(0, len(features), AT_ONCE):
            if self._over.is_set() or self.clock() > until:
                self._leave("late", len(features) - start)
                return
            some_scores = scores[start : start + AT_ONCE]
            others = scorer.score_features(features[start : start + AT_ONCE])
            self.tally.compared(
                Compared(
                    champion.version,
                    scorer.bundle.version,
                    some_scores,
                    others,
                    some_scores >= threshold,
                    others >= scorer.bundle.manifest.threshold,
                )
            )

    def _leave(self, reason: str, rows: int) -> None:
        if rows:
            self.tally.left(reason, rows)


def _alike(one: _Waiting, other: _Waiting) -> bool:
    return one.champion is other.champion
