"""What a message says, and the table beside it."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from typing import Any

import pytest

from fraudloop.streaming.notice import Notice, as_csv, ranked
from tests.ledger.given import NOON, decision


def rows(*transactions: dict[str, Any], most: int = 10_000) -> list[dict[str, str]]:
    frauds = [decision(f"t-{n}", transaction=each) for n, each in enumerate(transactions)]
    table, _ = as_csv(frauds, most)
    return list(csv.DictReader(io.StringIO(table.decode(), newline="")))


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "＝1", '=HYPERLINK("x";"y")'],
)
def test_no_text_is_a_formula_to_a_spreadsheet(text: str) -> None:
    [row] = rows({"note": text, text: "x"})
    assert row["note"] == f"'{text}"
    assert row[f"'{text}"] == "x"
    [row] = rows({"note": f'a","{text}'})
    assert row["note"] == f'a","{text}'


def test_an_id_is_no_formula_either() -> None:
    table, _ = as_csv([decision("=cmd|' /C calc'!A0")], 10_000)
    assert table.decode().splitlines()[1].startswith("\"'=cmd|")


def test_numbers_stay_numbers_and_any_transaction_has_a_row() -> None:
    first, second = rows({"price": -2.5, "id": "own", "old": None}, {"more": {"a": [1]}, "b": True})
    assert (first["price"], first["transaction.id"], first["old"]) == ("-2.5", "own", "")
    assert (second["price"], second["more"], second["b"]) == ("", '{"a": [1]}', "true")
    assert rows({"name": "Zoë\udc80"})[0]["name"] == "Zoë\\udc80"


def test_a_table_has_as_many_rows_as_there_is_room_for() -> None:
    frauds = [decision(f"t-{n}", transaction={"note": "x" * 100}) for n in range(50)]
    table, done = as_csv(frauds, 3_000)
    assert 0 < done < 50
    assert len(table) <= 3_000
    assert len(table.decode().splitlines()) == done + 1


def test_frauds_are_ranked_by_score_or_by_what_is_to_be_lost() -> None:
    frauds = [
        decision("cheap", score=0.9, transaction={"price": 1}),
        decision("dear", score=0.6, transaction={"price": 500}),
        decision("unknown", score=0.8, transaction={"price": "much"}),
        decision("sure", score=0.99, transaction={}),
    ]
    assert [each.id for each in ranked(frauds, None)] == ["sure", "cheap", "unknown", "dear"]
    assert [each.id for each in ranked(frauds, "price")] == ["dear", "cheap", "sure", "unknown"]


def test_a_used_up_capacity_is_said() -> None:
    notice = Notice("log-1", NOON + timedelta(hours=1), (), 7, 5, 5, 107)
    assert notice.headline == ("7 predicted frauds beyond today's capacity of 5, which is used up")
    assert "5 of 5 that can be looked at were listed, 107 more only counted" in notice.text()
