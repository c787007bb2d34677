"""Which of two models ranks frauds better, and whether that is real: a paired bootstrap."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraudloop.errors import TrainingError
from fraudloop.training.figures import Interval, Ints, Ranking, draws, rounded
from fraudloop.training.scored import Floats, Labels, Scores

DIGITS = 12  # below which two average precisions differ by the order of their additions alone


@dataclass(frozen=True)
class Difference:
    """How much higher one model's average precision is than another's, on the same rows."""

    value: float
    interval: Interval
    p_value: float

    def as_json(self) -> dict[str, Any]:
        """The difference as it stands in reports."""
        return {
            **rounded({"difference": self.value}),
            "interval": self.interval.as_json(),
            **rounded({"p_value": self.p_value}),
        }


@dataclass(frozen=True)
class Comparison:
    """A difference, judged as one of many: `corrected` is its p-value after Holm's correction."""

    difference: Difference
    corrected: float
    real: bool

    def as_json(self) -> dict[str, Any]:
        """The comparison as it stands in reports."""
        corrected = rounded({"corrected": self.corrected})
        return {**self.difference.as_json(), **corrected, "real": self.real}


def paired(
    labels: Labels,
    a: Scores,
    b: Scores,
    *,
    resamples: int,
    confidence: float,
    rng: np.random.Generator,
) -> Difference:
    """The average precision of `a` less that of `b`, each resample giving both the same rows.

    The p-value is two-sided: twice the share of resamples in which the sign turns around or the
    difference is none. Resamples without any fraud say nothing and do not count.
    """
    joint = _Joint.of(labels, a, b)
    value = float(joint.differences(joint.rows[None, :])[0])
    resampled = [joint.differences(counts) for counts in draws(joint.rows, resamples, rng)]
    drawn = np.concatenate(resampled)
    turned = min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
    p_value = min(1.0, 2 * (1 + turned) / (1 + int(np.isfinite(drawn).sum())))
    return Difference(value, Interval.of(drawn, confidence), p_value)


def compare(
    labels: Labels,
    scores: Mapping[str, Scores],
    champion: str,
    *,
    resamples: int,
    confidence: float,
    rng: np.random.Generator,
) -> dict[str, Comparison]:
    """The champion's difference to each other candidate, and which of them are real.

    With many candidates more resamples are drawn than asked for, where fewer could not give a
    p-value that is small enough for Holm's first step.
    """
    if champion not in scores:
        raise TrainingError(
            f"{champion!r} is none of the candidates {', '.join(sorted(scores))}: name one of them"
        )
    others = sorted(scores.keys() - {champion})
    enough = math.ceil(2 * len(others) / (1 - confidence))
    seed = int(rng.integers(2**63))  # each pair anew: no comparison depends on another's name
    found = [
        paired(
            labels,
            scores[champion],
            scores[other],
            resamples=max(resamples, enough),
            confidence=confidence,
            rng=np.random.default_rng(seed),
        )
        for other in others
    ]
    corrected = holm([each.p_value for each in found])
    return {
        other: Comparison(difference, p_value, real=p_value <= 1 - confidence)
        for other, difference, p_value in zip(others, found, corrected, strict=True)
    }


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's correction: below 5 % they call any chance real in at most 5 % of such families.

    >>> holm([0.04, 0.01, 0.03])
    [0.06, 0.03, 0.06]
    """
    corrected = [1.0] * len(p_values)
    highest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda each: p_values[each])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = highest
    return corrected


@dataclass(frozen=True)
class _Side:
    """The joint cells in the order of one of the two rankings."""

    order: NDArray[np.intp]
    ranking: Ranking

    @classmethod
    def of(cls, places: Ints, fraud: NDArray[np.bool_]) -> _Side:
        order = np.lexsort((~fraud, -places))
        return cls(order, Ranking.of(places[order], fraud[order]))

    def average_precision(self, counts: Ints) -> Floats:
        return self.ranking.counted(counts[:, self.order]).average_precision()


@dataclass(frozen=True)
class _Joint:
    """Labelled rows, with all that neither of two rankings can tell apart in one cell.

    Frauds share a cell when both scores are the same; legitimate rows when in both rankings they
    stand between the same two frauds.
    """

    rows: Ints
    sides: tuple[_Side, _Side]

    @classmethod
    def of(cls, labels: Labels, a: Scores, b: Scores) -> _Joint:
        fraud = labels == 1
        in_a, in_b = _places(a, fraud), _places(b, fraud)
        height = int(in_b.max(initial=0)) + 1
        cells, rows = np.unique((in_a * height + in_b) * 2 + fraud, return_counts=True)
        places, is_fraud = cells // 2, cells % 2 == 1
        sides = (_Side.of(places // height, is_fraud), _Side.of(places % height, is_fraud))
        return cls(rows, sides)

    def differences(self, counts: Ints) -> Floats:
        a, b = (side.average_precision(counts) for side in self.sides)
        return np.round(a - b, DIGITS)


def _places(scores: Scores, fraud: NDArray[np.bool_]) -> Ints:
    """How many of the scores that frauds have are not above that of each row.

    To average precision, a legitimate row as high as a fraud is the same as one just above it.
    """
    if np.isnan(scores).any():
        raise TrainingError("a score is not a number, so nothing can be ranked by it: fit anew")
    places = np.searchsorted(np.unique(scores[fraud]), scores, side="right")
    return np.asarray(places, dtype=np.int64)
