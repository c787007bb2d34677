"""Transactions in a file → the answer, made here or by a server; and some to try it with."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraudloop import artifacts
from fraudloop.dataset import card as cards
from fraudloop.dataset.card import Card, Column
from fraudloop.dataset.records import naming
from fraudloop.dataset.times import as_written
from fraudloop.dataset.words import as_text
from fraudloop.errors import DataError, FraudloopError
from fraudloop.lifecycle import following
from fraudloop.lifecycle.following import Place
from fraudloop.model.scorer import Scorer
from fraudloop.params import Params
from fraudloop.serving.answers import answer
from fraudloop.serving.dialects import Dialects

MOST_ROWS = 1_000_000
PATIENCE = 60.0  # seconds
# How many of each kind a payload has to be tried with.
FRAUDS = 2
LEGITIMATE = 4


def made_here(transactions: Path, bundle: Place, sha256: str | None) -> dict[str, Any]:
    """Decide the transactions of a file with a bundle."""
    scorer = Scorer(following.loaded(bundle, sha256=sha256))
    dialects = Dialects(scorer.bundle.manifest.card, most_rows=MOST_ROWS)
    return answer(scorer, dialects.read(_read(transactions)))


def asked_of(server: str, transactions: Path) -> dict[str, Any]:
    """Let a server decide the transactions of a file."""
    if not server.startswith(("http://", "https://")):
        raise FraudloopError(f"{server!r} is no server's address: give http://HOST:PORT")
    asking = urllib.request.Request(  # noqa: S310  # the scheme is one of two
        server.rstrip("/") + "/predict",
        data=_read(transactions),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(asking, timeout=PATIENCE) as answered:  # noqa: S310  # as above
            made: dict[str, Any] = json.load(answered)
            return made
    except urllib.error.HTTPError as error:
        raise FraudloopError(f"{server} refused it with {error.code}: {_reason(error)}") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise FraudloopError(
            f"{server} does not answer ({reason}): start one with `make serve`"
        ) from error


def payload(params: Params) -> dict[str, dict[str, Any]]:
    """A handful of test rows as transactions by their ids, written as a client writes them."""
    card = cards.load(params.paths.card)
    table = artifacts.read_table(params, "test")
    labels = table[card.label.column].to_numpy()
    rows = sorted(_spread(labels == 1, FRAUDS) + _spread(labels == 0, LEGITIMATE))
    made: dict[str, dict[str, Any]] = {}
    for place in rows:
        row = table.iloc[place]
        fields = {name: _said(column, row[name]) for name, column in card.columns.items()}
        made[_called(card, fields, place)] = fields
    return made


def _spread(wanted: NDArray[np.bool_], many: int) -> list[int]:
    """So many of the rows wanted, far from each other."""
    places = np.flatnonzero(wanted)
    return [int(part[0]) for part in np.array_split(places, many) if len(part)]


def _called(card: Card, fields: dict[str, Any], place: int) -> str:
    own = next((fields[name] for name in naming(card) if name in fields), None)
    return f"row {place}" if own is None else str(own)


def _said(column: Column, value: Any) -> Any:
    """A value of a checked table as a transaction has it."""
    if column.is_dated:
        return as_written(float(value), column.written)
    if column.is_number:
        number = float(value)
        return int(number) if number.is_integer() else number
    categories = {as_text(category): category for category in column.categories}
    return categories.get(as_text(value), value)


def _reason(error: urllib.error.HTTPError) -> str:
    text = error.read(2000).decode("utf-8", "replace")
    try:
        return str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        return text or str(error.reason)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"no transactions at {path} ({error.strerror}): name a JSON file"
        ) from error
