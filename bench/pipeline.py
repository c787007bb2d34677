"""Measure the pipeline against its targets: `make bench` prints and writes bench/output/.

All figures are of this machine at this moment, on synthetic data: claims about the code, not about
fraud. Nothing here is a test; a slow machine fails nothing.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import yaml

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "bench" / "output" / "pipeline.json"
BIN = Path(sys.executable).parent
ROWS = (28_000, 280_000, 2_800_000)
BUNDLE = "ml/output/credit-card-fraud"


@dataclass(frozen=True)
class Cost:
    """What running a command cost: wall time, and the memory of its largest process."""

    seconds: float
    megabytes: float


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--largest", type=int, default=max(ROWS), help="rows of the last point")
    largest = parser.parse_args().largest

    with project() as folder:
        repro = run(["dvc", "repro", "-f"], folder)
        again = run(["dvc", "repro"], folder)
        scoring = measure_scoring(folder / BUNDLE)
    growth = [measure_growth(rows) for rows in ROWS if rows <= largest]
    starts = [run(["fraudloop", "--help"], ROOT).seconds for _ in range(5)]
    results = {
        "repro_seconds": target(repro.seconds, 60),
        "repro_megabytes": target(repro.megabytes, 2500),
        "repro_unchanged_seconds": round(again.seconds, 2),
        "help_seconds": target(statistics.median(starts), 0.3),
        "one_row_microseconds": target(scoring["one_row_microseconds"], 10),
        "million_rows_seconds": target(scoring["million_rows_seconds"], 1),
        "forms": scoring["forms"],
        "growth": growth,
        "growth_beyond_n_log_n": [
            beyond_n_log_n(small, large) for small, large in pairwise(growth)
        ],
        "cores": os.cpu_count(),
    }
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(json.dumps(results, indent=2) + "\n")


def target(measured: float, wanted: float) -> dict[str, float]:
    """A figure beside what it should be at most; the ratio is below 1 where it is reached."""
    return {
        "measured": round(measured, 3),
        "target": wanted,
        "ratio": round(measured / wanted, 3),
    }


@contextmanager
def project() -> Iterator[Path]:
    """A copy of the project as it stands, without its data, its outputs and its DVC cache."""
    with tempfile.TemporaryDirectory(prefix="fraudloop-bench-") as temporary:
        folder = Path(temporary) / "project"
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard", "-z"],
            cwd=ROOT,
            capture_output=True,
            check=True,
        )
        for name in filter(None, listed.stdout.decode().split("\0")):
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
        yield folder


def run(command: list[str], folder: Path) -> Cost:
    """Run a command of the project's environment; its largest process counts, children included."""
    environment = os.environ | {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "src"),
        "DVC_NO_ANALYTICS": "1",
    }
    start = time.perf_counter()
    # A process of its own asks the kernel, so that earlier commands do not count.
    code = (
        "import resource, subprocess, sys\n"
        "done = subprocess.run(sys.argv[1:], stdout=2)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
        "sys.exit(done.returncode)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Cost(time.perf_counter() - start, int(done.stdout) * unit / 1e6)


def measure_growth(rows: int) -> dict[str, Any]:
    """Every stage at so many rows, each candidate among them."""
    with project() as folder:
        path = folder / "params.yaml"
        params = yaml.safe_load(path.read_text(encoding="utf-8"))
        params["data"]["rows"] = rows
        path.write_text(yaml.safe_dump(params), encoding="utf-8")
        costs = {stage: run(["fraudloop", stage], folder) for stage in ("get-data", "preprocess")}
        for sampler in params["samplers"]:
            for estimator in params["estimators"]:
                chosen = ["--sampler", sampler, "--estimator", estimator]
                costs[f"{sampler}-{estimator}"] = run(["fraudloop", "train", *chosen], folder)
        costs |= {stage: run(["fraudloop", stage], folder) for stage in ("evaluate", "package")}
    sys.stderr.write(f"{rows:,} rows measured\n")
    return {
        "rows": rows,
        "seconds": round(sum(cost.seconds for cost in costs.values()), 1),
        "megabytes": round(max(cost.megabytes for cost in costs.values())),
        "stages": {
            name: [round(cost.seconds, 1), round(cost.megabytes)] for name, cost in costs.items()
        },
    }


def beyond_n_log_n(small: dict[str, Any], large: dict[str, Any]) -> dict[str, float]:
    """By how much time and memory grew more than n log n would; at most 1 is wanted."""
    growth = large["rows"] * math.log(large["rows"]) / (small["rows"] * math.log(small["rows"]))
    return {key: round(large[key] / small[key] / growth, 3) for key in ("seconds", "megabytes")}


def measure_scoring(directory: Path) -> dict[str, Any]:
    """One row by the graph, a million rows by the scorer, and where the two forms cross."""
    from fraudloop.model import bundle
    from fraudloop.model.scorer import Scorer

    scorer = Scorer(bundle.load(directory), threads=2)
    reference = scorer.bundle.manifest.reference.values()
    rng = np.random.default_rng(0)
    means = [each.mean for each in reference]
    deviations = [each.standard_deviation for each in reference]
    many = rng.normal(means, deviations, size=(1_000_000, len(means))).astype(np.float32)

    forms = {}
    for rows in (1, 10, 30, 100, 300, 1000, 10_000):
        some = np.ascontiguousarray(many[:rows])
        forms[rows] = {"graph_microseconds": round(median_of(partial(scorer.by_graph, some)), 1)}
        if scorer.bundle.manifest.native is not None:
            native = median_of(partial(scorer.by_native_form, some))
            forms[rows]["native_microseconds"] = round(native, 1)
    return {
        "one_row_microseconds": median_of(lambda: scorer.score_one(many[:1]), rounds=20_000),
        "million_rows_seconds": median_of(lambda: scorer.score_features(many), rounds=5) / 1e6,
        "forms": forms,
    }


def median_of(work: Callable[[], Any], rounds: int = 50) -> float:
    """The median of several rounds, in microseconds, after a first that does not count."""
    work()
    taken = []
    for _ in range(rounds):
        start = time.perf_counter_ns()
        work()
        taken.append(time.perf_counter_ns() - start)
    return statistics.median(taken) / 1000


if __name__ == "__main__":
    main()
