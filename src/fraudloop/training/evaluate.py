"""Figures of a model: pure functions, labels and scores in, numbers and their intervals out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraudloop.errors import TrainingError

Labels = NDArray[np.int8]
Scores = NDArray[np.float64]
Floats = NDArray[np.float64]

FIGURES = ("average_precision", "roc_auc", "precision", "recall", "f1")


@dataclass(frozen=True)
class Interval:
    """Where a figure lies in the middle `confidence` of the resamples."""

    low: float
    high: float


@dataclass(frozen=True)
class Ranking:
    """Labels ranked by score, with all rows that no figure can tell apart in one cell.

    Cells go from the highest score down. Rows share a cell when their scores are equal, or when
    they are legitimate with no fraud and no threshold between them: a few hundred cells stand for
    millions of rows without changing a figure, which is why resampling them takes milliseconds.
    """

    frauds: NDArray[np.int64]
    legitimate: NDArray[np.int64]
    alerts: int  # how many of the cells, from the top, are at or above the threshold

    @classmethod
    def of(cls, labels: Labels, scores: Scores, threshold: float) -> Ranking:
        """Rank `labels` by `scores`."""
        values, group = np.unique(-scores, return_inverse=True)
        frauds = np.bincount(group, weights=labels == 1, minlength=len(values))
        legitimate = np.bincount(group, weights=labels == 0, minlength=len(values))
        above = -values >= threshold
        starts = np.ones(len(values), dtype=bool)
        starts[1:] = (frauds[1:] > 0) | (frauds[:-1] > 0) | (above[1:] != above[:-1])
        cell = np.flatnonzero(starts)
        return cls(
            frauds=np.add.reduceat(frauds, cell).astype(np.int64),
            legitimate=np.add.reduceat(legitimate, cell).astype(np.int64),
            alerts=int(above[cell].sum()),
        )

    def figures(self) -> dict[str, float]:
        """The figures of the rows as they are."""
        values = _figures(self.frauds[None, :], self.legitimate[None, :], self.alerts)
        return {name: float(value[0]) for name, value in values.items()}

    def intervals(
        self, *, resamples: int, confidence: float, rng: np.random.Generator
    ) -> dict[str, Interval]:
        """Percentile bootstrap intervals: rows drawn with replacement, as many as there are.

        Drawing rows and counting them by cell is one multinomial draw of the cells' counts.
        """
        counts = np.concatenate([self.frauds, self.legitimate])
        drawn = rng.multinomial(counts.sum(), counts / counts.sum(), size=resamples)
        frauds, legitimate = np.split(drawn, 2, axis=1)
        tail = (1 - confidence) / 2
        intervals = {}
        for name, values in _figures(frauds, legitimate, self.alerts).items():
            low, high = np.nanquantile(values, [tail, 1 - tail])
            intervals[name] = Interval(float(low), float(high))
        return intervals


def _figures(
    frauds: NDArray[np.int64], legitimate: NDArray[np.int64], alerts: int
) -> dict[str, Floats]:
    """Each figure of each row of counts; NaN where a resample has no fraud or nothing else."""
    caught = np.cumsum(frauds, axis=1)
    false_alarms = np.cumsum(legitimate, axis=1)
    all_frauds = caught[:, -1]
    all_legitimate = false_alarms[:, -1]
    hits = caught[:, alerts - 1] if alerts else np.zeros_like(all_frauds)
    misses = false_alarms[:, alerts - 1] if alerts else np.zeros_like(all_frauds)
    with np.errstate(divide="ignore", invalid="ignore"):
        precision_at = caught / np.maximum(caught + false_alarms, 1)
        average_precision = (frauds * precision_at).sum(axis=1) / all_frauds
        ahead = caught - frauds / 2  # a tie counts half
        roc_auc = (legitimate * ahead).sum(axis=1) / (all_frauds * all_legitimate)
        recall = hits / all_frauds
    return {
        "average_precision": average_precision,
        "roc_auc": roc_auc,
        # No alert at all has no false one either; by convention its precision is 0.
        "precision": hits / np.maximum(hits + misses, 1),
        "recall": recall,
        "f1": np.where(
            all_frauds > 0, 2 * hits / np.maximum(hits + misses + all_frauds, 1), np.nan
        ),
    }


def confusion(labels: Labels, scores: Scores, threshold: float) -> dict[tuple[int, int], int]:
    """How many rows there are of each (label, prediction)."""
    predictions = scores >= threshold
    return {
        (label, prediction): int(((labels == label) & (predictions == prediction)).sum())
        for label in (0, 1)
        for prediction in (0, 1)
    }


@dataclass(frozen=True)
class Judgement:
    """What scores are worth on labelled rows: figures with their intervals, at a threshold."""

    figures: dict[str, float]
    intervals: dict[str, Interval]
    threshold: float
    rows: int
    frauds: int

    def as_json(self) -> dict[str, Any]:
        """The judgement as it stands in `metrics.json`."""
        return {
            **self.only(*self.figures),
            "threshold": self.threshold,
            "rows": self.rows,
            "frauds": self.frauds,
        }

    def only(self, *names: str) -> dict[str, Any]:
        """Some of the figures, each with its interval."""
        intervals = {name: self.intervals[name] for name in names}
        return {
            **rounded({name: self.figures[name] for name in names}),
            "interval": {
                name: rounded({"low": each.low, "high": each.high})
                for name, each in intervals.items()
            },
        }


def judge(
    labels: Labels,
    scores: Scores,
    threshold: float,
    *,
    resamples: int,
    confidence: float,
    rng: np.random.Generator,
) -> Judgement:
    """Judge scores by every figure."""
    ranking = Ranking.of(labels, scores, threshold)
    intervals = ranking.intervals(resamples=resamples, confidence=confidence, rng=rng)
    return Judgement(ranking.figures(), intervals, threshold, len(labels), int(labels.sum()))


def champion(judgements: Mapping[str, Judgement]) -> str:
    """The candidate with the highest average precision; of equals, the one named first."""
    if not judgements:
        raise TrainingError("no candidate was trained: run `dvc repro`")
    return max(judgements, key=lambda name: judgements[name].figures["average_precision"])


def bounds(labels: Labels, rng: np.random.Generator) -> dict[str, Any]:
    """Figures of scores that know everything, and of scores that know nothing.

    A model must lie between them, and a figure that is not perfect for the oracle is itself broken.
    """
    scores = {
        "oracle": labels.astype(np.float64),
        "always_legitimate": np.zeros(len(labels)),
        "random": rng.random(len(labels)),
    }
    figures = {
        name: rounded(Ranking.of(labels, values, threshold=0.5).figures())
        for name, values in scores.items()
    }
    return {"oracle": figures.pop("oracle"), "floor": figures}


def summary(
    dataset: Mapping[str, Any],
    chosen: str,
    test: Judgement,
    candidates: Mapping[str, Judgement],
    between: Mapping[str, Any],
) -> dict[str, Any]:
    """All that was measured, as it stands in `metrics.json`; `between` are the test's bounds."""
    return {
        "dataset": dict(dataset),
        "champion": chosen,
        "test": test.as_json(),
        "candidates": {
            name: {"validation": judgement.only("average_precision")}
            for name, judgement in sorted(candidates.items())
        },
        **between,
    }


def rounded(values: Mapping[str, float]) -> dict[str, float]:
    """Six decimals: more than any of these figures is known to."""
    return {name: round(value, 6) for name, value in values.items()}
