"""The terminal that a server was started at, and whether it is still there."""

from __future__ import annotations

import sys


class Terminal:
    """Where the server was started, if that is a terminal."""

    def __init__(self) -> None:
        # Asked now: a terminal that is gone is no terminal any more.
        self._was_one = sys.stderr.isatty()

    def is_gone(self) -> bool:
        """Whether it was closed, and with it who started the server."""
        return self._was_one and not sys.stderr.isatty()
