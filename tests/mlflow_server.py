"""A real MLflow server on loopback, started once for all tests of a process.

A test module takes its fixture with `pytest_plugins = ("tests.mlflow_server",)`, and may import
its classes before pytest does; so, for pytest: PYTEST_DONT_REWRITE.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers import unavailable

START_WITHIN = 240.0  # seconds: it makes its tables first, on a busy machine
STOPPED_WITHIN = 20.0


@dataclass(frozen=True)
class MlflowServer:
    """A server that runs."""

    uri: str
    process: subprocess.Popen[bytes]


@contextmanager
def mlflow_at(
    folder: Path, port: int, environment: Mapping[str, str] | None = None
) -> Iterator[MlflowServer]:
    """MLflow's server on a store in a folder: the same folder again has the same store."""
    folder.mkdir(parents=True, exist_ok=True)
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "mlflow", "server"),
                *("--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
                *("--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"),
                *("--artifacts-destination", str(folder / "artifacts")),
            ],
            env={**os.environ, **quiet, **(environment or {})},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    server = MlflowServer(f"http://127.0.0.1:{port}", process)
    try:
        _wait_for(server, folder / "log")
        yield server
    finally:
        stop(server)


def stop(server: MlflowServer) -> None:
    """End it, with the processes it started."""
    with suppress(ProcessLookupError):
        os.killpg(server.process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        server.process.wait(STOPPED_WITHIN)
    with suppress(ProcessLookupError):
        os.killpg(server.process.pid, signal.SIGKILL)
    server.process.wait(STOPPED_WITHIN)


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """The server; other tests' models are in it."""
    try:
        import mlflow.version  # noqa: F401  # whether it is there
    except ImportError:
        unavailable("mlflow", "it is not installed: run `make install`")
    with mlflow_at(tmp_path_factory.mktemp("mlflow"), free_port()) as server:
        yield server


def _wait_for(server: MlflowServer, log: Path) -> None:
    until = time.monotonic() + START_WITHIN
    while time.monotonic() < until and server.process.poll() is None:
        with (
            suppress(OSError),
            urllib.request.urlopen(f"{server.uri}/health", timeout=2) as answered,
        ):
            if answered.status == 200:
                return
        time.sleep(0.2)
    raise RuntimeError(f"MLflow's server did not start: {log.read_text()[-2000:]}")
