"""A challenger in the shadow compares what it can, leaves what it cannot, and holds nobody up."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fraudloop.lifecycle import shadow as shadows
from fraudloop.lifecycle.shadow import Compared, Shadow
from fraudloop.model.scorer import Scorer
from tests.fitted import bundle_of, features
from tests.lifecycle.stores import changed, saved

CHAMPION = bundle_of("logistic_regression")
CHALLENGER = bundle_of("boosted_trees")


class Counts:
    def __init__(self) -> None:
        self.made: list[Compared] = []
        self.reasons: Counter[str] = Counter()

    def compared(self, made: Compared) -> None:
        self.made.append(made)

    def left(self, reason: str, rows: int) -> None:
        self.reasons[reason] += rows

    @property
    def rows(self) -> int:
        return sum(len(each.scores) for each in self.made)


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.005)


@contextmanager
def beside(folder: Path, counts: Counts, **more: Any) -> Iterator[Shadow]:
    made = Shadow(folder, counts, **more)
    try:
        until(lambda: made.challenger is not None)
        yield made
    finally:
        made.close()


def test_every_row_is_compared_with_its_own_score(tmp_path: Path) -> None:
    counts, champion = Counts(), Scorer(CHAMPION)
    rows = features()[:500]
    scores = champion.score_features(rows)
    with beside(saved(tmp_path, CHALLENGER), counts) as shadow:
        for at in range(100):
            shadow.offer(CHAMPION, rows[at : at + 1], scores[at : at + 1].tolist())
        shadow.offer(CHAMPION, rows[100:], scores[100:].tolist())
        until(lambda: counts.rows == 500)
    assert sum(counts.reasons.values()) == 0
    others = np.concatenate([each.others for each in counts.made])
    assert np.concatenate([each.scores for each in counts.made]) == pytest.approx(scores)
    assert others == pytest.approx(Scorer(CHALLENGER).score_features(rows), abs=1e-6)
    made = counts.made[0]
    assert (made.champion, made.challenger) == (CHAMPION.version, CHALLENGER.version)
    assert (
        np.concatenate([each.other_predictions for each in counts.made]).tolist()
        == (others >= CHALLENGER.manifest.threshold).tolist()
    )


def test_what_does_not_fit_into_the_queue_is_left_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadows, "MOST_ROWS", 10)
    go, counts = threading.Event(), Counts()
    with beside(saved(tmp_path, CHALLENGER), counts) as shadow:

        def held_up(*_: Any) -> None:
            assert go.wait(60)

        monkeypatch.setattr(shadow, "_compare", held_up)
        for at in range(30):
            began = time.monotonic()
            shadow.offer(CHAMPION, features()[at : at + 1], [0.5])
            assert time.monotonic() - began < 10  # it waits for nobody
        assert counts.reasons["full"] >= 10
        go.set()


def test_what_is_late_is_left_and_counted(tmp_path: Path) -> None:
    counts, clock = Counts(), [0.0]
    with beside(saved(tmp_path, CHALLENGER), counts, clock=lambda: clock[0]) as shadow:
        with shadow._came:
            shadow.offer(CHAMPION, features()[:3], [0.5] * 3)
            clock[0] += shadows.LATE + 1
        until(lambda: counts.reasons["late"] == 3)
    assert counts.made == []


def test_a_challenger_of_another_card_is_said_to_be_one(tmp_path: Path) -> None:
    counts = Counts()
    with beside(saved(tmp_path, changed(CHALLENGER, card="other")), counts) as shadow:
        shadow.offer(CHAMPION, features()[:3], [0.5] * 3)
        until(lambda: counts.reasons["unlike"] == 3)
        assert shadow.note is not None


def test_a_challenger_that_fails_harms_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = Counts()
    with beside(saved(tmp_path, CHALLENGER), counts) as shadow:

        def failing(*_: Any) -> None:
            raise MemoryError

        with monkeypatch.context() as patch:
            patch.setattr(Scorer, "score_features", failing)
            shadow.offer(CHAMPION, features()[:3], [0.5] * 3)
            until(lambda: counts.reasons["failed"] == 3)
        shadow.offer(CHAMPION, features()[:3], [0.5] * 3)
        until(lambda: counts.rows == 3)


def test_another_challenger_takes_its_place(tmp_path: Path) -> None:
    with beside(saved(tmp_path, CHALLENGER), Counts()) as shadow:
        saved(tmp_path, CHAMPION)
        until(lambda: shadow.challenger is not None and shadow.challenger.sha256 == CHAMPION.sha256)


def test_without_a_challenger_nothing_is_kept(tmp_path: Path) -> None:
    counts = Counts()
    told: list[Shadow] = []
    shadow = Shadow(tmp_path / "nothing", counts, report=told.append)
    shadow.offer(CHAMPION, features()[:3], [0.5] * 3)
    until(lambda: shadow.note is not None and "manifest.json" in shadow.note)
    shadow.close()
    assert (counts.made, sum(counts.reasons.values())) == ([], 0)
    assert told == [shadow]
