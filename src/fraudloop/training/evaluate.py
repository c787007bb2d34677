"""What a champion is worth: chosen and tuned on validation rows, judged on test rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fraudloop.dataset.card import Card
from fraudloop.dataset.times import SECONDS_PER_DAY
from fraudloop.errors import ParamsError, TrainingError
from fraudloop.model.calibration import Calibration
from fraudloop.params import Evaluation, OperatingPoint
from fraudloop.training import operating_point
from fraudloop.training.figures import Judgement, figures, judge, rounded
from fraudloop.training.fit import log_odds
from fraudloop.training.scored import Policy, Scored

if TYPE_CHECKING:
    import pandas as pd

Labels = NDArray[np.int8]
Scores = NDArray[np.float64]

# What a threshold does, told of both ways to choose it.
AT_A_THRESHOLD = (
    "precision",
    "recall",
    "f1",
    "money_caught",
    "cost",
    "saved_against_no_model",
    "saved_against_reviewing_all",
)
IN_BRIEF = ("alerts", "cost", "precision", "recall")
OF_PROBABILITIES = ("brier", "calibration_error")


@dataclass(frozen=True)
class Trained:
    """A fitted, calibrated candidate's scores of the rows that it was not fitted on."""

    calibration: Calibration
    validation: Scored
    test: Scored
    before: Mapping[str, Scored]  # both parts as they are scored without calibration


@dataclass(frozen=True)
class Account:
    """How such a candidate does: at the threshold that decides, and before calibration."""

    thresholds: Mapping[str, float]
    decided_by: str
    parts: Mapping[str, Judgement]
    at_thresholds: Mapping[str, Mapping[str, Any]]
    calibration: Mapping[str, Any]

    @property
    def threshold(self) -> float:
        """The one that decides."""
        return self.thresholds[self.decided_by]

    def as_json(self) -> dict[str, Any]:
        """The whole account."""
        return {
            **{part: judgement.as_json() for part, judgement in self.parts.items()},
            "calibration": dict(self.calibration),
            "operating_point": {"decided_by": self.decided_by, **self.at_thresholds},
        }


def policy(settings: OperatingPoint, card: Card, report: Mapping[str, Any]) -> Policy:
    """What alerts cost and how many can be looked at, by the raw file's pace."""
    return Policy(
        review_cost=settings.review_cost,
        lost_share=settings.lost_share,
        alert_share=min(
            1.0, settings.alerts_per_day / transactions_per_day(settings, card, report)
        ),
    )


def transactions_per_day(settings: OperatingPoint, card: Card, report: Mapping[str, Any]) -> float:
    """How many transactions a day brings: as the parameters say, or as the raw file has."""
    if settings.transactions_per_day is not None:
        return settings.transactions_per_day
    if card.time is None:
        raise ParamsError(
            f"card {card.id} has no time column to count days by: "
            "set operating_point.transactions_per_day in params.yaml"
        )
    span = report["columns"][card.time]
    days = max((span["maximum"] - span["minimum"]) / SECONDS_PER_DAY, 1 / SECONDS_PER_DAY)
    return float(report["rows"] / days)


def scored(table: pd.DataFrame, card: Card, scores: Scores, fraud_amount: float) -> Scored:
    """Labelled rows with their scores; each takes `fraud_amount` where the card has no amounts."""
    amounts = (
        np.full(len(table), fraud_amount)
        if card.amount is None
        else table[card.amount].to_numpy(dtype=np.float64)
    )
    seconds = None if card.time is None else table[card.time].to_numpy(dtype=np.float64)
    return Scored(table[card.label.column].to_numpy(dtype=np.int8), scores, amounts, seconds)


def trained(
    pipeline: Any, parts: Mapping[str, pd.DataFrame], card: Card, fraud_amount: float
) -> Trained:
    """Score validation and test rows with a fitted, calibrated candidate."""
    odds = {part: log_odds(pipeline, table, card) for part, table in parts.items()}

    def each(calibration: Calibration) -> dict[str, Scored]:
        return {
            part: scored(table, card, calibration.scores(odds[part]), fraud_amount)
            for part, table in parts.items()
        }

    calibration = pipeline[-1].calibration
    return Trained(calibration, before=each(Calibration()), **each(calibration))


def account(
    model: Trained, policy: Policy, decide_by: str, settings: Evaluation, seed: int
) -> Account:
    """Choose both thresholds on validation rows, and judge validation and test rows at one."""
    thresholds = operating_point.thresholds(model.validation, policy)
    parts = {"test": model.test, "validation": model.validation}
    judgements = {
        part: judge(
            rows,
            thresholds[decide_by],
            policy,
            resamples=settings.resamples,
            confidence=settings.confidence,
            rng=np.random.default_rng(seed),  # each anew: no figure depends on another
        )
        for part, rows in parts.items()
    }
    at_thresholds = {
        way: {
            "threshold": round(threshold, 6),
            **{part: _at(rows, threshold, policy) for part, rows in parts.items()},
        }
        for way, threshold in thresholds.items()
    }
    quality = {
        part: {
            "before": _some(figures(model.before[part], 0.5, policy), OF_PROBABILITIES),
            "after": _some(figures(rows, 0.5, policy), OF_PROBABILITIES),
        }
        for part, rows in parts.items()
    }
    calibration = {**model.calibration.model_dump(), **quality}
    return Account(thresholds, decide_by, judgements, at_thresholds, calibration)


def by_rank(log_odds: Scores) -> Scores:
    """Numbers between 0 and 1 that rank as log-odds do: for figures of the ranking alone.

    The logistic function would make ties of the surest rows.
    """
    from scipy.stats import rankdata

    return np.asarray(rankdata(log_odds) / len(log_odds))


def champion(candidates: Mapping[str, Judgement]) -> str:
    """The candidate with the highest average precision; of equals, the one named first."""
    if not candidates:
        raise TrainingError("no candidate was trained: run `dvc repro`")
    return max(candidates, key=lambda name: candidates[name].figures["average_precision"])


def bounds(rows: Scored, policy: Policy, rng: np.random.Generator) -> dict[str, Any]:
    """Figures of scores that know everything, and of scores that know nothing.

    A model must lie between them, and a figure that is not perfect for the oracle is itself broken.
    """
    scores = {
        "oracle": rows.labels.astype(np.float64),
        "always_legitimate": np.zeros(len(rows)),
        "random": rng.random(len(rows)),
    }
    found = {
        name: rounded(figures(rows.by(values), 0.5, policy)) for name, values in scores.items()
    }
    return {"oracle": found.pop("oracle"), "floor": dict(sorted(found.items()))}


def summary(
    dataset: Mapping[str, Any],
    chosen: str,
    candidates: Mapping[str, Judgement],
    accounts: Mapping[str, Account],
    between: Mapping[str, Any],
) -> dict[str, Any]:
    """What `metrics.json` holds: `accounts` by way of dividing, `between` what bounds test figures.

    Only what is worth comparing between two runs; `evaluation.json` has the rest.
    """
    used = accounts[dataset["split"]]
    found = {
        "beside": {
            way: {"test": each.parts["test"].only("average_precision")}
            for way, each in accounts.items()
            if way != dataset["split"]
        },
        "calibration": {name: used.calibration[name] for name in ("offset", "slope")},
        "candidates": {
            name: {"validation": judgement.only("average_precision")}
            for name, judgement in sorted(candidates.items())
        },
        "champion": chosen,
        "dataset": dict(dataset),
        **between,
        "operating_point": {
            "decided_by": used.decided_by,
            **{
                way: {
                    "threshold": told["threshold"],
                    "test": {name: told["test"][name] for name in IN_BRIEF},
                }
                for way, told in used.at_thresholds.items()
            },
        },
        "test": used.parts["test"].as_json(),
        "validation": rounded(used.parts["validation"].figures),
    }
    return dict(sorted(found.items()))


def _at(rows: Scored, threshold: float, policy: Policy) -> dict[str, float | None]:
    """What a threshold does with rows."""
    alerts = int((rows.scores >= threshold).sum())
    return {"alerts": alerts, **_some(figures(rows, threshold, policy), AT_A_THRESHOLD)}


def _some(values: Mapping[str, float], names: tuple[str, ...]) -> dict[str, float | None]:
    return rounded({name: values[name] for name in names})
