"""Whether a table is still like the one before: every column by its kind, and one verdict.

A finding needs three things: a p-value that is small although so many tests were made, an effect
that is large enough to matter, and enough rows. With a million rows everything is significant.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from reprlib import repr as shown
from typing import Any

import numpy as np

from fraudloop.dataset.card import Card, Column, Kind
from fraudloop.monitoring.detectors import (
    CHI_SQUARE,
    MANN_WHITNEY,
    PROPORTIONS,
    WELCH,
    Counts,
    Tested,
    corrected,
)
from fraudloop.monitoring.shapes import Shape, shape_of
from fraudloop.monitoring.tables import Categories, Held, Numbers, labels, tested
from fraudloop.params import Drift

# The chi-square distribution is one of many rows: where fewer are expected, categories go together.
FEWEST_EXPECTED = 5
MOST_NAMED = 5


@dataclass(frozen=True)
class Check:
    """One test of one thing: `p` is None where it could not be made, which `note` explains."""

    about: str
    test: str
    effect_name: str
    minimum_effect: float
    rows: tuple[int, int]
    found: Tested | None
    p_corrected: float | None = None
    drifted: bool = False
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        """The check as it stands in the report; what is infinite has no number there."""
        found = self.found
        return {
            "about": self.about,
            "test": self.test,
            "statistic": None if found is None else _finite(found.statistic),
            "p": None if found is None else found.p,
            "p_corrected": self.p_corrected,
            "effect_name": self.effect_name,
            "effect": None if found is None else _finite(found.effect),
            "minimum_effect": self.minimum_effect,
            "rows": {"reference": self.rows[0], "current": self.rows[1]},
            "drifted": self.drifted,
            "note": self.note,
        }


@dataclass(frozen=True)
class Compared:
    """A column, or the scores, of both tables: what was tested, and what it looks like."""

    name: str
    kind: str
    checks: tuple[Check, ...]
    shape: Shape
    notes: tuple[str, ...] = ()

    @property
    def drifted(self) -> bool:
        """Whether any check found drift."""
        return any(check.drifted for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        """The column as it stands in the report."""
        return {
            "kind": self.kind,
            "drifted": self.drifted,
            "checks": [check.as_json() for check in self.checks],
            "notes": list(self.notes),
            "distribution": self.shape.as_json(),
        }


@dataclass(frozen=True)
class Comparison:
    """All of two tables, once every p-value knows how many there are."""

    card: Card
    rows: tuple[int, int]
    settings: Drift
    columns: tuple[Compared, ...]
    scores: tuple[Compared, ...] = ()

    @property
    def compared(self) -> tuple[Compared, ...]:
        """The columns, then the scores."""
        return (*self.columns, *self.scores)

    @property
    def family(self) -> int:
        """How many tests were made."""
        return sum(check.found is not None for each in self.compared for check in each.checks)

    @property
    def drifted(self) -> tuple[str, ...]:
        """What has changed, most of all first: by its effect in units of the least that counts."""
        found = {each.name: _strength(each) for each in self.compared if each.drifted}
        return tuple(sorted(found, key=lambda name: (-found[name], name)))


def compare(
    card: Card,
    reference: Mapping[str, Held],
    current: Mapping[str, Held],
    settings: Drift,
    scored: tuple[Compared, ...] = (),
) -> Comparison:
    """Compare what two tables hold, column by column; `scored` are checks of scores beside them."""
    columns = tested(card)
    made = [
        _column(name, column, reference[name], current[name], settings)
        for name, column in columns.items()
    ]
    first = next(iter(columns))
    rows = (reference[first].rows, current[first].rows)
    decided = _decided([*made, *scored], settings)
    return Comparison(card, rows, settings, decided[: len(made)], decided[len(made) :])


def numeric(
    about: str,
    reference: Numbers,
    current: Numbers,
    minimum_effect: float,
    minimum_rows: int,
) -> Check:
    """Welch's t of two columns of numbers."""
    moments = reference.moments, current.moments
    rows = (moments[0].rows, moments[1].rows)
    blank = Check(about, WELCH.name, WELCH.effect, minimum_effect, rows, None)
    if too_few := _too_few(rows, minimum_rows):
        return replace(blank, note=too_few)
    note = ""
    if moments[0].variance == 0 == moments[1].variance:
        note = _constant(f"{moments[0].mean:.6g}", f"{moments[1].mean:.6g}")
    return replace(blank, found=WELCH.test(*moments), note=note)


def share(
    about: str,
    reference: tuple[int, int],
    current: tuple[int, int],
    minimum_effect: float,
    minimum_rows: int,
) -> Check:
    """The z-test of two shares, each given as how many of how many."""
    rows = (reference[1], current[1])
    blank = Check(about, PROPORTIONS.name, PROPORTIONS.effect, minimum_effect, rows, None)
    if too_few := _too_few(rows, minimum_rows):
        return replace(blank, note=too_few)
    return replace(blank, found=PROPORTIONS.test(reference, current))


def _column(name: str, column: Column, before: Held, now: Held, settings: Drift) -> Compared:
    checks = [*_values(column, before, now, settings), *_gaps(column, before, now, settings)]
    shape = shape_of(column, before, now)
    return Compared(name, str(column.kind), tuple(checks), shape, tuple(_notes(before, now)))


def _values(column: Column, before: Held, now: Held, settings: Drift) -> Iterator[Check]:
    effects, least = settings.effects, settings.minimum_rows
    if isinstance(before, Numbers) and isinstance(now, Numbers):
        yield numeric("values", before, now, effects.numeric, least)
    elif isinstance(before, Categories) and isinstance(now, Categories):
        if column.kind is Kind.BINARY:
            pairs = [(int(each.counts[1]), each.known) for each in (before, now)]
            check = share("values", pairs[0], pairs[1], effects.binary, least)
            yield replace(check, note=check.note or _one_category(column, before, now))
        elif column.kind is Kind.ORDINAL:
            yield _steps(column, before, now, settings)
        else:
            yield _shares(column, before, now, settings)


def _steps(column: Column, before: Categories, now: Categories, settings: Drift) -> Check:
    rows = (before.known, now.known)
    blank = Check(
        "values", MANN_WHITNEY.name, MANN_WHITNEY.effect, settings.effects.ordinal, rows, None
    )
    if too_few := _too_few(rows, settings.minimum_rows):
        return replace(blank, note=too_few)
    found = MANN_WHITNEY.test(before.counts, now.counts)
    return replace(blank, found=found, note=_one_category(column, before, now))


def _shares(column: Column, before: Categories, now: Categories, settings: Drift) -> Check:
    """A category that the card does not know is one more, in which all such go together."""
    counts = [np.append(each.counts, each.unknown) for each in (before, now)]
    rows = (int(counts[0].sum()), int(counts[1].sum()))
    blank = Check(
        "values", CHI_SQUARE.name, CHI_SQUARE.effect, settings.effects.nominal, rows, None
    )
    if too_few := _too_few(rows, settings.minimum_rows):
        return replace(blank, note=too_few)
    together, rare = rare_together(counts[0], counts[1])
    note = _one_category(column, before, now)
    if rare:
        note = f"{rare} rare categories are tested as one"
    return replace(blank, found=CHI_SQUARE.test(*together), note=note)


def rare_together(before: Counts, now: Counts) -> tuple[tuple[Counts, Counts], int]:
    """Put categories of which too few rows are expected into one; how many these are.

    >>> rare_together(np.array([90, 6, 3, 1]), np.array([95, 5, 0, 0]))
    ((array([90,  6,  4]), array([95,  5,  0])), 2)
    """
    both = before + now
    smaller = min(before.sum(), now.sum()) / both.sum()
    rare = (both > 0) & (both * smaller < FEWEST_EXPECTED)
    if rare.sum() < 2:
        return (before, now), 0
    together = tuple(np.append(each[~rare], each[rare].sum()) for each in (before, now))
    return (together[0], together[1]), int(rare.sum())


def _gaps(column: Column, before: Held, now: Held, settings: Drift) -> Iterator[Check]:
    """The shares of missing and of unknown values are tested where there are any at all."""
    effect, least = settings.effects.gaps, settings.minimum_rows
    if before.missing or now.missing:
        pairs = [(each.missing, each.rows) for each in (before, now)]
        yield share("missing values", pairs[0], pairs[1], effect, least)
    # A nominal column's test counts the unknown as a category already.
    if (before.unknown or now.unknown) and column.kind is not Kind.NOMINAL:
        pairs = [(each.unknown, each.rows) for each in (before, now)]
        yield share("unknown values", pairs[0], pairs[1], effect, least)


def _notes(before: Held, now: Held) -> Iterator[str]:
    if before.missing or now.missing:
        yield f"missing in {_both(before.missing, before.rows, now.missing, now.rows)}"
    if before.unknown or now.unknown:
        what = "unknown to the card" if isinstance(now, Categories) else "no number"
        others = list(now.others) if isinstance(now, Categories) else []
        named = f" ({_first(others)})" if others else ""
        yield f"{what} in {_both(before.unknown, before.rows, now.unknown, now.rows)}{named}"


def _both(before: int, rows: int, now: int, of: int) -> str:
    return f"{before:,} of {rows:,} rows before, {now:,} of {of:,} now"


def _first(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(shown(name) for name in names[:MOST_NAMED]) + more


def _too_few(rows: tuple[int, int], minimum: int) -> str:
    """Why nothing can be said, or nothing."""
    if min(rows) >= minimum:
        return ""
    side = "before" if rows[0] < minimum else "now"
    fewest = rows[0] if rows[0] < minimum else rows[1]
    if fewest == 0:
        return f"no row {side} holds a value: nothing can be compared"
    return f"only {fewest} rows {side} hold a value: at least {minimum} are needed to say anything"


def _constant(before: str, now: str) -> str:
    return (
        f"always {before}, before and now"
        if before == now
        else f"always {before} before, {now} now"
    )


def _one_category(column: Column, before: Categories, now: Categories) -> str:
    """What is to be said of a column that has but one category in each table."""
    if before.unknown or now.unknown:
        return ""
    only = [np.flatnonzero(each.counts) for each in (before, now)]
    if any(len(each) != 1 for each in only):
        return ""
    names = [labels(column)[each[0]] for each in only]
    return _constant(names[0], names[1])


def _decided(made: list[Compared], settings: Drift) -> tuple[Compared, ...]:
    """Correct all p-values together, and say of each check whether it is a finding."""
    p = [check.found.p for each in made for check in each.checks if check.found is not None]
    values = iter(corrected(p, settings.correction))

    def decided(check: Check) -> Check:
        if check.found is None:
            return check
        p_corrected = next(values)
        large = abs(check.found.effect) >= check.minimum_effect
        return replace(
            check, p_corrected=p_corrected, drifted=large and p_corrected < settings.alpha
        )

    return tuple(replace(each, checks=tuple(map(decided, each.checks))) for each in made)


def _strength(compared: Compared) -> float:
    """The largest effect of a column's findings, in units of the least that counts."""
    return max(
        abs(check.found.effect) / check.minimum_effect
        for check in compared.checks
        if check.drifted and check.found is not None
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
