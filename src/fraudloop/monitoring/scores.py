"""Whether a model gives two tables different scores, or other predictions: drift as it sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraudloop.dataset import buckets
from fraudloop.dataset.card import Card, Column
from fraudloop.dataset.features import LARGEST, encode
from fraudloop.dataset.records import needed
from fraudloop.dataset.times import is_moment, seconds_of
from fraudloop.dataset.words import as_text
from fraudloop.errors import DataError
from fraudloop.model.scorer import Scorer
from fraudloop.monitoring.drift import Compared, numeric, share
from fraudloop.monitoring.shapes import Shape, histogram
from fraudloop.monitoring.tables import Numbers, labels, number_of
from fraudloop.params import Drift

SCORE, PREDICTION = "score", "prediction"
AT_ONCE = 100_000  # rows: a feature matrix of all would be as large as the table again


@dataclass(frozen=True)
class Judged:
    """What a model makes of a table: the log-odds of rows it can score, and how many are alerts."""

    log_odds: NDArray[np.float64]
    alerts: int
    left_out: int


def judged(scorer: Scorer, table: Any) -> Judged:
    """Score the rows of an Arrow table in which every value is there and fits the card."""
    card = scorer.bundle.manifest.card
    parts = [_part(scorer, card, table.slice(at, AT_ONCE)) for at in range(0, len(table), AT_ONCE)]
    return Judged(
        np.concatenate([log_odds for log_odds, _ in parts]),
        sum(alerts for _, alerts in parts),
        len(table) - sum(len(log_odds) for log_odds, _ in parts),
    )


def compared(reference: Judged, current: Judged, settings: Drift) -> tuple[Compared, Compared]:
    """Test scores, by their log-odds, with Welch's t, and predictions as two proportions."""
    effects, least = settings.effects, settings.minimum_rows
    before, now = Numbers(reference.log_odds), Numbers(current.log_odds)
    shares = [(each.alerts, len(each.log_odds)) for each in (reference, current)]
    notes: tuple[str, ...] = ()
    if reference.left_out or current.left_out:
        notes = (
            f"rows that cannot be scored, with a missing or unknown value: {reference.left_out:,} "
            f"before, {current.left_out:,} now",
        )
    before_now = [round(hits / max(rows, 1), 6) for hits, rows in shares]
    # The alerts alone: beside all other rows nobody would see them.
    shape = Shape((before_now[0],), (before_now[1],), labels=("alerts",))
    alerts = f"alerts: {before_now[0]:.2%} of the rows before, {before_now[1]:.2%} now"
    return (
        Compared(
            SCORE,
            SCORE,
            (numeric("log-odds of the score", before, now, effects.score, least),),
            histogram(before, now),
            notes,
        ),
        Compared(
            PREDICTION,
            PREDICTION,
            (share("share of alerts", shares[0], shares[1], effects.prediction, least),),
            shape,
            (alerts, *notes),
        ),
    )


def _part(scorer: Scorer, card: Card, table: Any) -> tuple[NDArray[np.float64], int]:
    good = np.ones(len(table), dtype=bool)
    columns = {}
    for name, column in needed(card).items():
        if name not in table.column_names:
            raise DataError(
                f"no column {name!r}, which the model needs: name a file that has it, or leave "
                "--bundle out"
            )
        columns[name], fits = _values(table.column(name), column)
        good &= fits
    if not good.any():
        return np.empty(0), 0
    features = encode(card, {name: values[good] for name, values in columns.items()})
    log_odds = scorer.log_odds(features)
    scores = scorer.bundle.manifest.calibration.scores(log_odds)
    return log_odds, int(scorer.predictions(scores).sum())


def _values(column: Any, card_column: Column) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """A column's values as the features are made from, and which of them can be."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type) and card_column.is_number:
        column = column.cast(column.type.value_type)
    text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    if not text and card_column.is_number:
        numbers = column.to_numpy().astype(np.float64)
        return numbers, np.abs(numbers) <= LARGEST
    # Each different value is looked at once.
    encoded = column.combine_chunks().dictionary_encode()
    places = encoded.indices.fill_null(len(encoded.dictionary)).to_numpy(zero_copy_only=False)
    read, fits = different([*encoded.dictionary.to_pylist(), None], card_column)
    return read[places], fits[places]


def different(values: list[Any], column: Column) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Different values of a column as features are made from them, and which of them fit it."""
    if column.is_number:
        numbers = np.array([number_of(each) for each in values], dtype=np.float64)
        return numbers, np.abs(numbers) <= LARGEST
    if column.is_dated:
        texts = ["" if each is None else str(each).replace("T", " ") for each in values]
        good = np.array([is_moment(text, column.written) for text in texts], dtype=bool)
        seconds = np.zeros(len(texts))
        if good.any():
            seconds[good] = seconds_of(np.array(texts, dtype=object)[good], column.written)
        return seconds, good
    words = np.array(["" if each is None else as_text(each) for each in values], dtype=object)
    if column.is_open:
        fits = [buckets.problem(word) is None for word in words]
    else:
        known = set(labels(column))
        fits = [word in known for word in words]
    return words, np.array(fits, dtype=bool)
