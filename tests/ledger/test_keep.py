"""Every decision is kept once, as it was, whatever is sent again."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fraudloop.errors import DataError
from fraudloop.ledger.ledger import Ledger
from fraudloop.ledger.records import LONGEST_ID
from tests.ledger.given import CARD, NOON, all_pages, decision, ids, many

pytest_plugins = ("tests.databases",)


def test_a_decision_is_given_back_as_it_was_kept(ledger: Ledger) -> None:
    kept = decision(
        transaction={
            "a": -0.0,
            "b": 0.1 + 0.2,
            "c": 5e-324,
            "d": 10**400,
            "e": None,
            "f": "\\N\t\n",
        },
        reasons=[{"feature": "a", "contribution": -1.5}],
        decided_at=NOON + timedelta(microseconds=1),
    )
    assert ledger.keep([kept], card=CARD) == 1
    found = ledger.find(kept.id)
    assert found is not None
    assert found.decision == kept
    assert math.copysign(1, found.decision.transaction["a"]) == -1
    assert found.card == CARD
    assert (found.verdict, found.history) == (None, ())


def test_what_is_sent_again_changes_nothing(ledger: Ledger) -> None:
    first = many(50)
    assert ledger.keep(first, card=CARD) == 50
    later = [replace(each, score=0.9, model_version="v2") for each in first[:30]]
    assert ledger.keep([*later, decision("new")], card=CARD) == 1
    assert ledger.keep(first, card=CARD) == 0
    kept = {each.decision.id: each.decision for each in all_pages(ledger)}
    assert kept == {each.id: each for each in [*first, decision("new")]}


def test_an_id_is_known_on_every_day(ledger: Ledger) -> None:
    assert ledger.keep([decision()], card=CARD) == 1
    next_day = decision(decided_at=NOON + timedelta(days=1))
    assert ledger.keep([next_day, decision("t-2")], card=CARD) == 1
    found = ledger.find("t-1")
    assert found is not None
    assert found.decision.decided_at == NOON


def test_of_one_id_twice_in_a_batch_the_first_counts(ledger: Ledger) -> None:
    assert ledger.keep([decision(score=0.1), decision(score=0.2)], card=CARD) == 1
    found = ledger.find("t-1")
    assert found is not None
    assert found.decision.score == 0.1


def test_a_verdict_outlives_every_replay(ledger: Ledger) -> None:
    ledger.keep(many(3), card=CARD)
    verdict = ledger.judge("t-000001", 1, "ana", "the holder called", NOON)
    assert ledger.keep([replace(each, prediction=1) for each in many(4)], card=CARD) == 1
    found = ledger.find("t-000001")
    assert found is not None
    assert (found.verdict, found.history) == (verdict, (verdict,))
    assert found.decision == many(3)[1]


def test_ten_thousand_are_kept_at_once_on_both_sides_of_midnight(ledger: Ledger) -> None:
    midnight = datetime(2026, 11, 4, tzinfo=UTC)
    batch = [
        replace(each, decided_at=midnight + timedelta(seconds=number - 5_000))
        for number, each in enumerate(many(10_000))
    ]
    assert ledger.keep(batch, card=CARD) == 10_000
    assert ledger.keep(batch, card=CARD) == 0
    assert ids(all_pages(ledger, limit=1_000)) == [each.id for each in reversed(batch)]


def test_nothing_kept_is_nothing_done(ledger: Ledger) -> None:
    assert ledger.keep([], card=CARD) == 0


def test_a_batch_is_kept_whole_or_not_at_all(ledger: Ledger) -> None:
    with pytest.raises(DataError, match="'bad' holds NaN"):
        ledger.keep([*many(300), decision("bad", transaction={"price": math.nan})], card=CARD)
    assert all_pages(ledger) == []
    assert ledger.keep(many(300), card=CARD) == 300


STRANGE = (
    *("'; DROP TABLE decisions; --", '"', "\\", "\\.", "\\N", "a\tb\nc\rd", "日本", "é", "e\u0301"),
    *("%s", " ", "null", "x" * LONGEST_ID, "\u200b\u2028", "\x01\x7f"),
)


def test_a_strange_id_is_an_id(ledger: Ledger) -> None:
    batch = [decision(id, reasons=[{"feature": id}]) for id in STRANGE]
    assert ledger.keep(batch, card=CARD) == len(STRANGE)
    assert ledger.keep([*map(decision, STRANGE), decision("other")], card=CARD) == 1
    for each in batch:
        found = ledger.find(each.id)
        assert found is not None
        assert found.decision == each
        assert ledger.judge(each.id, 0, "ana", "seen", NOON).decision_id == each.id


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"id": ""}, "has no id"),
        ({"id": "a\0b"}, "has no id"),
        ({"id": "x" * 10_000}, "has no id"),
        ({"id": "é" * (LONGEST_ID // 2 + 1)}, "has no id"),
        ({"id": "\ud800"}, "has no id"),
        ({"id": 7}, "has no id"),
        ({"decided_at": datetime(2026, 11, 3)}, "give a time with its zone"),
        ({"decided_at": datetime(1, 1, 1, tzinfo=UTC)}, "give a time with its zone"),
        ({"decided_at": datetime.max.replace(tzinfo=UTC)}, "give a time with its zone"),
        ({"score": math.nan}, "not from 0 to 1"),
        ({"score": 1.5}, "not from 0 to 1"),
        ({"prediction": 2}, "neither 0 nor 1"),
        ({"source": "guess"}, "none of stream, online, batch"),
        ({"model_version": ""}, "cannot be a model version"),
        ({"transaction": [1]}, "no object of fields"),
        ({"transaction": {"a": math.inf}}, "NaN or an infinite number"),
        ({"transaction": {"a": {"b": ["\0"]}}}, "NUL character"),
        ({"transaction": {"\0": 1}}, "NUL character"),
        ({"transaction": {"a": "\ud800"}}, "cannot be written as JSON"),
        ({"transaction": {"a": 10**5000}}, "cannot be written as JSON"),
        ({"transaction": {"a": object()}}, "cannot be written as JSON"),
        ({"reasons": [{"a": math.nan}]}, "NaN or an infinite number"),
    ],
)
def test_what_could_not_be_given_back_is_refused(
    wrong: dict[str, Any], said: str, sqlite_url: str
) -> None:
    with Ledger.open(sqlite_url) as ledger:
        with pytest.raises(DataError, match=said):
            ledger.keep([decision("good"), replace(decision("bad"), **wrong)], card=CARD)
        assert all_pages(ledger) == []


def test_a_text_that_only_looks_like_a_nul_is_kept(ledger: Ledger) -> None:
    kept = decision(transaction={"a": "\\u0000", "b": "null"})
    assert ledger.keep([kept], card=CARD) == 1
    found = ledger.find(kept.id)
    assert found is not None
    assert found.decision == kept


def test_a_moment_in_another_zone_is_the_same_moment(ledger: Ledger) -> None:
    east = timezone(timedelta(hours=9))
    moment = datetime(2026, 11, 4, 3, tzinfo=east)  # still the day before, in UTC
    ledger.keep([decision(decided_at=moment)], card=CARD)
    found = ledger.find("t-1")
    assert found is not None
    assert found.decision.decided_at == moment
    assert found.decision.decided_at.tzinfo == UTC


texts = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=20)
documents = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(transactions=st.lists(st.dictionaries(texts, documents, max_size=5), min_size=1, max_size=9))
def test_a_transaction_of_any_card_comes_back(
    transactions: list[dict[str, Any]], ledger: Ledger, seen: list[int]
) -> None:
    seen.append(1)
    batch = [
        decision(f"{len(seen)}-{number}", transaction=transaction)
        for number, transaction in enumerate(transactions)
    ]
    assert ledger.keep(batch, card=CARD) == len(batch)
    for each in batch:
        found = ledger.find(each.id)
        assert found is not None
        assert found.decision == each


@pytest.fixture
def seen() -> list[int]:
    """Grows with each example, so that ids are new."""
    return []
