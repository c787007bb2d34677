"""A registry's versions as rows, and as a table for people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from fraudloop.errors import RegistryError
from fraudloop.lifecycle.registry import Registry
from fraudloop.lifecycle.store import CANDIDATE, CODE_VERSION, DATA_VERSION

COLUMNS = ("version", "bundle", "aliases", "candidate", "registered", "data", "code")


def rows(registry: Registry) -> list[dict[str, Any]]:
    """One row a version, the newest first."""
    model = registry.store.model(registry.model)
    if model is None:
        raise RegistryError(
            f"{registry.store.address} has no model {registry.model}: make it by "
            "`fraudloop registry register`"
        )
    return [
        {
            "version": version.number,
            "bundle": version.name,
            "aliases": sorted(
                alias for alias, number in model.aliases.items() if number == version.number
            ),
            "candidate": version.tags.get(CANDIDATE),
            "registered": _day(version.made_at),
            "data": version.tags.get(DATA_VERSION),
            "code": version.tags.get(CODE_VERSION),
        }
        for version in registry.store.versions(registry.model)
    ]


def table(listed: Sequence[dict[str, Any]]) -> str:
    """The rows in columns.

    >>> print(table([{"version": 1, "bundle": "ab", "aliases": ["champion"]}]), end="")
    version  bundle  aliases   candidate  registered  data  code
    1        ab      champion  -          -           -     -
    """
    cells = [COLUMNS, *(tuple(_cell(row.get(name)) for name in COLUMNS) for row in listed)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(COLUMNS))]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )
    return "".join(f"{line}\n" for line in lines)


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value) or "-"
    text = "-" if value is None else str(value)
    return text if len(text) <= 26 else f"{text[:25]}…"


def _day(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds")
