"""The quick road with dates, open words and ignored fields: what it takes, it reads right."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudloop.serving.asked import Asked
from fraudloop.serving.dialects import Dialects, pairs_of
from fraudloop.serving.quick import QuickReader
from tests.dataset.tables import thorough
from tests.dataset.tables_dated import ASKED, TRIP, journeys, trips

Fields = dict[str, Any]
QUICK = QuickReader(trips())


def one(rows: list[Fields]) -> Any:
    return rows[0]


def several(rows: list[Fields]) -> Any:
    return rows


def indexed(rows: list[Fields]) -> Any:
    return {f"row:{place}": row for place, row in enumerate(rows)}


def featured(rows: list[Fields]) -> Any:
    return {"features": [[row[name] for name in ASKED] for row in rows]}


def split(rows: list[Fields]) -> Any:
    names = [*reversed(ASKED)]
    return {"columns": names, "data": [[row[name] for name in names] for row in rows]}


SHAPES: list[Callable[[list[Fields]], Any]] = [one, several, indexed, featured, split]


def patiently(body: bytes) -> Asked:
    dialects = Dialects(trips(), most_rows=1000)
    dialects._quick.read = lambda body: None  # type: ignore[method-assign]  # the other road alone
    return dialects.read(body)


@thorough
@given(rows=journeys(), shape=st.sampled_from(SHAPES))
def test_whatever_the_quick_road_takes_the_patient_one_reads_alike(
    rows: list[Fields], shape: Callable[[list[Fields]], Any]
) -> None:
    sent = json.dumps(shape(rows)).encode()
    late = patiently(sent)
    soon = QUICK.read(sent)
    if soon is not None:
        assert soon.features.tobytes() == late.features.tobytes()
        assert (list(soon.ids), soon.single) == (list(late.ids), late.single)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("shop", ["Rye & Sons, Inc", "a:b::c", "7", "Zoë"])
def test_it_takes_hours_and_words_with_their_colons(
    shape: Callable[[list[Fields]], Any], shop: str
) -> None:
    body = json.dumps(shape([{**ASKED, "shop": shop}] * 2), ensure_ascii=False).encode()
    soon = QUICK.read(body)
    assert soon is not None
    assert soon.features.tobytes() == patiently(body).features.tobytes()


def test_a_whole_row_of_the_file_is_taken_with_all_that_stands_beside() -> None:
    body = json.dumps({**TRIP, "": 0, "name": "x", "stolen": 0}).encode()
    soon = QUICK.read(body)
    assert soon is not None
    assert soon.ids == ["t-1"]
    assert patiently(body).ids == ["t-1"]


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(TRIP)[:-1] + ', "shop": "b"}',
        json.dumps(TRIP)[:-1] + ', "at": "2020-06-21 12:30:00"}',
        json.dumps({**TRIP, "shop": "a:b"})[:-1] + ', "price": 2}',
        json.dumps(TRIP)[:-1].replace("Rye", "\\u003a") + ', "price": 2}',
    ],
)
def test_a_name_given_twice_does_not_hide_among_colons(body: str) -> None:
    assert QUICK.read(body.encode()) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("at", "2020-06-31 12:00:00"),
        ("at", 5),
        ("born", "today"),
        ("shop", ""),
        ("shop", "x" * 201),
        ("class", "third"),
        ("north", 91),
        ("card", [1]),
    ],
)
def test_it_takes_nothing_that_is_refused(field: str, value: Any) -> None:
    assert QUICK.read(json.dumps({**TRIP, field: value}).encode()) is None


def test_a_query_gives_the_same() -> None:
    query = "&".join(f"{name.replace(' ', '+')}={value}" for name, value in ASKED.items())
    pairs = pairs_of(
        query.replace("Rye & Sons, Inc", "Rye+%26+Sons,+Inc").replace(" ", "+").encode()
    )
    asked = Dialects(trips(), most_rows=10).read_query(pairs)
    body = json.dumps(ASKED).encode()
    assert asked.features.tobytes() == patiently(body).features.tobytes()
