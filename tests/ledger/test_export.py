"""Confirmed decisions become a training file that the card's own reader takes."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from fraudloop.dataset.checks import validate
from fraudloop.dataset.reading import read_csv
from fraudloop.errors import LedgerError
from fraudloop.ledger.export import export_validated
from fraudloop.ledger.ledger import Ledger
from tests.dataset.tables import market
from tests.fitted import card as default_card
from tests.ledger.given import NOON, decision
from tests.servers import S3

pytest_plugins = ("tests.databases", "tests.servers")

PURCHASES: list[dict[str, Any]] = [
    {"at": 0.0, "price": 0.1 + 0.2, "abroad": "no", "stall": "NA", "size": 2, "buyer": "ann"},
    {"at": 60, "price": 5e-324, "abroad": "yes", "stall": 7, "size": 2.0, "buyer": 'b"o,\nb'},
    {"at": 1e7, "price": 1000.125, "abroad": "no", "stall": "fish", "size": "3", "buyer": "007"},
]


def judged(ledger: Ledger) -> None:
    """Three purchases with verdicts, one without, one that does not fit, one of another card."""
    batch = [
        decision(f"t-{n}", transaction=each, decided_at=NOON + timedelta(days=n))
        for n, each in enumerate(PURCHASES)
    ]
    batch.append(decision("unjudged", transaction=PURCHASES[0]))
    batch.append(decision("unfit", transaction={**PURCHASES[0], "price": -1}))
    ledger.keep(batch, card="market")
    ledger.keep([decision("elsewhere", transaction=PURCHASES[0])], card="other")
    for id, value in (("t-0", 1), ("t-1", 0), ("t-2", 0), ("unfit", 1), ("elsewhere", 1)):
        ledger.judge(id, value, "ana", "seen", NOON)
    ledger.judge("t-0", 0, "bo", "looked again", NOON + timedelta(hours=1))
    ledger.judge("t-2", 1, "bo", "looked again", NOON + timedelta(hours=1))


def test_the_file_has_the_cards_columns_and_the_newest_verdict(
    ledger: Ledger, tmp_path: Path
) -> None:
    judged(ledger)
    path = tmp_path / "new" / "validated.csv"
    done = export_validated(ledger, market(), str(path))
    assert (done.rows, done.frauds, done.left_out) == (3, 1, 1)
    assert "transaction 'unfit': 'price' is -1" in done.first_fault
    assert path.read_text(encoding="utf-8").splitlines()[0] == (
        "at,price,abroad,stall,size,buyer,verdict"
    )
    table = validate(read_csv(path, market()), market(), path)
    assert table["price"].tolist() == [each["price"] for each in PURCHASES]
    assert table["at"].tolist() == [each["at"] for each in PURCHASES]
    assert table["stall"].tolist() == ["NA", "7", "fish"]
    assert table["buyer"].tolist() == [each["buyer"] for each in PURCHASES]
    raw = read_csv(path, market())
    assert raw["verdict"].tolist() == ["honest", "honest", "stolen"]
    assert raw["size"].tolist() == ["2", "2", "3"]
    assert [each.name for each in path.parent.iterdir()] == ["validated.csv"]


def test_the_default_cards_rows_come_back_to_the_last_digit(
    sqlite_url: str, tmp_path: Path
) -> None:
    card = default_card()
    rows = [
        {name: (n + 1) / 3 * 10 ** (i - 15) for i, name in enumerate(card.columns)}
        for n in range(5)
    ]
    with Ledger.open(sqlite_url) as ledger:
        ledger.keep(
            [decision(f"t-{n}", transaction=row | {"id": f"t-{n}"}) for n, row in enumerate(rows)],
            card=card.id,
        )
        for n in range(5):
            ledger.judge(f"t-{n}", n % 2, "ana", "seen", NOON)
        export_validated(ledger, card, str(tmp_path / "v.csv"))
    table = read_csv(tmp_path / "v.csv", card)
    assert table[list(card.columns)].to_dict("records") == rows
    assert table[card.label.column].tolist() == ["0", "1", "0", "1", "0"]


def test_without_a_verdict_nothing_is_written(ledger: Ledger, tmp_path: Path) -> None:
    ledger.keep([decision("t-0", transaction=PURCHASES[0])], card="market")
    path = tmp_path / "validated.csv"
    path.write_text("what was there", encoding="utf-8")
    with pytest.raises(LedgerError, match=r"no decision of market that fits .* has a verdict yet"):
        export_validated(ledger, market(), str(path))
    assert path.read_text(encoding="utf-8") == "what was there"
    assert [each.name for each in tmp_path.iterdir() if "validated" in each.name] == [path.name]


def test_it_goes_to_s3_as_it_goes_to_a_path(sqlite_url: str, tmp_path: Path, s3: S3) -> None:
    bucket = "validated-decisions"
    s3.put(bucket, "before", b"")
    with Ledger.open(sqlite_url) as ledger:
        judged(ledger)
        export_validated(ledger, market(), str(tmp_path / "v.csv"))
        export_validated(ledger, market(), f"s3://{bucket}/of/today.csv", s3.endpoint)
        with pytest.raises(LedgerError, match=r"cannot be written .*NoSuchBucket.*: check bucket"):
            export_validated(ledger, market(), "s3://nowhere/today.csv", s3.endpoint)
        for wrong in ("s3://", "s3://bucket", "s3://bucket/", "s3://bucket/folder/"):
            with pytest.raises(LedgerError, match="names no file"):
                export_validated(ledger, market(), wrong, s3.endpoint)
    stored = s3.client.get_object(Bucket=bucket, Key="of/today.csv")["Body"].read()
    assert stored == (tmp_path / "v.csv").read_bytes()
