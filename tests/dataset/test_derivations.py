"""Each kind of derived feature by itself."""

from __future__ import annotations

from datetime import date
from math import log1p

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudloop.dataset.card import parse
from fraudloop.dataset.derivations import (
    KINDS,
    AgeOf,
    DistanceBetween,
    HourOf,
    LogOf,
    WeekdayOf,
)
from fraudloop.dataset.times import Written, seconds_of
from fraudloop.errors import CardError
from tests.dataset.tables import MARKET
from tests.dataset.tables_dated import TRIPS, trips

PLACES = ("a", "b", "c", "d")


def distance(*places: float) -> float:
    far = DistanceBetween(name="far", distance_between=PLACES)
    columns = {name: np.array([each]) for name, each in zip(PLACES, places, strict=True)}
    return float(far.values(columns)[0])


@given(st.dates(min_value=date(1, 1, 1)))
def test_the_weekday_is_the_calendars(day: date) -> None:
    seconds = seconds_of(np.array([str(day)]), Written.DATE)
    found = WeekdayOf(name="day", weekday_of="at").values({"at": seconds + 86399})
    assert found.tolist() == [day.weekday()]


def test_an_hour_never_is_24() -> None:
    hours = HourOf(name="hour", hour_of="at").values({"at": np.array([86399.9999999, -3600.0])})
    assert hours.tolist() == [0.0, 23.0]


def test_an_age_is_that_of_the_transactions_day() -> None:
    age = AgeOf(name="age", age_of="born", at="at")
    born = seconds_of(np.array(["1990-06-21"] * 3), Written.DATE)
    at = seconds_of(np.array(["2020-06-21", "1990-06-21", "1989-06-21"]), Written.DATE)
    assert age.values({"born": born, "at": at}) == pytest.approx([30.0, 0.0, -1.0], abs=0.003)


def test_distances_are_those_of_the_globe() -> None:
    assert distance(52.52, 13.405, 52.52, 13.405) == 0.0
    assert distance(0, 0, 0, 180) == pytest.approx(np.pi * 6371, rel=1e-6)
    assert distance(0, 179.5, 0, -179.5) == pytest.approx(np.pi * 6371 / 180, rel=1e-5)
    assert distance(90, 0, -90, 77) == pytest.approx(np.pi * 6371, rel=1e-6)


@given(*[st.floats(-90, 90)] * 4)
def test_there_is_as_far_as_back_and_never_nothing(a: float, b: float, c: float, d: float) -> None:
    assert distance(a, b, c, d) == pytest.approx(distance(c, d, a, b), abs=1e-3)
    assert np.isfinite(distance(a, b, c, d))


@given(st.floats(0, 1e30))
def test_a_logarithm_is_of_one_more_and_rounded(price: float) -> None:
    found = LogOf(name="log", log_of="price").values({"price": np.array([price])})
    assert found[0] == pytest.approx(log1p(price), abs=6e-5)
    assert found.dtype == np.float32


def test_one_row_gets_what_it_gets_among_many() -> None:
    rng = np.random.default_rng(1)
    columns = {name: rng.uniform(-90, 90, 1000) for name in PLACES}
    far = DistanceBetween(name="far", distance_between=PLACES)
    together = far.values(columns)
    alone = [
        far.values({name: each[i : i + 1] for name, each in columns.items()}) for i in range(50)
    ]
    assert np.concatenate(alone).tobytes() == together[:50].tobytes()


WRONG = {
    "an hour of a number": ("hour_of: at", "hour_of: price", "'price', which is no time"),
    "a weekday of a number": ("weekday_of: at", "weekday_of: price", "no dated time column"),
    "an age of a number": ("age_of: born", "age_of: price", "no dated time column"),
    "a logarithm of a time": ("log_of: price", "log_of: at", "'at', which is no numeric column"),
    "three coordinates": (
        "[north, east, to north, to east]",
        "[north, east, to north]",
        "distance",
    ),
    "a kind that is none": (
        "hour_of: at",
        "minute_of: at",
        "a derived feature says one of hour_of",
    ),
}


@pytest.mark.parametrize(("right", "wrong", "said"), WRONG.values(), ids=WRONG.keys())
def test_what_cannot_be_derived_is_refused_by_name(right: str, wrong: str, said: str) -> None:
    assert TRIPS.count(f" {right}") == 1
    with pytest.raises(CardError, match=said):
        parse(TRIPS.replace(f" {right}", f" {wrong}"), "trips.yaml")


def test_seconds_since_any_midnight_have_no_weekday() -> None:
    with pytest.raises(CardError, match="no dated time column"):
        parse(MARKET.replace("name: hour, hour_of: at", "name: day, weekday_of: at"), "market")


def test_a_card_has_every_kind() -> None:
    assert {type(each) for each in trips().derived} == set(KINDS.values())
