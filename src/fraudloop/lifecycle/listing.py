"""A registry's versions as rows, and as a table for people."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from fraudloop.errors import RegistryError
from fraudloop.lifecycle.registry import Registry
from fraudloop.lifecycle.store import CANDIDATE, CODE_VERSION, DATA_VERSION, Version

# A version's tags, one for each champion and server: what it scored in the shadow there.
SHADOW = "fraudloop.shadow"
COLUMNS = ("version", "bundle", "aliases", "candidate", "registered", "data", "code", "shadow")


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
            "shadow": shadow(version),
        }
        for version in registry.store.versions(registry.model)
    ]


def shadow(version: Version) -> dict[str, Any] | None:
    """How a version agreed with the champions it shadowed, on all servers together.

    >>> said = '{"rows": 4, "alerts": {"both": 1, "neither": 2}, "mean_difference": 0.5}'
    >>> shadow(Version(1, "", "", 0, {f"{SHADOW}.ab.here": said}))
    {'rows': 4, 'agreement': 0.75, 'mean_difference': 0.5}
    """
    rows = agreed = apart = 0.0
    for key, value in version.tags.items():
        if key.startswith(f"{SHADOW}."):
            with suppress(ValueError, KeyError, TypeError):  # another's tag: it counts nothing
                said = json.loads(value)
                some = int(said["rows"])
                agreed += int(said["alerts"]["both"]) + int(said["alerts"]["neither"])
                apart += float(said["mean_difference"]) * some
                rows += some
    if not rows:
        return None
    return {"rows": int(rows), "agreement": agreed / rows, "mean_difference": apart / rows}


def in_words(agreed: Mapping[str, Any] | None) -> str:
    """The same as a person reads it.

    >>> in_words({"rows": 4000, "agreement": 0.99975, "mean_difference": 0.0123})
    '4,000 rows, 99.98 % agree, scores 0.012 apart'
    """
    if agreed is None:
        return "-"
    return (
        f"{agreed['rows']:,} rows, {agreed['agreement']:.2%} agree, scores "
        f"{agreed['mean_difference']:.2g} apart"
    ).replace("%", " %")


def table(listed: Sequence[dict[str, Any]]) -> str:
    """The rows in columns.

    >>> print(table([{"version": 1, "bundle": "ab", "aliases": ["champion"]}]), end="")
    version  bundle  aliases   candidate  registered  data  code  shadow
    1        ab      champion  -          -           -     -     -
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
    if isinstance(value, dict):
        return in_words(value)
    text = "-" if value is None else str(value)
    return text if len(text) <= 26 else f"{text[:25]}…"


def _day(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds")
