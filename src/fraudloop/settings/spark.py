"""What the environment says of Spark, and what Spark is told by it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Spark:
    """What the environment says of Spark: all else Spark reads there itself.

    >>> Spark.read({"JAVA_HOME": "/opt/java", "PATH": ""}).java
    '/opt/java/bin/java'
    """

    java: str | None
    python: str | None

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> Spark:
        """Find the Java that Spark would start, and the Python that its workers would run."""
        home = environment.get("JAVA_HOME", "").strip()
        java = str(Path(home, "bin", "java")) if home else None
        return cls(
            java=java or shutil.which("java", path=environment.get("PATH", "")),
            python=environment.get("PYSPARK_PYTHON", "").strip() or None,
        )


@contextmanager
def for_spark(python: str, *, local: bool) -> Iterator[None]:
    """Let Spark start with `python` for its workers, and all of it on loopback if it is local.

    On a cluster a PYSPARK_PYTHON of the environment's own stays: the path may be another there.
    """
    wished = {"PYSPARK_DRIVER_PYTHON": python, "PYTHONWARNINGS": "ignore"}
    if local:
        wished |= {"SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": python}
    elif not os.environ.get("PYSPARK_PYTHON"):
        wished["PYSPARK_PYTHON"] = python
    before = {name: os.environ.get(name) for name in wished}
    os.environ.update(wished)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
