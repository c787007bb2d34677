"""Stopping when asked to, and waiting longer and longer for what is away."""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

FIRST_WAIT = 0.2  # seconds
LONGEST_WAIT = 5.0


@contextmanager
def asked_to_stop() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set; a second one of them ends everything at once."""
    stop = threading.Event()

    def heard(number: int, frame: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {each: signal.signal(each, heard) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


class Backoff:
    """How long to wait before the next try: twice as long each time, not in step with others."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._next = FIRST_WAIT

    def seconds(self) -> float:
        """The next wait."""
        waits = self._next * random.uniform(0.5, 1.0)  # noqa: S311  # nobody guesses at it
        self._next = min(2 * self._next, LONGEST_WAIT)
        return waits

    def wait(self) -> None:
        """Wait that long, or until asked to stop."""
        self._stop.wait(self.seconds())

    def over(self) -> None:
        """It went well: the next wait is short again."""
        self._next = FIRST_WAIT
