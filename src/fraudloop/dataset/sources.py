"""The raw file, from wherever `data.source` says: fetched aside, checked, then put in its place."""

from __future__ import annotations

import os
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from fraudloop.dataset import download, kaggle_source
from fraudloop.dataset.card import Card, Expected
from fraudloop.dataset.download import CHUNK, PATIENCE, Patience, SpoiltError
from fraudloop.errors import SourceError
from fraudloop.files import digest, written_aside
from fraudloop.params import Data
from fraudloop.progress import Progress
from fraudloop.settings import Settings

# What a wrong link or a wrong file most often turns out to be, by its first bytes.
FOREIGN = {
    b"<": "a web page or XML",
    b"\x1f\x8b": "a gzip file",
    b"PAR1": "a Parquet file",
    b"PK\x03\x04": "a zip inside a zip",
}


@dataclass(frozen=True)
class Fetched:
    """The raw file as it now is.

    `kept`: a right file was already there; `published`: it is the one that the card knows.
    """

    path: Path
    bytes: int
    md5: str
    kept: bool
    published: bool


def get_data(
    data: Data,
    card: Card,
    destination: Path,
    settings: Settings,
    *,
    generate: Callable[[Path], None],
    announce: Callable[[str], None],
    progress: Progress,
    patience: Patience = PATIENCE,
) -> Fetched:
    """Have the raw file at `destination`: keep it, copy it, download it, or generate it.

    Whatever fails, and whenever, `destination` is then what it was before. The published file is
    never overwritten by another one.
    """
    try:
        if destination.is_dir():
            raise SourceError(f"{destination} is a folder: set paths.raw to a file's path")
        here = published_at(card, destination)
        if data.source == "synthetic":
            return _synthetic(card, destination, here, generate)
        if here is not None and data.source != "file":
            announce(f"{destination} is the published file: kept, nothing was downloaded.")
            return here
        where = _named(data, card)
        if data.source == "file" and _same_file(data.file, destination):
            found = _checked(card, replace(_measured(destination), kept=True), data, where)
        else:
            source = _Source(data, card, where, settings, progress, patience)
            found = _placed(card, destination, here, source.bring_to)
        if not found.published and _told(card.expected):
            announce(
                f"{where} is not the published file ({_told(found)}; the card has "
                f"{_told(card.expected)}): taken as another extract with the same columns."
            )
        return found
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise SourceError(
            f"cannot write {destination} ({reason}): make room, or set paths.raw elsewhere"
        ) from error
    finally:
        progress.stop()


def verify_counts(card: Card, rows: int, frauds: int, published: bool) -> None:
    """Refuse a published file, or one as long, that has other counts than the card knows."""
    expected = card.expected
    if not published and rows != expected.rows:
        return
    for what, found, known in (("rows", rows, expected.rows), ("frauds", frauds, expected.frauds)):
        if known is not None and found != known:
            raise SourceError(
                f"the raw file has {found:,} {what} where the card of {card.id} "
                f"expects {known:,}: fetch it again, or correct the card"
            )


def _synthetic(
    card: Card, destination: Path, here: Fetched | None, generate: Callable[[Path], None]
) -> Fetched:
    if here is not None:
        raise _refuse_to_replace(destination)
    with written_aside(destination) as aside:
        generate(aside)
        found = replace(_measured(aside), path=destination)
        if published_at(card, destination) is not None:  # put there in the meantime
            raise _refuse_to_replace(destination)
    return found


def _placed(
    card: Card, destination: Path, here: Fetched | None, bring: Callable[[Path], Fetched]
) -> Fetched:
    """Bring the file aside, and rename it unless the published one is there."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    if here is not None:  # only to see whether the source has the same one
        with tempfile.TemporaryDirectory(prefix=".", dir=destination.parent) as folder:
            if not bring(Path(folder) / destination.name).published:
                raise _refuse_to_replace(destination)
        return here
    with written_aside(destination) as aside:
        found = bring(aside)
        if not found.published and published_at(card, destination) is not None:
            raise _refuse_to_replace(destination)
    return replace(found, path=destination)


def _refuse_to_replace(destination: Path) -> SourceError:
    return SourceError(
        f"{destination} is the real published file and is not overwritten: to use it set "
        f"data.source to kaggle (nothing is downloaded then) or to file with data.file "
        f"{destination}, else move it away"
    )


@dataclass(frozen=True)
class _Source:
    """Brings what `data` names to a path, and says what it is; errors call it `where`."""

    data: Data
    card: Card
    where: str
    settings: Settings
    progress: Progress
    patience: Patience

    def bring_to(self, aside: Path) -> Fetched:
        """Have the source's CSV at `aside`, or raise what is wrong with it."""
        if self.data.source == "kaggle":
            self._from_kaggle(aside)
        elif self.data.source == "url":
            # params.py refuses this source without a url.
            url, endpoint = self.data.url or "", self.settings.s3_endpoint
            self._download(download.from_url(url, endpoint, self.patience), aside)
        else:
            self._from_file(aside, (self.data.file or Path()).expanduser())
        _refuse_foreign(aside, self.where)
        return _checked(self.card, _measured(aside), self.data, self.where)

    def _from_kaggle(self, aside: Path) -> None:
        source = self.card.kaggle
        if source is None:
            raise SourceError(
                f"the card of {self.card.id} names no Kaggle dataset: add kaggle to it, "
                "or choose another data.source"
            )
        with kaggle_source.connected(source, self.settings, self.patience) as opener:
            self._download(opener, aside)

    def _download(self, opener: download.Opener, aside: Path) -> None:
        def unpack(whole: Path) -> None:
            if not _is_zip(whole):
                return
            try:
                self._unpack(whole)
            except _BrokenZipError as error:
                raise SpoiltError("its zip is broken or cut short") from error

        download.fetch(opener, aside, self.where, self.patience, self.progress, unpack)

    def _from_file(self, aside: Path, source: Path) -> None:
        with _readable(source):
            if not source.is_file():
                wrong = "is not a regular file" if source.exists() else "is not there"
                raise SourceError(f"data.file {source} {wrong}: set it to a CSV, or a zip with one")
            file = source.open("rb")
        with file, aside.open("wb") as copy:
            self.progress.start(os.fstat(file.fileno()).st_size, source.name)
            while chunk := _read(file.read, source):
                copy.write(chunk)
                self.progress.advance(len(chunk))
        if _is_zip(aside):
            try:
                self._unpack(aside)
            except _BrokenZipError as error:
                raise SourceError(
                    f"{source} is a zip that is broken or cut short: copy it again"
                ) from error

    def _unpack(self, path: Path) -> None:
        """Put the CSV of the zip at `path` in its place."""
        unpacked = path.with_name(f"{path.name}.csv")
        try:
            with _open_zip(path, self.where) as archive:
                entry = _csv_of(archive, self.card, self.where)
                self.progress.start(entry.file_size, entry.filename)
                with archive.open(entry) as packed, unpacked.open("wb") as file:
                    while chunk := packed.read(CHUNK):
                        file.write(chunk)
                        self.progress.advance(len(chunk))
            unpacked.replace(path)
        finally:
            unpacked.unlink(missing_ok=True)


@contextmanager
def _readable(source: Path) -> Iterator[None]:
    """Name the source, not the destination, when it is the source that cannot be read."""
    try:
        yield
    except OSError as error:
        raise SourceError(f"cannot read data.file {source} ({error.strerror})") from error


def _read(read: Callable[[int], bytes], source: Path) -> bytes:
    with _readable(source):
        return read(CHUNK)


def _same_file(source: Path | None, destination: Path) -> bool:
    try:
        return source is not None and source.expanduser().samefile(destination)
    except OSError:
        return False


class _BrokenZipError(Exception):
    """The zip ends early, or its bytes are not the ones that were packed."""


@contextmanager
def _open_zip(path: Path, where: str) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise _BrokenZipError from error
    except (RuntimeError, NotImplementedError) as error:  # encrypted, or packed in a way unknown
        raise SourceError(f"{where} is a zip that cannot be unpacked ({error})") from error


def _is_zip(path: Path) -> bool:
    """Whether it begins as a zip, complete or not."""
    with path.open("rb") as file:
        return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


def _csv_of(archive: zipfile.ZipFile, card: Card, where: str) -> zipfile.ZipInfo:
    """The CSV that a zip holds: the one Kaggle's has, else the only one."""
    found = [
        entry
        for entry in archive.infolist()
        if entry.filename.lower().endswith(".csv") and not entry.filename.startswith("__MACOSX/")
    ]
    named = [
        entry
        for entry in found
        if card.kaggle is not None and PurePosixPath(entry.filename).name == card.kaggle.file
    ]
    chosen = named if len(named) == 1 else found
    if len(chosen) != 1:
        raise SourceError(
            f"{where} is a zip with {len(found) or 'no'} CSV files: pack the one that is meant"
        )
    return chosen[0]


def _refuse_foreign(path: Path, where: str) -> None:
    with path.open("rb") as file:
        first = file.read(512).lstrip(b"\xef\xbb\xbf\r\n\t ")
    for magic, what in FOREIGN.items():
        if first.startswith(magic):
            raise SourceError(f"{where} is {what}, not a CSV: correct the source")


def _measured(path: Path) -> Fetched:
    return Fetched(path, path.stat().st_size, digest(path, "md5"), kept=False, published=False)


def published_at(card: Card, path: Path) -> Fetched | None:
    """The published file, if that is what is at `path`; its size is asked before its digest."""
    size = card.expected.bytes
    if not path.is_file() or (size is not None and path.stat().st_size != size):
        return None
    found = _measured(path)
    return replace(found, kept=True, published=True) if _is_published(card, found) else None


def _is_published(card: Card, found: Fetched) -> bool:
    """Whether all that the card knows of the published file is so, and it knows something."""
    expected = card.expected
    known = ((expected.bytes, found.bytes), (expected.md5, found.md5))
    compared = [wanted == is_ for wanted, is_ in known if wanted is not None]
    return bool(compared) and all(compared)


def _checked(card: Card, found: Fetched, data: Data, where: str) -> Fetched:
    """Say whether it is the published file; refuse it if it should be and is not."""
    if found.bytes == 0:
        raise SourceError(f"{where} is empty: correct the source")
    if _is_published(card, found):
        return replace(found, published=True)
    wanted = _told(card.expected)
    if not wanted and data.published and data.source != "kaggle":
        raise SourceError(
            f"data.published is true, but the card of {card.id} knows neither size nor md5: "
            "add them to it, or set data.published to false"
        )
    if wanted and (data.published or data.source == "kaggle"):
        raise SourceError(
            f"{where} is not the published file ({_told(found)}; the card has {wanted}): "
            "fetch it again, or correct the card"
        )
    if found.bytes == card.expected.bytes:
        raise SourceError(
            f"{where} is a corrupted copy of the published file ({_told(found)}; "
            f"the card has {wanted}): fetch it again"
        )
    return found


def _told(known: Fetched | Expected) -> str:
    """Size and md5 as far as they are known."""
    size = "" if known.bytes is None else f"{known.bytes:,} bytes"
    return ", ".join(part for part in (size, known.md5 and f"md5 {known.md5}") if part)


def _named(data: Data, card: Card) -> str:
    """What errors call the source: never with a password or a signature."""
    if data.source == "url":
        return download.shown(data.url or "")
    if data.source == "kaggle" and card.kaggle is not None:
        return kaggle_source.named(card.kaggle)
    return str(data.file)
