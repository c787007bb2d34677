"""Decisions with their verdicts, as rows to train on beside those of the raw file.

They go to the training part alone: what a model is judged on stays the same rows, so that the
champion and whoever challenges it are judged on the same ones.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fraudloop import files
from fraudloop.dataset import checks, reading
from fraudloop.dataset.card import Card
from fraudloop.dataset.split import alike

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Joined:
    """A training part with what was learned since.

    `replaced`: rows of the raw file that a verdict speaks of; `left_out`: decisions on what the
    model is judged on.
    """

    table: pd.DataFrame
    added: int
    replaced: int
    left_out: int


def begin(path: Path, card: Card) -> None:
    """Have a file with no rows, where there is none."""
    if not path.is_file():
        header = io.StringIO()
        names = [*card.columns, card.label.column]
        csv.writer(header, lineterminator="\n").writerow(names)
        files.write_bytes(path, header.getvalue().encode())


def read(path: Path, card: Card) -> pd.DataFrame | None:
    """The rows, checked as those of the raw file are; None if there are none."""
    if not path.is_file():
        return None
    reading.read_header(path, card)
    with path.open("rb") as file:
        file.readline()
        if not file.readline().strip():
            return None
    return checks.validate(reading.read_csv(path, card), card, path, alone=False)


def join(
    training: pd.DataFrame, validated: pd.DataFrame, judged_on: pd.DataFrame, card: Card
) -> Joined:
    """Add the rows to a training part, but those that are also among what is judged on."""
    import pandas as pd

    ours = alike(validated, card)
    unseen = ~np.isin(ours, alike(judged_on, card))
    known_better = np.isin(alike(training, card), ours[unseen])
    kept, added = training[~known_better], validated[unseen]
    table = pd.concat([kept, added[list(kept.columns)]], ignore_index=True)
    return Joined(table, int(unseen.sum()), int(known_better.sum()), int((~unseen).sum()))
