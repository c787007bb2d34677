"""Verdicts are added and never changed; files of them go in line by line."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from fraudloop.errors import DataError, NoDecisionError
from fraudloop.ledger.ledger import Ledger
from fraudloop.ledger.verdict_files import AT_ONCE, TOLD, Imported, import_verdicts
from tests.ledger.given import CARD, NOON, many

pytest_plugins = ("tests.databases",)


def test_every_verdict_stays_and_the_newest_counts(ledger: Ledger) -> None:
    ledger.keep(many(3), card=CARD)
    first = ledger.judge("t-000001", 1, "ana", "the holder called", NOON)
    second = ledger.judge("t-000001", 0, "bo", "it was the holder's son", NOON + timedelta(hours=1))
    older = ledger.judge("t-000001", 1, "cy", "from a list of last week", NOON - timedelta(days=7))
    found = ledger.find("t-000001")
    assert found is not None
    assert found.history == (older, first, second)
    assert found.verdict == second
    assert found.decision == many(3)[1]


@pytest.mark.parametrize(
    ("true_value", "by", "why", "at", "said"),
    [
        (2, "ana", "seen", NOON, "give 0 .legitimate. or 1"),
        (1, "", "seen", NOON, "name of who judges"),
        (1, "ana\n", "seen", NOON, "name of who judges"),
        (1, "ana", "  ", NOON, "says why"),
        (1, "ana", "\0", NOON, "says why"),
        (1, "ana", "\ud800", NOON, "says why"),
        (1, "ana", "x" * 5_000, NOON, "says why"),
        (1, "ana", "seen", datetime(2026, 11, 3), "give a time with its zone"),
    ],
)
def test_what_is_no_verdict_is_refused(
    true_value: int, by: str, why: str, at: datetime, said: str, sqlite_url: str
) -> None:
    with Ledger.open(sqlite_url) as ledger:
        ledger.keep(many(1), card=CARD)
        with pytest.raises(DataError, match=said):
            ledger.judge("t-000000", true_value, by, why, at)
        found = ledger.find("t-000000")
    assert found is not None
    assert found.history == ()


def test_a_decision_that_is_not_there_cannot_be_judged(ledger: Ledger) -> None:
    for id in ("none", "", "\0", "\ud800", "x" * 10_000):
        with pytest.raises(NoDecisionError, match="there is no decision"):
            ledger.judge(id, 1, "ana", "seen", NOON)


def imported(ledger: Ledger, path: Path, text: str, **defaults: str) -> Imported:
    path.write_text(text, encoding="utf-8")
    return import_verdicts(ledger, path, defaults.get("by"), defaults.get("why"), NOON)


def test_a_csv_file_of_verdicts_goes_in_and_bad_lines_are_told(
    ledger: Ledger, tmp_path: Path
) -> None:
    ledger.keep(many(9), card=CARD)
    done = imported(
        ledger,
        tmp_path / "verdicts.csv",
        "true_value,id,why,at\n"
        "1,t-000001,called,2026-11-01T10:00:00Z\n"
        '0,t-000002,"two\nlines",\n'
        "7,t-000003,,\n"
        "1,none,,\n"
        "1,t-000004\n"
        "1,t-000005,,yesterday\n"
        "1,t-000006,,2026-11-01T10:00:00\n"
        "1,t-000007,,\n",
        by="ana",
        why="the chargeback list",
    )
    assert (done.added, done.known, done.refused) == (3, 0, 5)
    lines = [fault.partition(":")[0] for fault in done.faults]
    assert lines == ["line 5", "line 6", "line 7", "line 8", "line 9"]
    found = ledger.find("t-000002")
    assert found is not None
    assert found.verdict is not None
    assert (found.verdict.why, found.verdict.by, found.verdict.at) == ("two\nlines", "ana", NOON)


def test_json_lines_go_in_and_the_same_file_again_adds_nothing(
    ledger: Ledger, tmp_path: Path
) -> None:
    ledger.keep(many(9), card=CARD)
    text = (
        '{"id": "t-000001", "true_value": 1, "by": "bo", "at": "2026-11-01T10:00:00Z"}\n'
        "\n[1]\n{broken\n"
        '{"id": "t-000002", "true_value": true}\n'
        '{"id": "t-000002", "true_value": 0}\n'
        '{"true_value": 0}\n'
    )
    path = tmp_path / "verdicts.jsonl"
    done = imported(ledger, path, text, by="ana", why="list")
    assert (done.added, done.known, done.refused) == (2, 0, 4)
    again = imported(ledger, path, text, by="ana", why="list")
    assert (again.added, again.known, again.refused) == (0, 2, 4)
    found = ledger.find("t-000001")
    assert found is not None
    assert [verdict.by for verdict in found.history] == ["bo"]


def test_long_files_go_in_and_only_the_first_faults_are_told(
    sqlite_url: str, tmp_path: Path
) -> None:
    count = AT_ONCE + 100
    lines = "".join(f"t-{n:06},1\nnone-{n},1\n" for n in range(count))
    with Ledger.open(sqlite_url) as ledger:
        ledger.keep(many(count), card=CARD)
        done = imported(ledger, tmp_path / "v.csv", f"id,true_value\n{lines}", by="a", why="b")
    assert (done.added, done.refused, len(done.faults)) == (count, count, TOLD)


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "line 1: no column 'id'"), ("id,why\na,b\n", "line 1: no column 'true_value'")],
)
def test_a_file_without_what_is_needed_is_refused(
    text: str, said: str, sqlite_url: str, tmp_path: Path
) -> None:
    with Ledger.open(sqlite_url) as ledger:
        with pytest.raises(DataError, match=said):
            imported(ledger, tmp_path / "v.csv", text, by="a", why="b")
        with pytest.raises(DataError, match="no verdicts at"):
            import_verdicts(ledger, tmp_path / "none.csv", "a", "b", NOON)
