"""The formats of files of transactions and decisions, and how a file's is told."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import PurePosixPath

BOM = b"\xef\xbb\xbf"


class Format(StrEnum):
    """How a file is written."""

    JSON = "json"
    JSON_LINES = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


SUFFIXES = {
    ".json": Format.JSON,
    ".jsonl": Format.JSON_LINES,
    ".ndjson": Format.JSON_LINES,
    ".csv": Format.CSV,
    ".parquet": Format.PARQUET,
    ".pq": Format.PARQUET,
}
KNOWN = ", ".join(SUFFIXES)


def of_name(name: str) -> Format | None:
    """The format that a name says.

    >>> of_name("day/2026-11-30.CSV")
    <Format.CSV: 'csv'>
    """
    return SUFFIXES.get(PurePosixPath(name).suffix.lower())


def of_beginning(first: bytes) -> Format:
    r"""The format of what begins so: for what comes through a pipe, without a name.

    >>> of_beginning(b'{"a": 1}\n{"a": 2}\n').value
    'jsonl'
    >>> of_beginning(b'[{"a": 1},\n{"a": 2}]\n').value
    'json'
    """
    if first.startswith(b"PAR1"):
        return Format.PARQUET
    text = first.removeprefix(BOM).lstrip()
    if not text.startswith((b"{", b"[")):
        return Format.CSV
    line, _, rest = text.partition(b"\n")
    if line.startswith(b"{") and rest.lstrip().startswith(b"{"):
        try:
            json.loads(line)
        except ValueError:
            return Format.JSON
        return Format.JSON_LINES
    return Format.JSON
