"""Five shapes of a body, and a query: the same features for all, one sentence for what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudloop.dataset.card import Card, parse
from fraudloop.dataset.features import LARGEST, encode
from fraudloop.dataset.records import columns_of
from fraudloop.errors import DataError, FraudloopError
from fraudloop.serving.asked import Asked
from fraudloop.serving.dialects import Dialects, pairs_of
from fraudloop.serving.quick import QuickReader
from fraudloop.serving.refusals import RequestError, as_request_error
from tests.dataset.tables import market, purchases, thorough
from tests.fitted import card, table

Fields = dict[str, Any]

NUMBERS = parse(
    """
    id: numbers
    title: Only numbers, and a name
    columns:
      at: {kind: time, minimum: 0}
      price: {kind: numeric, minimum: 0, maximum: 1000}
      change: {kind: numeric}
      ref: {kind: id}
    label: {column: verdict}
    derived: [{name: hour, hour_of: at}]
    """,
    "numbers.yaml",
)
GOOD: Fields = {"at": 60, "price": 2.5, "change": -1.5}
BOUGHT: Fields = {"at": 60.0, "price": 2.5, "abroad": "no", "stall": "fish", "size": 2}
NAMES = list(GOOD)


def read(body: Any, of: Card = NUMBERS, *, most_rows: int = 1000, unnamed: bool = False) -> Asked:
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Dialects(of, most_rows=most_rows).read(sent, unnamed=unnamed)


def refusal(body: Any, **options: Any) -> RequestError:
    with pytest.raises(FraudloopError) as caught:
        read(body, **options)
    told = as_request_error(caught.value)
    assert "\n" not in str(told)
    assert len(str(told)) < 300
    return told


def one(rows: list[Fields]) -> Any:
    return rows[0]


def several(rows: list[Fields]) -> Any:
    return rows


def featured(rows: list[Fields]) -> Any:
    return {"features": [list(row.values()) for row in rows]}


def split(rows: list[Fields]) -> Any:
    backwards = list(reversed(rows[0]))
    return {
        "columns": backwards,
        "index": [f"row {place}" for place in range(len(rows))],
        "data": [[row[name] for name in backwards] for row in rows],
    }


def indexed(rows: list[Fields]) -> Any:
    return {f"row {place}": row for place, row in enumerate(rows)}


DIALECTS = (several, featured, split, indexed)


def expected(of: Card, rows: list[Fields]) -> bytes:
    return encode(of, columns_of(of, list(enumerate(rows)))).tobytes()


EXAMPLES: dict[str, list[Fields]] = {
    "numbers": [GOOD, {**GOOD, "at": 90_000, "change": 1e-3}],
    "market": [BOUGHT, {**BOUGHT, "stall": 7, "size": "3"}],
    card().id: [{name: float(table()[name][row]) for name in card().columns} for row in range(3)],
}


@pytest.mark.parametrize("of", [NUMBERS, market(), card()], ids=lambda of: of.id)
@pytest.mark.parametrize("dialect", [one, *DIALECTS])
def test_every_dialect_gives_the_features_of_the_library(
    dialect: Callable[[list[Fields]], Any], of: Card
) -> None:
    rows = EXAMPLES[of.id][:1] if dialect is one else EXAMPLES[of.id]
    asked = read(dialect(rows), of)
    assert asked.features.tobytes() == expected(of, rows)
    assert asked.features.dtype == np.float32
    assert asked.single == (dialect is one)


@pytest.mark.parametrize("dialect", [one, *DIALECTS])
def test_the_quick_road_takes_every_dialect(dialect: Callable[[list[Fields]], Any]) -> None:
    for of, row in ((NUMBERS, GOOD), (market(), BOUGHT)):
        assert QuickReader(of).read(json.dumps(dialect([row])).encode()) is not None


def test_a_flat_list_of_features_is_one_row() -> None:
    assert read({"features": [60, 2.5, -1.5]}).features.tobytes() == expected(NUMBERS, [GOOD])


def test_ids_are_those_that_were_sent_or_else_places() -> None:
    assert read(GOOD).ids == [0]
    assert read([GOOD, GOOD]).ids == [0, 1]
    assert read({**GOOD, "ref": "r-7"}).ids == ["r-7"]
    assert read([{**GOOD, "ref": 7}, GOOD, {**GOOD, "ref": None}]).ids == [7, 1, 2]
    assert read(featured([GOOD, GOOD])).ids == [0, 1]
    assert read({"b": GOOD, "a:c": GOOD}).ids == ["b", "a:c"]
    data = [[60, 2.5, -1.5]] * 2
    assert read({"columns": NAMES, "index": [12, "x"], "data": data}).ids == [12, "x"]
    assert read({"columns": NAMES, "data": data}).ids == [0, 1]


def test_a_card_without_ids_takes_the_field_id() -> None:
    row = table()[list(card().columns)].iloc[0].to_dict()
    assert read({**row, "id": "t-1"}, card()).ids == ["t-1"]


def test_known_fields_that_are_no_features_change_nothing() -> None:
    plain = read(GOOD).features.tobytes()
    assert read({"verdict": 1, **GOOD, "ref": "r"}).features.tobytes() == plain
    columns = ["verdict", "ref", *NAMES]
    for beside in ([1, "r"], [None, 12], ["fraud", None], [{"x": 1}, 3]):
        body = {"columns": columns, "index": [0], "data": [[*beside, 60, 2.5, -1.5]]}
        assert read(body).features.tobytes() == plain


def test_unnamed_columns_count_in_the_cards_order_where_they_may() -> None:
    row = {f"Atr{place}": value for place, value in enumerate(GOOD.values(), start=1)}
    plain = read(GOOD).features.tobytes()
    for body in (row, [row], {"a": row}, split([row])):
        assert read(body, unnamed=True).features.tobytes() == plain
        assert refusal(body).status == 422
    assert read(GOOD, unnamed=True).features.tobytes() == plain
    assert "unknown field 'Atr1'" in str(refusal({**GOOD, "Atr1": 1}, unnamed=True))
    assert "has no 'change'" in str(refusal({"Atr1": 1, "Atr2": 1}, unnamed=True))
    assert "unknown field 'Atr4'" in str(refusal({**row, "Atr4": 1}, unnamed=True))


@thorough
@given(rows=purchases(), data=st.data())
def test_the_quick_road_and_the_patient_one_read_alike(
    rows: list[Fields], data: st.DataObject
) -> None:
    dialect = data.draw(st.sampled_from([one, several, split, indexed]))
    sent = json.dumps(dialect(rows)).encode()
    soon = QuickReader(market()).read(sent)
    late = patiently(market(), sent)
    assert soon is not None
    assert soon.features.tobytes() == late.features.tobytes()
    assert (list(soon.ids), soon.single) == (late.ids, late.single)


def patiently(of: Card, body: bytes) -> Asked:
    dialects = Dialects(of, most_rows=1000)
    dialects._quick.read = lambda body: None  # type: ignore[method-assign]  # the other road alone
    return dialects.read(body)


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(),
    st.sampled_from(["fish", "7", "2.5", "no", "yes", "", 1e39, -1, 10**400]),
    st.lists(st.integers(), max_size=2),
)


@thorough
@given(
    fields=st.fixed_dictionaries(
        {name: st.one_of(st.just(value), VALUES) for name, value in BOUGHT.items()},
        optional={"buyer": VALUES, "verdict": VALUES, "id": VALUES, "other": VALUES},
    ),
    shape=st.sampled_from([one, several, indexed, split]),
)
def test_whatever_is_sent_the_quick_road_takes_only_what_the_patient_one_does(
    fields: Fields, shape: Callable[[list[Fields]], Any]
) -> None:
    sent = json.dumps(shape([fields])).encode()
    soon = QuickReader(market()).read(sent)
    if soon is not None:
        late = patiently(market(), sent)
        assert soon.features.tobytes() == late.features.tobytes()
        assert list(soon.ids) == list(late.ids)


def test_a_byte_order_mark_does_no_harm() -> None:
    assert read(b"\xef\xbb\xbf" + json.dumps(GOOD).encode()).ids == [0]


def with_text(field: str, text: str) -> bytes:
    return json.dumps({**GOOD, field: 0}).replace(f'"{field}": 0', f'"{field}": {text}').encode()


WRONG_VALUES: list[tuple[str, str]] = [
    ("null", "is null, which is no number"),
    ('"2.5"', "is '2.5', which is no number"),
    ('"abc"', "is 'abc', which is no number"),
    ("true", "is true, which is no number"),
    ("[1]", "is [1], which is no number"),
    ("{}", "is {}, which is no number"),
    ("NaN", "is nan, which is out of range"),
    ("Infinity", "is inf, which is out of range"),
    ("-Infinity", "is -inf, which is out of range"),
    ("1e400", "is inf, which is out of range"),
    ("1e39", "is 1e+39, which is out of range"),
    ("-3.5e38", "is -3.5e+38, which is out of range"),
    ("9" * 5000, "is inf, which is out of range"),
]


@pytest.mark.parametrize(("text", "said"), WRONG_VALUES)
@pytest.mark.parametrize("shape", ["one", "several", "features", "split", "index"])
def test_a_wrong_value_is_named_with_its_row_and_field_in_every_dialect(
    text: str, said: str, shape: str
) -> None:
    row, values = with_text("change", text), f"[60, 2.5, {text}]".encode()
    good = json.dumps(GOOD).encode()
    body, key = {
        "one": (row, "0"),
        "several": (b"[%s, %s]" % (good, row), "1"),
        "features": (b'{"features": [[60, 2.5, 1], %s]}' % values, "1"),
        "split": (
            b'{"columns": ["at", "price", "change"], "index": ["a", "b"], '
            b'"data": [[60, 2.5, 1], %s]}' % values,
            "'b'",
        ),
        "index": (b'{"a": %s, "b": %s}' % (good, row), "'b'"),
    }[shape]
    told = refusal(body)
    assert told.status == 422
    assert str(told).startswith(f"transaction {key}: 'change' {said}"), str(told)
    assert told.detail[0]["field"] == "change"
    assert repr(told.detail[0]["row"]) == key


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ([], "there is no transaction to score"),
        ({}, "the body is empty"),
        (None, "the body is no object and no list"),
        (7, "the body is no object and no list"),
        ("text", "the body is no object and no list"),
        ({"features": []}, "there is no transaction to score"),
        ({"features": [[1, 2]]}, "row 0 of features is 2 values, and there are 3 columns"),
        ({"features": [[1, 2, 3, 4]]}, "row 0 of features is 4 values"),
        ({"features": [[1, 2, 3], 4]}, "row 1 of features is no list of values"),
        ({"features": [1, 2]}, "row 0 of features is 2 values"),
        ({"features": [[1, 2, 3]], "threshold": 1}, "beside 'features' stands 'threshold'"),
        ([1, 2, 3], "transaction 0 is not an object of fields"),
        ([[1, 2, 3]], "transaction 0 is not an object of fields"),
        ([GOOD, None], "transaction 1 is not an object of fields"),
        ({"a": GOOD, "b": 3}, "transaction 'b' is not an object of fields"),
        ({"a": {}}, "transaction 'a' has no 'at'"),
        ({"at": 1, "price": 1}, "transaction 0 has no 'change'"),
        ({**GOOD, "Price": 1}, "transaction 0 has an unknown field 'Price'"),
        ({**GOOD, "at": -1}, "'at' is -1, below 0"),
        ({**GOOD, "price": 1000.5}, "'price' is 1000.5, above 1000"),
        ({**GOOD, "ref": [1]}, "'ref' is [1], which is no id"),
        ({**GOOD, "ref": True}, "'ref' is true, which is no id"),
        ({"columns": NAMES}, "data is no list of rows"),
        ({"columns": NAMES, "index": [0], "data": 3}, "data is no list of rows"),
        ({"columns": 1, "index": [0], "data": [[1]]}, "columns is no list of names"),
        ({"columns": [1], "index": [0], "data": [[1]]}, "columns is no list of names"),
        ({"columns": NAMES, "index": [0], "data": []}, "index is no list of 0 ids"),
        ({"columns": NAMES, "index": [], "data": [[1, 2, 3]]}, "index is no list of 1 ids"),
        ({"columns": NAMES, "index": [None], "data": [[1, 2, 3]]}, "index is no list of 1 ids"),
        ({"columns": NAMES, "index": [0], "data": [[1, 2]]}, "row 0 of data is 2 values"),
        ({"columns": NAMES[1:], "index": [0], "data": [[1, 2]]}, "has no 'at'"),
        ({"columns": [*NAMES, "x"], "data": [[1, 2, 3, 4]]}, "unknown field 'x'"),
        ({"columns": [*NAMES, "at"], "data": [[1, 2, 3, 4]]}, "columns names 'at' twice"),
        ({"columns": NAMES, "data": [[1, 2, 3]], "name": "x"}, "beside 'columns' stands 'name'"),
    ],
)
def test_a_wrong_shape_is_said_so(body: Any, said: str) -> None:
    told = refusal(body)
    assert told.status == 422
    assert said in str(told)


@pytest.mark.parametrize(
    "body",
    [
        b'{"at": 1, "price": 1, "change": 1, "change": 2}',
        b'[{"at": 1, "price": 1, "change": 1, "change": 2}]',
        b'{"a": {"at": 1, "price": 1, "change": 1, "change": 2}}',
        b'{"a": {"at": 1, "price": 1, "change": 1}, "a": {"at": 1, "price": 1, "change": 1}}',
        b'{"at": 1, "price": 1, "change": 1, "\\u0061t": 2}',
        b'{"at": 1, "price": 1, "change": 1, "ref": "a:b", "ref": "c"}',
        b'{"x\\u003a": {"at": 1, "price": 1, "change": 1, "change": 2}}',
        b'{"features": [[1, 1, 1]], "features": [[1, 1, 2]]}',
        b'{"columns": ["at", "price", "change"], "data": [[1, 1, 1]], "data": [[1, 1, 2]]}',
    ],
)
def test_a_name_given_twice_is_refused_and_not_decided_by_the_last(body: bytes) -> None:
    assert QuickReader(NUMBERS).read(body) is None
    told = refusal(body)
    assert told.status == 422
    assert "stands twice in one object" in str(told)


def test_more_transactions_than_may_be_are_too_large() -> None:
    for body in ([GOOD] * 4, featured([GOOD] * 4), split([GOOD] * 4), indexed([GOOD] * 4)):
        told = refusal(body, most_rows=3)
        assert told.status == 413
        assert "holds 4 transactions, and 3 at once are the most" in str(told)
    assert len(read([GOOD] * 3, most_rows=3).ids) == 3
    assert refusal([{**GOOD, "at": None}] * 4, most_rows=3).status == 413


def test_the_bounds_belong_to_the_range() -> None:
    for row in ({**GOOD, "price": 0}, {**GOOD, "price": 1000}, {**GOOD, "change": -LARGEST}):
        assert QuickReader(NUMBERS).read(json.dumps(row).encode()) is not None


def test_only_the_first_faults_are_listed() -> None:
    told = refusal([{**GOOD, "price": None}] * 50)
    assert len(told.detail) == 20
    assert told.detail[19]["row"] == 19


def test_a_long_name_is_cut_short_in_the_sentence() -> None:
    assert "xxx" in str(refusal({**GOOD, "x" * 5000: 1}))
    assert refusal({"y" * 5000: {**GOOD, "price": None}}).status == 422


def queried(query: str, of: Card = NUMBERS) -> Asked:
    return Dialects(of, most_rows=9).read_query(pairs_of(query.encode()))


def test_a_query_is_one_transaction() -> None:
    asked = queried("at=60&price=2.5&change=-1.5")
    assert asked.features.tobytes() == expected(NUMBERS, [GOOD])
    assert (asked.single, asked.ids) == (True, [0])
    bought = queried("at=60&price=2.50&abroad=no&stall=fish&size=2&buyer=ann&id=b-1", market())
    assert bought.features.tobytes() == expected(market(), [BOUGHT])
    assert bought.ids == ["b-1"]  # and not the buyer, who buys more than once


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("at=60&price=2.5", "has no 'change'"),
        ("at=60&price=2.5&change=x", "'change' is 'x', which is no number"),
        ("at=60&price=2.5&change=", "'change' is '', which is no number"),
        ("at=60&price=2.5&change=1_0", "'change' is '1_0', which is no number"),
        ("at=60&price=2.5&change=%20", "'change' is ' ', which is no number"),
        ("at=60&price=2.5&change=nan", "'change' is nan, which is out of range"),
        ("at=60&price=2.5&change=1e999", "'change' is inf, which is out of range"),
        ("at=60&price=2.5&change=1&change=2", "has 'change' twice"),
        ("at=60&price=2.5&change=1&x=2", "unknown field 'x'"),
        ("at=60&price=2.5&change=%FF", "is not UTF-8"),
        ("&".join(["a=1"] * 1001), "more than 1,000 fields"),
    ],
)
def test_a_wrong_query_is_said_so(query: str, said: str) -> None:
    with pytest.raises((DataError, RequestError)) as caught:
        queried(query)
    assert said in str(caught.value)
