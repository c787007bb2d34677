"""The engine `spark`: whatever the local engine makes of an input, it makes too.

To the byte here, where an output is one part; of a longer Parquet a row group may end elsewhere.
"""

from __future__ import annotations

import json
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fraudloop.batch import blocks
from fraudloop.batch.decided import Judge
from fraudloop.batch.job import Batch
from fraudloop.batch.places import sources_of
from fraudloop.batch.run import Done, Wish, run
from fraudloop.batch.spark import OnSpark, Piece, _cuts_of_parquet
from fraudloop.errors import SparkError
from fraudloop.model.scorer import Scorer
from fraudloop.progress import Silent
from tests.fitted import bundle_of, card, unseen
from tests.spark import NEWER_PANDAS

pytest_plugins = ("tests.spark",)
pytestmark = pytest.mark.filterwarnings(NEWER_PANDAS)

SMALL = 60_000


def rows() -> pd.DataFrame:
    return unseen()[list(card().columns)].head(3000)


def csv_with_faults(path: Path) -> None:
    """Lines that are short, no number, out of range; and a line break within quotation marks."""
    text = rows().assign(id=[f"t{place}" for place in range(3000)]).to_csv(index=False)
    lines = text.splitlines()
    lines[700] = lines[700].rpartition(",")[0]
    lines[1400] = "x" + lines[1400].partition(",")[2].join((",", ""))
    lines[2100] = lines[2100].rpartition(",")[0] + ',"two\nlines"'
    lines[2900] = lines[2900].replace(lines[2900].split(",")[3], "nan")
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Inputs of every kind."""
    folder = tmp_path_factory.mktemp("inputs")
    csv_with_faults(folder / "faults.csv")
    rows().to_parquet(folder / "groups.parquet", row_group_size=250, index=False)
    rows().to_json(folder / "lines.jsonl", orient="records", lines=True)
    rows().head(200).to_json(folder / "split.json", orient="split")
    many = folder / "many"
    many.mkdir()
    for place in range(6):
        rows().iloc[place * 50 :][:50].to_parquet(many / f"{place}.parquet", index=False)
    (many / "3.parquet").write_bytes((many / "3.parquet").read_bytes()[:5000])
    (many / "empty.csv").write_bytes(b"")
    return folder


def done_by(engine: Any, source: Path, output: Path, judge: Judge, **wish: Any) -> Done:
    return run(str(source), str(output), judge, Wish(**wish), Silent(), engine=engine)


def on(spark: Any, piece_bytes: int = SMALL) -> Any:
    """The engine on the tests' own session, with pieces as small as their files ask for."""

    def engine(sources: Any, judge: Judge) -> AbstractContextManager[OnSpark]:
        return nullcontext(OnSpark(spark, sources, judge, piece_bytes))

    return engine


def contents(path: Path) -> dict[str, bytes]:
    """Every file at or in a path, and the rejects beside it."""
    found = [path] if path.is_file() else sorted(path.rglob("*"))
    found += [path.with_name(path.name + ".rejected.jsonl")]
    return {
        str(each.relative_to(path.parent)): each.read_bytes() for each in found if each.is_file()
    }


CASES = [
    ("faults.csv", "out.csv", False),
    ("faults.csv", "out.parquet", True),
    ("groups.parquet", "out.parquet", False),
    ("lines.jsonl", "out.jsonl", False),
    ("split.json", "out.json", False),
    ("many", "out", False),
]


@pytest.mark.parametrize(("source", "output", "explain"), CASES)
def test_output_and_rejects_are_the_local_engines(
    spark: Any,
    inputs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
    output: str,
    explain: bool,
) -> None:
    judge = Judge(Scorer(bundle_of("boosted_trees")), explain=explain, top=3 if explain else None)
    wish = {"format": "parquet"} if source == "many" else {}
    here, there = tmp_path / "here" / output, tmp_path / "there" / output
    here.parent.mkdir()
    there.parent.mkdir()
    local = done_by(lambda *_: nullcontext(), inputs / source, here, judge, **wish)
    monkeypatch.setattr(blocks, "BLOCK", SMALL // 2)  # so that a small file has several
    distributed = done_by(on(spark), inputs / source, there, judge, **wish)
    assert contents(there) == contents(here)
    assert distributed.state.scored == local.state.scored > 0
    assert distributed.state.rejected == local.state.rejected
    if source == "faults.csv":
        listed = there.with_name(f"{output}.rejected.jsonl").read_text().splitlines()
        told = [json.loads(line) for line in listed]
        assert [each["line"] for each in told] == [701, 1401, 2902]
        assert all(each["reason"] and each["file"] == source for each in told)


@pytest.mark.parametrize("name", ["groups.parquet", "faults.csv", "lines.jsonl"])
def test_a_long_file_is_cut_into_pieces_that_leave_nothing_out(
    spark: Any, inputs: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(blocks, "BLOCK", SMALL // 2)
    sources = sources_of(str(inputs / name), None, None)
    judge = Judge(Scorer(bundle_of("boosted_trees")))
    pieces = list(OnSpark(spark, sources, judge, SMALL)._pieces(0, {}))
    assert len(pieces) > 4
    assert all(isinstance(piece, Piece) for piece in pieces)
    stops = [piece.stop for piece in pieces if isinstance(piece, Piece)]
    begins = [piece.after.get("at") for piece in pieces if isinstance(piece, Piece)]
    assert begins[1:] == stops[:-1]
    assert stops[-1] in (None, 3000, sources[0].size)


def test_a_batch_that_was_interrupted_goes_on_where_it_ended(
    spark: Any, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = Judge(Scorer(bundle_of("boosted_trees")))
    whole, output = tmp_path / "whole.parquet", tmp_path / "out.parquet"
    monkeypatch.setattr("fraudloop.batch.job.PART_ROWS", 500)
    done_by(on(spark), inputs / "groups.parquet", whole, judge)
    take = Batch._take

    def interrupted(self: Batch, *arguments: Any) -> None:
        take(self, *arguments)
        if self._state.row >= 1500:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Batch, "_take", interrupted)
        with pytest.raises(KeyboardInterrupt):
            done_by(on(spark), inputs / "groups.parquet", output, judge)
    assert not output.exists()
    done = done_by(on(spark), inputs / "groups.parquet", output, judge, resume=True)
    assert done.resumed
    assert output.read_bytes() == whole.read_bytes()


def test_a_piece_that_is_gone_is_told_in_a_sentence(spark: Any, tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    rows().head(10).to_csv(path, index=False)
    sources = sources_of(str(path), None, None)
    path.unlink()
    engine = OnSpark(spark, sources, Judge(Scorer(bundle_of("boosted_trees"))))
    with pytest.raises(SparkError, match="could not decide a piece") as caught:
        list(engine.decided(0, {}))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_shipped_holds_nothing_to_unpickle(spark: Any) -> None:
    bundle = bundle_of("boosted_trees")
    shipped = OnSpark(spark, [], Judge(Scorer(bundle)))._shipped.value
    assert bundle.manifest.pipeline in bundle.files
    assert bundle.manifest.pipeline not in shipped.bundle.files
    assert shipped.bundle.sha256 == bundle.sha256


def test_a_parquet_whose_end_is_missing_is_left_to_its_reader(inputs: Path) -> None:
    source = sources_of(str(inputs / "many" / "3.parquet"), None, None)[0]
    assert list(_cuts_of_parquet(source, {"at": 7}, 10)) == [({"at": 7}, None)]
