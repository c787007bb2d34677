"""The raw file is right and whole, or it is what it was before."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fraudloop.dataset.card import Card, parse
from fraudloop.dataset.download import Patience
from fraudloop.dataset.sources import Fetched, get_data, verify_counts
from fraudloop.errors import SourceError
from fraudloop.params import Data
from fraudloop.progress import Progress, Silent
from fraudloop.settings import Settings
from tests.servers import S3, Answer, Web, written

pytest_plugins = ("tests.servers",)

PUBLISHED = b"price,fraud\n" + b"".join(b"%d,0\n" % price for price in range(3000)) + b"9,1\n"
EXTRACT = b"price,fraud\n1,0\n2,1\n"
CORRUPTED = PUBLISHED.replace(b"2999", b"2998")
SYNTHETIC = b"price,fraud\n3,1\n"


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def card(expected: str | None = None) -> Card:
    known = f"{{bytes: {len(PUBLISHED)}, md5: {md5(PUBLISHED)}, rows: 3001, frauds: 1}}"
    return parse(
        f"""
        id: cups
        title: Cups
        columns: {{price: {{kind: numeric}}}}
        label: {{column: fraud}}
        kaggle: {{dataset: owner/cups, file: cups.csv}}
        expected: {known if expected is None else expected}
        """,
        "here",
    )


class Run:
    """One `get_data` with what it was told and what it told."""

    def __init__(self, raw: Path) -> None:
        self.raw = raw
        self.card = card()
        self.told: list[str] = []
        self.progress: Progress = Silent()
        self.generate: Callable[[Path], Any] = lambda aside: aside.write_bytes(SYNTHETIC)
        self.settings = Settings.read({})

    def has(self, content: bytes) -> None:
        self.raw.parent.mkdir(exist_ok=True)
        self.raw.write_bytes(content)

    def __call__(self, source: str, **rest: Any) -> Fetched:
        return get_data(
            Data.model_validate({"source": source, **rest}),
            self.card,
            self.raw,
            self.settings,
            generate=self.generate,
            announce=self.told.append,
            progress=self.progress,
            patience=Patience(tries=2, connect=2, read=5, sleep=lambda _: None),
        )

    def refusal(self, source: str, **rest: Any) -> str:
        """The one sentence of a failure, which leaves the folder as it was."""
        before = self.files()
        with pytest.raises(SourceError) as caught:
            self(source, **rest)
        assert self.files() == before
        assert "\n" not in str(caught.value)
        return str(caught.value)

    def files(self) -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in self.raw.parent.rglob("*") if not path.is_dir()}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "raw" / "cups.csv")


@pytest.fixture
def given(tmp_path: Path) -> Callable[[bytes], Path]:
    """A file of the user's with this content."""

    def write(content: bytes, name: str = "mine.csv") -> Path:
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return write


Given = Callable[..., Path]


def zipped(*entries: tuple[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return file.getvalue()


class TestSynthetic:
    def test_it_is_generated_where_nothing_or_anything_else_was(self, run: Run) -> None:
        for old in (None, EXTRACT, CORRUPTED):
            if old is not None:
                run.has(old)
            fetched = run("synthetic")
            assert run.files() == {run.raw: SYNTHETIC}
            assert fetched == Fetched(run.raw, len(SYNTHETIC), md5(SYNTHETIC), False, False)

    def test_the_real_file_is_not_overwritten(self, run: Run) -> None:
        run.has(PUBLISHED)
        run.generate = lambda _: pytest.fail("generated for nothing")
        message = run.refusal("synthetic")
        assert "is the real published file and is not overwritten" in message
        assert "data.source" in message

    @pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
    def test_a_failure_leaves_what_was_there(self, run: Run, error: type[BaseException]) -> None:
        run.has(EXTRACT)

        def fail(aside: Path) -> None:
            aside.write_bytes(b"half")
            raise error

        run.generate = fail
        with pytest.raises(error):
            run("synthetic")
        assert run.files() == {run.raw: EXTRACT}

    def test_a_folder_that_cannot_be_written_is_one_sentence(self, run: Run) -> None:
        run.raw.parent.write_bytes(b"no folder")
        with pytest.raises(SourceError, match=r"cannot write .*cups\.csv"):
            run("synthetic")

    def test_a_folder_in_its_place_is_one_sentence(self, run: Run) -> None:
        run.raw.mkdir(parents=True)
        assert "is a folder" in run.refusal("synthetic")


class TestFile:
    def test_the_published_file_is_recognized(self, run: Run, given: Given) -> None:
        assert run("file", file=given(PUBLISHED)).published
        assert run.files() == {run.raw: PUBLISHED}
        assert run.told == []

    def test_another_extract_is_taken_and_announced(self, run: Run, given: Given) -> None:
        assert not run("file", file=given(EXTRACT)).published
        assert run.files() == {run.raw: EXTRACT}
        assert "is not the published file" in run.told[0]

    def test_only_the_published_file_is_taken_if_it_must_be(self, run: Run, given: Given) -> None:
        message = run.refusal("file", file=given(EXTRACT), published=True)
        assert "is not the published file" in message

    def test_a_corrupted_copy_of_the_published_file_is_refused(
        self, run: Run, given: Given
    ) -> None:
        assert "is a corrupted copy" in run.refusal("file", file=given(CORRUPTED))

    def test_a_zip_is_unpacked(self, run: Run, given: Given) -> None:
        packed = zipped(("a/mine.csv", PUBLISHED), ("read.me", b""), ("__MACOSX/._mine.csv", b"x"))
        assert run("file", file=given(packed, "mine.zip")).published
        assert run.files() == {run.raw: PUBLISHED}

    def test_of_several_files_in_a_zip_the_cards_one_is_taken(self, run: Run, given: Given) -> None:
        packed = zipped(("other.csv", b"x"), ("cups.csv", PUBLISHED))
        assert run("file", file=given(packed)).published

    @pytest.mark.parametrize("names", [(), ("a.csv", "b.csv")])
    def test_a_zip_that_leaves_open_which_is_one_sentence(
        self, run: Run, given: Given, names: tuple[str, ...]
    ) -> None:
        packed = zipped(("read.me", b""), *((name, EXTRACT) for name in names))
        assert "CSV files" in run.refusal("file", file=given(packed))

    def test_a_truncated_zip_is_one_sentence(self, run: Run, given: Given) -> None:
        run.has(EXTRACT)
        packed = given(zipped(("a.csv", PUBLISHED))[:-40])
        assert "broken or cut short" in run.refusal("file", file=packed)

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"", "is empty"),
            (b"\n<html>", "is a web page"),
            (b"\x1f\x8bxx", "is a gzip file"),
            (b"PAR1xxxx", "is a Parquet file"),
        ],
    )
    def test_what_is_no_csv_is_said_so(
        self, run: Run, given: Given, content: bytes, said: str
    ) -> None:
        run.has(EXTRACT)
        assert said in run.refusal("file", file=given(content))

    def test_a_missing_file_is_one_sentence(self, run: Run, tmp_path: Path) -> None:
        for old in (EXTRACT, PUBLISHED):
            run.has(old)
            assert "is not there" in run.refusal("file", file=tmp_path / "absent.csv")

    def test_a_folder_is_one_sentence(self, run: Run, tmp_path: Path) -> None:
        assert "is not a regular file" in run.refusal("file", file=tmp_path)

    def test_a_file_that_may_not_be_read_is_one_sentence(
        self, run: Run, given: Given, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Root may read anything, so the refusal is made here.
        mine, really = given(EXTRACT), Path.open

        def refuse(path: Path, *how: Any) -> Any:
            if path == mine:
                raise PermissionError(13, "Permission denied")
            return really(path, *how)

        monkeypatch.setattr(Path, "open", refuse)
        assert "cannot read data.file" in run.refusal("file", file=mine)

    def test_the_destination_itself_is_kept(self, run: Run) -> None:
        run.has(EXTRACT)
        before = written(run.raw)
        fetched = run("file", file=run.raw.parent / ".." / "raw" / "cups.csv")
        assert (fetched.kept, fetched.published) == (True, False)
        assert written(run.raw) == before
        run.has(PUBLISHED)
        before = written(run.raw)
        fetched = run("file", file=run.raw)
        assert (fetched.kept, fetched.published) == (True, True)
        assert written(run.raw) == before

    def test_the_destination_itself_is_checked_all_the_same(self, run: Run) -> None:
        run.has(CORRUPTED)
        assert "is a corrupted copy" in run.refusal("file", file=run.raw)

    def test_another_file_does_not_overwrite_the_published_one(
        self, run: Run, given: Given
    ) -> None:
        run.has(PUBLISHED)
        message = run.refusal("file", file=given(EXTRACT))
        assert "is the real published file and is not overwritten" in message
        assert run.told == []

    def test_the_published_file_that_is_there_is_kept(self, run: Run, given: Given) -> None:
        run.has(PUBLISHED)
        before = written(run.raw)
        for copy in (given(PUBLISHED), given(zipped(("a.csv", PUBLISHED)), "mine.zip")):
            assert run("file", file=copy).kept
        assert run.files() == {run.raw: PUBLISHED}
        assert written(run.raw) == before

    def test_a_card_that_knows_nothing_takes_any_file(self, run: Run, given: Given) -> None:
        run.card = card("{}")
        assert not run("file", file=given(PUBLISHED)).published
        assert run.told == []
        assert "knows neither" in run.refusal("file", file=given(PUBLISHED), published=True)


class TestUrl:
    def test_the_published_file_is_downloaded(self, run: Run, web: Web) -> None:
        web.answers["/a"] = Answer(PUBLISHED)
        fetched = run("url", url=web.url("/a"))
        assert fetched == Fetched(run.raw, len(PUBLISHED), md5(PUBLISHED), False, True)
        assert run.files() == {run.raw: PUBLISHED}

    def test_a_zip_is_unpacked(self, run: Run, web: Web) -> None:
        web.answers["/a.zip"] = Answer(zipped(("a.csv", PUBLISHED)))
        assert run("url", url=web.url("/a.zip")).published

    def test_a_zip_without_a_csv_is_not_downloaded_again(self, run: Run, web: Web) -> None:
        web.answers["/a.zip"] = Answer(zipped(("read.me", b"")))
        assert "no CSV files" in run.refusal("url", url=web.url("/a.zip"))
        assert len(web.requests) == 1

    def test_a_corrupted_copy_is_refused(self, run: Run, web: Web) -> None:
        run.has(EXTRACT)
        web.answers["/a"] = Answer(CORRUPTED)
        assert "is a corrupted copy" in run.refusal("url", url=web.url("/a"))

    def test_only_the_published_file_is_taken_if_it_must_be(self, run: Run, web: Web) -> None:
        web.answers["/a"] = Answer(EXTRACT)
        message = run.refusal("url", url=web.url("/a"), published=True)
        assert "is not the published file" in message

    def test_another_extract_is_announced_without_secrets(self, run: Run, web: Web) -> None:
        web.answers["/a"] = Answer(EXTRACT)
        run("url", url=web.url("/a?signature=hidden", login="me:hidden@"))
        assert run.files() == {run.raw: EXTRACT}
        assert "is not the published file" in run.told[0]
        assert "hidden" not in run.told[0]

    def test_the_right_file_is_kept_with_no_request_at_all(self, run: Run, web: Web) -> None:
        run.has(PUBLISHED)
        before = written(run.raw)
        assert run("url", url=web.url("/a")).kept
        assert web.requests == []
        assert written(run.raw) == before
        assert "kept" in run.told[0]

    def test_what_is_no_address_is_one_sentence(self, run: Run) -> None:
        assert "is no address" in run.refusal("url", url="http://me:hid/den@host/x")

    def test_a_failed_download_leaves_what_was_there(self, run: Run, web: Web) -> None:
        run.has(EXTRACT)
        web.answers["/a"] = Answer(PUBLISHED, cut_after=[9, 9, 9])
        run.refusal("url", url=web.url("/a"))

    def test_the_published_file_put_there_meanwhile_is_not_overwritten(
        self, run: Run, web: Web
    ) -> None:
        web.answers["/a"] = Answer(EXTRACT)
        web.on_request = [lambda: run.has(PUBLISHED)]
        with pytest.raises(SourceError, match="is not overwritten"):
            run("url", url=web.url("/a"))
        assert run.files() == {run.raw: PUBLISHED}

    def test_ctrl_c_in_the_middle_leaves_the_old_file_and_nothing_else(
        self, run: Run, web: Web
    ) -> None:
        run.has(EXTRACT)
        web.answers["/a"] = Answer(PUBLISHED)
        during: list[int] = []

        class Interrupted(Silent):
            def advance(self, count: int) -> None:
                if count:
                    during.append(len(run.files()))
                    raise KeyboardInterrupt

        run.progress = Interrupted()
        with pytest.raises(KeyboardInterrupt):
            run("url", url=web.url("/a"))
        assert during == [2]  # the old one, and the one that was coming
        assert run.files() == {run.raw: EXTRACT}

    def test_s3_is_read_at_the_settings_endpoint(self, run: Run, s3: S3) -> None:
        run.settings = Settings.read({"AWS_ENDPOINT_URL_S3": s3.endpoint})
        url = s3.put("raw", "a.zip", zipped(("a.csv", PUBLISHED)))
        assert run("url", url=url).published
        assert run.files() == {run.raw: PUBLISHED}


class TestCounts:
    def test_the_published_file_has_the_cards_counts(self) -> None:
        verify_counts(card(), rows=3001, frauds=1, published=True)

    @pytest.mark.parametrize(("rows", "frauds"), [(3000, 1), (3001, 2), (3001, 0)])
    def test_a_published_file_with_other_counts_is_refused(self, rows: int, frauds: int) -> None:
        with pytest.raises(SourceError, match="where the card of cups expects"):
            verify_counts(card(), rows, frauds, published=True)

    def test_a_file_as_long_as_the_published_has_its_frauds(self) -> None:
        with pytest.raises(SourceError, match="2 frauds"):
            verify_counts(card(), rows=3001, frauds=2, published=False)

    def test_another_extract_may_have_any(self) -> None:
        verify_counts(card(), rows=5, frauds=2, published=False)

    def test_what_the_card_does_not_know_is_not_verified(self) -> None:
        verify_counts(card("{}"), rows=5, frauds=2, published=True)


class TestProgress:
    def test_it_is_stopped_whatever_happens(self, run: Run) -> None:
        stopped: list[bool] = []

        class Counted(Silent):
            def stop(self) -> None:
                stopped.append(True)

        run.progress = Counted()
        run("synthetic")
        run.refusal("url", url="s3://no-file")
        assert stopped == [True, True]
