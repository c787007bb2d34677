"""Every row is in one part; equal rows are never on two sides; the past is trained on."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fraudloop.dataset.card import parse
from fraudloop.dataset.split import PARTS, Part, Rows, require_fraud, split, stratified, temporal
from fraudloop.errors import DataError
from tests.dataset.tables import (
    MARKET,
    checked,
    market,
    purchases,
    quick,
    quicker,
    with_both,
    written,
)

shares = st.tuples(st.floats(0.05, 0.45), st.floats(0.05, 0.45))
times = st.lists(st.floats(0, 1e6), min_size=1, max_size=200) | st.lists(
    st.sampled_from([0.0, 1.0, 2.0, 3.0]), min_size=1, max_size=200
)  # the latter with many ties


def _groups() -> st.SearchStrategy[list[tuple[int, bool]]]:
    few, many = st.integers(0, 5), st.integers(0, 10**6)
    row = st.tuples(few | many, st.booleans())
    return st.lists(row, min_size=1, max_size=300)


def assert_every_row_is_in_one_part(parts: dict[Part, Rows], count: int) -> None:
    assert tuple(parts) == PARTS
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(count))


def largest(values: NDArray[Any]) -> int:
    """The size of the largest group of equal values."""
    return int(np.unique(values, return_counts=True)[1].max())


@quick
@given(times, shares)
def test_temporal_has_every_row_in_one_part_in_order_and_divides_no_moment(
    moments: list[float], shares: tuple[float, float]
) -> None:
    time = np.array(moments)
    parts = temporal(time, validation=shares[0], test=shares[1])
    assert_every_row_is_in_one_part(parts, len(time))
    spans = [time[rows] for rows in parts.values() if len(rows)]
    assert all(earlier.max() < later.min() for earlier, later in pairwise(spans))
    assert all((np.diff(span) >= 0).all() for span in spans)


@quick
@given(times, shares)
def test_temporal_shares_hold_to_within_the_rows_of_one_moment(
    moments: list[float], shares: tuple[float, float]
) -> None:
    time, (validation, test) = np.array(moments), shares
    parts = temporal(time, validation=validation, test=test)
    slack, count = largest(time), len(time)
    assert abs(len(parts["train"]) - count * (1 - validation - test)) <= slack
    assert abs(len(parts["test"]) - count * test) <= slack


def test_temporal_is_exact_where_all_moments_differ() -> None:
    rng = np.random.default_rng(1)
    time = rng.permutation(1000).astype(float)
    parts = temporal(time, validation=0.2, test=0.1)
    assert {part: len(rows) for part, rows in parts.items()} == dict(
        zip(PARTS, (700, 200, 100), strict=True)
    )
    assert set(time[parts["test"]]) == set(range(900, 1000))
    assert set(time[parts["validation"]]) == set(range(700, 900))


def test_temporal_keeps_the_order_of_rows_of_one_moment() -> None:
    time = np.random.default_rng(1).integers(0, 20, 2000).astype(float)
    for rows in temporal(time, validation=0.2, test=0.2).values():
        assert all((np.diff(rows[time[rows] == moment]) > 0).all() for moment in set(time[rows]))


@quick
@given(_groups(), shares, st.integers(0, 2**32 - 1))
def test_stratified_has_every_row_in_one_part_and_no_group_in_two(
    rows: list[tuple[int, bool]], shares: tuple[float, float], seed: int
) -> None:
    groups = np.array([group for group, _ in rows])
    fraud = np.array([fraud for _, fraud in rows])
    parts = stratified(groups, fraud, validation=shares[0], test=shares[1], seed=seed)
    assert_every_row_is_in_one_part(parts, len(rows))
    held = [set(groups[numbers].tolist()) for numbers in parts.values()]
    assert sum(map(len, held)) == len(set.union(*held))


@quick
@given(_groups(), shares, st.integers(0, 2**32 - 1))
def test_stratified_shares_hold_for_frauds_and_the_rest_to_within_half_a_group(
    rows: list[tuple[int, bool]], shares: tuple[float, float], seed: int
) -> None:
    groups = np.array([group for group, _ in rows])
    fraud = np.array([fraud for _, fraud in rows])
    validation, test = shares
    parts = stratified(groups, fraud, validation=validation, test=test, seed=seed)
    fraudulent = np.isin(groups, groups[fraud])  # a group with a fraud goes with the frauds
    for stratum in (fraudulent, ~fraudulent):
        count = int(stratum.sum())
        if not count:
            continue
        slack = largest(groups[stratum]) / 2 + 1e-6
        sizes = {part: int(stratum[numbers].sum()) for part, numbers in parts.items()}
        assert abs(sizes["train"] - count * (1 - validation - test)) <= slack
        assert abs(sizes["test"] - count * test) <= slack


def test_stratified_is_drawn_anew_for_another_seed_and_the_same_for_the_same() -> None:
    groups = np.arange(1000)
    fraud = groups % 50 == 0

    def drawn(seed: int) -> list[list[int]]:
        parts = stratified(groups, fraud, validation=0.2, test=0.2, seed=seed)
        return [rows.tolist() for rows in parts.values()]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    assert [len(rows) for rows in drawn(1)] == [600, 200, 200]
    assert [sum(bool(fraud[row]) for row in rows) for rows in drawn(1)] == [12, 4, 4]
    assert drawn(1)[2] != sorted(range(800, 1000))  # at random, not by place


@quicker
@given(
    rows=purchases(min_size=6, max_size=40, coarse=True).map(with_both),
    shares=shares,
    seed=st.integers(0, 100),
)
def test_rows_that_are_equal_but_for_their_ids_are_never_on_two_sides(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[dict[str, Any]],
    shares: tuple[float, float],
    seed: int,
) -> None:
    table = checked(tmp_path_factory.getbasetemp() / "market.csv", written(rows))
    ways = split(table, market(), validation=shares[0], test=shares[1], seed=seed)
    assert set(ways) == {"temporal", "stratified"}
    alike = [
        (row["at"], row["price"] + 0.0, row["abroad"], row["stall"], float(row["size"]))
        for row in rows
    ]
    for parts in ways.values():
        assert_every_row_is_in_one_part(parts, len(rows))
        held = [{alike[row] for row in numbers} for numbers in parts.values()]
        assert sum(map(len, held)) == len(set.union(*held))


def test_without_a_time_column_nothing_is_split_by_time(tmp_path: Path) -> None:
    timeless = parse(MARKET.replace("time: at\n", ""), "market.yaml")
    row = {"at": 0.0, "price": 1.0, "abroad": "no", "stall": "7", "size": "1", "buyer": "ann"}
    rows = [{**row, "price": float(i), "verdict": ("honest", "stolen")[i % 2]} for i in range(20)]
    table = checked(tmp_path / "m.csv", written(rows))
    assert list(split(table, timeless, validation=0.2, test=0.2, seed=1)) == ["stratified"]


@pytest.mark.parametrize("lacking", PARTS)
def test_a_split_with_a_part_without_fraud_is_refused_by_name(lacking: Part) -> None:
    frauds: dict[Part, int] = dict.fromkeys(PARTS, 3)
    require_fraud("temporal", frauds)
    with pytest.raises(DataError, match=f"the {lacking} part of the temporal split holds no fraud"):
        require_fraud("temporal", {**frauds, lacking: 0})
