"""Verdicts in a file, CSV or JSON lines → the ledger; a line that is wrong holds up no other."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from fraudloop.errors import DataError
from fraudloop.ledger.ledger import Ledger
from fraudloop.ledger.records import Judgement

AT_ONCE = 200
TOLD = 20
_CALLED = {"id": "id", "true_value": "true value", "by": "name of who judged", "why": "reason"}
_LONGEST_LINE = 1_000_000


@dataclass
class Imported:
    """What became of a file's lines; `faults` tells of the first that were refused."""

    added: int = 0
    known: int = 0
    refused: int = 0
    faults: list[str] = field(default_factory=list)

    def refuse(self, line: int, reason: str) -> None:
        """Count a line that is wrong."""
        self.refused += 1
        if len(self.faults) < TOLD:
            self.faults.append(f"line {line}: {reason}")


def import_verdicts(
    ledger: Ledger, path: Path, by: str | None, why: str | None, now: datetime
) -> Imported:
    """Add the verdicts of a file: `id` and `true_value`, and `by`, `why`, `at` where they are said.

    What a line does not say is `by`, `why`, `now`. A verdict that the ledger has, said by the same
    person at the same time, is not added again.
    """
    said = Imported()
    defaults: dict[str, Any] = {"by": by, "why": why, "at": now.isoformat()}
    lines = _lines(path)
    while some := list(islice(lines, AT_ONCE)):
        asked: list[tuple[int, Judgement]] = []
        wrong: list[tuple[int, str]] = []
        for number, fields in some:
            try:
                asked.append((number, _judgement(fields, defaults)))
            except DataError as error:
                wrong.append((number, str(error)))
        answers = ledger.judge_all([judgement for _, judgement in asked])
        for (number, _), answer in zip(asked, answers, strict=True):
            if answer is None:
                said.known += 1
            elif isinstance(answer, Exception):
                wrong.append((number, str(answer)))
            else:
                said.added += 1
        for number, reason in sorted(wrong):
            said.refuse(number, reason)
    return said


def _judgement(fields: Any, defaults: dict[str, Any]) -> Judgement:
    if isinstance(fields, DataError):
        raise fields
    told = {
        **defaults,
        **{name: value for name, value in fields.items() if value not in (None, "")},
    }
    for name, called in _CALLED.items():
        if told.get(name) is None:
            raise DataError(f"no {called}: give {name!r}")
    value = str(told["true_value"]).strip()
    if value not in ("0", "1"):
        raise DataError(f"the true value is {value[:40]!r}: give 0 (legitimate) or 1 (fraud)")
    try:
        at = datetime.fromisoformat(str(told["at"]))
    except ValueError:
        raise DataError(
            f"{str(told['at'])[:40]!r} is no time: write 2026-11-03T12:00:00Z"
        ) from None
    return Judgement(str(told["id"]), int(value), str(told["by"]), str(told["why"]), at)


def _lines(path: Path) -> Iterator[tuple[int, Any]]:
    """Each line's number with its fields, or with what is wrong with it."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            yield from _json_lines(file) if path.suffix in JSON_LINES else _csv_lines(file, path)
    except OSError as error:
        raise DataError(
            f"no verdicts at {path} ({error.strerror}): name a CSV file or JSON lines"
        ) from error


JSON_LINES = (".jsonl", ".ndjson", ".json")


def _csv_lines(file: Any, path: Path) -> Iterator[tuple[int, Any]]:
    reader = csv.DictReader(file)
    try:
        names = reader.fieldnames or ()
        if lacking := [name for name in ("id", "true_value") if name not in names]:
            raise DataError(f"{path}, line 1: no column {lacking[0]!r}: add it")
        for fields in reader:
            if None in fields or None in fields.values():
                yield reader.line_num, DataError("not as many fields as in the header: correct it")
            else:
                yield reader.line_num, fields
    except csv.Error as error:
        raise DataError(
            f"{path}, line {reader.line_num}: no CSV ({error}): save it anew"
        ) from error


def _json_lines(file: Any) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line) if len(line) < _LONGEST_LINE else None
        except (ValueError, RecursionError):
            fields = None
        wrong = DataError('no JSON object: write {"id": …, "true_value": …}')
        yield number, fields if isinstance(fields, dict) else wrong
