"""The servers that are measured: how each is installed, started on loopback, and ended."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from pipeline import BIN, ROOT
from serving_load import HOST, LoadError, connected, exchange, get

PEERS = ROOT / "bench" / "serving_peers"
ENVIRONMENTS = ROOT / ".cache" / "bench"
STARTING = 60.0  # seconds
ENDING = 10.0
# What the caller's environment says of these is not what is measured.
LEFT_OUT = ("FRAUDLOOP_", "MLSERVER_", "BENTOML_", "MLFLOW_", "PYTHON")
QUIET = {
    "DO_NOT_TRACK": "true",
    "BENTOML_DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


class PeerUnavailableError(Exception):
    """A peer cannot be installed or prepared here."""


@dataclass(frozen=True)
class Server:
    """A server, and the request that it is measured with.

    `command` is given the port it shall listen on; `score` finds the fraud score in an answer.
    """

    name: str
    command: Callable[[int], list[str]]
    path: str
    body: bytes
    ready: str
    score: Callable[[Any], float] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path = ROOT


@dataclass(frozen=True)
class Running:
    """A server that answers."""

    server: Server
    port: int
    pid: int
    seconds_to_ready: float


@dataclass(frozen=True)
class Cores:
    """Which core the servers have and which the client has; None where they cannot be told apart.

    Each server has one core, whatever number of helpers it starts.
    """

    server: int
    client: int

    @classmethod
    def here(cls) -> Cores | None:
        """The first and the last core that this process may use."""
        if not hasattr(os, "sched_getaffinity"):  # macOS
            return None
        usable = sorted(os.sched_getaffinity(0))
        return cls(usable[0], usable[-1]) if len(usable) > 1 else None


@contextmanager
def running(server: Server, cores: Cores | None, logs: Path) -> Iterator[Running]:
    """Start a server, wait until it is ready, and end it with all its children."""
    port = _free_port()
    log = logs / f"{server.name}.log"
    start = time.perf_counter()
    with log.open("wb") as output, _on(cores.server if cores else None):
        process = subprocess.Popen(
            server.command(port),
            cwd=server.folder,
            env=environment() | dict(server.environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        _wait(server, port, process, log)
        yield Running(server, port, process.pid, time.perf_counter() - start)
    finally:
        _end(process)


@contextmanager
def client_core(cores: Cores | None) -> Iterator[None]:
    """Keep this process, and the client it starts, off the servers' core."""
    with _on(cores.client if cores else None):
        yield


def environment() -> dict[str, str]:
    """This process's environment without settings of what is measured, and with no telemetry."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(LEFT_OUT)}
    return kept | QUIET


def installed(peer: str) -> Path:
    """The folder of a peer's own environment, made where it is missing or not what is pinned."""
    folder = ENVIRONMENTS / peer
    pinned = PEERS / f"{peer}-requirements.txt"
    stamp = folder / "installed.txt"
    wanted = f"# {sys.version}\n{pinned.read_text(encoding='utf-8')}"
    with suppress(FileNotFoundError):
        if stamp.read_text(encoding="utf-8") == wanted:
            return folder
    sys.stderr.write(f"installing {peer} into {folder.relative_to(ROOT)} …\n")
    shutil.rmtree(folder, ignore_errors=True)
    prepare([sys.executable, "-m", "venv", str(folder)], peer)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    # The list is whole, and was resolved together: nothing is left for pip to choose.
    prepare([*pip, "install", "--quiet", "--no-deps", "-r", str(pinned)], peer)
    stamp.write_text(wanted, encoding="utf-8")
    return folder


def prepare(command: list[str], peer: str, **more: str) -> None:
    """Run what must be done before a peer can start, or say why it cannot."""
    done = subprocess.run(
        command, env=environment() | more, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "no reason given").splitlines()
        raise PeerUnavailableError(f"{peer}: {' '.join(command[:4])} … failed: {said[-1]}")


def fraudloop(bundle: Path, transaction: Mapping[str, float]) -> Server:
    """This project's server with everything on, and a rate limit that is never reached."""
    return Server(
        name="fraudloop",
        command=lambda port: [
            *(str(BIN / "fraudloop"), "serve", "--host", HOST, "--port", str(port)),
            *("--workers", "1", "--bundle", str(bundle)),
        ],
        path="/predict",
        body=json.dumps(transaction).encode(),
        ready="/ready",
        score=lambda answer: float(answer["scores"][0]),
        environment={"FRAUDLOOP_RATE_LIMIT": "1000000000"},
    )


def bare_fastapi(transaction: Mapping[str, float]) -> Server:
    """FastAPI with nothing to do."""
    return Server(
        name="bare FastAPI",
        command=lambda port: [sys.executable, str(PEERS / "noop.py"), str(port)],
        path="/predict",
        body=json.dumps(transaction).encode(),
        ready="/openapi.json",
    )


def mlserver(model: Path, transaction: Mapping[str, float]) -> Server:
    """MLServer's scikit-learn runtime, in one process: its pool of workers is slower for one."""
    home = installed("mlserver")
    folder = home / "fraud"
    folder.mkdir(exist_ok=True)
    settings = {
        "name": "fraud",
        "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": str(model)},
    }
    (folder / "model-settings.json").write_text(json.dumps(settings), encoding="utf-8")
    values = list(transaction.values())
    rows = {"name": "rows", "shape": [1, len(values)], "datatype": "FP64", "data": values}
    return Server(
        name="MLServer",
        command=lambda port: [
            "env",
            f"MLSERVER_HTTP_PORT={port}",
            *(f"MLSERVER_{part}_PORT={_free_port()}" for part in ("GRPC", "METRICS")),
            *(str(home / "bin" / "mlserver"), "start", "."),
        ],
        path="/v2/models/fraud/infer",
        body=json.dumps({"inputs": [rows], "outputs": [{"name": "predict_proba"}]}).encode(),
        ready="/v2/models/fraud/ready",
        score=lambda answer: float(answer["outputs"][0]["data"][1]),
        environment={
            "PYTHONPATH": str(ROOT / "src"),
            "MLSERVER_HOST": HOST,
            "MLSERVER_PARALLEL_WORKERS": "0",
            "MLSERVER_DEBUG": "false",
        },
        folder=folder,
    )


def bentoml(model: Path, transaction: Mapping[str, float]) -> Server:
    """BentoML with the service in serving_peers/, one worker."""
    home = installed("bentoml")
    return Server(
        name="BentoML",
        command=lambda port: [
            *(str(home / "bin" / "bentoml"), "serve", "bentoml_service:Fraud"),
            *("--working-dir", str(PEERS), "--host", HOST, "--port", str(port)),
        ],
        path="/score",
        body=json.dumps({"rows": [list(transaction.values())]}).encode(),
        ready="/readyz",
        score=lambda answer: float(answer[0][1]),
        environment={
            "PYTHONPATH": str(ROOT / "src"),
            "MODEL": str(model),
            "BENTOML_HOME": str(home / "home"),
        },
    )


def mlflow(model: Path, transaction: Mapping[str, float]) -> Server:
    """`mlflow models serve`, one worker, with a signature and named columns as MLflow asks for."""
    home = installed("mlflow")
    saved = home / "saved"
    shutil.rmtree(saved, ignore_errors=True)
    python = str(home / "bin" / "python")
    source = str(ROOT / "src")
    command = [python, str(PEERS / "mlflow_model.py"), str(model), str(saved)]
    prepare([*command, json.dumps(transaction)], "mlflow", PYTHONPATH=source)
    split = {"columns": list(transaction), "data": [list(transaction.values())]}
    return Server(
        name="MLflow",
        command=lambda port: [
            *(python, "-m", "mlflow", "models", "serve", "--model-uri", str(saved)),
            *("--env-manager", "local", "--host", HOST, "--port", str(port), "--workers", "1"),
        ],
        path="/invocations",
        body=json.dumps({"dataframe_split": split}).encode(),
        ready="/ping",
        score=lambda answer: float(answer["predictions"][0][1]),
        environment={
            "PYTHONPATH": source,
            "PATH": f"{home / 'bin'}{os.pathsep}{os.environ['PATH']}",
        },
    )


def resident_megabytes(running: Running) -> float:
    """The memory of the largest process of a server."""
    return max(float(each.memory_info().rss) for each in _family(running.pid)) / 1e6


def processor_seconds(running: Running) -> float:
    """What a server's processes have computed so far."""
    times = [each.cpu_times() for each in _family(running.pid)]
    return float(sum(each.user + each.system for each in times))


def _family(pid: int) -> list[psutil.Process]:
    """A process and all that it started."""
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


def _wait(server: Server, port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    given_up = time.perf_counter() + STARTING
    while process.poll() is None and time.perf_counter() < given_up:
        with suppress(OSError, LoadError), connected(port) as connection:
            exchange(connection, get(server.ready))
            return
        time.sleep(0.002)
    said = log.read_text(encoding="utf-8", errors="replace")[-1500:]
    raise LoadError(f"{server.name} was not ready within {STARTING:.0f} s:\n{said}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a server and all that it started; whoever does not end in time is killed."""
    try:
        family = _family(process.pid)
    except psutil.NoSuchProcess:
        family = []
    # All of them: MLflow's server would outlive the command that started it.
    for each in family:
        with suppress(psutil.NoSuchProcess):
            each.terminate()
    _, left = psutil.wait_procs(family, timeout=ENDING)
    for each in left:
        with suppress(psutil.NoSuchProcess):
            each.kill()
    process.wait()


@contextmanager
def _on(core: int | None) -> Iterator[None]:
    """Keep this process, and what it starts meanwhile, on one core."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind((HOST, 0))
        port: int = free.getsockname()[1]
    return port
