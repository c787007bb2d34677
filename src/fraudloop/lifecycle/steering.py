"""Promotion and rollback as a person asks for them: only to what was fetched and proven here."""

from __future__ import annotations

from fraudloop.lifecycle.following import RegistrySource
from fraudloop.lifecycle.registry import Changed
from fraudloop.model.scorer import Scorer


def promote(source: RegistrySource, which: str, by: str, why: str) -> Changed:
    """Let a version decide, once its bundle is here, verified, and scored its smoke row."""
    version = source.registry.version(which)
    Scorer(source.bundle_of(version))
    return source.registry.promote(str(version.number), by=by, why=why)


def rollback(source: RegistrySource, by: str, why: str) -> Changed:
    """Let the version before decide again, proven in the same way."""
    version = source.registry.before()
    if version is not None:
        Scorer(source.bundle_of(version))
    return source.registry.rollback(by=by, why=why)
