"""A real Docker engine, for the tests that want one: `pytest_plugins = ("tests.engine",)`.

A test module may import from here before pytest does; so, for pytest: PYTEST_DONT_REWRITE.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.servers import unavailable

ROOT = Path(__file__).parents[1]
BASE = "python:3.12-slim-bookworm"


def docker(*arguments: str | Path, check: bool = True, given: str = "") -> str:
    """What a docker command says."""
    done = subprocess.run(
        ["docker", *map(str, arguments)], input=given, capture_output=True, text=True, check=False
    )
    assert not check or done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="session")
def engine() -> None:
    """A Docker engine, and the base image or a way to get it."""
    asked = subprocess.run(
        [ROOT / "scripts" / "docker_answers.sh"], capture_output=True, text=True, check=False
    )
    if asked.returncode:
        unavailable("docker", asked.stderr.strip())
    for known in (["image", "inspect"], ["pull", "--quiet"]):
        if subprocess.run(["docker", *known, BASE], capture_output=True, check=False).returncode:
            continue
        return
    unavailable("docker", f"the engine neither has {BASE} nor gets it")
