"""The drift report: one sentence on top, then all that it rests on, as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fraudloop.monitoring.drift import Check, Compared, Comparison

FORMAT = 1
TINIEST = 1e-300


@dataclass(frozen=True)
class About:
    """What a report says of itself beside its figures."""

    made_at: str
    reference: str
    current: str
    synthetic: bool
    model_version: str | None = None


def report_of(comparison: Comparison, about: About) -> dict[str, Any]:
    """The report as plain values, ready for JSON, for a page, or for the ledger."""
    settings = comparison.settings
    return {
        "format": FORMAT,
        "verdict": verdict(comparison),
        "drift": bool(comparison.drifted),
        "drifted": list(comparison.drifted),
        "card": comparison.card.id,
        "synthetic": about.synthetic,
        "made_at": about.made_at,
        "model_version": about.model_version,
        "reference": {"name": about.reference, "rows": comparison.rows[0]},
        "current": {"name": about.current, "rows": comparison.rows[1]},
        "family": {
            "tests": comparison.family,
            "alpha": settings.alpha,
            "correction": settings.correction,
        },
        "minimum_rows": settings.minimum_rows,
        "left_out": left_out(comparison),
        "columns": {each.name: each.as_json() for each in comparison.columns},
        "scores": {each.name: each.as_json() for each in comparison.scores},
    }


def verdict(comparison: Comparison) -> str:
    """Everything in one sentence."""
    columns, drifted = comparison.columns, comparison.drifted
    if not comparison.family:
        return (
            "Nothing can be said: no column has enough rows in both tables "
            f"({comparison.settings.minimum_rows} with a value)."
        )
    if not drifted:
        largest = f"{comparison.family} tests" if comparison.family > 1 else "its one test"
        unsaid = sum(all(check.found is None for check in each.checks) for each in columns)
        but = f" Of {_columns(unsaid)} nothing can be said." if unsaid else ""
        return f"No drift: none of {largest} found a change that is both certain and large.{but}"
    first = next(each for each in comparison.compared if each.name == drifted[0])
    check = max((each for each in first.checks if each.drifted), key=_size)
    within = [each.name for each in columns if each.drifted]
    beside = " and ".join(f"the {each.name}s" for each in comparison.scores if each.drifted)
    changed = f"{len(within)} of {_columns(len(columns))} {_has(within)} changed"
    if beside:
        changed = f"{changed}, and {beside}" if within else f"{beside} have changed, but no column"
    return f"Drift: {changed}; most of all {first.name} ({said(check)})."


def _size(check: Check) -> float:
    return 0.0 if check.found is None else abs(check.found.effect)


def said(check: Check) -> str:
    """What a check found, in a few words."""
    found = check.found
    if found is None:
        return check.note
    about = "" if check.about == "values" else f"{check.about}: "
    if not math.isfinite(found.effect):
        return f"{about}{check.note}"
    p = check.p_corrected if check.p_corrected is not None else found.p
    small = "p < 1e-300" if p < TINIEST else f"p {p:.2g}"
    return f"{about}{check.effect_name} {found.effect:.2f}, {small} after correction"


def left_out(comparison: Comparison) -> dict[str, str]:
    """The card's columns that are not tested, and why."""
    why = {"time": "time goes on by itself", "id": "ids are new each time"}
    return {
        name: why[column.kind]
        for name, column in comparison.card.columns.items()
        if column.kind in why
    }


def lines(comparison: Comparison) -> list[str]:
    """The findings for a terminal, and what could not be said: a line each."""
    order = {name: place for place, name in enumerate(comparison.drifted)}
    found = sorted(
        (each for each in comparison.compared if each.drifted), key=lambda each: order[each.name]
    )
    made = [f"  {each.name}: {'; '.join(_findings(each))}" for each in found]
    for each in comparison.compared:
        if each.drifted:
            continue
        remarks: Sequence[str] = [*(c.note for c in each.checks if c.found is None), *each.notes]
        made += [f"  {each.name}: {remark}" for remark in remarks]
    return made


def _findings(each: Compared) -> list[str]:
    return [said(check) for check in each.checks if check.drifted]


def _columns(count: int) -> str:
    return "1 column" if count == 1 else f"{count} columns"


def _has(names: Sequence[str]) -> str:
    return "has" if len(names) == 1 else "have"
