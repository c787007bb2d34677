"""One project that has been run, shared by the tests that only look at it or clone it."""

from __future__ import annotations

import pytest

from tests.system.projects import SMALL, Project, copy_of_this


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A small project after `dvc repro`, its lock committed. Look, clone, but do not change it."""
    project = copy_of_this(tmp_path_factory.mktemp("made") / "project", SMALL)
    project.dvc("repro")
    project.commit("the pipeline's lock and metrics")
    return project
