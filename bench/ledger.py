"""Measure what keeping decisions costs: `python bench/ledger.py` prints and writes bench/output/.

A PostgreSQL of its own, durable as it comes, takes the same rows twice in turns: by `Ledger.keep`
from Python objects, and by a bare COPY of ready-made lines into a table with the same columns and
nothing else. The rows are random numbers: the figures are claims about the code and this machine.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "bench" / "output" / "ledger.json"
WANTED_ROWS, WANTED_RATIO = 20_000, 0.5
COLUMNS = 30
PLAIN = (
    "CREATE TABLE plain (id text, card text, transaction json, score float8, prediction smallint, "
    "model_version text, decided_at timestamptz, source text, reasons json)"
)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000, help="in each round")
    parser.add_argument("--batch", type=int, default=2_000, help="decisions in one transaction")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    sys.path.insert(0, str(ROOT))  # the tests know how a PostgreSQL is started
    from tests.databases import running

    with running(durable=True) as server:
        postgres = measure_postgres(server.fresh(), asked.rows, asked.batch, asked.rounds)
    with tempfile.TemporaryDirectory() as folder:
        sqlite = measure_sqlite(f"sqlite:///{folder}/ledger.db", asked.rows, asked.batch)
    results = {"rows": asked.rows, "batch": asked.batch, "postgresql": postgres, "sqlite": sqlite}
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(json.dumps(results, indent=2) + "\n")


def measure_postgres(url: str, rows: int, batch: int, rounds: int) -> dict[str, Any]:
    """Rows a second of both ways, in turns, so that both see the same machine; and of a replay."""
    import psycopg

    from fraudloop.ledger import rows as lines
    from fraudloop.ledger.ledger import Ledger
    from fraudloop.ledger.migrate import migrate

    migrate(url)
    bare, kept, replayed = [], [], []
    with Ledger.open(url) as ledger, psycopg.connect(url, autocommit=True) as connection:
        connection.execute(PLAIN)
        for number in range(rounds):
            batches = drawn(rows, batch, number)
            ready = [b"".join(lines.lines(each, "bench")) for each in batches]

            def copy(content: bytes) -> None:
                with connection.cursor().copy("COPY plain FROM STDIN") as copying:
                    copying.write(content)

            def keep(decisions: list[Any]) -> None:
                ledger.keep(decisions, card="bench", owe_alerts=True)

            bare.append(rows / seconds(copy, ready))
            kept.append(rows / seconds(keep, batches))
            replayed.append(rows / seconds(keep, batches))
    return {
        "keep_rows_per_second": target(statistics.median(kept), WANTED_ROWS),
        "bare_copy_rows_per_second": round(statistics.median(bare)),
        "keep_to_bare_copy": target(
            statistics.median(one / other for one, other in zip(kept, bare, strict=True)),
            WANTED_RATIO,
        ),
        "replay_rows_per_second": round(statistics.median(replayed)),
    }


def measure_sqlite(url: str, rows: int, batch: int) -> dict[str, Any]:
    """Rows a second into SQLite."""
    from fraudloop.ledger.ledger import Ledger
    from fraudloop.ledger.migrate import migrate

    migrate(url)
    with Ledger.open(url) as ledger:
        took = seconds(lambda each: ledger.keep(each, card="bench"), drawn(rows, batch, 0))
    return {"keep_rows_per_second": round(rows / took)}


def drawn(rows: int, batch: int, seed: int) -> list[list[Any]]:
    """Batches of decisions on random transactions, each batch decided in one moment."""
    from fraudloop.ledger.records import Decision

    draw = random.Random(seed)  # noqa: S311  # nothing secret
    begin = datetime.now(UTC)
    made = []
    for start in range(0, rows, batch):
        moment = begin + timedelta(milliseconds=start)
        made.append(
            [
                Decision(
                    id=str(uuid.UUID(int=draw.getrandbits(128))),
                    transaction={f"field{i}": draw.gauss(0, 1) for i in range(COLUMNS)},
                    score=draw.random() ** 8,
                    prediction=int(draw.random() < 0.002),
                    model_version="0123456789ab",
                    decided_at=moment,
                    source="stream",
                )
                for _ in range(min(batch, rows - start))
            ]
        )
    return made


def seconds(work: Callable[[Any], object], batches: list[Any]) -> float:
    """How long the work takes on all batches."""
    begun = time.perf_counter()
    for each in batches:
        work(each)
    return time.perf_counter() - begun


def target(measured: float, wanted: float) -> dict[str, float]:
    """A figure beside what it should be at least."""
    return {"measured": round(measured, 2), "target": wanted}


if __name__ == "__main__":
    main()
