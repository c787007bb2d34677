"""Confirmed decisions → a file with the training file's own columns, the verdict as the label."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fraudloop import files
from fraudloop.dataset.card import CATEGORICAL, Card, Kind
from fraudloop.dataset.records import columns_of
from fraudloop.dataset.words import as_text
from fraudloop.errors import DataError, LedgerError
from fraudloop.ledger.ledger import Ledger
from fraudloop.ledger.records import Kept
from fraudloop.progress import Progress, Silent

S3 = "s3://"


@dataclass
class Exported:
    """How many decisions were written; those that do not fit the card were left out."""

    rows: int = 0
    frauds: int = 0
    left_out: int = 0
    first_fault: str = ""


def export_validated(
    ledger: Ledger,
    card: Card,
    destination: str,
    endpoint: str | None = None,
    progress: Progress | None = None,
) -> Exported:
    """Write the card's confirmed decisions to a path or `s3://bucket/key`, whole or not at all."""
    shown = progress or Silent()
    shown.start(None, f"export to {destination}")
    try:
        if not destination.startswith(S3):
            with files.written_aside(Path(destination)) as aside:
                return _write(aside, card, ledger.confirmed(card.id), shown)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "validated.csv"
            done = _write(path, card, ledger.confirmed(card.id), shown)
            _put(path, destination, endpoint)
            return done
    finally:
        shown.stop()


def _write(path: Path, card: Card, confirmed: Iterable[Kept], progress: Progress) -> Exported:
    done = Exported()
    label = (card.label.legitimate, card.label.fraud)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*card.columns, card.label.column])
        for kept in confirmed:
            decision, verdict = kept.decision, kept.verdict
            assert verdict is not None, "only what was confirmed is asked for"
            fields = decision.transaction
            try:
                columns_of(card, [(decision.id, fields)])
            except DataError as error:
                done.left_out += 1
                done.first_fault = done.first_fault or str(error)
                continue
            written = [
                _text(column.kind, fields.get(name)) for name, column in card.columns.items()
            ]
            row = [*written, as_text(label[verdict.true_value])]
            progress.advance(int(writer.writerow(row)))
            done.rows += 1
            done.frauds += verdict.true_value
    if not done.rows:
        raise LedgerError(
            f"no decision of {card.id} that fits the card has a verdict yet: "
            "judge some with `fraudloop ledger verdict`"
        )
    return done


def _text(kind: Kind, value: Any) -> str:
    """A value as the card's reader takes it back."""
    if value is None:
        return ""
    return as_text(value) if kind in CATEGORICAL else str(value)


def _put(path: Path, destination: str, endpoint: str | None) -> None:
    """Upload a file: S3 shows an object when all of it is there."""
    bucket, _, key = destination.removeprefix(S3).partition("/")
    if not bucket or not key or key.endswith("/"):
        raise LedgerError(f"{destination} names no file: give s3://bucket/path/to/file")
    try:
        import boto3
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError as error:
        raise LedgerError("writing to S3 needs boto3: run `make install`") from error
    try:
        client = boto3.client("s3", endpoint_url=endpoint)
        client.upload_file(str(path), bucket, key)
    except (BotoCoreError, Boto3Error, ClientError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise LedgerError(
            f"{destination} cannot be written ({reason}): check bucket and AWS_* credentials"
        ) from error
