"""Slices divide the rows, are bordered from outside, and say nothing where nothing is known."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudloop.training.figures import judge
from fraudloop.training.scored import Policy, Scored
from fraudloop.training.slices import (
    SLICED,
    by_amount,
    by_hour,
    of_days,
    quartiles,
    slices,
)

DAY = 86_400.0
POLICY = Policy(review_cost=5.0, lost_share=1.0, alert_share=0.01)
EDGES = (7.0, 21.87, 67.3)


def drawn(seed: int, rows: int = 3000, days: float = 3.0, frauds: float = 0.05) -> Scored:
    rng = np.random.default_rng(seed)
    labels = (rng.random(rows) < frauds).astype(np.int8)
    scores = 1 / (1 + np.exp(-rng.normal(3.0 * labels - 3, 1.0)))
    return Scored(labels, scores, rng.lognormal(3, 1.5, rows), rng.uniform(0, days * DAY, rows))


def sliced(rows: Scored, edges: tuple[float, ...] = EDGES, resamples: int = 20) -> dict[str, Any]:
    made = slices(
        rows,
        0.4,
        POLICY,
        edges=edges,
        resamples=resamples,
        confidence=0.9,
        rng=np.random.default_rng(1),
    )
    assert json.loads(json.dumps(made, allow_nan=False)) == made
    return made


TIMES = st.lists(
    st.tuples(st.floats(0, 500), st.floats(-2 * DAY, 9 * DAY), st.integers(0, 1)), min_size=1
)


@given(TIMES)
def test_slices_of_each_kind_divide_the_rows(drawn_rows: list[tuple[float, float, int]]) -> None:
    amounts, seconds, labels = (np.array(column) for column in zip(*drawn_rows, strict=True))
    rows = Scored(labels.astype(np.int8), np.linspace(0, 1, len(labels)), amounts, seconds)
    made = sliced(rows, resamples=2)
    assert made["days_left_out"] == 0
    for kind in ("amount", "hour", "day"):
        assert sum(part["rows"] for part in made[kind]) == len(rows)
        assert sum(part["frauds"] for part in made[kind]) == labels.sum()
        assert sum(part["alerts"] for part in made[kind]) == (rows.scores >= 0.4).sum()
        assert sum(part["share"] for part in made[kind]) == pytest.approx(1, abs=1e-4)
        assert all(part["rows"] > 0 for part in made[kind])
        assert len({part["label"] for part in made[kind]}) == len(made[kind])


def test_amounts_are_divided_at_the_edges_that_are_given() -> None:
    bands, labels = by_amount(np.array([0.0, 6.99, 7.0, 21.87, 67.29, 67.3, 1e6]), EDGES)
    assert [labels[band] for band in bands] == [
        *["below 7"] * 2,
        "7 to 21.87",
        *["21.87 to 67.3"] * 2,
        *["67.3 and more"] * 2,
    ]
    assert by_amount(np.array([5.0]), ()) == (np.array([0]), ["any"])
    assert by_amount(np.array([5.0]), (12_345_678.0, 2.0, 2.0))[1] == [
        *("below 2", "2 to 12345678", "12345678 and more"),
    ]


def test_quartiles_hold_a_quarter_each() -> None:
    amounts = np.random.default_rng(2).lognormal(3, 1.5, 10_000)
    bands, labels = by_amount(amounts, quartiles(amounts))
    assert len(labels) == 4
    assert np.bincount(bands) == pytest.approx([2500] * 4, abs=2)
    assert quartiles(np.array([0.0, 0.0, 0.0, 1.0, 1.0])) == (0.0, 1.0)


def test_the_hour_is_that_of_any_midnight() -> None:
    hours = np.array([0, 5.999, 6, 11.5, 12, 18, 23.999, 24, 24 + 13, -1, 24 * 20_000 + 7])
    bands, labels = by_hour(hours * 3600)
    assert labels == ["00 to 06 h", "06 to 12 h", "12 to 18 h", "18 to 24 h"]
    assert bands.tolist() == [0, 0, 1, 1, 2, 3, 3, 0, 2, 3, 1]
    assert by_hour(np.array([-1e-20]))[0].tolist() == [3]


def test_days_count_from_midnight_whichever_part_of_the_table_is_sliced() -> None:
    seconds = np.array([1.64 * DAY, 1.99 * DAY, 2.0 * DAY, 5.5 * DAY])
    assert of_days(seconds).tolist() == [1, 1, 2, 5]
    assert of_days(np.array([0.2 * DAY, -0.2 * DAY, -1.5 * DAY])).tolist() == [0, -1, -2]
    rows = Scored(np.array([1, 0, 0, 1], np.int8), np.full(4, 0.5), np.ones(4), seconds)
    found = [(part["label"], part["rows"]) for part in sliced(rows)["day"]]
    assert found == [("day 2", 2), ("day 3", 1), ("day 6", 1)]


def test_days_since_1970_are_called_by_their_date() -> None:
    rows = drawn(3, days=2.0)
    assert rows.seconds is not None
    dated = sliced(replace(rows, seconds=rows.seconds + 20_000 * DAY))["day"]
    assert [part["label"] for part in dated] == ["2024-10-04", "2024-10-05"]


def test_of_many_days_the_last_fourteen_are_shown_and_the_others_counted() -> None:
    rows = drawn(3, days=40.0)
    made = sliced(rows)
    assert [part["label"] for part in made["day"]] == [f"day {day}" for day in range(27, 41)]
    assert made["days_left_out"] == 26
    assert rows.seconds is not None
    assert sum(part["rows"] for part in made["day"]) == (rows.seconds >= 26 * DAY).sum()
    assert sum(part["rows"] for part in made["hour"]) == len(rows)


def test_a_slice_is_judged_as_its_rows_alone_would_be() -> None:
    rows = drawn(4)
    part = sliced(rows)["amount"][2]
    own = rows.only((rows.amounts >= 21.87) & (rows.amounts < 67.3))
    seed = int(np.random.default_rng(1).integers(2**63))
    judged = judge(
        own, 0.4, POLICY, resamples=20, confidence=0.9, rng=np.random.default_rng(seed)
    ).only(*SLICED)
    alerts = own.scores >= 0.4
    assert part == {
        "label": "21.87 to 67.3",
        "rows": len(own),
        "share": round(len(own) / 3000, 6),
        "frauds": own.frauds,
        "alerts": alerts.sum(),
        "false_alarms": (own.labels[alerts] == 0).sum(),
        **judged,
    }
    assert part["interval"]["recall"]["low"] < part["recall"] < part["interval"]["recall"]["high"]


def test_a_slice_does_not_depend_on_the_others() -> None:
    rows = drawn(5)
    with_three = sliced(rows)["amount"]
    with_one = sliced(rows, edges=(67.3,))["amount"]
    assert with_three[-1] == with_one[-1]
    assert with_three[0] != with_one[0]


def test_without_time_there_are_slices_by_amount_alone() -> None:
    rows = drawn(6)
    timeless = Scored(rows.labels, rows.scores, rows.amounts)
    assert sliced(timeless) == {"amount": sliced(rows)["amount"]}


def test_where_no_fraud_is_only_rows_and_alarms_are_counted() -> None:
    rows = drawn(7)
    rows.labels[rows.amounts < 7] = 0
    first, second, *_ = sliced(rows)["amount"]
    assert first["frauds"] == 0
    assert first["false_alarms"] == first["alerts"] > 0
    assert {name: first[name] for name in SLICED} == dict.fromkeys(SLICED)
    assert all(each == {"low": None, "high": None} for each in first["interval"].values())
    assert set(first) == set(second)
    assert None not in (second[name] for name in SLICED)
