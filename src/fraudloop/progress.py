"""How far a long step is: a bar on a terminal, nothing anywhere else."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress


class Progress(Protocol):
    """What a long step tells as it goes; starting again begins a new step."""

    def start(self, total: int | None, what: str) -> None:
        """Begin a step of `total` bytes, or of nobody knows how many."""

    def advance(self, count: int) -> None:
        """Say that `count` more bytes are done."""

    def stop(self) -> None:
        """Take the bar away; harmless when there is none."""


class RowProgress(Progress, Protocol):
    """What a step tells that goes through bytes and takes rows out of them."""

    def rows(self, count: int) -> None:
        """Say that `count` more rows are done."""


class Silent:
    """For pipes, logs and tests."""

    def start(self, total: int | None, what: str) -> None:
        """Say nothing."""

    def advance(self, count: int) -> None:
        """Say nothing."""

    def rows(self, count: int) -> None:
        """Say nothing."""

    def stop(self) -> None:
        """Say nothing."""


class Bar:
    """A bar on standard error, so that standard output stays for answers."""

    def __init__(self) -> None:
        self._shown: RichProgress | None = None

    def start(self, total: int | None, what: str) -> None:
        """Begin a step, in place of the one before."""
        from rich.markup import escape

        if self._shown is None:
            self._shown = _columns()
            self._shown.start()
        for task in self._shown.task_ids:
            self._shown.remove_task(task)
        self._shown.add_task(escape(what), total=total, rows="")

    def advance(self, count: int) -> None:
        """Move the bar."""
        if self._shown is not None:
            self._shown.advance(self._shown.task_ids[-1], count)

    def stop(self) -> None:
        """Give the terminal back."""
        if self._shown is not None:
            self._shown.stop()
            self._shown = None


class RowsBar(Bar):
    """A bar of the bytes that are done, with rows and rows a second beside it."""

    def __init__(self) -> None:
        super().__init__()
        self._rows = 0
        self._began = time.monotonic()

    def start(self, total: int | None, what: str) -> None:
        """Begin a step, and count its rows from none."""
        self._rows, self._began = 0, time.monotonic()
        if self._shown is None:
            self._shown = _row_columns()
            self._shown.start()
        super().start(total, what)
        self.rows(0)

    def rows(self, count: int) -> None:
        """Count rows."""
        self._rows += count
        if self._shown is not None:
            speed = self._rows / max(time.monotonic() - self._began, 1e-3)
            told = f"{self._rows:,} rows, {speed:,.0f} rows/s"
            self._shown.update(self._shown.task_ids[-1], rows=told)


def _row_columns() -> RichProgress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rows]}"),
        TimeRemainingColumn(),
        console=Console(file=sys.stderr),
        transient=True,
    )


def _columns() -> RichProgress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(file=sys.stderr),  # this one, even while it is redirected
        transient=True,
    )


def on_terminal() -> Progress:
    """A bar if a person is looking at standard error, else silence."""
    return Bar() if sys.stderr.isatty() else Silent()


def rows_on_terminal() -> RowProgress:
    """A bar with rows if a person is looking at standard error, else silence."""
    return RowsBar() if sys.stderr.isatty() else Silent()
