"""A project in which training takes seconds, and a site in it: one card, one candidate.

A test module takes its fixture with `pytest_plugins`, and may import the rest before pytest does;
so, for pytest: PYTEST_DONT_REWRITE.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fraudloop import params
from fraudloop.lifecycle.retrain import Site
from fraudloop.settings import RegistrySettings
from tests.system.projects import Project, copy_of_this

TINY: dict[str, Any] = {
    "data": {"rows": 12_000},
    "samplers": ["none"],
    "estimators": ["logistic_regression"],
    "evaluation": {"resamples": 100},
    # Only drift calls for a training here, and at once.
    "outcomes": {"minimum_verdicts": 1_000_000},
    "retraining": {"cooldown_hours": 0, "new_verdicts": 1_000_000},
}


@pytest.fixture(scope="session")
def small_project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that was never trained; its tests have ledgers and registries of their own."""
    return copy_of_this(tmp_path_factory.mktemp("small") / "project", TINY)


def site_in(project: Path, ledger: str, registry: RegistrySettings, **others: Any) -> Site:
    """Where that project's models are trained."""
    own = params.load(project / "params.yaml")
    return Site(project, own, ledger, registry, **others)
