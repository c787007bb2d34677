"""Figures of a model: pure functions, scored rows in, numbers and their intervals out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraudloop.errors import TrainingError
from fraudloop.training.scored import Floats, Policy, Scored, Scores

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Figure:
    """What a figure is called, what it says, and whether more of it is better."""

    title: str
    meaning: str
    higher_is_better: bool = True


ABOUT = {
    "average_precision": Figure("Average precision", "precision, averaged over the ranked frauds"),
    "roc_auc": Figure("ROC AUC", "how often a fraud scores above a legitimate row, ties half"),
    "precision": Figure("Precision", "the share of frauds among the alerts"),
    "recall": Figure("Recall", "the share of frauds that alerts catch"),
    "f1": Figure("F1", "the harmonic mean of precision and recall"),
    "matthews": Figure("Matthews", "how alerts and frauds correlate: 0 by chance, at best 1"),
    "brier": Figure("Brier score", "the mean squared distance of score and outcome", False),
    "calibration_error": Figure(
        "Calibration error", "how far scores are from the frequency of fraud, on average", False
    ),
    "recall_at_90_precision": Figure(
        "Recall at 90 % precision", "the most frauds caught while nine alerts of ten are right"
    ),
    "precision_at_capacity": Figure(
        "Precision at capacity", "the share of frauds among as many alerts as can be reviewed"
    ),
    "money_caught": Figure("Money caught", "the share of the frauds' amount that alerts catch"),
    "cost": Figure("Cost", "of reviews and missed frauds, for 1,000 transactions", False),
    "saved_against_no_model": Figure(
        "Saved against no model", "the share saved of what looking at nothing costs"
    ),
    "saved_against_reviewing_all": Figure(
        "Saved against reviewing all", "the share saved of what looking at everything costs"
    ),
}
FIGURES = tuple(ABOUT)

# The bins of the calibration error, each from its edge up to the next: dense near 0, since where
# one in 600 is a fraud nearly all scores are there, and one bin to 0.1 would hide any error.
EDGES = np.array([0, 0.0005, 0.001, 0.003, 0.01, 0.03, *(tenth / 10 for tenth in range(1, 11))])

# Scores that differ by less than an eighth in log-odds may share a cell. Rounded, so that the last
# bit of a processor's exp() moves no row from one cell to another.
STEPS = np.array([float(f"{1 / (1 + math.exp(-step / 8)):.6g}") for step in range(-160, 161)])

DRAWN_AT_ONCE = 2**18  # counts, so that many resamples of many cells still fit into a cache


@dataclass(frozen=True)
class Interval:
    """Where a figure lies in the middle `confidence` of the resamples."""

    low: float
    high: float

    @classmethod
    def of(cls, values: Floats, confidence: float) -> Interval:
        """The middle `confidence` of values; NaN, a resample that says nothing, does not count."""
        known = values[np.isfinite(values)]
        if not len(known):
            return cls(math.nan, math.nan)
        tail = (1 - confidence) / 2
        low, high = np.quantile(known, [tail, 1 - tail])
        return cls(float(low), float(high))

    def as_json(self) -> dict[str, float | None]:
        """The interval as it stands in `metrics.json`."""
        return rounded({"low": self.low, "high": self.high})


def draws(rows: Ints, resamples: int, rng: np.random.Generator) -> Iterator[Ints]:
    """How many rows of each cell a resample holds: a line each, some resamples at a time.

    Drawing rows with replacement, as many as there are, and counting them by cell is one
    multinomial draw of the cells' counts.
    """
    shares = rows / rows.sum()
    at_once = max(1, DRAWN_AT_ONCE // len(rows))
    for done in range(0, resamples, at_once):
        yield rng.multinomial(rows.sum(), shares, size=min(at_once, resamples - done))


@dataclass(frozen=True)
class Ranked:
    """What stands where in each of many resamples: a line for each, a column for each place.

    A place is a score that frauds have; places go from the highest score down.
    """

    rows: int
    frauds: Ints  # at the place itself
    before: Ints  # rows with a higher score, frauds or not
    through: Ints  # rows with the place's score or a higher one

    @property
    def all_frauds(self) -> Ints:
        """The frauds of all places."""
        return np.asarray(self.frauds.sum(axis=1))

    def average_precision(self) -> Floats:
        """Precision at the place of each fraud, averaged over the frauds."""
        precision = np.cumsum(self.frauds, axis=1) / np.maximum(self.through, 1)
        return _share((self.frauds * precision).sum(axis=1), self.all_frauds)

    def roc_auc(self) -> Floats:
        """How many of the pairs of a fraud and a legitimate row are in order; ties count half."""
        caught = np.cumsum(self.frauds, axis=1)
        above = self.before - (caught - self.frauds)
        level = self.through - caught
        legitimate = self.rows - self.all_frauds
        in_order = self.frauds * (legitimate[:, None] - (above + level) / 2)
        return _share(in_order.sum(axis=1), self.all_frauds * legitimate)

    def recall_at_90_precision(self) -> Floats:
        """The highest recall of any threshold at which at least nine of ten alerts are frauds."""
        caught = np.cumsum(self.frauds, axis=1)
        # Between two places alerts only get worse, so the best threshold stands at one of them.
        precise = np.where(10 * caught >= 9 * self.through, caught, 0)
        return _share(precise.max(axis=1, initial=0), self.all_frauds)

    def precision_within(self, alerts: float) -> Floats:
        """The share of frauds among the `alerts` highest; a tie that is cut gives its share."""
        alerts = min(max(alerts, 1.0), self.rows)
        height = np.maximum(self.through - self.before, 1)
        taken = np.clip((alerts - self.before) / height, 0, 1)
        return np.asarray((self.frauds * taken).sum(axis=1) / alerts)


@dataclass(frozen=True)
class Ranking:
    """Where the places of frauds are among cells in the order of their score, highest first."""

    frauds: Ints  # which cells are frauds
    begins: Ints  # the cell at which each place begins, and after which it ends
    ends: Ints
    fraud_begins: Ints  # the same, counted in cells of frauds alone
    fraud_ends: Ints

    @classmethod
    def of(cls, scores: NDArray[Any], fraud: NDArray[np.bool_]) -> Ranking:
        """Rank cells of falling `scores`; of equal scores, those of frauds stand first."""
        changes = np.ones(len(scores), dtype=bool)
        changes[1:] = scores[1:] != scores[:-1]
        begins = np.flatnonzero(changes)
        ends = np.append(begins[1:], len(scores))
        with_frauds = fraud[begins]
        begins, ends = begins[with_frauds], ends[with_frauds]
        before = np.append(0, np.cumsum(fraud))
        return cls(np.flatnonzero(fraud), begins, ends, before[begins], before[ends])

    def counted(self, counts: Ints) -> Ranked:
        """What the counts of the cells, a line for each resample, put at each place."""
        rows = _running(counts)
        caught = _running(counts[:, self.frauds])
        return Ranked(
            rows=int(rows[0, -1]),
            frauds=caught[:, self.fraud_ends] - caught[:, self.fraud_begins],
            before=rows[:, self.begins],
            through=rows[:, self.ends],
        )


@dataclass(frozen=True)
class Cells:
    """Scored rows, with all that no figure can tell apart in one cell, highest scores first.

    Frauds share a cell when their score and amount are the same; legitimate rows when no fraud's
    score, no threshold, no edge of a calibration bin and no step of log-odds lies between them.
    A few hundred cells stand for millions of rows, which is why resampling takes milliseconds. Only
    the last rule rounds, and only how a resample's scores spread within a step: sums are exact.
    """

    rows: Ints
    ranking: Ranking
    amounts: Floats  # of one row, for each cell of frauds
    excess: Floats  # score − label, the mean of the cell
    squared: Floats  # (score − label)², the mean of the cell
    bins: NDArray[np.intp]  # the cell at which each calibration bin begins
    alerts: int  # how many of the cells, from the top, are at or above the threshold

    @classmethod
    def of(cls, scored: Scored, threshold: float) -> Cells:
        """Divide scored rows into cells; in whatever order they come."""
        _require_probabilities(scored.scores)
        frauds = scored.only(scored.labels == 1)
        frauds = frauds.only(np.lexsort((frauds.amounts, frauds.scores)))
        legitimate = np.sort(scored.scores[scored.labels != 1])

        borders = np.unique(np.concatenate([frauds.scores, [threshold], EDGES, STEPS]))
        sides = [np.searchsorted(legitimate, borders, side) for side in ("left", "right")]
        low = _starts(np.concatenate(sides), len(legitimate))
        changes = (np.diff(frauds.scores) != 0) | (np.diff(frauds.amounts) != 0)
        first = _starts(np.flatnonzero(changes) + 1, len(frauds))

        scores = np.concatenate([frauds.scores[first], legitimate[low]])
        fraud = np.arange(len(scores)) < len(first)
        order = np.argsort(-scores, kind="stable")  # of equal scores frauds stay first
        errors = (frauds.scores - 1, first), (legitimate, low)
        scores, fraud = scores[order], fraud[order]
        bins = np.searchsorted(EDGES[1:-1], scores, side="right")
        return cls(
            rows=np.concatenate([_sizes(first, len(frauds)), _sizes(low, len(legitimate))])[order],
            ranking=Ranking.of(scores, fraud),
            amounts=frauds.amounts[first][order[fraud]],
            excess=np.concatenate([_means(each, at) for each, at in errors])[order],
            squared=np.concatenate([_means(each**2, at) for each, at in errors])[order],
            bins=_starts(np.flatnonzero(np.diff(bins)) + 1, len(bins)),
            alerts=int((scores >= threshold).sum()),
        )

    def figures(self, counts: Ints, policy: Policy) -> dict[str, Floats]:
        """Each figure of each line of counts; NaN where it has no meaning, as without any fraud."""
        ranked = self.ranking.counted(counts)
        deviations = np.add.reduceat(counts * self.excess, self.bins, axis=1)
        found = {
            "average_precision": ranked.average_precision(),
            "roc_auc": ranked.roc_auc(),
            **self._decided(counts, policy),
            "brier": (counts * self.squared).sum(axis=1) / ranked.rows,
            "calibration_error": np.abs(deviations).sum(axis=1) / ranked.rows,
            "recall_at_90_precision": ranked.recall_at_90_precision(),
            "precision_at_capacity": ranked.precision_within(policy.alert_share * ranked.rows),
        }
        return {name: found[name] for name in FIGURES}

    def _decided(self, counts: Ints, policy: Policy) -> dict[str, Floats]:
        """The figures of alerts, whatever the ranking above and below the threshold."""
        taken = counts[:, self.ranking.frauds]
        caught = int((self.ranking.frauds < self.alerts).sum())
        rows, frauds = counts.sum(axis=1), taken.sum(axis=1)
        alerts, hits = counts[:, : self.alerts].sum(axis=1), taken[:, :caught].sum(axis=1)
        # Floats: the product of four counts is soon beyond an integer.
        spread = np.sqrt((1.0 * alerts * (rows - alerts)) * (1.0 * frauds * (rows - frauds)))
        covariance = 1.0 * hits * rows - 1.0 * alerts * frauds

        amounts = taken * self.amounts
        money, lost = amounts.sum(axis=1), amounts[:, caught:].sum(axis=1)
        cost = policy.review_cost * alerts + policy.lost_share * lost
        return {
            # No alert at all has no false one either; by convention its precision is 0.
            "precision": hits / np.maximum(alerts, 1),
            "recall": _share(hits, frauds),
            "f1": np.where(frauds > 0, 2 * hits / np.maximum(alerts + frauds, 1), np.nan),
            "matthews": np.where(spread > 0, covariance / np.where(spread > 0, spread, 1), 0.0),
            "money_caught": _share(money - lost, money),
            "cost": 1000 * cost / rows,
            "saved_against_no_model": 1 - _share(cost, policy.lost_share * money),
            "saved_against_reviewing_all": 1 - _share(cost, policy.review_cost * rows),
        }

    def as_they_are(self, policy: Policy) -> dict[str, float]:
        """The figures of the rows themselves."""
        found = self.figures(self.rows[None, :], policy)
        return {name: float(values[0]) for name, values in found.items()}

    def intervals(
        self, policy: Policy, *, resamples: int, confidence: float, rng: np.random.Generator
    ) -> dict[str, Interval]:
        """Percentile bootstrap intervals: rows drawn with replacement, as many as there are.

        Resampling only ever adds to a sum of distances: where scores are calibrated well, the
        interval of the calibration error may lie above the figure itself.
        """
        drawn = [self.figures(counts, policy) for counts in draws(self.rows, resamples, rng)]
        return {
            name: Interval.of(np.concatenate([each[name] for each in drawn]), confidence)
            for name in FIGURES
        }


def _require_probabilities(scores: Scores) -> None:
    if not len(scores):
        raise TrainingError("there are no rows to judge: give each part and slice at least one")
    if not (scores.min() >= 0 and scores.max() <= 1):  # NaN is neither
        raise TrainingError(
            f"scores from {scores.min()} to {scores.max()} are no probabilities: calibrate them, "
            "so that each lies between 0 and 1"
        )


def _starts(places: NDArray[np.intp], rows: int) -> NDArray[np.intp]:
    """The places, with the first, at which one of the parts of `rows` rows begins."""
    starts = np.unique(np.append(0, places))
    return starts[starts < rows]


def _sizes(starts: NDArray[np.intp], rows: int) -> Ints:
    return np.diff(starts, append=rows)


def _means(values: Floats, starts: NDArray[np.intp]) -> Floats:
    """The mean of each part."""
    return np.asarray(np.add.reduceat(values, starts) / _sizes(starts, len(values)))


def _running(counts: Ints) -> Ints:
    """How many there are before each column, and at last in all."""
    running = np.zeros((counts.shape[0], counts.shape[1] + 1), dtype=np.int64)
    np.cumsum(counts, axis=1, out=running[:, 1:])
    return running


def _share(part: NDArray[Any], whole: NDArray[Any]) -> Floats:
    """The one divided by the other; NaN where there is nothing to divide by."""
    shares = np.full(len(part), np.nan)
    with np.errstate(over="ignore"):  # by next to nothing: infinite, which JSON has as None too
        return np.asarray(np.divide(part, whole, out=shares, where=whole != 0))


def figures(rows: Scored, threshold: float, policy: Policy) -> dict[str, float]:
    """Every figure of scored rows, ordered as `FIGURES`; an alert is a score at or above threshold.

    >>> rows = Scored(
    ...     np.array([1, 0, 1, 0], np.int8),
    ...     scores=np.array([0.9, 0.6, 0.2, 0.1]),
    ...     amounts=np.array([30.0, 5.0, 10.0, 5.0]),
    ... )
    >>> found = figures(rows, 0.5, Policy(review_cost=2.0, lost_share=1.0, alert_share=0.5))
    >>> found["precision"], found["money_caught"], found["cost"]
    (0.5, 0.75, 3500.0)
    """
    return Cells.of(rows, threshold).as_they_are(policy)


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
            "threshold": self.threshold if math.isfinite(self.threshold) else None,
            "rows": self.rows,
            "frauds": self.frauds,
        }

    def only(self, *names: str) -> dict[str, Any]:
        """Some of the figures, each with its interval."""
        return {
            **rounded({name: self.figures[name] for name in names}),
            "interval": {name: self.intervals[name].as_json() for name in names},
        }


def judge(
    rows: Scored,
    threshold: float,
    policy: Policy,
    *,
    resamples: int,
    confidence: float,
    rng: np.random.Generator,
) -> Judgement:
    """Judge scored rows by every figure."""
    cells = Cells.of(rows, threshold)
    intervals = cells.intervals(policy, resamples=resamples, confidence=confidence, rng=rng)
    return Judgement(cells.as_they_are(policy), intervals, threshold, len(rows), rows.frauds)


def rounded(values: Mapping[str, float]) -> dict[str, float | None]:
    """Six decimals, more than any figure is known to; None where there is no number for JSON."""
    return {
        name: round(value, 6) if math.isfinite(value) else None for name, value in values.items()
    }
