"""What does not fit is listed with file, line and reason, and everything else is scored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fraudloop.batch.job import TooManyRejectedError
from fraudloop.batch.run import NothingScoredError
from fraudloop.errors import DataError
from fraudloop.serving.dialects import Dialects
from tests.batch.files import batch, nothing_else, read, rejects, scores, transactions, written
from tests.fitted import card


def reject(file: str, line: int | None, row: int | None, field: str | None, reason: str) -> Any:
    return {"file": file, "line": line, "row": row, "field": field, "reason": reason}


def scored(path: Path, rows: list[int]) -> None:
    """The output has these rows, with their own scores."""
    found = read(path)
    assert [row["row"] for row in found] == rows
    np.testing.assert_allclose([row["score"] for row in found], scores()[rows], atol=1e-6)


def without(many: int, *rows: int) -> list[int]:
    return [row for row in range(many) if row not in rows]


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().split(b"\n")


def test_a_csv_with_a_short_line_in_the_middle(tmp_path: Path) -> None:
    source = written(tmp_path / "in.csv", transactions(50))
    lines = lines_of(source)
    lines[20] = lines[20][:60].rpartition(b",")[0]
    fields = lines[20].count(b",") + 1
    lines[30] += b",1,2"
    source.write_bytes(b"\n".join(lines))
    done = batch(source, tmp_path / "out.csv")
    assert rejects(tmp_path / "out.csv") == [
        reject(
            "in.csv", 21, 19, None, f"{fields} fields where the header has 30: correct the line"
        ),
        reject("in.csv", 31, 29, None, "32 fields where the header has 30: correct the line"),
    ]
    assert done.state.rejected == 2
    scored(tmp_path / "out.csv", without(50, 19, 29))


def test_a_csv_of_mixed_encodings(tmp_path: Path) -> None:
    source = written(tmp_path / "in.csv", transactions(6, ids=True))
    content = source.read_bytes().replace(b'"t-1"', "grün".encode()).replace(b'"t-3"', b"gr\xfcn")
    source.write_bytes(b"\xef\xbb\xbf" + content)
    batch(source, tmp_path / "out.csv")
    assert rejects(tmp_path / "out.csv") == [
        reject("in.csv", 5, 3, None, "'id' is not UTF-8 text: save the file as UTF-8")
    ]
    found = [row["id"] for row in read(tmp_path / "out.csv")]
    assert found == ["t-0", "grün", "t-2", "t-4", "t-5"]


def test_a_csv_in_utf_16_is_one_reject(tmp_path: Path) -> None:
    source = written(tmp_path / "in" / "a.csv", transactions(3))
    source.write_bytes(source.read_text().encode("utf-16"))
    written(tmp_path / "in" / "b.csv", transactions(2))
    batch(tmp_path / "in", tmp_path / "out.csv")
    reason = "a.csv has a header that is not UTF-8: save it as UTF-8"
    assert rejects(tmp_path / "out.csv") == [reject("a.csv", None, None, None, reason)]
    assert [row["file"] for row in read(tmp_path / "out.csv")] == ["b.csv", "b.csv"]


@pytest.mark.parametrize("taken", ["csv", "parquet"])
def test_values_out_of_place_are_told_as_the_server_tells_them(tmp_path: Path, taken: str) -> None:
    rows = transactions(40).astype(float)
    rows.loc[3, "Time"] = -5.0
    rows.loc[7, "V3"] = None
    rows.loc[9, "V4"] = float("inf")
    rows.loc[11, "Amount"] = 1e300
    source = written(tmp_path / f"in.{taken}", rows)
    batch(source, tmp_path / f"out.{taken}")
    scored(tmp_path / f"out.{taken}", without(40, 3, 7, 9, 11))
    found = rejects(tmp_path / f"out.{taken}")
    assert [each["row"] for each in found] == [3, 7, 9, 11]
    assert [each["line"] for each in found] == ([5, 9, 11, 13] if taken == "csv" else [None] * 4)
    assert [each["field"] for each in found] == ["Time", "V3", "V4", "Amount"]
    dialects = Dialects(card(), most_rows=100)
    for each in found:
        record = json.loads(rows.loc[[each["row"]]].to_json(orient="records"))[0]
        record = {name: float(rows.loc[each["row"], name]) for name in record}
        if each["field"] == "V3":
            record["V3"] = None
        with pytest.raises(DataError) as refused:
            dialects.read(json.dumps([record] * (each["row"] + 1)).encode())
        theirs = str(refused.value).replace("transaction 0", f"transaction {each['row']}")
        assert each["reason"] == theirs


def test_text_in_a_number_column_and_a_quoted_break(tmp_path: Path) -> None:
    rows = transactions(6, ids=True)
    rows.loc[1, "id"] = 'two\nlines, and a "word"'
    source = written(tmp_path / "in.csv", rows)
    lines = lines_of(source)
    lines[5] = lines[5].replace(b",", b",abc", 2).replace(b",abc", b",", 1)
    source.write_bytes(b"\n".join(lines))
    batch(source, tmp_path / "out.csv")
    (found,) = rejects(tmp_path / "out.csv")
    assert (found["line"], found["row"], found["field"]) == (6, 3, "V1")
    assert found["reason"].startswith("transaction 't-3': 'V1' is 'abc")
    assert pd.read_csv(tmp_path / "out.csv")["id"][1] == rows["id"][1]


def test_json_lines_that_are_no_transactions(tmp_path: Path) -> None:
    source = written(tmp_path / "in.jsonl", transactions(40))
    lines = lines_of(source)
    lines[4] = b'{"V1": 1'
    lines[8] = b"[1]"
    lines[12] = lines[12].replace(b'"V1"', b'"W1"')
    lines[16] += lines[16]
    lines[20] = b"  "
    source.write_bytes(b"\n".join(lines))
    batch(source, tmp_path / "out.jsonl")
    found = rejects(tmp_path / "out.jsonl")
    assert [(each["line"], each["row"], each["field"]) for each in found] == [
        *((5, 4, None), (9, 8, None), (13, 12, "W1"), (17, 16, None))
    ]
    assert found[1]["reason"] == (
        "transaction 8 is not an object of fields and values: write it as one"
    )
    assert found[2]["reason"] == "transaction 12 has an unknown field 'W1': remove it"
    assert [row["row"] for row in read(tmp_path / "out.jsonl")] == without(39, 4, 8, 12, 16)


def test_a_json_document_that_breaks_off_is_scored_up_to_there(tmp_path: Path) -> None:
    source = written(tmp_path / "in.json", transactions(40))
    source.write_bytes(source.read_bytes()[:9000])
    batch(source, tmp_path / "out.json")
    (found,) = rejects(tmp_path / "out.json")
    assert found["reason"].startswith("in.json is no JSON from line 1 on (")
    rows = [row["row"] for row in read(tmp_path / "out.json")]
    assert len(rows) > 10
    scored(tmp_path / "out.json", list(range(len(rows))))


def test_a_folder_with_one_bad_file_of_each_kind(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    whole = written(folder / "a.parquet", transactions(20))
    (folder / "b.parquet").write_bytes(whole.read_bytes()[:-200])
    (folder / "c.csv").write_bytes(b"")
    written(folder / "d.csv", transactions(20).drop(columns=["V7", "V9"]))
    written(folder / "e.jsonl", transactions(5))
    written(folder / "f.csv", transactions(5).assign(Shop="x"))
    (folder / "notes.txt").write_text("not for you")
    (folder / "_SUCCESS").touch()
    done = batch(folder, tmp_path / "out.csv")
    found = rejects(tmp_path / "out.csv")
    assert [(each["file"], each["line"], each["row"]) for each in found] == [
        (name, None, None) for name in ("b.parquet", "c.csv", "d.csv", "f.csv", "notes.txt")
    ]
    reasons = [each["reason"] for each in found]
    assert reasons[0].startswith("b.parquet is no Parquet that can be read (")
    assert reasons[1:] == [
        "c.csv is empty: send it anew",
        "d.csv has no column 'V7' (nor 1 more of the card's columns): add it",
        "f.csv has an unknown column 'Shop': remove it",
        "notes.txt has none of the endings .json, .jsonl, .ndjson, .csv, .parquet, .pq: "
        "rename or remove it",
    ]
    assert (done.state.scored, done.state.unread) == (25, 5)
    rows = read(tmp_path / "out.csv")
    assert [row["file"] for row in rows] == ["a.parquet"] * 20 + ["e.jsonl"] * 5


def test_duplicate_ids_are_each_scored(tmp_path: Path) -> None:
    rows = transactions(4, ids=True)
    rows["id"] = "same"
    batch(written(tmp_path / "in.csv", rows), tmp_path / "out.csv")
    found = read(tmp_path / "out.csv")
    assert [row["id"] for row in found] == ["same"] * 4
    np.testing.assert_allclose([row["score"] for row in found], scores()[:4], atol=1e-6)


def test_too_many_rejects_are_a_failure_and_the_old_output_stays(tmp_path: Path) -> None:
    rows = transactions(30)
    rows.loc[[3, 7, 9], "V3"] = None
    source = written(tmp_path / "in.csv", rows)
    (tmp_path / "out.csv").write_text("old")
    with pytest.raises(TooManyRejectedError, match="more than 2 rows were rejected"):
        batch(source, tmp_path / "out.csv", most_rejected=2)
    assert (tmp_path / "out.csv").read_text() == "old"
    assert len(rejects(tmp_path / "out.csv")) == 3
    batch(source, tmp_path / "out.csv", most_rejected=3, resume=True)
    assert len(read(tmp_path / "out.csv")) == 27
    assert len(rejects(tmp_path / "out.csv")) == 3
    nothing_else(tmp_path, "in.csv", "out.csv", "out.csv.rejected.jsonl")


def test_if_nothing_can_be_scored_it_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_bytes(b"")
    with pytest.raises(NothingScoredError, match=r"not one row of .*in\.csv could be scored"):
        batch(tmp_path / "in.csv", tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()
    assert [each["reason"] for each in rejects(tmp_path / "out.csv")] == [
        "in.csv is empty: send it anew"
    ]


def test_an_older_list_of_rejects_goes_when_there_are_none(tmp_path: Path) -> None:
    source = written(tmp_path / "in.csv", transactions(3))
    (tmp_path / "out.csv.rejected.jsonl").write_text("old")
    batch(source, tmp_path / "out.csv")
    nothing_else(tmp_path, "in.csv", "out.csv")
