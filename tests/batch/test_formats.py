"""Every format goes in and comes out, with the scores of the library and of the server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import parquet

from fraudloop.batch import blocks, job, json_in, parquet_in
from fraudloop.batch.formats import Format
from fraudloop.errors import BatchError
from fraudloop.model import bundle as bundles
from fraudloop.serving import api
from fraudloop.serving.options import Options
from fraudloop.settings import Serving
from tests.batch.files import (
    FORMATS,
    batch,
    nothing_else,
    read,
    scorer,
    scores,
    transactions,
    written,
)
from tests.fitted import bundle_of, card
from tests.serving.asgi import ask

MANY = 700


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks and parts so small that a few hundred rows are many of them."""
    monkeypatch.setattr(job, "PART_ROWS", 150)
    monkeypatch.setattr(parquet_in, "ROWS", 64)
    monkeypatch.setattr(json_in, "ROWS", 64)
    monkeypatch.setattr(blocks, "BLOCK", 20_000)


@pytest.mark.parametrize("taken", FORMATS)
@pytest.mark.parametrize("given", FORMATS)
@pytest.mark.usefixtures("small_parts")
def test_every_format_becomes_every_other(tmp_path: Path, taken: str, given: str) -> None:
    source = written(tmp_path / f"in.{taken}", transactions(MANY, ids=True))
    output = tmp_path / f"out.{given}"
    done = batch(source, output)
    assert (done.state.scored, done.state.rejected) == (MANY, 0)
    rows = read(output)
    assert [row["id"] for row in rows] == [f"t-{place}" for place in range(MANY)]
    np.testing.assert_allclose([row["score"] for row in rows], scores()[:MANY], atol=1e-6)
    threshold = scorer().bundle.manifest.threshold
    assert [row["prediction"] for row in rows] == [int(row["score"] >= threshold) for row in rows]
    assert {row["model_version"] for row in rows} == {scorer().bundle.version}
    nothing_else(tmp_path, source.name, output.name)


@pytest.mark.parametrize("taken", FORMATS)
def test_the_same_scores_as_the_server(
    tmp_path: Path, taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundles.save(tmp_path / "bundle", bundle_of("boosted_trees"))
    monkeypatch.setattr(api, "catch_others", lambda log: None)
    app = api.create(Options(tmp_path / "bundle", settings=Serving()))
    rows = transactions(300)
    answered = ask(app, "/predict", rows.to_dict("records")).json
    source = written(tmp_path / f"in.{taken}", rows)
    batch(source, tmp_path / "out.jsonl", explain=True)
    found = read(tmp_path / "out.jsonl")
    np.testing.assert_allclose([row["score"] for row in found], answered["scores"], atol=1e-6)
    assert [row["prediction"] for row in found] == answered["predictions"]
    assert [row["row"] for row in found] == answered["ids"]
    reasons = ask(app, "/predict", rows.head(3).to_dict("records"), query="explain=true").json
    for ours, theirs in zip(found, reasons["reasons"], strict=False):
        assert [each["feature"] for each in ours["reasons"]] == [each["feature"] for each in theirs]


def _dialects() -> dict[str, Any]:
    rows = transactions(50)
    records = rows.to_dict("records")
    values = rows.to_numpy().tolist()
    return {
        "one": (records[0], ["row", [0]]),
        "several": (records, ["row", list(range(50))]),
        "features": ({"features": values}, ["row", list(range(50))]),
        "flat features": ({"features": values[0]}, ["row", [0]]),
        "split": (
            {"data": [row[::-1] for row in values], "columns": list(rows)[::-1]},
            ["row", list(range(50))],
        ),
        "split with an index": (
            {"index": list(range(7, 57)), "columns": list(rows), "data": values},
            ["id", list(range(7, 57))],
        ),
        "by id": (
            {f"ü{place}": record for place, record in enumerate(records)},
            ["id", [f"ü{place}" for place in range(50)]],
        ),
    }


@pytest.mark.parametrize("dialect", list(_dialects()))
@pytest.mark.parametrize("indent", [None, 1])
def test_every_dialect_of_the_server(
    tmp_path: Path, dialect: str, indent: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fraudloop.batch.json_text_in.PIECE", 501)
    monkeypatch.setattr(json_in, "ROWS", 16)
    body, (name, ids) = _dialects()[dialect]
    source = tmp_path / "in.json"
    source.write_text(json.dumps(body, indent=indent, ensure_ascii=False), encoding="utf-8")
    batch(source, tmp_path / "out.json")
    rows = read(tmp_path / "out.json")
    assert [row[name] for row in rows] == ids
    np.testing.assert_allclose([row["score"] for row in rows], scores()[: len(ids)], atol=1e-6)


@pytest.mark.usefixtures("small_parts")
def test_parquet_of_many_parts_is_one_file_that_others_read(tmp_path: Path) -> None:
    source = written(tmp_path / "in.parquet", transactions(MANY, label=True), row_group_size=100)
    batch(source, tmp_path / "out.parquet")
    with parquet.ParquetFile(tmp_path / "out.parquet") as file:
        assert file.num_row_groups > 3
        assert file.schema_arrow.names == ["row", "score", "prediction", "model_version"]
        for group in range(file.num_row_groups):
            first = file.read_row_group(group).column("row")[0].as_py()
            about = file.metadata.row_group(group).column(0)
            assert about.statistics.min == first
        assert file.metadata.num_rows == MANY


@pytest.mark.parametrize("given", FORMATS)
def test_no_rows_are_a_file_without_rows(tmp_path: Path, given: str) -> None:
    batch(written(tmp_path / "in.csv", transactions(0)), tmp_path / f"out.{given}")
    assert read(tmp_path / f"out.{given}") == []


def test_number_ids_stay_numbers_and_texts_stay_texts(tmp_path: Path) -> None:
    rows = transactions(3)
    rows.insert(0, "id", [7, 8, 9])
    written(tmp_path / "in.parquet", rows)
    written(tmp_path / "in.json", rows)
    (tmp_path / "in.csv").write_text(rows.to_csv(index=False).replace("\n7,", "\n007,"))
    batch(tmp_path / "in.parquet", tmp_path / "out.parquet")
    batch(tmp_path / "in.json", tmp_path / "out.jsonl")
    batch(tmp_path / "in.csv", tmp_path / "out-csv.parquet")
    assert parquet.read_table(tmp_path / "out.parquet").column("id").to_pylist() == [7, 8, 9]
    assert [row["id"] for row in read(tmp_path / "out.jsonl")] == [7, 8, 9]
    texts = parquet.read_table(tmp_path / "out-csv.parquet").column("id").to_pylist()
    assert texts == ["007", "8", "9"]


@pytest.mark.parametrize("given", FORMATS)
def test_reasons_go_along_the_largest_first(tmp_path: Path, given: str) -> None:
    source = written(tmp_path / "in.parquet", transactions(20))
    batch(source, tmp_path / f"out.{given}", explain=True, top=3)
    for row in read(tmp_path / f"out.{given}"):
        reasons = json.loads(row["reasons"]) if given == "csv" else row["reasons"]
        sizes = [abs(each["contribution"]) for each in reasons]
        assert len(sizes) == 3
        assert sizes == sorted(sizes, reverse=True)
        assert {each["feature"] for each in reasons} <= set(card().feature_names)


def test_columns_may_stand_in_any_order_and_be_of_any_width(tmp_path: Path) -> None:
    rows = transactions(100, label=True)
    turned = rows[list(rows)[::-1]].astype("float32")
    written(tmp_path / "in.parquet", turned)
    batch(tmp_path / "in.parquet", tmp_path / "out.parquet")
    found = [row["score"] for row in read(tmp_path / "out.parquet")]
    np.testing.assert_allclose(found, scores()[:100], atol=1e-6)


def test_what_the_name_does_not_say_the_option_does(tmp_path: Path) -> None:
    source = written(tmp_path / "in.csv", transactions(5))
    plain = source.rename(tmp_path / "transactions")
    batch(plain, tmp_path / "decisions", format=Format.PARQUET)
    assert parquet.read_table(tmp_path / "decisions").num_rows == 5
    batch(plain, tmp_path / "again")
    assert (tmp_path / "again").read_text().startswith('"row","score"')


def test_a_model_without_reasons_says_so(tmp_path: Path) -> None:
    from fraudloop.batch.decided import Judge

    class Wordless:
        class bundle:  # noqa: N801 - it stands for an attribute
            class manifest:  # noqa: N801 - it too
                reasons = None
                candidate = "none-dummy"

    with pytest.raises(BatchError, match=r"none-dummy.*leave --explain out"):
        Judge(Wordless(), explain=True)  # type: ignore[arg-type]  # all that is asked of it
