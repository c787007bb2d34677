"""What became of decisions, as far as verdicts tell: week by week, beside what was promised.

Verdicts come late, and mostly for alerts: a fraud that nobody was alerted to is rarely judged. So
what is measured here of recall is kinder than the truth, unless as many of the other decisions are
judged; the shares of judged decisions stand beside every figure. `weighted` counts each judged
decision for those like it that were not: right where the judged ones were picked by chance, and
wrong where people only judge what they know to be fraud. The calibration error is always weighted
so: among judged decisions alone frauds are far more frequent than any score could know.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np

from fraudloop.params import Bounds, Evaluation, OperatingPoint, Outcomes
from fraudloop.training.figures import ABOUT, Cells, Interval, Ints, draws, rounded
from fraudloop.training.scored import Floats, Policy, Scored

FORMAT = 1
SHOWN = ("precision", "recall", "average_precision", "money_caught", "calibration_error")
WEIGHT = 100  # of an alert: weights are whole numbers, as counts of rows are
MOST_WEIGHT = 100_000 * WEIGHT


@dataclass(frozen=True)
class Verdict:
    """A decision that was judged."""

    decided_at: datetime
    model_version: str
    score: float
    prediction: int
    fraud: bool
    amount: float


@dataclass(frozen=True)
class Tally:
    """How many decisions a week had from one version of the model, judged or not."""

    week: str
    model_version: str
    alerts: int
    others: int


@dataclass(frozen=True)
class Rules:
    """How outcomes are measured, and when they raise an alert."""

    outcomes: Outcomes
    evaluation: Evaluation
    operating_point: OperatingPoint
    seed: int
    weighted: bool = False


def week_of(moment: datetime | date) -> str:
    """The week of a moment, as ISO 8601 counts them.

    >>> week_of(date(2026, 11, 30))
    '2026-W49'
    """
    year, week, _ = moment.isocalendar()
    return f"{year}-W{week:02d}"


def outcomes_of(
    judged: Sequence[Verdict],
    tallies: Sequence[Tally],
    promised: Mapping[str, Mapping[str, float]],
    rules: Rules,
) -> dict[str, Any]:
    """The figures of each week and version; `promised` has what each version had at training."""
    groups: dict[tuple[str, str], list[Verdict]] = {}
    for each in judged:
        groups.setdefault((week_of(each.decided_at), each.model_version), []).append(each)
    counts = {(each.week, each.model_version): each for each in tallies}
    weeks = [
        _week(key, counts.get(key), groups.get(key, []), promised.get(key[1], {}), rules)
        for key in sorted({*groups, *counts})
    ]
    newest = next((each for each in reversed(weeks) if each["enough"]), None)
    broken = newest["broken"] if newest is not None else []
    return {
        "format": FORMAT,
        "verdict": _verdict(weeks, newest),
        "alert": bool(broken),
        "weighted": rules.weighted,
        "bias": bias(weeks),
        "bounds": rules.outcomes.bounds.model_dump(),
        "short_of_promise": rules.outcomes.short_of_promise,
        "minimum": {
            "verdicts": rules.outcomes.minimum_verdicts,
            "frauds": rules.outcomes.minimum_frauds,
        },
        "confidence": rules.evaluation.confidence,
        "promised": {
            version: rounded({name: figures[name] for name in SHOWN if name in figures})
            for version, figures in sorted(promised.items())
        },
        "weeks": weeks,
    }


def bias(weeks: Sequence[Mapping[str, Any]]) -> str:
    """What the share of judged decisions means for the figures."""
    parts = {
        kind: [sum(each[kind][what] for each in weeks) for what in ("judged", "decisions")]
        for kind in ("alerts", "others")
    }
    shares = {kind: hits / max(rows, 1) for kind, (hits, rows) in parts.items()}
    said = (
        f"Judged: {shares['alerts']:.1%} of the alerts, {shares['others']:.2%} of all other "
        "decisions."
    )
    if parts["others"][0] == 0:
        return (
            f"{said} What no alert was raised for is not judged at all: recall, average precision "
            "and money caught say nothing of frauds that were missed."
        )
    if shares["others"] < shares["alerts"] / 2:
        return (
            f"{said} Frauds that were missed are judged less often than those that were caught: "
            "recall, average precision and money caught look better than they are."
        )
    return f"{said} Both are judged alike, so the figures are fair to both."


def _week(
    key: tuple[str, str],
    tally: Tally | None,
    judged: Sequence[Verdict],
    promised: Mapping[str, float],
    rules: Rules,
) -> dict[str, Any]:
    week, version = key
    alerted = sum(each.prediction for each in judged)
    counts = {
        "alerts": (alerted, max(tally.alerts if tally else 0, alerted)),
        "others": (len(judged) - alerted, max(tally.others if tally else 0, len(judged) - alerted)),
    }
    frauds = sum(each.fraud for each in judged)
    wanted = rules.outcomes
    enough = len(judged) >= wanted.minimum_verdicts and frauds >= wanted.minimum_frauds
    weights = _weights(counts)
    figures, intervals = ({}, {}) if not judged else _figures(judged, weights, rules)
    faults = list(_faults(figures, intervals, wanted, promised)) if enough else []
    return {
        "week": week,
        "begins": date.fromisoformat(f"{week}-1").isoformat(),
        "model_version": version,
        **{
            kind: {"decisions": of, "judged": some, "judged_share": _share(some, of)}
            for kind, (some, of) in counts.items()
        },
        "frauds": frauds,
        "figures": figures,
        "interval": intervals,
        "enough": enough,
        "weighted": rules.weighted and weights is not None,
        "broken": faults,
    }


def _figures(
    judged: Sequence[Verdict], weights: tuple[int, int] | None, rules: Rules
) -> tuple[dict[str, float | None], dict[str, dict[str, float | None]]]:
    """The figures of judged decisions with bootstrap intervals, each counted by its weight."""
    rows = Scored(
        np.array([each.fraud for each in judged], dtype=np.int8),
        np.array([each.score for each in judged], dtype=np.float64),
        np.array([each.amount for each in judged], dtype=np.float64),
    )
    point = rules.operating_point
    policy = Policy(point.review_cost, point.lost_share, alert_share=1.0)
    cells = Cells.of(rows, _threshold(judged))
    weight = np.where(np.arange(len(cells.rows)) < cells.alerts, *(weights or (1, 1)))

    def shown(counts: Ints) -> dict[str, Floats]:
        weighted = cells.figures(counts * weight, policy)
        if weights is None:
            weighted["calibration_error"] = np.full(len(counts), np.nan)
        if rules.weighted:
            return weighted
        plain = cells.figures(counts, policy)
        return {**plain, "calibration_error": weighted["calibration_error"]}

    as_they_are = shown(cells.rows[None, :])
    rng = np.random.default_rng(rules.seed)
    drawn = [shown(counts) for counts in draws(cells.rows, rules.evaluation.resamples, rng)]
    intervals = {
        name: Interval.of(
            np.concatenate([each[name] for each in drawn]), rules.evaluation.confidence
        ).as_json()
        for name in SHOWN
    }
    return rounded({name: float(as_they_are[name][0]) for name in SHOWN}), intervals


def _threshold(judged: Sequence[Verdict]) -> float:
    """Where the alerts of one version began: it is the same for all of its decisions."""
    alerts = [each.score for each in judged if each.prediction]
    others = [each.score for each in judged if not each.prediction]
    return min(alerts) if alerts else math.nextafter(max(others), math.inf)


def _weights(counts: Mapping[str, tuple[int, int]]) -> tuple[int, int] | None:
    """How many decisions a judged one stands for, alerts and others, as whole numbers.

    >>> _weights({"alerts": (10, 10), "others": (10, 500)})
    (100, 5000)
    >>> _weights({"alerts": (10, 10), "others": (0, 500)}) is None  # nothing stands for them
    True
    """
    if any(of > 0 and some == 0 for some, of in counts.values()):
        return None
    alerts, others = (
        min(MOST_WEIGHT, round(WEIGHT * of / max(some, 1))) or WEIGHT
        for some, of in (counts["alerts"], counts["others"])
    )
    return alerts, others


def _faults(
    figures: Mapping[str, float | None],
    intervals: Mapping[str, Mapping[str, float | None]],
    wanted: Outcomes,
    promised: Mapping[str, float],
) -> Iterator[dict[str, Any]]:
    """What is surely worse than it may be: the whole interval is beyond the bound."""
    limits = _limits(wanted.bounds)
    for name in SHOWN:
        better = ABOUT[name].higher_is_better
        best = intervals[name]["high" if better else "low"]
        if best is None:
            continue
        sides = [("bound", limits.get(name))]
        if better and name in promised:
            sides.append(("promise", promised[name] - wanted.short_of_promise))
        for kind, limit in sides:
            if limit is not None and (best < limit if better else best > limit):
                yield {
                    "figure": name,
                    "value": figures[name],
                    "interval": dict(intervals[name]),
                    "beyond": kind,
                    "limit": round(limit, 6),
                }
                break  # one fault of a figure is enough


def _limits(bounds: Bounds) -> dict[str, float | None]:
    return {
        "precision": bounds.precision,
        "recall": bounds.recall,
        "average_precision": bounds.average_precision,
        "money_caught": bounds.money_caught,
        "calibration_error": bounds.calibration_error,
    }


def _verdict(weeks: Sequence[Mapping[str, Any]], newest: Mapping[str, Any] | None) -> str:
    if not weeks:
        return "Nothing can be said: there are no decisions."
    if newest is None:
        most = max(sum(each[kind]["judged"] for kind in ("alerts", "others")) for each in weeks)
        return f"Nothing can be said: no week has enough verdicts (the most are {most:,})."
    if not newest["broken"]:
        return (
            f"No bound is broken in {newest['week']}, the last week with enough verdicts (model "
            f"{newest['model_version']})."
        )
    said = "; ".join(map(sentence, newest["broken"]))
    return f"Worse than it may be in {newest['week']} (model {newest['model_version']}): {said}."


def sentence(fault: Mapping[str, Any]) -> str:
    """A broken bound in words."""
    figure = ABOUT[fault["figure"]]
    low, high = fault["interval"]["low"], fault["interval"]["high"]
    side = "below" if figure.higher_is_better else "above"
    what = "its bound" if fault["beyond"] == "bound" else "what was promised, less the margin,"
    title = figure.title[0].lower() + figure.title[1:]
    measured = f"{title} {fault['value']:.3f} ({low:.3f} to {high:.3f})"
    return f"{measured} is {side} {what} {fault['limit']:.3f}"


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None
