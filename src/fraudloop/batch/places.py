"""Where transactions come from: files, folders, patterns, S3, a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

from fraudloop.batch.formats import KNOWN, Format, of_beginning, of_name
from fraudloop.batch.s3 import SCHEME
from fraudloop.errors import BatchError

PIPE = "-"
MARKS = "*?["
BEGINNING = 1 << 16


@dataclass(frozen=True)
class Source:
    """A file of transactions. `name` is what people call it, within the folder it was found in.

    `stamp` is another when its content is; `format` is None where its name says none.
    """

    name: str
    path: str
    size: int
    stamp: str
    format: Format | None
    endpoint: str | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """What tells it from another file, or from itself after a change."""
        return {"name": self.name, "bytes": self.size, "stamp": self.stamp}

    @contextmanager
    def opened(self) -> Iterator[Any]:
        """The file, to be read from anywhere in it."""
        import pyarrow as pa

        if self.path.startswith(SCHEME):
            from fraudloop.batch.s3 import opened

            with opened(self.path, self.endpoint) as file:
                yield file
            return
        with pa.OSFile(self.path) as file:
            yield file


def sources_of(address: str, endpoint: str | None, told: Format | None) -> list[Source]:
    """The files that an address names, in the order of their names."""
    if address.startswith(SCHEME):
        from fraudloop.batch.s3 import found_at

        base, found = found_at(address, endpoint)
    else:
        base, found = _found(address)
    sources = [
        Source(name, path, size, stamp, told or of_name(name), endpoint)
        for name, path, size, stamp in sorted(
            (within(path, base), path, size, stamp) for path, size, stamp in found
        )
        if not _hides(name)
    ]
    if not sources:
        raise BatchError(f"{address} holds no file: name a file, a folder or a pattern ({KNOWN})")
    if len(sources) == 1 and sources[0].format is None:
        with sources[0].opened() as file:
            first = of_beginning(bytes(file.read(BEGINNING)))
        return [replace(sources[0], format=first)]
    return sources


def spooled(aside: Path, told: Format | None) -> Source:
    """What comes through stdin, laid aside: some formats are read from more than one place."""
    first = b""
    aside.parent.mkdir(parents=True, exist_ok=True)
    with aside.open("wb") as file:
        while piece := sys.stdin.buffer.read(1 << 20):
            if len(first) < BEGINNING:
                first += piece
            file.write(piece)
    found = told or of_beginning(first[:BEGINNING])
    return Source("stdin", str(aside), aside.stat().st_size, "", found)


def is_pattern(address: str) -> bool:
    """Whether an address names files by a pattern."""
    return any(mark in address for mark in MARKS)


def fixed_folder(pattern: str) -> str:
    """The folder that all files of a pattern are in.

    >>> fixed_folder("in/day-*/part-?.csv")
    'in'
    """
    parts = PurePosixPath(pattern).parts
    depth = next(place for place, part in enumerate(parts) if is_pattern(part))
    return str(PurePosixPath(*parts[:depth]))


def fits(name: str, pattern: str) -> bool:
    """Whether a path fits a pattern, folder by folder; `**` stands for any number of folders.

    >>> fits("a/b/c.csv", "a/**/*.csv"), fits("a/b/c.csv", "a/*.csv")
    (True, False)
    """
    return _fit(PurePosixPath(name).parts, PurePosixPath(pattern).parts)


def _fit(parts: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    if not wanted:
        return not parts
    if wanted[0] == "**":
        return any(_fit(parts[skip:], wanted[1:]) for skip in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], wanted[0]) and _fit(parts[1:], wanted[1:])


def within(path: str, base: str) -> str:
    """What a path is called within a folder."""
    pure = PurePosixPath(path)
    return str(pure.relative_to(base)) if pure.is_relative_to(base) else str(pure)


def _found(address: str) -> tuple[str, list[tuple[str, int, str]]]:
    """The files, and the folder that their names leave out."""
    path = Path(address)
    if path.is_file():
        return str(path.parent), [_about(path)]
    if path.is_dir():
        return str(path), [_about(each) for each in path.rglob("*") if each.is_file()]
    if not is_pattern(address):
        raise BatchError(f"there is no {address}: name a file, a folder or a pattern")
    base = Path(fixed_folder(address))
    wanted = str(PurePosixPath(address))
    files = [each for each in base.rglob("*") if each.is_file() and fits(str(each), wanted)]
    return str(base), [_about(each) for each in files]


def _about(path: Path) -> tuple[str, int, str]:
    stat = path.stat()
    return str(path), stat.st_size, str(stat.st_mtime_ns)


def _hides(name: str) -> bool:
    """Files that Spark and others lay beside their own, and hidden ones."""
    return any(part.startswith((".", "_")) for part in PurePosixPath(name).parts)
