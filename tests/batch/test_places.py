"""Files, folders, patterns, pipes and S3: in and out."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from fraudloop.batch.formats import Format
from fraudloop.errors import BatchError
from tests.batch.files import (
    FORMATS,
    batch,
    nothing_else,
    read,
    rejects,
    scores,
    transactions,
    written,
)
from tests.servers import S3

pytest_plugins = ("tests.servers",)


def test_a_pattern_takes_what_fits_it_in_the_order_of_names(tmp_path: Path) -> None:
    for name in ("in/b/2.csv", "in/a/1.csv", "in/a/x.json", "in/c.csv"):
        written(tmp_path / name, transactions(4))
    batch(tmp_path / "in" / "*" / "*.csv", tmp_path / "one.csv")
    assert [row["file"] for row in read(tmp_path / "one.csv")] == ["a/1.csv"] * 4 + ["b/2.csv"] * 4
    batch(tmp_path / "in" / "**" / "*.csv", tmp_path / "all.csv")
    files = {row["file"] for row in read(tmp_path / "all.csv")}
    assert files == {"a/1.csv", "b/2.csv", "c.csv"}


def test_a_folder_becomes_a_folder_of_as_many_files(tmp_path: Path) -> None:
    for name in ("a/1.csv", "b.parquet"):
        written(tmp_path / "in" / name, transactions(6))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    batch(tmp_path / "in", tmp_path / "out", format=Format.CSV)
    made = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*"))
    assert made == ["a", "a/1.csv", "b.csv"]
    found = [row["score"] for row in read(tmp_path / "out" / "b.csv")]
    np.testing.assert_allclose(found, scores()[:6], atol=1e-6)
    nothing_else(tmp_path, "in", "out")


def test_two_files_do_not_become_one(tmp_path: Path) -> None:
    for name in ("a.csv", "a.parquet"):
        written(tmp_path / "in" / name, transactions(2))
    with pytest.raises(BatchError, match=r"would both become a\.csv"):
        batch(tmp_path / "in", tmp_path / "out", format=Format.CSV)
    with pytest.raises(BatchError, match="say --format"):
        batch(tmp_path / "in", tmp_path / "out")


@pytest.mark.parametrize("output", ["in/out.csv", "in/a.csv", "in"])
def test_an_output_within_the_input_is_refused(tmp_path: Path, output: str) -> None:
    written(tmp_path / "in" / "a.csv", transactions(2))
    with pytest.raises(BatchError, match="lies in the input"):
        batch(tmp_path / "in", tmp_path / output)


def test_an_input_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(BatchError, match=r"^there is no .*nowhere\.csv: name a file"):
        batch(tmp_path / "nowhere.csv", tmp_path / "out.csv")
    with pytest.raises(BatchError, match="holds no file"):
        batch(tmp_path / "*.csv", tmp_path / "out.csv")


class Pipe:
    """Bytes where text is expected, as sys.stdin and sys.stdout have them."""

    def __init__(self, content: bytes = b"") -> None:
        self.buffer = io.BytesIO(content)


@pytest.mark.parametrize("format", FORMATS)
def test_from_a_pipe_to_a_pipe(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    format: str,
) -> None:
    rows = transactions(30).astype(float)
    rows.loc[4, "V1"] = float("inf")
    source = written(tmp_path / f"in.{format}", rows)
    out = Pipe()
    monkeypatch.setattr(sys, "stdin", Pipe(source.read_bytes()))
    monkeypatch.setattr(sys, "stdout", out)
    done = batch("-", "-")
    (tmp_path / f"out.{format}").write_bytes(out.buffer.getvalue())
    found = read(tmp_path / f"out.{format}")
    assert [row["row"] for row in found] == [row for row in range(30) if row != 4]
    assert done.state.rejected == 1
    assert json.loads(capsys.readouterr().err)["row"] == 4
    nothing_else(tmp_path, source.name, f"out.{format}")


def test_a_pipe_is_not_resumed(tmp_path: Path) -> None:
    with pytest.raises(BatchError, match="a pipe cannot be resumed"):
        batch("-", tmp_path / "out.csv", resume=True)


@pytest.mark.parametrize("format", ["csv", "parquet", "json"])
def test_s3_in_and_out(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = transactions(50).astype(float)
    rows.loc[7, "V1"] = float("nan")
    source = written(tmp_path / f"in.{format}", rows)
    address = s3.put(f"batch-{format}", f"day/a.{format}", source.read_bytes())
    s3.put(f"batch-{format}", f"day/b.{format}", source.read_bytes())
    one = f"s3://batch-{format}/out/one.{format}"
    batch(address, one, endpoint=s3.endpoint)
    stored = s3.client.get_object(Bucket=f"batch-{format}", Key=f"out/one.{format}")
    (tmp_path / f"o.{format}").write_bytes(stored["Body"].read())
    found = [row["score"] for row in read(tmp_path / f"o.{format}")]
    np.testing.assert_allclose(found, np.delete(scores()[:50], 7), atol=1e-6)
    listed = s3.client.get_object(Bucket=f"batch-{format}", Key=f"out/one.{format}.rejected.jsonl")
    assert json.loads(listed["Body"].read())["row"] == 7
    done = batch(f"s3://batch-{format}/day/", tmp_path / "all.csv", endpoint=s3.endpoint)
    assert done.state.scored == 98
    folder = f"s3://batch-{format}/decided/"
    batch(f"s3://batch-{format}/d*y/*.{format}", folder, endpoint=s3.endpoint)
    made = s3.client.list_objects_v2(Bucket=f"batch-{format}", Prefix="decided")["Contents"]
    assert [each["Key"] for each in made] == [
        *("decided.rejected.jsonl", f"decided/day/a.{format}", f"decided/day/b.{format}")
    ]
    nothing_else(tmp_path, source.name, f"o.{format}", "all.csv", "all.csv.rejected.jsonl", "home")


def test_s3_that_is_not_there_is_one_sentence(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BatchError, match=r"there is no s3://nowhere/a\.csv"):
        batch("s3://nowhere/a.csv", tmp_path / "out.csv", endpoint=s3.endpoint)
    source = written(tmp_path / "in.csv", transactions(5))
    with pytest.raises(BatchError, match=r"s3://nowhere/out\.csv"):
        batch(source, "s3://nowhere/out.csv", endpoint=s3.endpoint)
    assert rejects(tmp_path / "out.csv") == []
