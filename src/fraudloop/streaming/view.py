"""What a person sees of a stream: a live table on a terminal, plain lines anywhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fraudloop.streaming.demo import Seen

if TYPE_CHECKING:
    from rich.table import Table

LINE_EVERY = 2.0  # seconds


@contextmanager
def on_terminal(say: Callable[[str], None]) -> Iterator[Callable[[Seen], None]]:
    """What shows the state of a stream, as often as it is called."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.live import Live

        with Live(console=Console(file=sys.stderr), auto_refresh=False) as live:
            yield lambda seen: live.update(table(seen), refresh=True)
        return
    said = 0.0

    def show(seen: Seen) -> None:
        nonlocal said
        if time.monotonic() - said >= LINE_EVERY:
            said = time.monotonic()
            say(line(seen))

    yield show


def line(seen: Seen) -> str:
    """The state of a stream in one line."""
    return (
        f"{seen.kept:,} decided and kept, {seen.rate:,.0f} a second, {seen.frauds:,} predicted "
        f"frauds, {seen.lag:,} under way"
    )


def table(seen: Seen) -> Table:
    """The state of a stream and its latest frauds."""
    from rich.table import Table

    made = Table(title=line(seen), title_justify="left", caption="synthetic data")
    for name in ("latest predicted frauds", "score", "strongest reasons"):
        made.add_column(name)
    for each in seen.latest:
        reasons = ", ".join(str(reason["feature"]) for reason in (each.reasons or ())[:3])
        made.add_row(each.id, f"{each.score:.3f}", reasons)
    return made
