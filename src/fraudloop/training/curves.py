"""What each plot shows, as rows of numbers: for `dvc plots`, and for the picture that is drawn.

Shares lie between 0 and 1, numbers have six digits, and a curve keeps the points that can be seen.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraudloop.training.importance import Importances
from fraudloop.training.scored import Floats, Labels, Policy, Scored, Scores

Row = dict[str, float | int | str | None]
Rows = list[Row]
Ints = NDArray[np.int64]

MOST_ROWS = 400
SURE = 1.959964  # standard deviations of a normal distribution that hold 95 % of it

# Where reliability is measured: dense near 0, where nearly all scores are if one in 600 is a fraud.
BINS = (0, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 0.7, 0.9, 0.97, 0.99, 1)
# Log-odds between which scores are counted; what lies beyond the first or the last counts there.
STEPS = tuple(step / 2 for step in range(-28, 21))


@dataclass(frozen=True)
class Measured:
    """All that plots show; whatever is empty or None is not drawn.

    `candidates` maps each candidate's name to its figures on validation rows: `average_precision`
    with the `low` and `high` end of its interval, and `real`, whether its distance to the champion
    is more than chance (None for the champion itself). `slices` and `learning_curve` are as
    training/slices.py and training/study.py give them.
    """

    rows: Scored  # of the judged part, by calibrated scores
    uncalibrated: Scores  # of the same rows
    thresholds: Mapping[str, float]  # by the way in which each was chosen
    decided_by: str  # the way that is in force
    policy: Policy
    transactions_per_day: float
    candidates: Mapping[str, Mapping[str, Any]]
    slices: Mapping[str, Any]
    importances: Importances | None = None
    learning_curve: Sequence[Mapping[str, float]] = ()
    part: str = "test"

    @property
    def threshold(self) -> float:
        """The one in force."""
        return self.thresholds[self.decided_by]


@dataclass(frozen=True)
class Cumulative:
    """What alerts at each distinct score and above would catch, from the highest score down."""

    scores: Scores
    alerts: Ints
    caught: Ints
    money: Floats  # of the frauds that are caught

    @classmethod
    def of(cls, rows: Scored) -> Cumulative:
        """Rank scored rows."""
        order = np.argsort(-rows.scores, kind="stable")
        ranked, labels = rows.scores[order], rows.labels[order]
        last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
        caught = np.cumsum(labels, dtype=np.int64)[last]
        money = np.cumsum(labels * rows.amounts[order])[last]
        return cls(ranked[last], last + 1, caught, money)

    def only(self, places: NDArray[np.intp]) -> Cumulative:
        """Some of the scores."""
        return Cumulative(
            self.scores[places], self.alerts[places], self.caught[places], self.money[places]
        )

    def thinned(self, most: int = MOST_ROWS) -> Cumulative:
        """At most so many of the scores, dense at the start, where a fraud curve bends."""
        return self.only(_thinned(len(self.scores), most))


@dataclass(frozen=True)
class Outcome:
    """What alerts at a threshold come to."""

    rows: int
    frauds: int
    alerts: int
    caught: int
    lost: float  # the amounts of the frauds that are not caught

    @classmethod
    def at(cls, rows: Scored, threshold: float) -> Outcome:
        """Of the scores that are at or above it."""
        flagged, fraud = rows.scores >= threshold, rows.labels == 1
        return cls(
            rows=len(rows),
            frauds=rows.frauds,
            alerts=int(flagged.sum()),
            caught=int((flagged & fraud).sum()),
            lost=float(rows.amounts[fraud & ~flagged].sum()),
        )

    @property
    def recall(self) -> float:
        """The share of frauds that alerts catch."""
        return self.caught / max(self.frauds, 1)

    @property
    def precision(self) -> float:
        """The share of alerts that are right."""
        return self.caught / max(self.alerts, 1)

    @property
    def false_alarm_rate(self) -> float:
        """The share of legitimate rows that are flagged."""
        return (self.alerts - self.caught) / max(self.rows - self.frauds, 1)

    def cost(self, policy: Policy) -> float:
        """Of reviews and missed frauds, for 1,000 transactions."""
        spent = policy.review_cost * self.alerts + policy.lost_share * self.lost
        return 1000 * spent / self.rows


def all_rows(measured: Measured) -> dict[str, Rows]:
    """The rows of every plot that there is something to show in, by the plot's name."""
    rows = measured.rows
    found: dict[str, Rows] = {
        "confusion-matrix": confusion(rows.labels, rows.scores, measured.threshold),
        "precision-recall": precision_recall(rows),
        "roc": roc(rows),
        "calibration": calibration(
            rows.labels, {"before": measured.uncalibrated, "after": rows.scores}
        ),
        "score-distribution": score_distribution(rows.labels, rows.scores),
        "candidates": candidates(measured.candidates),
        "cost": cost(rows, measured.policy),
        "capacity": capacity(rows, measured.transactions_per_day),
        "gain": gain(rows),
        "precision-at-k": precision_at_k(rows),
        "slices": slices(measured.slices),
        "importance": [] if measured.importances is None else importance(measured.importances),
        "learning-curve": [dict(point) for point in measured.learning_curve],
    }
    return {name: each for name, each in found.items() if each}


def confusion(labels: Labels, scores: Scores, threshold: float) -> Rows:
    """How many rows of each label are alerts, and which share of that label they are."""
    names = ("legitimate", "fraud")
    alerts = scores >= threshold
    rows: Rows = []
    for label, actual in enumerate(names):
        of_label = labels == label
        for prediction, predicted in enumerate(names):
            count = int((of_label & (alerts == prediction)).sum())
            share = _rounded(count / max(int(of_label.sum()), 1))
            rows.append({"actual": actual, "predicted": predicted, "count": count, "share": share})
    return rows


def precision_recall(rows: Scored) -> Rows:
    """Precision over recall, from the surest fraud on."""
    ranked = Cumulative.of(rows)
    ranked = ranked.only(np.flatnonzero(ranked.caught > 0)).thinned(MOST_ROWS - 1)
    curve = _table(
        recall=ranked.caught / rows.frauds,
        precision=ranked.caught / ranked.alerts,
        threshold=ranked.scores,
    )
    # From the axis on: where the surest scores are equal, the first point lies far from it.
    return [curve[0] | {"recall": 0.0}, *curve]


def roc(rows: Scored) -> Rows:
    """Frauds caught over legitimate rows flagged."""
    ranked = Cumulative.of(rows).thinned(MOST_ROWS - 1)
    false_alarms = ranked.alerts - ranked.caught
    start: Row = {"false_positive_rate": 0.0, "true_positive_rate": 0.0}
    return [
        start,
        *_table(
            false_positive_rate=false_alarms / max(len(rows) - rows.frauds, 1),
            true_positive_rate=ranked.caught / rows.frauds,
        ),
    ]


def calibration(labels: Labels, scores: Mapping[str, Scores]) -> Rows:
    """How often rows of about the same score are frauds, with Wilson's intervals of 95 %."""
    found: Rows = []
    for when, each in scores.items():
        bins = np.searchsorted(BINS[1:-1], each, side="right")
        for place in np.unique(bins):
            inside = bins == place
            rows, frauds = int(inside.sum()), int(labels[inside].sum())
            low, high = wilson(frauds, rows)
            row: Row = {
                "calibration": when,
                "mean_score": _rounded(each[inside].mean()),
                "fraud_share": _rounded(frauds / rows),
                "low": _rounded(low),
                "high": _rounded(high),
                "rows": rows,
                "frauds": frauds,
            }
            found.append(row)
    return found


def wilson(hits: float, of: float) -> tuple[float, float]:
    """Wilson's interval of a share, at 95 %; sensible at 0 and at 1 too.

    >>> [round(end, 3) for end in wilson(0, 10)]
    [0.0, 0.278]
    """
    share, wide = hits / of, SURE**2 / of
    middle = (share + wide / 2) / (1 + wide)
    reach = SURE * math.sqrt(share * (1 - share) / of + wide / of / 4) / (1 + wide)
    return max(0.0, middle - reach), min(1.0, middle + reach)


def score_distribution(labels: Labels, scores: Scores) -> Rows:
    """Which share of each class has a score within each half step of log-odds."""
    edges = [1 / (1 + math.exp(-step)) for step in STEPS[1:-1]]
    found: Rows = []
    for label, name in enumerate(("legitimate", "fraud")):
        inside = labels == label
        bins = np.searchsorted(edges, scores[inside], side="right")
        counts = np.bincount(bins, minlength=len(edges) + 1)
        for (low, high), count in zip(pairwise(STEPS), counts, strict=True):
            row: Row = {
                "class": name,
                "log_odds": (low + high) / 2,
                "share": _rounded(count / max(inside.sum(), 1)),
                "rows": int(count),
            }
            found.append(row)
    return found


def candidates(figures: Mapping[str, Mapping[str, Any]]) -> Rows:
    """The candidates by average precision, best first."""
    kinds = {None: "champion", True: "worse than the champion", False: "no real difference"}
    ranked = sorted(
        figures.items(),
        key=lambda item: (item[1]["real"] is not None, -item[1]["average_precision"]),
    )
    return [
        {
            "candidate": name,
            **{key: _rounded(each[key]) for key in ("average_precision", "low", "high")},
            "difference": kinds[each["real"]],
        }
        for name, each in ranked
    ]


def cost(rows: Scored, policy: Policy) -> Rows:
    """What reviews and missed frauds cost for 1,000 transactions, at each threshold."""
    ranked = Cumulative.of(rows).thinned(MOST_ROWS - 1)
    at_risk = float(ranked.money[-1])
    # Above every score there is a threshold without an alert: at 1, or a little more.
    thresholds = np.append(max(1.0, float(np.nextafter(ranked.scores[0], 2))), ranked.scores)
    reviews = policy.review_cost * np.append(0, ranked.alerts)
    losses = policy.lost_share * (at_risk - np.append(0, ranked.money))
    each = 1000 / len(rows)
    same = np.ones(len(thresholds))
    inside = np.clip(thresholds, 1e-9, 1 - 1e-9)
    return _table(
        threshold=thresholds,
        log_odds=np.clip(np.log(inside / (1 - inside)), STEPS[0], STEPS[-1]),
        cost=(reviews + losses) * each,
        no_model=same * policy.lost_share * at_risk * each,
        review_everything=same * 1000 * policy.review_cost,
    )


def capacity(rows: Scored, transactions_per_day: float) -> Rows:
    """Precision and recall over how many alerts a day brings, the highest scores first."""
    k, hits, _ = _top(rows)
    return _table(
        alerts_per_day=k / len(rows) * transactions_per_day,
        precision=hits / k,
        recall=hits / rows.frauds,
    )


def gain(rows: Scored) -> Rows:
    """Which share of frauds, and of the money they take, is caught by reviewing the top rows."""
    k, hits, money = _top(rows)
    return _table(
        reviewed=k / len(rows),
        frauds=hits / rows.frauds,
        money=money / money[-1] if money[-1] else np.ones(len(money)),
    )


def precision_at_k(rows: Scored) -> Rows:
    """The share of frauds among the k highest scores, with Wilson's intervals of 95 %."""
    k, hits, _ = _top(rows)
    ends = np.array([wilson(hit, of) for hit, of in zip(hits, k, strict=True)])
    return _table(k=k, precision=hits / k, low=ends[:, 0], high=ends[:, 1])


def slices(found: Mapping[str, Any]) -> Rows:
    """Recall and average precision of every slice that holds a fraud, with their intervals."""
    return [
        {
            "slice": f"{kind} {each['label']}" if kind != "day" else str(each["label"]),
            "kind": kind,
            "rows": each["rows"],
            "frauds": each["frauds"],
            **{
                f"{name}{suffix}": None if value is None else _rounded(value)
                for name in ("recall", "average_precision")
                for suffix, value in (
                    ("", each[name]),
                    ("_low", each["interval"][name]["low"]),
                    ("_high", each["interval"][name]["high"]),
                )
            },
        }
        for kind in ("amount", "hour", "day")
        for each in found.get(kind, ())
        if each["frauds"]
    ]


def importance(found: Importances) -> Rows:
    """The features by what shuffling each costs, most important first."""
    return [
        {
            "feature": each.feature,
            "drop": _rounded(each.drop),
            "spread": _rounded(each.spread),
            **({} if each.contribution is None else {"contribution": _rounded(each.contribution)}),
        }
        for each in found.features[:MOST_ROWS]
    ]


def to_csv(rows: Sequence[Row]) -> bytes:
    """Rows as CSV, for `dvc plots`."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def column(rows: Sequence[Row], name: str) -> Floats:
    """One column of numbers; NaN where a row has none."""
    return np.array([row[name] for row in rows], dtype=np.float64)


def _thinned(count: int, most: int) -> NDArray[np.intp]:
    """At most so many places of so many, the first and the last among them."""
    if count <= most:
        return np.arange(count)
    return np.unique(np.rint(np.geomspace(1, count, most)).astype(np.intp) - 1)


def _top(rows: Scored) -> tuple[Ints, Floats, Floats]:
    """Some numbers k of the highest scores, the frauds among so many, and the money they take.

    Where the k-th and the next score are equal, it is what a random order of the equals gives.
    """
    ranked = Cumulative.of(rows)
    k = _thinned(len(rows), MOST_ROWS) + 1
    alerts = np.append(0, ranked.alerts)
    hits = np.interp(k, alerts, np.append(0, ranked.caught))
    return k, hits, np.interp(k, alerts, np.append(0, ranked.money))


def _table(**columns: NDArray[Any]) -> Rows:
    rounded = {name: [_rounded(value) for value in values] for name, values in columns.items()}
    lines = zip(*rounded.values(), strict=True)
    return [dict(zip(columns, line, strict=True)) for line in lines]


def _rounded(value: float) -> float:
    """Six digits, of a score near 0 too: more than any of these is known to."""
    return float(f"{value:.6g}")
