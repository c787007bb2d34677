"""A real Spark session for the tests: started once, on this machine.

A test module takes it with `pytest_plugins = ("tests.spark",)`, and may import from here before
pytest does; so, for pytest: PYTEST_DONT_REWRITE.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from fraudloop.batch.spark_session import quiet, spark_session
from fraudloop.batch.spark_training import SETTINGS
from fraudloop.settings import Spark
from tests.servers import unavailable

MASTER = "local[2]"
# The command ignores what PySpark warns of; pytest sets the filters anew for each test.
NEWER_PANDAS = "ignore:PySpark does not yet fully support pandas:FutureWarning"


def require_spark() -> None:
    """Skip, with the reason, where there is no PySpark or no Java."""
    if find_spec("pyspark") is None:
        unavailable("spark", "pyspark is not installed (make install EXTRAS=spark)")
    java = Spark.read().java
    if java is None or not Path(java).is_file():
        unavailable("spark", "there is no Java")


@pytest.fixture(scope="session")
def spark() -> Iterator[Any]:
    """The session."""
    require_spark()
    with ExitStack() as stack:
        stack.enter_context(quiet())
        yield stack.enter_context(spark_session(MASTER, SETTINGS))
