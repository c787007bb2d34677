"""Files of transactions for the tests, and batches over them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from fraudloop.batch.decided import Judge
from fraudloop.batch.run import Done, Wish, run
from fraudloop.model.scorer import Scorer
from fraudloop.progress import Silent
from tests.fitted import bundle_of, card, features, table

FORMATS = ("csv", "parquet", "jsonl", "json")


@cache
def scorer() -> Scorer:
    return Scorer(bundle_of("boosted_trees"))


@cache
def scores() -> NDArray[Any]:
    """What the library gives every row of the table."""
    return scorer().score_features(features())


def transactions(many: int, *, ids: bool = False, label: bool = False) -> pd.DataFrame:
    """The first rows of the table, with ids in front if they are wished."""
    names = [*card().columns, *([card().label.column] if label else [])]
    rows = table()[names].head(many).reset_index(drop=True)
    if ids:
        rows.insert(0, "id", [f"t-{place}" for place in range(len(rows))])
    return rows


def written(path: Path, rows: pd.DataFrame, **options: Any) -> Path:
    """Rows as a file of the format that its name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    records = rows.to_dict("records")
    if path.suffix == ".parquet":
        parquet.write_table(pa.Table.from_pandas(rows, preserve_index=False), path, **options)
    elif path.suffix == ".csv":
        arrow_csv.write_csv(pa.Table.from_pandas(rows, preserve_index=False), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
    else:
        path.write_text(json.dumps(records))
    return path


def read(path: Path) -> list[dict[str, Any]]:
    """Decisions, from a file of any format."""
    if path.suffix == ".parquet":
        return list(parquet.read_table(path).to_pylist())
    if path.suffix == ".csv":
        return list(arrow_csv.read_csv(path).to_pylist())
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    found: list[dict[str, Any]] = json.loads(path.read_text())
    return found


def batch(input: Path | str, output: Path | str, **wishes: Any) -> Done:
    """Run a batch."""
    explain, top = wishes.pop("explain", False), wishes.pop("top", None)
    endpoint = wishes.pop("endpoint", None)
    judge = Judge(scorer(), explain=explain, top=top)
    wish = Wish(**{"threads": 2, **wishes})
    return run(str(input), str(output), judge, wish, Silent(), endpoint=endpoint)


def rejects(output: Path) -> list[dict[str, Any]]:
    """The list of rejects beside an output."""
    path = output.with_name(output.name + ".rejected.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def nothing_else(folder: Path, *names: str) -> None:
    """Nothing lies in a folder but what is named."""
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
