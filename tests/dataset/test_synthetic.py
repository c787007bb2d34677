"""Whatever seed and size: the counts asked for, finite, in order of time, the same every time."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudloop.dataset import synthetic
from fraudloop.dataset.card import Card, load, parse
from fraudloop.dataset.checks import validate
from fraudloop.errors import SourceError
from tests.dataset.tables import market, quicker

ROOT = Path(__file__).parents[2]
seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1000, 12_000) | st.sampled_from([1000, 1157, 1158, 5790])

# Another dataset altogether: its names, order, size and label are its own.
TOLLS = """
id: tolls
title: Tolls on a bridge
columns:
  toll: {kind: numeric}
  weight: {kind: numeric}
  when: {kind: time}
  speed: {kind: numeric}
label: {column: dodged}
time: when
synthetic:
  rows: 4000
  frauds: 200
  duplicates: 40
  seconds: 86400
  components: {weight: 3.0, speed: 0.5}
  tails: 6
  lookalikes: {}
  fraud_shift: {speed: 0.9}
  fraud_kinds:
    fast: {share: 0.5, shift: 1.0, elsewhere: 1.0, spread: 1.0}
    dull: {share: 0.5, shift: 0.5, elsewhere: 0.5, spread: 1.0}
  amount: {column: toll, median: 4, mean: 6, maximum: 900, zeros: 0.05, fraud_median: 2}
"""


@cache
def default() -> Card:
    return load(ROOT / "ml/datasets/creditcard.yaml")


def drawn(card: Card, seed: int, rows: int | None = None) -> pd.DataFrame:
    return pd.DataFrame(synthetic.draw(card, seed=seed, rows=rows))


@quicker
@given(seeds, sizes)
def test_rows_frauds_and_duplicates_are_exactly_as_many_as_asked_for(seed: int, rows: int) -> None:
    table = drawn(default(), seed, rows)
    assert len(table) == rows
    assert table["Class"].sum() == max(1, round(492 * rows / 284_807))
    assert set(table["Class"]) == {0, 1}
    assert table.duplicated().sum() == round(1081 * rows / 284_807)
    assert not table[table["Class"] == 1].duplicated().any()


@quicker
@given(seeds, sizes)
def test_every_value_is_finite_and_the_rows_are_sorted_by_time(seed: int, rows: int) -> None:
    table = drawn(default(), seed, rows)
    assert np.isfinite(table.to_numpy()).all()
    assert table["Time"].is_monotonic_increasing
    assert table["Time"].between(0, 172_792).all()
    assert (table["Amount"] >= 0).all()
    assert table["Amount"].max() == 25_691.16


@quicker
@given(seeds, sizes)
def test_whatever_is_drawn_fits_its_card(seed: int, rows: int) -> None:
    table = drawn(default(), seed, rows)
    assert list(table.columns) == [*default().columns, "Class"]
    read = table.astype({"Time": float, "Class": str})
    validate(read, default(), Path("drawn.csv"))


@quicker
@given(seeds, sizes)
def test_a_seed_is_the_same_table_and_another_seed_another(seed: int, rows: int) -> None:
    first, again = drawn(default(), seed, rows), drawn(default(), seed, rows)
    assert first.equals(again)
    assert not first.equals(drawn(default(), (seed + 1) % 2**32, rows))


@quicker
@given(seeds)
def test_values_are_rounded_to_what_every_machine_agrees_on(seed: int) -> None:
    table = drawn(default(), seed, 1000)
    components = table[[f"V{i}" for i in range(1, 29)]]
    assert components.equals(components.round(6))
    assert table["Amount"].equals(table["Amount"].round(2))
    assert table["Time"].dtype == np.int64


def test_another_card_draws_another_dataset() -> None:
    card = parse(TOLLS, "tolls.yaml")
    table = drawn(card, 7)
    assert list(table.columns) == ["toll", "weight", "when", "speed", "dodged"]
    assert (len(table), table["dodged"].sum(), table.duplicated().sum()) == (4000, 200, 40)
    assert table["when"].max() < 86400
    assert table["weight"].std() == pytest.approx(3.0, rel=0.03)
    assert table["speed"].std() == pytest.approx(0.5, rel=0.03)
    frauds = table[table["dodged"] == 1]
    assert frauds["speed"].mean() == pytest.approx(0.9, abs=0.15)
    assert frauds["weight"].mean() == pytest.approx(0.0, abs=0.9)
    assert table["toll"].max() == 900
    assert 0.03 < (table["toll"] == 0).mean() < 0.07
    assert frauds["toll"].median() < table["toll"].median()


def test_without_a_recipe_there_is_nothing_to_draw() -> None:
    with pytest.raises(SourceError, match="card market has no recipe for synthetic data"):
        synthetic.draw(market(), seed=1)


def test_the_arrow_table_is_the_drawn_one() -> None:
    table = synthetic.draw(default(), seed=3, rows=1000)
    arrow = synthetic.to_arrow(table)
    assert arrow.column_names == list(table)
    assert all((arrow[name].to_numpy() == values).all() for name, values in table.items())
