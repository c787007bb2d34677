"""Dates, words without a list, an entity and ignored fields: on every road alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from fraudloop.dataset.card import Card, parse
from fraudloop.dataset.checks import report, validate
from fraudloop.dataset.features import RowEncoder, encode
from fraudloop.dataset.reading import read_csv
from fraudloop.dataset.records import columns_of, naming, needed
from fraudloop.errors import CardError, DataError
from tests.dataset.tables import market, thorough
from tests.dataset.tables_dated import ASKED, TRIP, TRIPS, journeys, trips


def columns(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return dict(columns_of(trips(), list(enumerate(rows))))


def table(path: Path, rows: list[dict[str, Any]]) -> Any:
    """A CSV as the published one is written: an unnamed index first, quotes where needed."""
    import csv

    names = ["", *TRIP, "name", "stolen"]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names, restval="x")
        writer.writeheader()
        for number, row in enumerate(rows):
            writer.writerow({"": number, **row, "stolen": number % 2})
    return validate(read_csv(path, trips()), trips(), path)


def test_a_card_says_its_features_in_order() -> None:
    assert trips().feature_names == (
        *("shop#0", "shop#1", "shop#2", "shop#3", "class=first", "class=second", "price"),
        *("log of the price", "hour", "weekday", "age", "distance"),
    )
    assert list(needed(trips())) == list(ASKED)
    assert not RowEncoder.takes(trips())


def test_a_file_and_a_transaction_give_the_same_features(tmp_path: Path) -> None:
    read = table(tmp_path / "trips.csv", [TRIP, TRIP])
    from_file = encode(trips(), {name: read[name].to_numpy() for name in trips().columns})
    sent = encode(trips(), columns([ASKED, json.loads(json.dumps(TRIP))]))
    assert sent.tobytes() == from_file.tobytes()
    assert sent[0, -4:].tolist() == pytest.approx([12.5, 6.0, 30.0, 877.46], abs=0.1)
    assert list(read["at"]) == [1592742600.0] * 2
    assert "name" not in read
    about = report(read, trips(), {}, {"synthetic": False})["columns"]
    assert about["shop"] == {"kind": "nominal", "missing": 0, "distinct": 1}
    assert about["at"]["minimum"] == pytest.approx(1592742600.0, rel=1e-6)


def test_features_of_the_file_as_pandas_has_it_are_the_same() -> None:
    """The champion as a fitted pipeline takes a table that nobody has checked."""
    raw = {name: np.array([value], dtype=object) for name, value in TRIP.items()}
    raw["price"] = np.array([TRIP["price"]])
    assert encode(trips(), raw).tobytes() == encode(trips(), columns([ASKED])).tobytes()


@thorough
@given(journeys())
def test_every_journey_becomes_finite_features(rows: list[dict[str, Any]]) -> None:
    matrix = encode(trips(), columns(rows))
    assert np.isfinite(matrix).all()
    assert (matrix[:, :4].sum(axis=1) == 1).all()


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("at", "2020-06-31 12:00:00", "is '2020-06-31 12:00:00', not written as 2020-12-31 23"),
        ("at", "2020-06-21", "is '2020-06-21', not written as 2020-12-31 23:59:59"),
        ("at", 1592742600, "is 1592742600, not written as 2020-12-31 23:59:59"),
        ("at", None, "is null, not written as"),
        ("born", "21.06.1990", "is '21.06.1990', not written as 2020-12-31"),
        ("born", "today", "is 'today', not written as 2020-12-31"),
        ("shop", "", "is '', which is empty"),
        ("shop", None, "is null, which is no text"),
        ("shop", "x" * 201, "which is longer than 200 characters"),
        ("class", "third", "is 'third', none of first, second"),
        ("north", 91, "is 91, above 90"),
        ("price", "9", "is '9', which is no number"),
        ("card", [1], "is [1], which is no id"),
        ("ticket", True, "is true, which is no id"),
    ],
)
def test_a_wrong_value_of_any_kind_is_refused_by_its_field(
    field: str, value: Any, said: str
) -> None:
    with pytest.raises(DataError) as caught:
        columns([ASKED, {**ASKED, field: value}])
    assert str(caught.value).startswith(f"transaction 1: '{field}' ")
    assert said in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("field", "text", "said"),
    [
        ("at", "2020-06-31 12:00:00", "is not written as 2020-12-31 23:59:59"),
        ("born", "1990", "is not written as 2020-12-31"),
        ("shop", "x" * 300, "is too long or empty"),
        ("shop", "", "has no value"),
        ("at", "", "has no value"),
    ],
)
def test_a_wrong_value_in_a_file_is_named_with_its_line(
    tmp_path: Path, field: str, text: str, said: str
) -> None:
    with pytest.raises(DataError, match=f"line 3: column '{field}' .*{said}"):
        table(tmp_path / "trips.csv", [TRIP, {**TRIP, field: text}])


def test_ignored_fields_may_stand_anywhere_and_say_anything() -> None:
    plain = encode(trips(), columns([ASKED]))
    assert encode(trips(), columns([{**ASKED, "": 5, "name": None}])).tobytes() == plain.tobytes()
    with pytest.raises(DataError, match="unknown field 'street'"):
        columns([{**ASKED, "street": "x"}])


def test_the_entity_names_no_transaction() -> None:
    """Two payments with one card are two payments."""
    assert naming(trips()) == ("ticket", "id")
    assert naming(market()) == ("id",)


def test_what_a_card_does_not_say_is_not_in_its_text() -> None:
    """A model holds its card's text: cards that say nothing new keep the bytes of their models."""
    text = market().model_dump_json()
    assert not any(word in text for word in ("ignored", "buckets", "written", "feature"))
    again = Card.model_validate_json(trips().model_dump_json())
    assert again == trips()


CONTRADICTIONS = {
    "buckets of an ordinal": (
        "kind: nominal, buckets",
        "kind: ordinal, buckets",
        "buckets are for",
    ),
    "one bucket": ("buckets: 4", "buckets: 1", "shop.buckets"),
    "buckets and a list": ("buckets: 4", "buckets: 4, categories: [a]", "buckets are for"),
    "a dated price": ("price: {kind: numeric,", "price: {kind: numeric, written: date,", "price"),
    "a bounded date": ("written: date}", "written: date, minimum: 0}", "no minimum"),
    "an unknown way of writing": ("written: date}", "written: week}", "born.written"),
    "an ignored column": ('["", name]', '["", price]', "ignored names a column"),
    "an ignored label": ('["", name]', '["", stolen]', "ignored names a column"),
}


@pytest.mark.parametrize(
    ("right", "wrong", "said"), CONTRADICTIONS.values(), ids=CONTRADICTIONS.keys()
)
def test_a_card_that_contradicts_itself_is_refused(right: str, wrong: str, said: str) -> None:
    assert TRIPS.count(right) == 1
    with pytest.raises(CardError, match=said):
        parse(TRIPS.replace(right, wrong), "trips.yaml")
