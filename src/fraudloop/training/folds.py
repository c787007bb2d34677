"""Dividing training rows into folds to search on: by time, always from the past to the future."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fraudloop.dataset.card import Card, Kind
from fraudloop.dataset.split import dealt
from fraudloop.errors import TrainingError

if TYPE_CHECKING:
    import pandas as pd

Rows = NDArray[np.intp]

# Where the judged stretches begin, in shares of the frauds: each stretch holds as many frauds as
# the next, since they decide how exact a figure is. What lies before a stretch is trained on.
BEGINNINGS = (0.4, 0.55, 0.7, 0.85)
FOLDS = len(BEGINNINGS)


@dataclass(frozen=True)
class Fold:
    """The rows to fit on, and the rows to judge by, as places in the table."""

    fitted: Rows
    judged: Rows


def divide(table: pd.DataFrame, card: Card, *, by_time: bool, seed: int) -> tuple[Fold, ...]:
    """The folds of training rows: by time if that is asked for and there is one, else at random."""
    import pandas as pd

    fraud = table[card.label.column].to_numpy() == 1
    if by_time and card.time is not None:
        made = expanding(table[card.time].to_numpy(), fraud)
    else:
        # As split.py has it: a payment that is booked twice is one payment, whatever its ids.
        said = [name for name, column in card.columns.items() if column.kind is not Kind.ID]
        alike = pd.util.hash_pandas_object(table[said], index=False).to_numpy()
        made = shuffled(alike, fraud, seed=seed)
    for fold in made:
        for rows in (fold.fitted, fold.judged):
            if len(np.unique(fraud[rows])) < 2:
                raise TrainingError(
                    f"the training part holds {fraud.sum()} frauds, too few for {FOLDS} folds: "
                    "bring more rows, or give validation and test a smaller share in params.yaml"
                )
    return made


def expanding(time: NDArray[np.float64], fraud: NDArray[np.bool_]) -> tuple[Fold, ...]:
    """Fit on all that came before a moment, judge by what came next; a moment is never divided.

    >>> time, fraud = np.arange(20.0), np.arange(20) % 2 == 1
    >>> [(len(fold.fitted), fold.judged.tolist()) for fold in expanding(time, fraud)][:2]
    [(9, [9, 10]), (11, [11, 12, 13, 14])]
    """
    moments = np.sort(time[fraud])
    if not len(moments):
        return (Fold(np.arange(0), np.arange(0)),)
    begins = [moments[int(len(moments) * share)] for share in BEGINNINGS]
    return tuple(
        Fold(np.flatnonzero(time < begin), np.flatnonzero((time >= begin) & (time < end)))
        for begin, end in zip(begins, [*begins[1:], np.inf], strict=True)
    )


def shuffled(
    groups: NDArray[np.generic], fraud: NDArray[np.bool_], *, seed: int
) -> tuple[Fold, ...]:
    """Each row is judged once and fitted on otherwise; rows of one group stay together.

    >>> groups = np.repeat(np.arange(8), 2)
    >>> folds = shuffled(groups, groups >= 4, seed=1)
    >>> [sorted(set(groups[fold.judged].tolist())) for fold in folds]
    [[3, 4], [0, 5], [2, 6], [1, 7]]
    """
    fold_of = dealt(groups, fraud, cuts=np.arange(1, FOLDS) / FOLDS, seed=seed)
    return tuple(
        Fold(np.flatnonzero(fold_of != each), np.flatnonzero(fold_of == each))
        for each in range(FOLDS)
    )
