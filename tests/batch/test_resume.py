"""Whenever a batch is interrupted, no half output is seen, and resuming ends as if nothing was."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fraudloop.batch import blocks, job, json_in, parquet_in
from fraudloop.batch.encoders import ENCODERS
from fraudloop.batch.formats import Format
from fraudloop.batch.journal import JOURNAL, Aside
from fraudloop.errors import BatchError
from fraudloop.model import bundle as bundles
from tests.batch.files import FORMATS, batch, nothing_else, read, rejects, transactions, written
from tests.fitted import ROOT, bundle_of
from tests.serving.running import until

MANY = 900


class PulledThePlugError(BaseException):
    """As if the machine stopped there."""


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many parts of few rows."""
    monkeypatch.setattr(job, "PART_ROWS", 100)
    monkeypatch.setattr(parquet_in, "ROWS", 64)
    monkeypatch.setattr(json_in, "ROWS", 64)
    monkeypatch.setattr(blocks, "BLOCK", 20_000)


def folder_of(tmp_path: Path, taken: str, *, files: int = 1) -> Path:
    """Transactions of which some do not fit, in one or more files."""
    rows = transactions(MANY)
    rows.loc[rows.index % 97 == 5, "V3"] = None
    each = MANY // files
    for place in range(files):
        part = rows.iloc[place * each : (place + 1) * each]
        written(tmp_path / "in" / f"{place}.{taken}", part)
    return tmp_path / "in"


def everything(folder: Path) -> dict[str, bytes]:
    """Every file that a batch has left, by its name, but for those it was given."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "in" not in path.relative_to(folder).parts[:1]
    }


def plug(monkeypatch: pytest.MonkeyPatch, step: int) -> list[int]:
    """Stop at the so-many-th thing that is done to the disk, or half-way through it."""
    left = [step]

    def pulled(half: Any = None) -> None:
        left[0] -= 1
        if left[0] <= 0:
            if half is not None:
                half()
            raise PulledThePlugError

    noted = Aside.note

    def note(self: Aside, state: Any, about: str | None) -> None:
        def half() -> None:
            with (self.folder / JOURNAL).open("ab") as journal:
                journal.write(b'{"state": {"sour')

        pulled(half)
        noted(self, state, about)
        pulled()

    monkeypatch.setattr(Aside, "note", note)
    of_kind = {kind: kind.part for kind in ENCODERS.values()}
    for kind in ENCODERS.values():

        def half_a_part(self: Any, layout: Any, chunks: Any, path: Path, *rest: Any) -> Any:
            made = of_kind[type(self)](self, layout, chunks, path, *rest)
            size = path.stat().st_size
            pulled(lambda: os.truncate(path, size - 7))
            return made

        monkeypatch.setattr(kind, "part", half_a_part)
    return left


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    ("files", "name"), [(1, "out.{}"), (1, "out.parquet"), (3, "out.{}"), (3, "out")]
)
def test_pulling_the_plug_at_any_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str, files: int, name: str
) -> None:
    output = name.format(format)
    undisturbed = tmp_path / "undisturbed"
    source = folder_of(tmp_path, format, files=files)
    undisturbed.mkdir()
    batch(source, undisturbed / output)
    expected = everything(undisturbed)
    assert len(expected) == (1 if "." in output else files) + 1
    random_step = random.Random(f"{format}{files}{name}")  # as random as can be told again
    for step in random_step.sample(range(1, 20), 4):
        disturbed = tmp_path / f"disturbed-{step}"
        disturbed.mkdir()
        with monkeypatch.context() as patched:
            left = plug(patched, step)
            with pytest.raises(PulledThePlugError):
                batch(source, disturbed / output)
            assert left[0] <= 0
        nothing_else(disturbed, f".{output}.batch")
        batch(source, disturbed / output, resume=True)
        assert everything(disturbed) == expected


def test_a_resumed_batch_does_not_begin_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = folder_of(tmp_path, "csv")
    with monkeypatch.context() as patched:
        plug(patched, 15)
        with pytest.raises(PulledThePlugError):
            batch(source, tmp_path / "out.csv")
    written_before = (tmp_path / ".out.csv.batch" / "output").stat().st_size
    seen: list[int] = []
    part = ENCODERS[Format.CSV].part

    def first(self: Any, layout: Any, chunks: Any, path: Path, place: int) -> Any:
        seen.append(path.stat().st_size)
        return part(self, layout, chunks, path, place)

    monkeypatch.setattr(ENCODERS[Format.CSV], "part", first)
    assert batch(source, tmp_path / "out.csv", resume=True).resumed
    assert 0 < seen[0] <= written_before


def _interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    source = folder_of(tmp_path, "csv", files=2)
    with monkeypatch.context() as patched:
        plug(patched, 12)
        with pytest.raises(PulledThePlugError):
            batch(source, tmp_path / "out.csv")
    return source


def test_another_input_is_refused_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = _interrupted(tmp_path, monkeypatch)
    with (source / "1.csv").open("a") as file:
        file.write("1,2,3\n")
    with pytest.raises(BatchError, match=r"^1\.csv has changed since the batch .* --resume$"):
        batch(source, tmp_path / "out.csv", resume=True)
    written(source / "2.csv", transactions(3))
    (source / "1.csv").unlink()
    with pytest.raises(BatchError, match=r"^1\.csv is gone since "):
        batch(source, tmp_path / "out.csv", resume=True)
    assert not (tmp_path / "out.csv").exists()
    assert batch(source, tmp_path / "out.csv").state.source == 2


def test_other_wishes_are_refused_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = _interrupted(tmp_path, monkeypatch)
    with pytest.raises(BatchError, match="the explain is another"):
        batch(source, tmp_path / "out.csv", resume=True, explain=True)


def test_with_nothing_to_resume_it_begins(tmp_path: Path) -> None:
    source = folder_of(tmp_path, "csv")
    done = batch(source, tmp_path / "out.csv", resume=True)
    assert not done.resumed
    assert done.state.scored + done.state.rejected == MANY


def test_an_input_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = folder_of(tmp_path, "csv")
    noted = Aside.note

    def note(self: Aside, state: Any, about: str | None) -> None:
        (source / "0.csv").touch()
        noted(self, state, about)

    monkeypatch.setattr(Aside, "note", note)
    with pytest.raises(BatchError, match="was changed while it was read"):
        batch(source, tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_two_batches_do_not_write_the_same_output(tmp_path: Path) -> None:
    source = folder_of(tmp_path, "csv")
    other = Aside(tmp_path / ".out.csv.batch", {})
    with other.held(resume=False), pytest.raises(BatchError, match="another batch is writing"):
        batch(source, tmp_path / "out.csv")


SLOW = """
import sys, time
from fraudloop.batch import blocks, job
from fraudloop.batch.journal import Aside
job.PART_ROWS, blocks.BLOCK = 100, 20_000
noted = Aside.note
def note(*all):
    noted(*all)
    time.sleep(0.02)
Aside.note = note
from fraudloop.cli import main
main()
"""


def start(tmp_path: Path, *options: str) -> subprocess.Popen[bytes]:
    """A real batch in a process of its own, which takes its time."""
    command = [sys.executable, "-c", SLOW, "batch", str(tmp_path / "in"), str(tmp_path / "out.csv")]
    return subprocess.Popen(
        [*command, "--bundle", str(tmp_path / "bundle"), *options],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def parts(tmp_path: Path) -> int:
    """How many parts are finished."""
    journal = tmp_path / ".out.csv.batch" / JOURNAL
    return journal.read_bytes().count(b"\n") - 1 if journal.exists() else 0


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_a_real_signal_leaves_the_old_output_and_resuming_ends_it(
    tmp_path: Path, sent: signal.Signals
) -> None:
    source = folder_of(tmp_path, "csv")
    (tmp_path / "undisturbed").mkdir()
    batch(source, tmp_path / "undisturbed" / "out.csv")
    bundles.save(tmp_path / "bundle", bundle_of("boosted_trees"))
    (tmp_path / "out.csv").write_text("old")
    running = start(tmp_path)
    wanted = random.randint(1, 4)
    until(lambda: parts(tmp_path) >= wanted or running.poll() is not None, "a part", 120)
    running.send_signal(sent)
    _, said = running.communicate(timeout=120)
    if running.returncode != 0:  # it may have ended before
        assert (tmp_path / "out.csv").read_text() == "old"
        assert running.returncode == (-signal.SIGKILL if sent == signal.SIGKILL else 130)
    if sent == signal.SIGINT and running.returncode:
        assert said == b"fraudloop: interrupted; what stood before still stands\n"
    again = start(tmp_path, "--resume")
    _, said = again.communicate(timeout=120)
    assert again.returncode == 0, said
    expected = (tmp_path / "undisturbed" / "out.csv").read_bytes()
    assert (tmp_path / "out.csv").read_bytes() == expected
    assert rejects(tmp_path / "out.csv") == rejects(tmp_path / "undisturbed" / "out.csv")
    assert len(read(tmp_path / "out.csv")) + len(rejects(tmp_path / "out.csv")) == MANY
    assert not (tmp_path / ".out.csv.batch").exists()
