"""The same transaction gets the same numbers everywhere: one float32 row, by the card alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fraudloop.dataset.card import parse
from fraudloop.dataset.features import RowEncoder, encode
from fraudloop.dataset.split import split
from fraudloop.errors import DataError
from tests.dataset.tables import (
    MARKET_FEATURES,
    checked,
    market,
    purchases,
    quick,
    quicker,
    with_both,
    written,
)

NUMBERS = "id: a\ntitle: A\ncolumns: {at: {kind: time}, price: {kind: numeric}}\n"
CLOCK = parse(
    NUMBERS + "label: {column: b}\nderived: [{name: hour, hour_of: at}]\n",
    "clock.yaml",
)


def columns_of(rows: list[dict[str, Any]]) -> dict[str, NDArray[Any]]:
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def hours(times: list[float]) -> list[float]:
    columns = {"at": np.array(times), "price": np.zeros(len(times))}
    return list(encode(CLOCK, columns)[:, 1].tolist())


def test_each_kind_of_column_is_encoded_as_the_card_says() -> None:
    rows = [
        {"at": 90000.0, "price": 2.5, "abroad": "yes", "stall": "NA", "size": "3", "buyer": "ann"},
        {"at": 1800.0, "price": 0.0, "abroad": "no", "stall": "7", "size": "1", "buyer": "bob"},
    ]
    assert MARKET_FEATURES[2:5] == ("stall=fish", "stall=NA", "stall=7")
    assert encode(market(), columns_of(rows)).tolist() == [
        [2.5, 1.0, 0.0, 1.0, 0.0, 2.0, 1.0],
        [0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.5],
    ]


@quick
@given(purchases())
def test_the_matrix_is_float32_with_a_column_a_feature(rows: list[dict[str, Any]]) -> None:
    matrix = encode(market(), columns_of(rows))
    assert matrix.dtype == np.float32
    assert matrix.shape == (len(rows), len(MARKET_FEATURES))
    assert np.isfinite(matrix).all()


@quick
@given(purchases())
def test_exactly_one_category_of_a_nominal_column_is_set(rows: list[dict[str, Any]]) -> None:
    stalls = encode(market(), columns_of(rows))[:, 2:5]
    assert set(np.unique(stalls)) <= {0.0, 1.0}
    assert (stalls.sum(axis=1) == 1).all()


@quick
@given(purchases())
def test_numbers_are_themselves_rounded_to_float32(rows: list[dict[str, Any]]) -> None:
    columns = columns_of(rows)
    found = encode(market(), columns)[:, 0]
    assert found.tolist() == columns["price"].astype(np.float32).tolist()


@quick
@given(purchases(), st.randoms(use_true_random=False))
def test_the_mappings_order_and_other_columns_change_nothing(
    rows: list[dict[str, Any]], random: Any
) -> None:
    columns = columns_of(rows)
    names = [*columns, "weather"]
    random.shuffle(names)
    shuffled = {name: columns.get(name, np.full(len(rows), np.nan)) for name in names}
    assert encode(market(), shuffled).tobytes() == encode(market(), columns).tobytes()


@quicker
@given(purchases(min_size=2))
def test_a_row_is_encoded_alone_as_among_others(rows: list[dict[str, Any]]) -> None:
    together = encode(market(), columns_of(rows))
    alone = [encode(market(), columns_of([row]))[0] for row in rows]
    assert together.tobytes() == np.array(alone).tobytes()


@quick
@given(st.lists(st.floats(-1e12, 1e12), min_size=1))
def test_an_hour_is_at_least_0_and_less_than_24(times: list[float]) -> None:
    assert all(0 <= hour < 24 for hour in hours(times))


def test_an_hour_is_the_same_every_day_and_rounds_up_to_the_next_days_first() -> None:
    assert hours([5400.0, 86400 + 5400.0, -86400 + 5400.0]) == [1.5, 1.5, 1.5]
    assert hours([0.0, 86400.0, 86399.9999999, -1e-20]) == [0.0, 0.0, 0.0, 0.0]
    assert hours([86399.0]) == [np.float32(86399 / 3600)]


def test_a_time_that_is_missing_does_not_become_midnight() -> None:
    assert np.isnan(hours([float("nan")])).all()


@pytest.mark.parametrize(
    "sizes", [[1, 2, 3], [1.0, 2.0, 3.0], ["1", "2.0", " 3"], np.array([1, 2, 3], dtype=np.int8)]
)
def test_a_category_is_the_same_as_number_and_as_text(sizes: Any) -> None:
    rows = {"at": [0] * 3, "price": [1] * 3, "abroad": ["no"] * 3, "stall": [7, 7.0, "7"]}
    columns = {name: np.array(values, dtype=object) for name, values in rows.items()}
    matrix = encode(market(), {**columns, "size": np.asarray(sizes)})
    assert matrix[:, 5].tolist() == [0.0, 1.0, 2.0]
    assert matrix[:, 4].tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("column", "value"), [("abroad", "maybe"), ("stall", "boats"), ("size", "4"), ("size", "nan")]
)
def test_a_category_the_card_does_not_know_is_never_coded_as_another(
    column: str, value: str
) -> None:
    row = {"at": 0.0, "price": 1.0, "abroad": "no", "stall": "fish", "size": "1", column: value}
    with pytest.raises(DataError) as caught:
        encode(market(), columns_of([row]))
    assert f"column '{column}' holds '{value}'" in str(caught.value)


def test_no_rows_make_a_matrix_of_no_rows() -> None:
    none = {name: np.array([]) for name in market().columns}
    assert encode(market(), none).shape == (0, len(MARKET_FEATURES))


@quicker
@given(rows=purchases(min_size=8, coarse=True).map(with_both))
def test_a_table_of_all_six_kinds_goes_from_its_file_to_features_of_every_part(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "market.csv"
    table = checked(path, written(rows))
    expected = encode(market(), columns_of(rows))
    ways = split(table, market(), validation=0.2, test=0.2, seed=1)
    assert list(ways) == ["temporal", "stratified"]
    for parts in ways.values():
        for numbers in parts.values():
            part = table.take(numbers)
            columns = {name: part[name].to_numpy() for name in market().columns}
            assert (encode(market(), columns) == expected[numbers]).all()
            labels = [rows[number]["verdict"] == "stolen" for number in numbers]
            assert part["verdict"].tolist() == labels


def test_the_whole_way_works_where_a_folder_has_blanks_in_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "raw data é"
    folder.mkdir()
    rows = [{"at": 0.0, "price": 1.0, "abroad": "no", "stall": "fish", "size": "1", "buyer": "a"}]
    labelled = [{**rows[0], "verdict": verdict} for verdict in ("honest", "stolen")]
    assert checked(folder / "a.csv", written(labelled))["verdict"].tolist() == [0, 1]


NAMES = st.permutations(["at", "price", "change", "then"])


@quick
@given(
    order=NAMES,
    rows=st.lists(
        st.tuples(*[st.one_of(st.floats(-1e9, 1e9), st.floats(86399.99, 86400.01))] * 4),
        min_size=1,
        max_size=5,
    ),
)
def test_rows_of_numbers_are_encoded_as_columns_are(
    order: list[str], rows: list[tuple[float, ...]]
) -> None:
    kinds = {"at": "time", "then": "time", "price": "numeric", "change": "numeric"}
    columns = "".join(f"  {name}: {{kind: {kinds[name]}}}\n" for name in order)
    derived = "derived: [{name: hour, hour_of: at}, {name: later, hour_of: then}]\n"
    card = parse(
        f"id: a\ntitle: A\ncolumns:\n{columns}  ref: {{kind: id}}\nlabel: {{column: b}}\n{derived}",
        "order.yaml",
    )
    matrix = np.array(rows)
    encoder = RowEncoder(card)
    as_columns = encode(card, {name: matrix[:, place] for place, name in enumerate(order)})
    assert encoder.many(matrix).tobytes() == as_columns.tobytes()
    alone = np.concatenate([encoder.one(row) for row in rows])
    assert alone.tobytes() == as_columns.tobytes()


def test_rows_with_categories_are_no_rows_of_numbers() -> None:
    assert not RowEncoder.takes(market())
    with pytest.raises(ValueError, match="market has columns that are no numbers"):
        RowEncoder(market())
