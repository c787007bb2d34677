"""Decisions are found page by page, by what the console and monitoring ask, along an index."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.dialects import postgresql

from fraudloop.errors import DataError
from fraudloop.ledger import place, statements
from fraudloop.ledger.ledger import Ledger
from fraudloop.ledger.records import FieldTest, Filters, Order
from tests.ledger.given import CARD, NOON, all_pages, decision, ids, many

pytest_plugins = ("tests.databases",)

COUNT = 40
KEPT = many(COUNT)
JUDGED = {3: 1, 11: 0, 35: 1}


@pytest.fixture
def filled(ledger: Ledger) -> Ledger:
    """Decisions of two versions and sources, on three days, three of them judged."""
    days = [
        decision(
            each.id,
            transaction=each.transaction,
            score=each.score,
            prediction=each.prediction,
            decided_at=NOON + timedelta(hours=number * 2),
            model_version="v1" if number < 25 else "v2",
            source="online" if number % 3 == 0 else "stream",
        )
        for number, each in enumerate(KEPT)
    ]
    ledger.keep(days[:20], card=CARD)
    ledger.keep(days[20:], card="other")
    for number, true_value in JUDGED.items():
        ledger.judge(f"t-{number:06}", 1 - true_value, "bo", "first look", NOON)
        ledger.judge(f"t-{number:06}", true_value, "ana", "looked again", NOON + timedelta(1))
    return ledger


def _is_thirty(number: int) -> bool:
    return number == 30


FILTERS: list[tuple[Filters, Any]] = [
    (Filters(), lambda n: True),
    (Filters(since=NOON + timedelta(hours=20)), lambda n: n >= 10),
    (Filters(until=NOON + timedelta(hours=20)), lambda n: n < 10),
    (Filters(prediction=1), lambda n: n >= 32),
    (Filters(prediction=0), lambda n: n < 32),
    (Filters(least_score=0.5), lambda n: n >= 20),
    (Filters(most_score=0.25, least_score=0.125), lambda n: 5 <= n <= 10),
    (Filters(model_version="v2"), lambda n: n >= 25),
    (Filters(model_version="none"), lambda n: False),
    (Filters(source="online"), lambda n: n % 3 == 0),
    (Filters(card="other"), lambda n: n >= 20),
    (Filters(judged=True), lambda n: n in JUDGED),
    (Filters(judged=False), lambda n: n not in JUDGED),
    (Filters(judged=False, prediction=1), lambda n: n >= 32 and n not in JUDGED),
    (Filters(true_value=1), lambda n: JUDGED.get(n) == 1),
    (Filters(true_value=0), lambda n: JUDGED.get(n) == 0),
    (Filters(fields=(FieldTest("price", ">", 30),)), lambda n: n > 30),
    (Filters(fields=(FieldTest("price", ">=", 30.0),)), lambda n: n >= 30),
    (
        Filters(fields=(FieldTest("price", "=", 30), FieldTest("stall", "=", "NA"))),
        lambda n: n == 30,
    ),
    (Filters(fields=(FieldTest("price", "!=", 30),)), lambda n: n != 30),
    (Filters(fields=(FieldTest("stall", "=", "fish"),)), lambda n: n % 2 == 1),
    (Filters(fields=(FieldTest("stall", ">", 1),)), lambda n: False),
    (Filters(fields=(FieldTest("nothing", "<", 1),)), lambda n: False),
]


@pytest.mark.parametrize("order", ["newest", "riskiest"])
def test_all_pages_together_hold_what_passes_in_order(order: Order, filled: Ledger) -> None:
    for asked, passes in FILTERS:
        wanted = [f"t-{number:06}" for number in reversed(range(COUNT)) if passes(number)]
        assert ids(all_pages(filled, asked, order=order)) == wanted, asked


def test_a_page_shows_the_newest_verdict_on_each(filled: Ledger) -> None:
    shown = {each.decision.id: each.verdict for each in all_pages(filled)}
    assert {id for id, verdict in shown.items() if verdict} == {f"t-{n:06}" for n in JUDGED}
    for number, true_value in JUDGED.items():
        verdict = shown[f"t-{number:06}"]
        assert verdict is not None
        assert (verdict.true_value, verdict.by) == (true_value, "ana")


def test_what_comes_meanwhile_neither_repeats_nor_hides_anything(ledger: Ledger) -> None:
    ledger.keep(many(20), card=CARD)
    first = ledger.page(limit=10)
    newer = decision("newer", decided_at=NOON + timedelta(days=2))
    ledger.keep([newer], card=CARD)
    rest = ledger.page(after_key=first.next_key, limit=20)
    found = ids([*first.decisions, *rest.decisions])
    assert found == [each.id for each in reversed(many(20))]


def test_decisions_of_one_moment_and_score_are_told_apart_by_id(ledger: Ledger) -> None:
    same = [decision(id) for id in ("a", "B", "é", "Z", "a.", "a-")]
    ledger.keep(same, card=CARD)
    wanted = sorted((each.id for each in same), key=str.encode, reverse=True)
    for order in ("newest", "riskiest"):
        assert ids(all_pages(ledger, limit=1, order=order)) == wanted


def test_a_field_may_be_a_number_here_and_a_text_there(ledger: Ledger) -> None:
    values: list[Any] = [7, "7", "seven", None, True, [7], {"a": 7}, 7.5, 10**400]
    ledger.keep(
        [decision(f"t-{n}", transaction={"it's $1": each}) for n, each in enumerate(values)],
        card=CARD,
    )
    over = Filters(fields=(FieldTest("it's $1", ">", 7),))
    assert sorted(ids(all_pages(ledger, over))) == ["t-7", "t-8"]
    exact = Filters(fields=(FieldTest("it's $1", "=", 7.5),))
    assert ids(all_pages(ledger, exact)) == ["t-7"]
    reads = Filters(fields=(FieldTest("it's $1", "=", "7"),))
    assert sorted(ids(all_pages(ledger, reads))) == ["t-0", "t-1"]


def test_what_cannot_be_asked_of_a_field_is_refused(ledger: Ledger) -> None:
    for name in ("", '"', "a\0", "x" * 300):
        with pytest.raises(DataError, match="cannot be asked for"):
            ledger.page(Filters(fields=(FieldTest(name, ">", 1),)))
    with pytest.raises(DataError, match="cannot be compared with nan"):
        ledger.page(Filters(fields=(FieldTest("price", ">", float("nan")),)))


def test_a_key_that_is_none_of_ours_is_refused(ledger: Ledger) -> None:
    ledger.keep(many(5), card=CARD)
    newest = ledger.page(limit=2).next_key
    assert newest is not None
    for key in ("", "zz", "00", newest[:-2], "5b5d"):
        with pytest.raises(DataError, match="none of ours"):
            ledger.page(after_key=key)
    with pytest.raises(DataError, match="none of ours"):
        ledger.page(after_key=newest, order="riskiest")
    for limit in (0, -1, 1_001):
        with pytest.raises(DataError, match="ask for 1 to 1,000"):
            ledger.page(limit=limit)


@pytest.fixture
def busy(postgres_url: str) -> Iterator[tuple[str, Engine]]:
    """A PostgreSQL ledger with three days of decisions, of which it knows how they are spread."""
    batch = [
        decision(
            f"t-{number:06}",
            score=0.9 if number % 200 == 0 else 0.001,
            prediction=int(number % 200 == 0),
            model_version=f"v{number // 3_000}",
            decided_at=NOON + timedelta(seconds=number * 20),
        )
        for number in range(12_000)
    ]
    with Ledger.open(postgres_url) as ledger:
        ledger.keep(batch, card=CARD)
        for number in range(0, 12_000, 1_500):
            ledger.judge(f"t-{number:06}", 1, "ana", "seen", NOON)
    engine = place.made(place.parsed(postgres_url))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    yield postgres_url, engine
    engine.dispose()


ASKED: list[tuple[str, Filters, Order, str]] = [
    ("newest first", Filters(), "newest", "pkey"),
    ("of a day", Filters(since=NOON, until=NOON + timedelta(hours=1)), "newest", "pkey"),
    ("no verdict yet", Filters(judged=False), "newest", "pkey"),
    ("frauds", Filters(prediction=1), "newest", "decided_at_id_idx"),
    ("frauds without verdict", Filters(prediction=1, judged=False), "newest", "decided_at_id_idx"),
    ("riskiest", Filters(), "riskiest", "score_id_idx"),
    ("riskiest frauds", Filters(prediction=1, judged=False), "riskiest", "score_id_idx"),
    ("least score", Filters(least_score=0.5), "riskiest", "score_id_idx"),
    ("with a verdict", Filters(judged=True), "newest", "judged"),
    ("of a version", Filters(model_version="v0"), "newest", "pkey"),
    ("by a field", Filters(fields=(FieldTest("price", ">", 1),)), "newest", "pkey"),
]


def test_every_statement_follows_an_index(busy: tuple[str, Engine]) -> None:
    url, engine = busy
    with Ledger.open(url) as ledger:
        key = ledger.page(limit=100).next_key
        risky = ledger.page(limit=10, order="riskiest").next_key
    with engine.begin() as connection:
        for name, filters, order, index in ASKED:
            for after in (None, key if order == "newest" else risky):
                statement = statements.page(
                    filters, order, after, 51, "postgresql", risky=order == "riskiest"
                )
                plan = "\n".join(connection.scalars(_explained(statement)))
                assert "Seq Scan on decisions" not in plan, f"{name}:\n{plan}"
                assert index in plan, f"{name}:\n{plan}"


def _explained(statement: Any) -> Any:
    compiled = statement.compile(
        dialect=postgresql.dialect(),  # type: ignore[no-untyped-call]  # it has no types
        compile_kwargs={"literal_binds": True},
    )
    return text("EXPLAIN " + str(compiled).replace(":", "\\:").replace("%%", "%"))
