"""While a job is run, its row in the ledger is told every few seconds that somebody is at it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Self

from fraudloop.errors import LedgerError

if TYPE_CHECKING:
    from fraudloop.ledger.jobs import Jobs

EVERY = 5.0  # seconds


class Heart:
    """Says that a job is run, in a thread of its own, until it is stopped."""

    def __init__(self, jobs: Jobs, id: str, clock: Callable[[], datetime]) -> None:
        self._jobs = jobs
        self._id = id
        self._clock = clock
        self._said = (0.0, "")
        self._news = threading.Event()
        self._over = False
        self._thread = threading.Thread(target=self._beat, name="heart", daemon=True)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End, whatever happened."""
        self.stop()

    def say(self, progress: float, message: str) -> None:
        """What is being done now."""
        self._said = (progress, message)
        self._news.set()

    def stop(self) -> None:
        """Say nothing more."""
        self._over = True
        self._news.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._over:
            with suppress(LedgerError):  # away: whoever wants to keep something there is told
                self._jobs.advance(self._id, *self._said, self._clock())
            self._news.wait(EVERY)
            self._news.clear()
