"""What holds for every test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

from fraudloop.settings import let_idle_threads_sleep
from tests.small_run import params_in, run_all

# Before anything loads OpenMP, as the command line does: tests share their cores with others.
let_idle_threads_sleep()

# A slow machine fails nothing.
settings.register_profile("house", deadline=None)
settings.load_profile("house")

# Files that want the same real part run one after the other in one process, which starts that part
# once; whatever else is here shares what only one process at a time can have (Kaggle's one port,
# the names of Docker's images). The longest come first. A path that is in none goes alone.
TOGETHER = {
    "docker": ("tests/system", "tests/platform"),
    "kafka": ("tests/streaming",),
    "spark": ("tests/batch/test_spark",),
    "airflow": ("tests/deploy/test_airflow",),
    "mlflow": ("tests/lifecycle",),
    "postgres": (
        *("tests/ledger", "tests/alerts"),
        *("tests/serving/test_decisions", "tests/serving/test_store"),
    ),
    "cloud": ("tests/deploy",),
    "kaggle": ("tests/dataset/test_kaggle_source", "tests/dataset/test_sources"),
}


def part_of(path: str) -> str | None:
    """The group of a test file, by how its path begins; of several, the one that says most."""
    hits = [
        (len(start), name)
        for name, starts in TOGETHER.items()
        for start in starts
        if path.startswith(start)
    ]
    return max(hits)[1] if hits else None


class ByRealPart(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
    """A file, or all files of one real part, in one process."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return part_of(path) or path


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByRealPart:
    """Let `make test` share out its tests so. (xdist's own groups are not heard by pytest 9.)"""
    return ByRealPart(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that no process is left alone with it at the end."""
    order = {name: place for place, name in enumerate(TOGETHER)}
    items.sort(key=lambda item: order.get(part_of(item.nodeid) or "", len(order)))


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which all stages ran. Look, but do not change."""
    folder = tmp_path_factory.mktemp("ran")
    run_all(params_in(folder))
    return folder
