"""How far a long step is: a bar on a terminal, nothing anywhere else."""

from __future__ import annotations

import sys
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


class Silent:
    """For pipes, logs and tests."""

    def start(self, total: int | None, what: str) -> None:
        """Say nothing."""

    def advance(self, count: int) -> None:
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
        self._shown.add_task(escape(what), total=total)

    def advance(self, count: int) -> None:
        """Move the bar."""
        if self._shown is not None:
            self._shown.advance(self._shown.task_ids[-1], count)

    def stop(self) -> None:
        """Give the terminal back."""
        if self._shown is not None:
            self._shown.stop()
            self._shown = None


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
