"""Rows that drift on purpose drift in the columns that are said, and in no other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from fraudloop.dataset import card as cards
from fraudloop.dataset import synthetic
from fraudloop.dataset.card import Card
from fraudloop.errors import DataError
from fraudloop.monitoring.drift import compare
from fraudloop.monitoring.inserter import Inserted, insert
from fraudloop.monitoring.tables import held
from tests.fitted import PARAMS, ROOT
from tests.monitoring.cups import card, cups

GERMAN = ROOT / "ml" / "datasets" / "german-credit.yaml"


@pytest.fixture(scope="module")
def german() -> tuple[Card, dict[str, Any]]:
    found = cards.load(GERMAN)
    return found, dict(synthetic.draw(found, seed=1))


def drifted(of: Card, made: Inserted) -> set[str]:
    before, now = (
        held(pa.table({name: pa.array(values) for name, values in each.items()}), of)
        for each in (made.usual(), made.moved())
    )
    return set(compare(of, before, now, PARAMS.drift).drifted)


@pytest.mark.parametrize("seed", range(6))
def test_exactly_the_shifted_columns_of_german_credit_are_found(
    german: tuple[Card, dict[str, Any]], seed: int
) -> None:
    made = insert(*german, seed=seed)
    assert (made.rows, made.shifted, len(made.changes)) == (12_000, 2_000, 6)
    assert len(made.moved()[german[0].label.column]) == 2_000
    assert drifted(german[0], made) == set(made.changes)


def test_the_same_seed_makes_the_same_rows(german: tuple[Card, dict[str, Any]]) -> None:
    first, second, third = (insert(*german, seed=seed, rows=300, shifted=90) for seed in (1, 1, 2))
    assert dict(first.changes) == dict(second.changes) != dict(third.changes)
    for name, values in first.table.items():
        assert np.array_equal(values, second.table[name])


def test_every_value_fits_the_card_still(german: tuple[Card, dict[str, Any]]) -> None:
    of, table = german
    made = insert(of, table, columns=20, seed=3)
    assert len(made.changes) == 20
    for name, each in held(pa.table(dict(made.table)), of).items():
        assert (each.missing, each.unknown) == (0, 0), name
    ages = made.moved()["Age (years)"]
    assert np.array_equal(ages, np.round(ages))


def test_the_source_itself_is_left_as_it_was() -> None:
    source = cups(500, 1)
    before = {name: values.copy() for name, values in source.items()}
    insert(card(), source, rows=400, shifted=100, columns=5, seed=1)
    for name, values in before.items():
        assert np.array_equal(values, source[name])


def test_a_column_of_each_kind_is_shifted_so_that_it_is_found() -> None:
    made = insert(card(), cups(500, 1), columns=5, seed=1)
    assert drifted(card(), made) == set(made.changes) == set(cups(1, 1))


def test_a_value_that_the_card_does_not_know_is_named() -> None:
    strange = cups(500, 1)
    strange["kind"][0] = "mate"
    with pytest.raises(DataError, match="'mate' is no category of the card"):
        insert(card(), strange, columns=5, seed=1)


@pytest.mark.parametrize(("shifted", "columns"), [(300, 6), (100, 0), (100, 21)])
def test_what_cannot_be_shifted_is_refused(
    german: tuple[Card, dict[str, Any]], shifted: int, columns: int
) -> None:
    with pytest.raises(DataError, match="cannot be shifted"):
        insert(*german, rows=300, shifted=shifted, columns=columns)
