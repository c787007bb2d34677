"""Where an output goes when it is whole: a file, a folder, S3 or stdout, in one step each."""

from __future__ import annotations

import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fraudloop.batch.formats import KNOWN, Format, of_name
from fraudloop.batch.places import PIPE, Source
from fraudloop.batch.s3 import SCHEME
from fraudloop.errors import BatchError

WHOLE = "output"
FILES = "files"
REJECTED = ".rejected.jsonl"
SUFFIX = {
    Format.JSON: ".json",
    Format.JSON_LINES: ".jsonl",
    Format.CSV: ".csv",
    Format.PARQUET: ".parquet",
}


@dataclass(frozen=True)
class Output:
    """An output: its address, its format, and the files it will have if it is a folder."""

    address: str
    format: Format
    names: tuple[str, ...] | None = None

    @property
    def is_pipe(self) -> bool:
        """Whether it goes to stdout."""
        return self.address == PIPE

    @property
    def rejected(self) -> str:
        """Where the list of rejects goes, unless it is said."""
        return self.address.rstrip("/") + REJECTED

    def file(self, source: int) -> str:
        """The file, in the folder aside, that a source's decisions go to."""
        return WHOLE if self.names is None else f"{FILES}/{self.names[source]}"

    @contextmanager
    def aside(self) -> Iterator[Path]:
        """The folder for what is not finished: beside a local output, else where one is."""
        if self.is_pipe:
            with tempfile.TemporaryDirectory(prefix="fraudloop-batch-") as folder:
                yield Path(folder) / "aside"
            return
        name = f".{PurePosixPath(self.address).name}.batch"
        yield Path(name) if self.address.startswith(SCHEME) else Path(self.address).parent / name


def output_of(address: str, sources: Sequence[Source], told: Format | None) -> Output:
    """What an address and a wish for a format mean for these sources."""
    formats = {source.format for source in sources if source.format is not None}
    named = of_name(address)
    found = told or named or (min(formats) if len(formats) == 1 else None)
    if found is None:
        raise BatchError(
            f"{address} could be any format, and the input has several: say --format, or name it "
            f"with one of {KNOWN}"
        )
    if address == PIPE:
        return Output(PIPE, found)
    folder = address.endswith("/") or (not address.startswith(SCHEME) and Path(address).is_dir())
    if not folder and (len(sources) == 1 or named is not None):
        return Output(address, found)
    return Output(address.rstrip("/"), found, _names(sources, found))


def _names(sources: Sequence[Source], wanted: Format) -> tuple[str, ...]:
    """A file for each source, called as it is but for another format's ending."""
    names = tuple(
        source.name
        if of_name(source.name) is wanted
        else str(PurePosixPath(source.name).with_suffix(SUFFIX[wanted]))
        for source in sources
    )
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise BatchError(f"two files of the input would both become {twice}: rename one")
    return names


def publish(output: Output, aside: Path, endpoint: str | None) -> None:
    """Put what is finished into its place."""
    made = aside / (WHOLE if output.names is None else FILES)
    if output.address.startswith(SCHEME):
        _upload(made, output.address, endpoint)
        return
    place = Path(output.address)
    if output.names is None:
        made.replace(place)
        return
    made.mkdir(exist_ok=True)
    # A folder that is not empty cannot be replaced in one step: it makes room first.
    old = place.with_name(f".{place.name}.{secrets.token_hex(4)}.old")
    with suppress(FileNotFoundError):
        place.rename(old)
    made.rename(place)
    shutil.rmtree(old, ignore_errors=True)


def publish_rejects(address: str, listed: Path, any_rejected: bool, endpoint: str | None) -> None:
    """Put the list of rejects into its place; with nothing on it, take an older one away."""
    if address == PIPE:
        if any_rejected:
            sys.stderr.write(listed.read_text(encoding="utf-8"))
    elif address.startswith(SCHEME):
        from fraudloop.batch.s3 import remove

        _upload(listed, address, endpoint) if any_rejected else remove(address, endpoint)
    elif any_rejected:
        listed.replace(address)
    else:
        Path(address).unlink(missing_ok=True)


def _upload(made: Path, address: str, endpoint: str | None) -> None:
    from fraudloop.batch.s3 import put

    if made.is_file():
        put(made, address, endpoint)
        return
    for path in sorted(made.rglob("*")):
        if path.is_file():
            put(path, f"{address}/{path.relative_to(made).as_posix()}", endpoint)
