"""Two studies of a recipe: what resampling at the wrong moment feigns, and what more rows bring."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fraudloop.dataset.card import Card
from fraudloop.params import Candidate
from fraudloop.training import candidates
from fraudloop.training.fit import fit, log_odds

if TYPE_CHECKING:
    import pandas as pd

Rows = tuple[NDArray[Any], NDArray[Any]]  # features and labels
Parts = tuple[Rows, Rows]

FEWEST = 20


def right_and_wrong(
    table: pd.DataFrame,
    card: Card,
    sampler: str,
    estimator: str,
    candidate: Candidate,
    *,
    held_out: float,
    seed: int,
    threads: int,
) -> dict[str, float | None]:
    """The average precision of a candidate on rows held out at random, and what it feigns to be.

    `rightly`, only the rows that it is fitted on are resampled. `wrongly` is how it is often
    published: the table is resampled first and divided afterwards. Then rows made between two
    frauds lie on both sides, the rare class is no longer rare, and the figure measures how well a
    model remembers. Of fewer frauds than `FEWEST` the few that are held out would say nothing.
    """
    from sklearn.metrics import average_precision_score
    from threadpoolctl import threadpool_limits

    def build() -> dict[str, Any]:
        made = candidates.build(sampler, estimator, candidate, card, seed=seed, threads=threads)
        return dict(made.steps)

    def held_out_precision(steps: dict[str, Any], parts: Parts) -> float:
        (rows, labels), (others, judged) = parts
        if "sampler" in steps:
            rows, labels = steps["sampler"].fit_resample(rows, labels)
        if "scaler" in steps:
            rows, others = steps["scaler"].fit_transform(rows), steps["scaler"].transform(others)
        found = steps["estimator"].fit(rows, labels).log_odds(others)
        return round(float(average_precision_score(judged, found)), 6)

    labels = table[card.label.column].to_numpy()
    if labels.sum() < FEWEST:
        return {"rightly": None}
    steps = build()
    rows = steps["features"].transform(table[list(card.columns)])
    with threadpool_limits(limits=1, user_api="blas"):
        found: dict[str, float | None] = {
            "rightly": held_out_precision(steps, _divided(rows, labels, held_out, seed))
        }
        if "sampler" in steps:
            afresh = build()
            more, of_more = afresh.pop("sampler").fit_resample(rows, labels)
            found["wrongly"] = held_out_precision(afresh, _divided(more, of_more, held_out, seed))
    return found


def learning_curve(
    shares: Sequence[float],
    training: pd.DataFrame,
    validation: pd.DataFrame,
    card: Card,
    sampler: str,
    estimator: str,
    candidate: Candidate,
    *,
    seed: int,
    threads: int,
) -> list[dict[str, float]]:
    """The average precision of a candidate that is fitted on shares of the training rows."""
    from sklearn.metrics import average_precision_score

    label = card.label.column
    rng = np.random.default_rng(seed)
    mixed = {value: rng.permutation(np.flatnonzero(training[label] == value)) for value in (0, 1)}
    points = []
    for share in sorted(set(shares)):
        # Of each label its share, and each larger part holds the smaller: less noise between them.
        chosen = [rows[: max(1, round(share * len(rows)))] for rows in mixed.values()]
        part = training.iloc[np.sort(np.concatenate(chosen))]
        fitted = fit(part, card, sampler, estimator, candidate, seed=seed, threads=threads)
        of_training, of_validation = (
            float(average_precision_score(table[label], log_odds(fitted, table, card)))
            for table in (part, validation)
        )
        points.append(
            {
                "share": share,
                "rows": len(part),
                "frauds": int(part[label].sum()),
                "training": round(of_training, 6),
                "validation": round(of_validation, 6),
            }
        )
    return points


def _divided(rows: NDArray[Any], labels: NDArray[Any], held_out: float, seed: int) -> Parts:
    from sklearn.model_selection import train_test_split

    training, judged, training_labels, judged_labels = train_test_split(
        rows, labels, test_size=held_out, stratify=labels, random_state=seed
    )
    return (training, training_labels), (judged, judged_labels)
