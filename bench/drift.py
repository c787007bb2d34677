"""Measure drift against its targets: `make bench-drift` prints and writes bench/output/drift.json.

All on synthetic data, which says of the code that it keeps its level and finds what was shifted,
and nothing of real payments. The exit code is 1 where a target is missed. Wall time is the best of
a few rounds, as other work on the machine only ever adds to it; CPU time stands beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from fraudloop import params
from fraudloop.dataset import card as cards
from fraudloop.dataset import synthetic
from fraudloop.dataset.card import Card, Column, Kind
from fraudloop.monitoring.drift import Comparison, compare
from fraudloop.monitoring.inserter import insert
from fraudloop.monitoring.pages import drift_page
from fraudloop.monitoring.report import About, report_of
from fraudloop.monitoring.tables import held, read
from fraudloop.params import Drift

ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / "bench" / "output" / "drift.json"
CARDS = ("creditcard", "german-credit", "sparkov")
HALF = 1_000
ROWS = 1_000_000
ROUNDS = 3

Table = Mapping[str, Any]


@dataclass(frozen=True)
class Target:
    """A figure beside what it must be: at least, or at most."""

    what: str
    measured: float
    sign: str
    wanted: float

    @property
    def reached(self) -> bool:
        """Whether it is."""
        return self.measured >= self.wanted if self.sign == "≥" else self.measured <= self.wanted


def arrow(columns: Table) -> Any:
    """Columns of numpy as an Arrow table."""
    return pa.table({name: pa.array(values) for name, values in columns.items()})


def false_alarms(card: Card, halvings: int, settings: Drift) -> dict[str, float]:
    """How often two halves of one table differ: by the whole verdict, and by p alone."""
    table = arrow(synthetic.draw(card, seed=1, rows=2 * HALF))
    verdicts = by_p = 0
    for seed in range(halvings):
        order = np.random.default_rng(seed).permutation(2 * HALF)
        halves = [held(table.take(pa.array(part)), card) for part in np.split(order, 2)]
        found = compare(card, halves[0], halves[1], settings)
        verdicts += bool(found.drifted)
        by_p += any(
            check.p_corrected is not None and check.p_corrected < settings.alpha
            for each in found.compared
            for check in each.checks
        )
    return {"verdict": verdicts / halvings, "p alone": by_p / halvings, "tests": found.family}


def power(card: Card, draws: int, settings: Drift) -> dict[str, Any]:
    """How often exactly the columns that the inserter shifted are found, and each of them."""
    table = synthetic.draw(card, seed=2, rows=HALF)
    exact = hits = shifted = extra = 0
    for seed in range(draws):
        made = insert(card, table, seed=seed)
        before, now = (held(arrow(each), card) for each in (made.usual(), made.moved()))
        found, wanted = set(compare(card, before, now, settings).drifted), set(made.changes)
        exact += found == wanted
        hits += len(found & wanted)
        shifted += len(wanted)
        extra += bool(found - wanted)
    return {"exact": exact / draws, "columns": hits / shifted, "with others": extra / draws}


def wide_card() -> Card:
    """Thirty columns of all kinds."""
    kinds = {
        **{f"number {place}": Column(kind=Kind.NUMERIC) for place in range(18)},
        **{
            f"word {place}": Column(
                kind=Kind.NOMINAL, categories=tuple(f"word {each}" for each in range(12))
            )
            for place in range(6)
        },
        **{
            f"step {place}": Column(kind=Kind.ORDINAL, categories=(1, 2, 3, 4))
            for place in range(3)
        },
        **{
            f"flag {place}": Column(kind=Kind.BINARY, categories=("no", "yes"))
            for place in range(3)
        },
    }
    text = {name: column.model_dump(exclude_defaults=True) for name, column in kinds.items()}
    made = {"id": "wide", "title": "Thirty columns", "columns": text, "label": {"column": "bad"}}
    return Card.model_validate(made)


def wide_table(card: Card, seed: int) -> Any:
    """A million rows of it."""
    rng = np.random.default_rng(seed)
    drawn: dict[str, Any] = {}
    for name, column in card.columns.items():
        if column.kind is Kind.NUMERIC:
            drawn[name] = pa.array(rng.standard_normal(ROWS))
        else:
            places = rng.integers(len(column.categories), size=ROWS).astype(np.int32)
            words = pa.DictionaryArray.from_arrays(places, pa.array(column.categories))
            drawn[name] = words.cast(words.type.value_type)
    return pa.table(drawn)


def timed(work: Callable[[], Comparison]) -> tuple[Comparison, dict[str, float]]:
    """What the work gives, and its best wall and CPU time."""
    walls, cpus = [], []
    for _ in range(ROUNDS):
        wall, cpu = time.perf_counter(), time.process_time()
        made = work()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return made, {"wall": min(walls), "cpu": min(cpus)}


def a_million(settings: Drift) -> dict[str, Any]:
    """A million rows of thirty columns against another million: from memory, and from Parquet."""
    card = wide_card()
    tables = [wide_table(card, seed) for seed in (1, 2)]

    def of(first: Any, second: Any) -> Comparison:
        return compare(card, held(first, card), held(second, card), settings)

    found, memory = timed(lambda: of(*tables))
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("then.parquet", "now.parquet")]
        for path, table in zip(paths, tables, strict=True):
            parquet.write_table(table, path)
        _, files = timed(lambda: of(*(read(path, card) for path in paths)))
    about = About("2026-11-30T00:00:00+00:00", "then.parquet", "now.parquet", synthetic=True)
    page = len(drift_page(report_of(found, about)).encode())
    return {"memory": memory, "parquet": files, "page_bytes": page}


def measured(halvings: int, draws: int) -> tuple[dict[str, Any], list[Target]]:
    """Everything, and the targets."""
    settings = params.load(ROOT / "params.yaml").drift
    figures: dict[str, Any] = {"halvings": halvings, "draws": draws}
    targets: list[Target] = []
    for name in CARDS:
        card = cards.load(ROOT / "ml" / "datasets" / f"{name}.yaml")
        figures[name] = found = {"false alarms": false_alarms(card, halvings, settings)}
        for kind in ("verdict", "p alone"):
            what = f"{name}: false alarms of the family, by {kind}"
            targets.append(Target(what, found["false alarms"][kind], "≤", 0.05))
    german = cards.load(ROOT / "ml" / "datasets" / "german-credit.yaml")
    figures["german-credit"]["power"] = strong = power(german, draws, settings)
    targets += [
        Target("german-credit: exactly the shifted columns found", strong["exact"], "≥", 0.95),
        Target("german-credit: shifted columns found", strong["columns"], "≥", 0.95),
    ]
    figures["a million rows"] = large = a_million(settings)
    targets += [
        Target("2 × 1 M × 30 in memory, seconds", large["memory"]["wall"], "≤", 3.0),
        Target("2 × 1 M × 30 from Parquet, seconds", large["parquet"]["wall"], "≤", 3.0),
        Target("the page, bytes", large["page_bytes"], "≤", 1_000_000),
    ]
    return figures, targets


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--halvings", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=200)
    asked = parser.parse_args()
    load = os.getloadavg()[0]
    figures, targets = measured(asked.halvings, asked.draws)
    print(f"{'':60}{'measured':>12}  target")
    for each in targets:
        said = f"{each.what:60}{each.measured:12,.3f}  {each.sign} {each.wanted:,g}"
        print(said + ("" if each.reached else "  MISSED"))
    large = figures["a million rows"]
    print(
        f"CPU seconds: memory {large['memory']['cpu']:.2f}, Parquet {large['parquet']['cpu']:.2f}"
    )
    print(f"{os.cpu_count()} cores, load {load:.1f}, Python {platform.python_version()}")
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    written = {"targets": [asdict(each) for each in targets], "load": load, **figures}
    OUTPUT.write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
    return 0 if all(each.reached for each in targets) else 1


if __name__ == "__main__":
    sys.exit(main())
