"""Measure the server against its targets: `make bench-serving` prints and writes bench/output/.

All in one run on one machine, in rounds in which each server has its turn, so that whatever the
machine does hits all alike. `--peers` measures MLServer, BentoML and MLflow with the same model as
well, each in an environment of its own under .cache/bench/. The exit code is 1 where a target is
missed: on a machine that has other work to do it says little.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import signal
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import serving_servers as servers
from pipeline import BUNDLE, ROOT
from serving_load import (
    LoadError,
    connected,
    exchange,
    latencies,
    percentile,
    post,
    throughput,
)
from serving_servers import Cores, PeerUnavailableError, Running, Server

OUTPUT = ROOT / "bench" / "output" / "serving.json"
PAYLOAD = ROOT / "ml" / "input" / "api" / "payload.json"
CONNECTIONS = 16
RATE = 1000  # requests/s offered
ROWS = 10_000
STARTS = 5
QUIET = 0.5  # load average before the run up to which the machine has no other work
OURS, BARE = "fraudloop", "bare FastAPI"

Transaction = Mapping[str, float]
# Each peer, and how many times as many requests a second are wanted.
PEERS: dict[str, tuple[Callable[[Path, Transaction], Server], float]] = {
    "MLServer": (servers.mlserver, 4),
    "BentoML": (servers.bentoml, 10),
    "MLflow": (servers.mlflow, 30),
}


@dataclass(frozen=True)
class Target:
    """A figure beside what it must be: at least, or below."""

    what: str
    measured: float
    sign: str
    wanted: float

    @property
    def reached(self) -> bool:
        """Whether it is."""
        if self.sign == "≥":
            return self.measured >= self.wanted
        return self.measured < self.wanted


@dataclass(frozen=True)
class Effort:
    """How long to measure."""

    rounds: int
    seconds: float


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", action="store_true", help="measure the peers too")
    parser.add_argument("--bundle", type=Path, default=ROOT / BUNDLE)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2, help="of each turn of each server")
    asked = parser.parse_args()
    # Leaving by an exception ends every server, whoever wants this to end.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda number, _: sys.exit(128 + number))
    bundle = asked.bundle.resolve()
    if not (bundle / "manifest.json").is_file():
        sys.exit(f"there is no bundle in {bundle}: run `make run`, or name one with --bundle")
    transaction = next(iter(json.loads(PAYLOAD.read_text(encoding="utf-8")).values()))
    chosen = [servers.bare_fastapi(transaction), servers.fraudloop(bundle, transaction)]
    unavailable: list[str] = []
    if asked.peers:
        found, unavailable = _peers(bundle / "model.joblib", transaction)
        chosen += found
    try:
        results, targets = measure(chosen, Effort(asked.rounds, asked.seconds), transaction)
    except LoadError as error:
        sys.exit(f"nothing was measured: {error}")
    results["machine"] |= {"unavailable": unavailable}
    results["targets"] = [asdict(target) | {"reached": target.reached} for target in targets]
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(_report(results, targets, unavailable))
    sys.exit(0 if all(target.reached for target in targets) else 1)


def measure(
    chosen: list[Server], effort: Effort, transaction: Transaction
) -> tuple[dict[str, Any], list[Target]]:
    """Everything, each server in its turn; memory last, when all has been asked."""
    cores = Cores.here()
    results: dict[str, Any] = {"machine": _machine(cores)}
    bodies = _bodies(transaction)
    ours = next(server for server in chosen if server.name == OURS)
    with ExitStack() as stack:
        logs = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fraudloop-bench-")))
        stack.enter_context(servers.client_core(cores))
        results["seconds_to_ready"] = _starts(ours, cores, logs)
        up = {
            server.name: stack.enter_context(servers.running(server, cores, logs))
            for server in chosen
        }
        pair = {name: up[name] for name in (BARE, OURS)}
        _agree(up)
        requests, costs = _requests_per_second(up, effort)
        results["requests_per_second"] = requests
        results["processor_microseconds_per_request"] = costs
        results["milliseconds"] = taken = _latencies(pair, effort)
        results["rows_per_second"] = rows = _rows_per_second(pair, bodies, effort)
        results["megabytes"] = servers.resident_megabytes(up[OURS])
    results["megabytes_of_bodies"] = {name: len(body) / 1e6 for name, body in bodies.items()}
    return results, [
        *_ratios(requests),
        Target("p99 at 1,000/s, ms", statistics.median(taken[OURS]["p99"]), "<", 5),
        Target("p99 ÷ bare FastAPI's", _ratio(taken[OURS]["p99"], taken[BARE]["p99"]), "<", 3),
        Target("rows/s, list of objects", rows[OURS]["objects"], "≥", 200_000),
        Target("rows/s, features", rows[OURS]["features"], "≥", 200_000),
        Target("start to ready, s", statistics.median(results["seconds_to_ready"]), "<", 1.5),
        Target("memory of a worker, MB", results["megabytes"], "<", 250),
    ]


def _machine(cores: Cores | None) -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "pinned": asdict(cores) if cores else None,
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "client": "wrk" if shutil.which("wrk") else "Python",
    }


def _starts(server: Server, cores: Cores | None, logs: Path) -> list[float]:
    taken = []
    for turn in range(1, STARTS + 1):
        _tell(f"start {turn} of {STARTS}")
        with servers.running(server, cores, logs) as running:
            taken.append(running.seconds_to_ready)
    return taken


def _peers(model: Path, transaction: Transaction) -> tuple[list[Server], list[str]]:
    """The peers that can be had here, and why the others cannot."""
    found, unavailable = [], []
    for make, _ in PEERS.values():
        try:
            found.append(make(model, transaction))
        except PeerUnavailableError as error:
            unavailable.append(str(error))
    return found, unavailable


def _agree(up: Mapping[str, Running]) -> None:
    """Every server with a model gives the same score, or it is not the same work."""
    scores = {}
    for name, running in up.items():
        server = running.server
        with connected(running.port) as connection:
            _, answer = exchange(connection, post(server.path, server.body))
        if server.score is not None:
            scores[name] = server.score(json.loads(answer))
    if max(scores.values()) - min(scores.values()) > 1e-6:
        raise LoadError(f"the servers differ in the score of the same transaction: {scores}")


def _requests_per_second(
    up: Mapping[str, Running], effort: Effort
) -> tuple[dict[str, list[float]], dict[str, float]]:
    """By round; and what a request costs the server's processor, which others' work hides less."""
    figures: dict[str, list[float]] = {name: [] for name in up}
    costs: dict[str, list[float]] = {name: [] for name in up}
    for turn in range(effort.rounds + 1):
        _tell(f"requests/s, round {turn} of {effort.rounds}")
        for name, running in up.items():
            seconds = effort.seconds if turn else 1  # the first only warms up
            before = servers.processor_seconds(running)
            server = running.server
            figure = throughput(
                running.port,
                server.path,
                server.body,
                seconds=seconds,
                connections=CONNECTIONS,
            )
            after = servers.processor_seconds(running)
            if turn:
                figures[name].append(figure)
                costs[name].append((after - before) / (figure * seconds) * 1e6)
    return figures, {name: statistics.median(each) for name, each in costs.items()}


def _latencies(pair: Mapping[str, Running], effort: Effort) -> dict[str, dict[str, list[float]]]:
    """Milliseconds from when a request was due, by round."""
    figures: dict[str, dict[str, list[float]]] = {
        name: {"p50": [], "p99": [], "p99.9": []} for name in pair
    }
    for turn in range(1, effort.rounds + 1):
        _tell(f"latency at {RATE:,}/s, round {turn} of {effort.rounds}")
        for name, running in pair.items():
            taken = latencies(
                running.port,
                post(running.server.path, running.server.body),
                rate=RATE,
                seconds=effort.seconds * 1.5,
                connections=CONNECTIONS,
            )
            for share, figure in zip((0.5, 0.99, 0.999), figures[name].values(), strict=True):
                figure.append(percentile(taken, share) * 1000)
    return figures


def _rows_per_second(
    pair: Mapping[str, Running], bodies: Mapping[str, bytes], effort: Effort
) -> dict[str, dict[str, float]]:
    """The median by server and dialect, from the first byte sent to the last byte read."""
    taken: dict[str, dict[str, list[float]]] = {
        name: {dialect: [] for dialect in bodies} for name in pair
    }
    for turn in range(effort.rounds + 1):
        _tell(f"{ROWS:,} rows, round {turn} of {effort.rounds}")
        for name, running in pair.items():
            for dialect, body in bodies.items():
                request = post("/predict", body)
                with connected(running.port) as connection:
                    for _ in range(4):
                        seconds, answer = exchange(connection, request)
                        taken[name][dialect] += [seconds] if turn else []
                if name == OURS and len(json.loads(answer)["predictions"]) != ROWS:
                    raise LoadError(f"{name} did not answer for all rows of {dialect}")
    return {
        name: {dialect: ROWS / statistics.median(each) for dialect, each in dialects.items()}
        for name, dialects in taken.items()
    }


def _bodies(transaction: Transaction) -> dict[str, bytes]:
    """So many different transactions around one, in two dialects, spaced as Python writes JSON."""
    rng = random.Random(0)  # noqa: S311  # numbers to score, no secrets
    rows = [
        {
            name: type(value)(round(value * rng.uniform(0.5, 1.5), 6))
            for name, value in transaction.items()
        }
        for _ in range(ROWS)
    ]
    features = {"features": [list(row.values()) for row in rows]}
    return {"objects": json.dumps(rows).encode(), "features": json.dumps(features).encode()}


def _ratios(requests: Mapping[str, list[float]]) -> list[Target]:
    """This project's requests per second as a multiple of each other server's."""
    wanted = {BARE: 0.9} | {name: times for name, (_, times) in PEERS.items()}
    return [
        Target(f"requests/s ÷ {name}'s", _ratio(requests[OURS], requests[name]), "≥", times)
        for name, times in wanted.items()
        if name in requests
    ]


def _ratio(ours: list[float], theirs: list[float]) -> float:
    """The median of the rounds' ratios: both sides of each were measured in the same moment."""
    return statistics.median(one / other for one, other in zip(ours, theirs, strict=True))


def _report(results: Mapping[str, Any], targets: list[Target], unavailable: list[str]) -> str:
    machine = results["machine"]
    lines = [f"{'':26}{'requests/s':>12}{'CPU µs each':>13}{'p50 ms':>9}{'p99 ms':>9}"]
    for name, rounds in results["requests_per_second"].items():
        cost = results["processor_microseconds_per_request"][name]
        taken = results["milliseconds"].get(name, {})
        cells = [f"{cost:>13,.0f}"]
        cells += [f"{statistics.median(taken[key]):>9.2f}" for key in ("p50", "p99") if taken]
        lines.append(f"{name:26}{statistics.median(rounds):>12,.0f}{''.join(cells)}")
    lines += ["", f"{'':26}{'measured':>12}{'target':>13}"]
    for each in targets:
        digits = 0 if each.wanted >= 100 else 2
        wanted = f"{each.sign} {each.wanted:,.10g}"
        said = "" if each.reached else "   MISSED"
        lines.append(f"{each.what:26}{each.measured:>12,.{digits}f}{wanted:>13}{said}")
    lines += ["", *(f"not measured, {reason}" for reason in unavailable)]
    apart = "kept apart" if machine["pinned"] else "not kept apart here"
    client = machine["client"]
    lines.append(f"{machine['cores']} cores, server and client {apart}; client: {client}")
    if (busy := machine["load_before"]) > QUIET:
        lines.append(f"this machine had other work to do (load {busy}): the figures say little")
    if client != "wrk":
        lines.append("wrk is not installed (Debian: apt-get install wrk): requests/s may be more")
    return "\n".join(lines) + "\n"


def _tell(progress: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{progress}")


if __name__ == "__main__":
    main()
