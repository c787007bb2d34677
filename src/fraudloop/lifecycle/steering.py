"""Promotion and rollback as a person asks for them: only to what was fetched and proven here."""

from __future__ import annotations

from dataclasses import replace

from fraudloop.lifecycle.following import RegistrySource
from fraudloop.lifecycle.registry import Changed, Record, Step
from fraudloop.model.scorer import Scorer

LOOKED_THROUGH = 200  # audit rows of one kind, for a step that may be there already


def promote(
    source: RegistrySource, which: str, *, by: str, why: str, record: Record | None
) -> Changed:
    """Let a version decide, once its bundle is here, verified, and scored its smoke row."""
    version = source.registry.version(which)
    Scorer(source.bundle_of(version))
    recorded = replace(source.registry, record=record)
    return recorded.promote(str(version.number), by=by, why=why)


def rollback(source: RegistrySource, *, by: str, why: str, record: Record | None) -> Changed:
    """Let the version before decide again, proven in the same way."""
    version = source.registry.before()
    if version is not None:
        Scorer(source.bundle_of(version))
    return replace(source.registry, record=record).rollback(by=by, why=why)


def in_ledger(address: str) -> Record:
    """What writes steps into the ledger's audit rows, each once."""
    from fraudloop.ledger.ledger import Ledger

    def record(step: Step, end: str) -> None:
        detail = {
            "step": step.key,
            "before": step.before,
            "after": step.after,
            "why": step.why,
            "end": end,
        }
        subject = f"{step.model} version {step.after}"
        with Ledger.open(address) as ledger:
            told = ledger.audit.newest(LOOKED_THROUGH, action=step.action)
            # A crash may have come between this row and the registry's note of it.
            if all(row.detail.get("step") != step.key for row in told):
                ledger.audit.note(step.by, step.action, subject, detail, step.at)

    return record
