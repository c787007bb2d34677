"""Tables go up and down, with what is in them, and an older or newer ledger is told apart."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from sqlalchemy import inspect, text

from fraudloop.errors import LedgerError
from fraudloop.ledger import migrate, place
from fraudloop.ledger.ledger import Ledger
from fraudloop.ledger.records import DriftReport, Filters
from fraudloop.ledger.tables import REVISIONS, metadata
from tests.ledger.given import CARD, NOON, all_pages, decision, ids, many

pytest_plugins = ("tests.databases",)


def filled(url: str) -> None:
    with Ledger.open(url) as ledger:
        ledger.keep(many(20), card=CARD, owe_alerts=True)
        ledger.keep([decision("later", decided_at=NOON + timedelta(days=3))], card=CARD)
        ledger.judge("t-000003", 1, "ana", "seen", NOON)
        ledger.users.add("ana", "correct horse", ["analyst"])
        ledger.drift.put(DriftReport("r", CARD, NOON, True, {"columns": []}))


def names(url: str) -> set[str]:
    engine = place.made(place.parsed(url))
    with engine.connect() as connection:
        found = set(inspect(connection).get_table_names())
    engine.dispose()
    return found


def test_the_revisions_are_those_that_the_code_names() -> None:
    directory = migrate.scripts()
    assert directory.get_heads() == [REVISIONS[-1]]
    found = [script.revision for script in directory.walk_revisions()]
    assert tuple(reversed(found)) == REVISIONS


def test_the_tables_have_the_columns_that_the_code_speaks_of(ledger_url: str) -> None:
    engine = place.made(place.parsed(ledger_url))
    with engine.connect() as connection:
        found = inspect(connection)
        for table in metadata.tables.values():
            if table.name == "decision_ids" and engine.dialect.name == "sqlite":
                continue
            columns = {each["name"]: each["nullable"] for each in found.get_columns(table.name)}
            assert columns == {each.name: each.nullable for each in table.columns}, table.name
    engine.dispose()


def test_what_was_kept_by_an_older_version_is_there_after_going_up(url: str) -> None:
    assert migrate.migrate(url) == ("base", "0003")
    filled(url)
    assert migrate.migrate(url, "0001") == ("0003", "0001")
    assert not {"jobs", "audit", "drift_reports", "alerts_owed", "alert_messages"} & names(url)
    with pytest.raises(LedgerError, match="is at revision 0001, not 0003: run `fraudloop ledger"):
        Ledger.open(url)
    assert migrate.migrate(url) == ("0001", "0003")
    assert migrate.migrate(url) == ("0003", "0003")
    with Ledger.open(url) as ledger:
        assert ids(all_pages(ledger))[:2] == ["later", "t-000019"]
        assert ids(all_pages(ledger, Filters(true_value=1))) == ["t-000003"]
        assert [*ledger.users.all()] == ["ana"]
        assert (ledger.drift.get("r"), ledger.alerts.waiting()) == (None, 0)
        assert ledger.keep([*many(21)], card=CARD) == 1
        assert ledger.judge("t-000003", 0, "bo", "looked again", NOON).number == 2


def test_going_down_to_the_base_leaves_nothing_and_may_begin_anew(url: str) -> None:
    migrate.migrate(url)
    filled(url)
    assert migrate.migrate(url, "base") == ("0003", "base")
    assert names(url) <= {"alembic_version", "sqlite_sequence"}
    migrate.migrate(url)
    filled(url)


def test_a_ledger_without_tables_is_told_how_to_get_them(url: str) -> None:
    with pytest.raises(LedgerError, match="run `fraudloop ledger migrate`"):
        Ledger.open(url)


def test_a_ledger_from_the_future_is_left_alone(url: str) -> None:
    migrate.migrate(url)
    engine = place.made(place.parsed(url))
    with place.writing(engine).begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0999'"))
    engine.dispose()
    for attempt in (Ledger.open, migrate.migrate):
        with pytest.raises(LedgerError, match="revision 0999, newer than this program"):
            attempt(url)


def test_a_revision_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(LedgerError, match="no revision '7': take one of base, 0001, 0002, 0003"):
        migrate.migrate(url, "7")


def test_two_migrations_at_once_are_one(url: str) -> None:
    start = threading.Barrier(3)
    answers: list[tuple[str, str]] = []

    def run() -> None:
        start.wait()
        answers.append(migrate.migrate(url))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [("0003", "0003"), ("0003", "0003"), ("base", "0003")]
    filled(url)


def test_a_migration_that_breaks_leaves_what_was_there(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate.migrate(url, "0001")
    before = names(url)
    engine = place.made(place.parsed(url))
    with place.writing(engine).begin() as connection:
        connection.execute(text("CREATE TABLE jobs (mine integer)"))
    with pytest.raises(LedgerError):
        migrate.migrate(url)
    assert names(url) == {*before, "jobs"}
    with place.writing(engine).begin() as connection:
        connection.execute(text("DROP TABLE jobs"))
    engine.dispose()
    assert migrate.migrate(url) == ("0001", "0003")
