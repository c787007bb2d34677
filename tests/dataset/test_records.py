"""A transaction that comes alone is refused by its field, or scored as it is in a table."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from fraudloop.dataset.card import parse
from fraudloop.dataset.features import LARGEST, encode
from fraudloop.dataset.records import columns_of
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

GOOD: dict[str, Any] = {"at": 60, "price": 2.5, "abroad": "no", "stall": "fish", "size": 2}


def refusal(transactions: Any) -> str:
    with pytest.raises(DataError) as caught:
        columns_of(market(), transactions.items())
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 200
    return message


@quicker
@given(rows=purchases(min_size=2).map(with_both))
def test_records_and_the_table_of_them_give_the_same_features(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    table = checked(tmp_path_factory.getbasetemp() / "market.csv", written(rows))
    columns = {name: table[name].to_numpy() for name in market().columns}
    as_table = encode(market(), columns)
    sent = json.loads(json.dumps({f"id-{i}": row for i, row in enumerate(rows)}))
    assert encode(market(), columns_of(market(), sent.items())).tobytes() == as_table.tobytes()
    back = {f"id-{i}": row for i, row in enumerate(table.to_dict("records"))}
    assert encode(market(), columns_of(market(), back.items())).tobytes() == as_table.tobytes()


@quick
@given(purchases(min_size=1))
def test_the_order_of_fields_changes_nothing(rows: list[dict[str, Any]]) -> None:
    straight = {str(i): row for i, row in enumerate(rows)}
    turned = {key: dict(reversed(row.items())) for key, row in straight.items()}
    expected = encode(market(), columns_of(market(), straight.items()))
    assert encode(market(), columns_of(market(), turned.items())).tobytes() == expected.tobytes()


def test_numbers_may_be_whole_and_categories_may_be_numbers() -> None:
    whole = columns_of(
        market(), {"a": {**GOOD, "at": 3600, "price": 3, "stall": 7, "size": 3.0}}.items()
    )
    assert encode(market(), whole).tolist() == [[3.0, 0.0, 0.0, 0.0, 1.0, 2.0, 1.0]]


def test_label_and_ids_may_stand_among_the_fields_or_not() -> None:
    labelled = columns_of(market(), {"a": {**GOOD, "buyer": None, "verdict": "stolen"}}.items())
    bare = columns_of(market(), {"a": GOOD}.items())
    assert list(labelled) == list(bare) == ["at", "price", "abroad", "stall", "size"]
    assert all((labelled[name] == bare[name]).all() for name in bare)


def test_every_transaction_is_there_in_its_place() -> None:
    many = {str(i): {**GOOD, "price": i} for i in range(5)}
    assert columns_of(market(), many.items())["price"].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]


WRONG: list[tuple[str, Any, str]] = [
    ("price", "2.5", "is '2.5', which is no number"),
    ("price", None, "is null, which is no number"),
    ("price", True, "is true, which is no number"),
    ("price", [1], "is [1], which is no number"),
    ("price", {"of": 1}, "is {'of': 1}, which is no number"),
    ("price", float("nan"), "is nan, which is out of range"),
    ("price", float("inf"), "is inf, which is out of range"),
    ("price", 10**400, "is 1000"),
    ("price", -(10**400), "is -1000"),
    ("at", 1e39, "is 1e+39, which is out of range"),
    ("at", -1, "is -1, below 0"),
    ("price", -0.01, "is -0.01, below 0"),
    ("price", 1000.25, "is 1000.25, above 1000.125"),
    ("price", "x" * 10_000, "is 'xxx"),
    ("abroad", "maybe", "is 'maybe', none of no, yes"),
    ("abroad", True, "is true, none of no, yes"),
    ("abroad", None, "is null, none of no, yes"),
    ("stall", "", "is '', none of fish, NA, 7"),
    ("stall", ["fish"], "is ['fish'], none of fish, NA, 7"),
    ("stall", "fish\x00", r"is 'fish\x00', none of fish, NA, 7"),
    ("size", 4, "is 4, none of 1, 2, 3"),
    ("size", 1.5, "is 1.5, none of 1, 2, 3"),
    ("size", float("nan"), "is nan, none of 1, 2, 3"),
]


@pytest.mark.parametrize(("field", "value", "said"), WRONG)
def test_a_wrong_value_is_named_with_its_transaction_and_field(
    field: str, value: Any, said: str
) -> None:
    message = refusal({"right": GOOD, "wrong": {**GOOD, field: value}})
    assert message.startswith(f"transaction 'wrong': '{field}' {said}")


def test_null_is_no_category_even_where_one_reads_alike() -> None:
    card = parse(MARKET.replace("[fish, NA, 7]", "[fish, None]"), "market.yaml")
    columns_of(card, {"a": {**GOOD, "stall": "None"}}.items())
    with pytest.raises(DataError, match="'stall' is null, none of fish, None"):
        columns_of(card, {"a": {**GOOD, "stall": None}}.items())


@pytest.mark.parametrize("value", [0, -0.0, 1000.125, 5e-324])
def test_the_bounds_of_a_range_belong_to_it(value: float) -> None:
    assert columns_of(market(), {"a": {**GOOD, "price": value}}.items())["price"].tolist() == [
        value
    ]


def test_what_is_let_in_stays_finite_as_a_feature() -> None:
    columns = columns_of(market(), {"a": {**GOOD, "at": LARGEST}}.items())
    assert np.isfinite(encode(market(), columns)).all()


@pytest.mark.parametrize("field", ["at", "price", "abroad", "stall", "size"])
def test_a_missing_field_is_named(field: str) -> None:
    transaction = {name: value for name, value in GOOD.items() if name != field}
    assert refusal({"x": transaction}).startswith(f"transaction 'x' has no '{field}'")


def test_an_unknown_field_is_named() -> None:
    message = refusal({"x": {**GOOD, "Price": 1}})
    assert message.startswith("transaction 'x' has an unknown field 'Price'")


@pytest.mark.parametrize("transaction", [None, 1, "at", [1, 2], True])
def test_what_is_no_object_of_fields_is_said_so(transaction: Any) -> None:
    assert refusal({"x": transaction}).startswith("transaction 'x' is not an object of fields")


def test_no_transaction_at_all_is_said_so() -> None:
    assert "no transaction" in refusal({})
