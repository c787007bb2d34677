"""What holds for every test."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

from fraudloop.settings import let_idle_threads_sleep
from tests.small_run import params_in, run_all

# Before anything loads OpenMP, as the command line does: tests share their cores with others.
let_idle_threads_sleep()

# A slow machine fails nothing.
settings.register_profile("house", deadline=None)
settings.load_profile("house")


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which all stages ran. Look, but do not change."""
    folder = tmp_path_factory.mktemp("ran")
    run_all(params_in(folder))
    return folder
