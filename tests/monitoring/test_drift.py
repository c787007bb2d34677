"""A finding needs certainty, size and rows; everything else is said, and is no finding."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from fraudloop.monitoring.drift import compare, rare_together
from fraudloop.monitoring.tables import held
from tests.monitoring.cups import KINDS, SETTINGS, card, column, compared, cups, table

ROWS = 3000


def test_two_draws_of_the_same_cups_do_not_differ() -> None:
    found = compared(cups(ROWS, 1), cups(ROWS, 2))
    assert found.drifted == ()
    assert found.family == 5
    assert found.rows == (ROWS, ROWS)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("price", np.random.default_rng(5).normal(3.3, 1.0, ROWS)),
        ("size", np.random.default_rng(5).choice(["small", "large"], ROWS)),
        ("milk", np.random.default_rng(5).choice([0, 1], ROWS, p=[0.35, 0.65])),
        ("kind", np.random.default_rng(5).choice(KINDS, ROWS)),
        ("shop", np.random.default_rng(5).choice([f"shop {n}" for n in range(8)], ROWS)),
    ],
)
def test_the_column_that_has_changed_is_found_and_no_other(name: str, values: Any) -> None:
    assert compared(cups(ROWS, 1), cups(ROWS, 2, **{name: values})).drifted == (name,)


def test_each_kind_has_its_own_test() -> None:
    found = compared(cups(ROWS, 1), cups(ROWS, 2))
    tests = {each.name: [check.test for check in each.checks] for each in found.columns}
    assert tests == {
        "price": ["Welch's t"],
        "size": ["Mann-Whitney U"],
        "milk": ["z of proportions"],
        "kind": ["chi-square"],
        "shop": ["chi-square"],
    }


def test_what_is_certain_but_small_is_no_finding() -> None:
    rows = 400_000
    rng = np.random.default_rng(1)
    found = compared(
        cups(rows, 1, price=rng.normal(3, 1, rows)), cups(rows, 2, price=rng.normal(3.05, 1, rows))
    )
    (check,) = column(found, "price").checks
    assert check.p_corrected is not None
    assert check.p_corrected < 1e-50
    assert not check.drifted


def test_what_is_large_but_uncertain_is_no_finding() -> None:
    rng = np.random.default_rng(3)
    found = compared(
        cups(60, 1, price=rng.normal(3, 1, 60)), cups(60, 2, price=rng.normal(3.3, 1, 60))
    )
    (check,) = column(found, "price").checks
    assert check.found is not None
    assert check.found.effect > SETTINGS.effects.numeric
    assert not check.drifted


def test_too_few_rows_prove_nothing_whatever_they_hold() -> None:
    few = SETTINGS.minimum_rows - 1
    found = compared(cups(ROWS, 1), cups(few, 2, price=np.full(few, 99.0)))
    assert found.drifted == ()
    assert found.family == 0
    (check,) = column(found, "price").checks
    assert check.note == f"only {few} rows now hold a value: at least 50 are needed to say anything"


def test_a_column_without_any_value_says_so() -> None:
    found = compared(cups(ROWS, 1, price=[None] * ROWS), cups(ROWS, 2))
    values, missing = column(found, "price").checks
    assert values.note == "no row before holds a value: nothing can be compared"
    assert missing.about == "missing values"
    assert missing.drifted


def test_constants_are_compared_by_what_they_are() -> None:
    before = {"price": np.full(ROWS, 2.0), "kind": ["tea"] * ROWS, "milk": [1] * ROWS}
    same = compared(cups(ROWS, 1, **before), cups(ROWS, 2, **before))
    assert same.drifted == ()
    notes = {name: column(same, name).checks[0].note for name in before}
    assert notes == {
        "price": "always 2, before and now",
        "kind": "always tea, before and now",
        "milk": "always 1, before and now",
    }
    now = {"price": np.full(ROWS, 2.5), "kind": ["latte"] * ROWS, "milk": [0] * ROWS}
    other = compared(cups(ROWS, 1, **before), cups(ROWS, 2, **now))
    assert set(other.drifted) == set(before)
    assert column(other, "price").checks[0].note == "always 2 before, 2.5 now"


def test_missing_values_are_no_category_and_have_a_test_of_their_own() -> None:
    kinds = cups(ROWS, 2)["kind"].astype(object)
    kinds[: ROWS // 5] = None
    found = compared(cups(ROWS, 1), cups(ROWS, 2, kind=kinds))
    values, missing = column(found, "kind").checks
    assert values.rows == (ROWS, ROWS - ROWS // 5)
    assert not values.drifted
    assert missing.drifted
    assert column(found, "kind").notes == (
        f"missing in 0 of 3,000 rows before, {ROWS // 5} of 3,000 now",
    )


@pytest.mark.parametrize(
    ("name", "about"), [("kind", "values"), ("size", "unknown values"), ("milk", "unknown values")]
)
def test_a_new_category_is_found_and_named(name: str, about: str) -> None:
    values = cups(ROWS, 2)[name].astype(object).astype(str).astype(object)
    values[: ROWS // 5] = "mate"
    found = compared(cups(ROWS, 1), cups(ROWS, 2, **{name: values}))
    assert found.drifted == (name,)
    assert [check.about for check in column(found, name).checks if check.drifted] == [about]
    assert "('mate')" in column(found, name).notes[0]


def test_a_few_strangers_are_said_and_no_finding() -> None:
    values = cups(ROWS, 2)["kind"].astype(object)
    values[:3] = "mate"
    found = compared(cups(ROWS, 1), cups(ROWS, 2, kind=values))
    assert found.drifted == ()
    assert (
        "unknown to the card in 0 of 3,000 rows before, 3 of 3,000 now"
        in column(found, "kind").notes[0]
    )


def test_rare_categories_go_together_only_if_there_are_several() -> None:
    before, now = np.array([900, 90, 4]), np.array([950, 50, 0])
    (first, second), rare = rare_together(before, now)
    assert rare == 0
    assert first is before
    assert second is now


@pytest.mark.parametrize("correction", ["bonferroni", "holm"])
def test_the_family_is_all_tests_together(correction: Any) -> None:
    settings = SETTINGS.model_copy(update={"correction": correction})
    before, now = (held(table(cups(ROWS, seed)), card()) for seed in (1, 2))
    found = compare(card(), before, now, settings)
    checks = [check for each in found.columns for check in each.checks]
    p = [check.found.p for check in checks if check.found is not None]
    smallest = min(range(len(p)), key=p.__getitem__)
    assert checks[smallest].p_corrected == pytest.approx(p[smallest] * len(p))


def test_half_of_a_table_does_not_differ_from_the_other_half() -> None:
    every = cups(2000, 1)
    alarms = 0
    for seed in range(40):
        order = np.random.default_rng(seed).permutation(2000)
        halves = ({n: v[part] for n, v in every.items()} for part in (order[:1000], order[1000:]))
        before, now = halves
        alarms += bool(compared(before, now).drifted)
    assert alarms <= 5  # 2 expected at most; 6 in one run of 100 of a test that keeps its level


def test_every_number_of_a_comparison_can_be_written_as_json() -> None:
    before = cups(ROWS, 1, price=np.full(ROWS, 2.0))
    found = compared(before, cups(ROWS, 2, price=np.full(ROWS, 3.0), size=[None] * ROWS))
    text = json.dumps([each.as_json() for each in found.compared], allow_nan=False)
    assert json.loads(text)[0]["checks"][0]["effect"] is None
