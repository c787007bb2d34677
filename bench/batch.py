"""What a batch costs beside reading and writing alone: `make bench-batch`.

The data are synthetic: the figures are claims about the code, not about the world. Everything that
a ratio compares is run in one process, in turn, and told in wall time and in processor time: on a
machine that others use, the second says more.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from fraudloop import params
from fraudloop.batch.decided import Judge
from fraudloop.batch.run import Wish, run
from fraudloop.batch.spark import SETTINGS, OnSpark
from fraudloop.batch.spark_session import spark_session
from fraudloop.dataset import card as cards
from fraudloop.dataset import synthetic
from fraudloop.errors import SparkError
from fraudloop.model import bundle as bundles
from fraudloop.model.scorer import Scorer
from fraudloop.progress import Silent
from fraudloop.settings import let_idle_threads_sleep

MILLION = 1_000_000
ROW_GROUP = 1 << 17
ROUNDS = 3
POSTED = 1_000
SPARK_MASTER = "local[2]"
PARAMS = params.load()
CARD = cards.load(PARAMS.paths.card)
BUNDLE = PARAMS.paths.output


@dataclass(frozen=True)
class Cost:
    """The best of some rounds, in seconds."""

    wall: float
    processor: float


def measured(*works: Callable[[], object]) -> list[Cost]:
    """What each work costs: in turn, so that a busy minute is borne by all."""
    found: list[list[Cost]] = [[] for _ in works]
    for _ in range(ROUNDS):
        for place, work in enumerate(works):
            wall, processor = time.perf_counter(), time.process_time()
            work()
            cost = Cost(time.perf_counter() - wall, time.process_time() - processor)
            found[place].append(cost)
    return [
        Cost(min(each.wall for each in costs), min(each.processor for each in costs))
        for costs in found
    ]


def say(what: str, value: str, wished: str = "") -> None:
    """Print a line of the table."""
    print(f"{what:58} {value:>28}  {wished}", flush=True)


def ratio(what: str, rows: int, ours: Cost, theirs: Cost, wished: str = "") -> None:
    """Print how many times as long the one takes as the other, and how many rows a second."""
    times = f"{ours.wall / theirs.wall:.2f} x wall, {ours.processor / theirs.processor:.2f} x cpu"
    say(what, times, wished)
    say("", f"{rows / ours.wall:,.0f} rows/s, {ours.processor / rows * 1e6:.2f} us cpu a row")


def folder_of(million: Path, folder: Path, rows: int) -> Path:
    """A folder of so many rows: the same file under many names."""
    folder.mkdir()
    for place in range(max(rows // MILLION, 1)):
        os.link(million, folder / f"{place:05}.parquet")
    return folder


def copied(folder: Path, output: Path, names: list[str] | None = None) -> None:
    """Read and write without a model: all columns, or all read and these few written."""
    writer: parquet.ParquetWriter | None = None
    for path in sorted(folder.iterdir()):
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(ROW_GROUP):
                kept = batch if names is None else batch.select(names)
                if writer is None:
                    writer = parquet.ParquetWriter(output, kept.schema)
                writer.write_batch(kept)
    if writer is not None:
        writer.close()


def batched(input: Path, output: Path, scorer: Scorer) -> None:
    """A batch, as the command runs it."""
    run(str(input), str(output), Judge(scorer), Wish(threads=os.cpu_count() or 1), Silent())


def peak(input: Path, output: Path) -> tuple[float, float]:
    """The peak memory of a batch in a process of its own, in MB, and its seconds."""
    code = (
        "import resource, subprocess, sys\n"
        "done = subprocess.run(sys.argv[1:], stderr=2)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
        "sys.exit(done.returncode)"
    )
    command = [sys.executable, "-m", "fraudloop", "batch", str(input), str(output)]
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code, *command], stdout=-1, text=True, check=True)
    unit = 1 if sys.platform == "darwin" else 1024
    return int(done.stdout) * unit / 1e6, time.perf_counter() - began


@contextmanager
def server(log: Path) -> Iterator[int]:
    """A server on loopback; gives its port."""
    command = [sys.executable, "-m", "fraudloop", "serve", "--port", "0"]
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file)
    try:
        while '"serving"' not in log.read_text() or '"ready"' not in log.read_text():
            if process.poll() is not None:
                sys.exit(log.read_text())
            time.sleep(0.1)
        line = next(line for line in log.read_text().splitlines() if '"serving"' in line)
        yield int(json.loads(line)["url"].rpartition(":")[2].rstrip("/"))
    finally:
        process.terminate()
        process.wait(30)


def posted(port: int, table: pa.Table) -> float:
    """How many rows a second go one by one over one kept connection."""
    names = [name for name in table.column_names if name != CARD.label.column]
    bodies = [json.dumps(row) for row in table.select(names).slice(0, POSTED).to_pylist()]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    began = time.perf_counter()
    for body in bodies:
        connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
        connection.getresponse().read()
    return len(bodies) / (time.perf_counter() - began)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10 * MILLION, help="of the Parquet ratio")
    parser.add_argument("--most", type=int, default=50 * MILLION, help="of the memory's curve")
    wished = parser.parse_args()
    let_idle_threads_sleep()
    scorer = Scorer(bundles.load(BUNDLE))
    with tempfile.TemporaryDirectory(prefix="fraudloop-bench-") as made:
        folder = Path(made)
        measure(folder, scorer, wished.rows, wished.most)


def measure(folder: Path, scorer: Scorer, rows: int, most: int) -> None:
    """Every figure of the table."""
    table = pa.table(dict(synthetic.draw(CARD, seed=9, rows=MILLION)))
    million = folder / "million.parquet"
    parquet.write_table(table, million, row_group_size=ROW_GROUP)
    print(f"model {scorer.bundle.version}, synthetic rows, {os.cpu_count()} cores, load", end=" ")
    print(" ".join(f"{load:.1f}" for load in os.getloadavg()))

    plain = folder / "real.csv"
    few = table.slice(0, 284_807)
    arrow_csv.write_csv(few, plain)
    ours, theirs = measured(
        lambda: batched(plain, folder / "out.csv", scorer),
        lambda: arrow_csv.write_csv(arrow_csv.read_csv(plain), folder / "copy.csv"),
    )
    ratio("CSV, 284,807 rows: a batch / pyarrow's read and write", 284_807, ours, theirs, "<= 2")

    with server(folder / "log") as port:
        alone = posted(port, table)
    many = folder_of(million, folder / "many", rows)
    ours, whole, few_columns = measured(
        lambda: batched(many, folder / "out.parquet", scorer),
        lambda: copied(many, folder / "copy.parquet"),
        lambda: copied(many, folder / "few.parquet", table.column_names[:3]),
    )
    ratio(f"Parquet, {rows:,} rows: a batch / copying its columns", rows, ours, whole, "<= 2")
    ratio("  the same / reading all, writing three columns", rows, ours, few_columns)
    on_spark_too(many, folder, scorer, rows, ours)
    say("  a batch / posting row by row", f"{rows / ours.wall / alone:,.0f} x", ">= 100")
    say("", f"{alone:,.0f} rows/s one by one")
    curve(folder, million, most)


def on_spark_too(many: Path, folder: Path, scorer: Scorer, rows: int, ours: Cost) -> None:
    """The same batch by the engine `spark`, with the start of its JVM and without."""
    output, there = folder / "out.parquet", folder / "spark.parquet"
    began = time.perf_counter()
    try:
        with spark_session(SPARK_MASTER, SETTINGS) as session:
            started = time.perf_counter() - began
            judge = Judge(scorer)
            run(
                str(many),
                str(there),
                judge,
                Wish(),
                Silent(),
                engine=lambda sources, judge: nullcontext(OnSpark(session, sources, judge)),
            )
            whole = time.perf_counter() - began
    except SparkError as error:
        say("  the same on Spark", str(error))
        return
    wall = f"{ours.wall / whole:.2f} x its rows/s"
    say(f"  the same on Spark {SPARK_MASTER}, JVM's start included", wall, ">= 0.4")
    say("", f"{rows / whole:,.0f} rows/s; {started:.1f} s to start")
    scores = [parquet.read_table(path)["score"].to_numpy() for path in (output, there)]
    apart = float(abs(scores[0] - scores[1]).max())
    say("  scores on Spark differ by at most", f"{apart:.1g}", "<= 1e-6")


def curve(folder: Path, million: Path, most: int) -> None:
    """Memory and time of more and more rows."""
    first = 0.0
    for rows in sorted({MILLION, 10 * MILLION, most}):
        input = folder_of(million, folder / f"rows-{rows}", rows)
        memory, seconds = peak(input, folder / "out.parquet")
        first = first or memory
        grown = f"{memory:,.0f} MB, {memory / first:.2f} x the first"
        say(f"peak memory at {rows:,} rows", grown, "< 1,000 MB, 0.8 to 1.2")
        say("", f"{seconds:.1f} s, {rows / seconds:,.0f} rows/s with start-up")


if __name__ == "__main__":
    main()
