"""Reading messages the quick way and the patient way comes to the same."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from fraudloop.serving.dialects import Dialects
from fraudloop.streaming import messages
from tests.fitted import card, features, table

ROW: dict[str, Any] = {"id": "a", **dict(table()[list(card().columns)].iloc[0])}


@pytest.fixture(scope="module")
def dialects() -> Dialects:
    return Dialects(card(), most_rows=1000)


def body(**changes: Any) -> bytes:
    return json.dumps(ROW | changes).encode()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"id": 7},
        {"id": "urn:card:1"},
        {"id": 'quote " and : colon'},
        {"Class": 0},
        {"Class": None},
        {"Class": "1"},
        {"id": "ä"},
    ],
)
def test_both_roads_read_alike(dialects: Dialects, changes: dict[str, Any]) -> None:
    content = body(**changes)
    patient = messages._patiently(card(), content)
    read = messages.read(dialects, [content])
    assert read.poison == []
    assert read.asked is not None
    assert list(read.asked.ids) == list(patient.ids) == [(ROW | changes)["id"]]
    np.testing.assert_array_equal(read.asked.features, patient.features)
    np.testing.assert_array_equal(patient.features[0], features()[0])


def test_halves_of_an_object_in_two_messages_make_no_whole(dialects: Dialects) -> None:
    content = body()
    half = content.index(b", ")
    read = messages.read(dialects, [content + b"," + content[:half], content[half + 2 :]])
    assert read.asked is None
    assert [each.place for each in read.poison] == [0, 1]


def test_poison_does_not_move_its_neighbours(dialects: Dialects) -> None:
    read = messages.read(dialects, [body(id="a"), b"{", body(id="b"), None, body(id="c")])
    assert list(read.places) == [0, 2, 4]
    assert read.asked is not None
    assert list(read.asked.ids) == ["a", "b", "c"]
    assert [each.place for each in read.poison] == [1, 3]
