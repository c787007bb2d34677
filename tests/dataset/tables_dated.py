"""A dataset with dates, words without a list, an entity and columns to be left alone."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from fraudloop.dataset.card import Card, parse

TRIPS = """
id: trips
title: Journeys, paid by card
columns:
  at: {kind: time, written: datetime}
  born: {kind: time, written: date}
  shop: {kind: nominal, buckets: 4}
  class: {kind: nominal, categories: [first, second]}
  price: {kind: numeric, minimum: 0}
  north: {kind: numeric, minimum: -90, maximum: 90, feature: false}
  east: {kind: numeric, minimum: -180, maximum: 180, feature: false}
  to north: {kind: numeric, minimum: -90, maximum: 90, feature: false}
  to east: {kind: numeric, minimum: -180, maximum: 180, feature: false}
  ticket: {kind: id}
  card: {kind: id}
ignored: ["", name]
label: {column: stolen}
time: at
entity: card
amount: price
derived:
  - {name: log of the price, log_of: price}
  - {name: hour, hour_of: at}
  - {name: weekday, weekday_of: at}
  - {name: age, age_of: born, at: at}
  - {name: distance, distance_between: [north, east, to north, to east]}
"""
TRIP: dict[str, Any] = {
    "at": "2020-06-21 12:30:00",
    "born": "1990-06-21",
    "shop": "Rye & Sons, Inc",
    "class": "first",
    "price": 9.5,
    "north": 52.52,
    "east": 13.405,
    "to north": 48.8566,
    "to east": 2.3522,
    "ticket": "t-1",
    "card": 4000000000000289,
}
# What a client must send: the ids may be left out.
ASKED = {name: value for name, value in TRIP.items() if name not in ("ticket", "card")}


def trips() -> Card:
    return parse(TRIPS, "trips.yaml")


def journeys(min_size: int = 1) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Rows that fit the card of trips."""
    days = st.dates().map(str)
    moments = st.datetimes().map(lambda each: each.isoformat(" ", "seconds"))
    words = st.text(min_size=1, max_size=8).filter(lambda text: text.strip() != "")
    degrees = st.floats(-90, 90)
    row = st.fixed_dictionaries(
        {
            "at": moments,
            "born": days,
            "shop": st.one_of(words, st.sampled_from(["a:b", "7", 'with "quotes", and more'])),
            "class": st.sampled_from(["first", "second"]),
            "price": st.floats(0, 1e6),
            "north": degrees,
            "east": degrees,
            "to north": degrees,
            "to east": degrees,
        },
        optional={
            "ticket": st.one_of(st.none(), st.integers(0, 9), st.sampled_from(["t:1", "t-2"])),
            "card": st.one_of(st.none(), st.integers(0, 9)),
            "": st.integers(),
            "name": st.text(max_size=3),
            "stolen": st.integers(0, 1),
        },
    )
    return st.lists(row, min_size=min_size, max_size=6)
