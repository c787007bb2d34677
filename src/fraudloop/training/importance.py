"""Which features a candidate goes by: what it loses without each, how far each moves it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fraudloop.dataset.card import Card, Kind
from fraudloop.model.contributions import Unit, contributions

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
Scores = NDArray[np.float64]

DIGITS = 6
# How many legitimate rows are scored again for each feature, and how often.
ROWS, REPEATS = 4000, 5
# To compare a row with every training row takes five hundred times as long as to walk down trees.
ROWS_OF_NEIGHBOURS, REPEATS_OF_NEIGHBOURS = 200, 3


@dataclass(frozen=True)
class Importance:
    """Of one feature: the drop in average precision when its values are shuffled.

    `drop` is the mean of the repeats and `spread` their standard deviation; `contribution` is the
    mean size of the feature's terms in the model's raw output, None where that is no sum of terms.
    """

    feature: str
    drop: float
    spread: float
    contribution: float | None


@dataclass(frozen=True)
class Importances:
    """Of all features, the largest drop first; `average_precision` is what there is to lose."""

    average_precision: float
    unit: Unit | None  # of the contributions
    features: tuple[Importance, ...]


@dataclass(frozen=True)
class _Sample:
    """Rows that stand for all: `weights` say how many each of them stands for."""

    rows: NDArray[np.intp]
    labels: NDArray[np.int8]
    weights: Floats

    @classmethod
    def of(
        cls,
        labels: NDArray[np.int8],
        scores: Scores,
        legitimate: int,
        rng: np.random.Generator,
    ) -> _Sample:
        """All frauds and so many legitimate rows: half of them those that are scored highest.

        Only these stand between the frauds in the ranking. Drawn at random, each would stand for a
        dozen others, and average precision would hang on which of them was drawn.
        """
        frauds, rest = np.flatnonzero(labels == 1), np.flatnonzero(labels != 1)
        rest = rest[np.argsort(-scores[rest], kind="stable")]
        top = rest[: legitimate // 2]
        below = rest[len(top) :]
        drawn = below[np.sort(rng.permutation(len(below))[: legitimate - len(top)])]
        rows = np.concatenate([frauds, top, drawn])
        weights = np.ones(len(rows))
        weights[len(frauds) + len(top) :] = len(below) / max(len(drawn), 1)
        return cls(rows, labels[rows].astype(np.int8), weights)

    def donors(self, repeats: int, rng: np.random.Generator) -> NDArray[np.intp]:
        """For each of its rows, `repeats` times over, a random row of those it stands for."""
        chances = self.weights / self.weights.sum()
        return rng.choice(len(self.rows), repeats * len(self.rows), p=chances)

    def average_precision(self, scores: NDArray[np.float32]) -> float:
        """Of all the rows that it stands for."""
        from sklearn.metrics import average_precision_score

        return float(average_precision_score(self.labels, scores, sample_weight=self.weights))

    def mean(self, values: Floats) -> float:
        """Over all the rows that it stands for."""
        return round(float(np.average(values, weights=self.weights)), DIGITS)


def importances(
    pipeline: Any, table: pd.DataFrame, card: Card, scores: Scores, *, seed: int
) -> Importances:
    """The importance of each feature to a fitted candidate, on rows that it was not fitted on.

    `scores` are what it gives the rows of `table`, calibrated or not. A nominal column is one
    feature here: the columns of its codes are shuffled together, as no transaction has two
    categories or none. A shuffled value is that of a random row of the whole table, the same
    random rows for every feature.
    """
    slow = hasattr(pipeline[-1].estimator_, "kneighbors")
    rows, repeats = (ROWS_OF_NEIGHBOURS, REPEATS_OF_NEIGHBOURS) if slow else (ROWS, REPEATS)
    rng = np.random.default_rng(seed)
    sample = _Sample.of(table[card.label.column].to_numpy(), scores, rows, rng)
    features = pipeline[0].transform(table[list(card.columns)].iloc[sample.rows])
    donors = features[sample.donors(repeats, rng)]
    whole = sample.average_precision(_ranks(pipeline, features))
    terms = contributions(pipeline, features.astype(np.float32, copy=False))
    found = []
    for name, places in groups(card).items():
        shuffled = np.tile(features, (repeats, 1))
        shuffled[:, places] = donors[:, places]
        ranks = _ranks(pipeline, shuffled).reshape(repeats, -1)
        drops = np.array([whole - sample.average_precision(each) for each in ranks])
        size = None if terms is None else sample.mean(np.abs(terms.terms[:, places].sum(axis=1)))
        mean, spread = float(drops.mean()), float(drops.std(ddof=1))
        found.append(Importance(name, round(mean, DIGITS), round(spread, DIGITS), size))
    found.sort(key=lambda each: (-each.drop, -(each.contribution or 0.0), each.feature))
    unit = None if terms is None else terms.unit
    return Importances(round(whole, DIGITS), unit, tuple(found))


def groups(card: Card) -> dict[str, list[int]]:
    """Which columns of the feature matrix belong together, by the name that people know them by."""
    place = {name: number for number, name in enumerate(card.feature_names)}
    owner = {
        f"{name}={category}": name
        for name, column in card.columns.items()
        if column.kind is Kind.NOMINAL
        for category in column.categories
    } | {
        f"{name}#{bucket}": name
        for name, column in card.columns.items()
        for bucket in range(column.buckets or 0)
    }
    found: dict[str, list[int]] = {}
    for name in card.feature_names:
        found.setdefault(owner.get(name, name), []).append(place[name])
    return found


def _ranks(pipeline: Any, features: NDArray[Any]) -> NDArray[np.float32]:
    """What a fitted candidate ranks rows of features by.

    In float32, so that scores that only rounding tells apart are equal on every processor.
    """
    rows = features
    for name, step in pipeline.steps[1:-1]:
        if name != "sampler":
            rows = step.transform(rows)
    ranks: NDArray[np.float32] = pipeline[-1].log_odds(rows).astype(np.float32)
    return ranks
