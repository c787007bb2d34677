"""The ledger as routes ask it: in a few threads of its own, and every question ends.

Nothing here is loaded, and no database asked, before somebody asks for it: the server starts and
scores without a ledger, and goes on while it is away.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from fraudloop.errors import LedgerError
from fraudloop.serving.refusals import RequestError

if TYPE_CHECKING:
    from fraudloop.ledger.ledger import Ledger

T = TypeVar("T")

THREADS = 4  # the ledger's pool has one connection more
WAITING = 32  # questions, besides those that are being answered
STATEMENT_SECONDS = 8.0
PATIENCE = 10.0  # seconds from a question to its answer
TRIED_EVERY = 1.0  # seconds, as long as it cannot be opened


class LedgerDesk:
    """Answers questions to the ledger at an address, opened when the first one comes."""

    def __init__(
        self,
        address: str,
        *,
        threads: int = THREADS,
        patience: float = PATIENCE,
        statement_seconds: float = STATEMENT_SECONDS,
    ) -> None:
        self._address = address
        self._patience = patience
        self._statement_seconds = statement_seconds
        self._most = threads + WAITING
        self._pool = ThreadPoolExecutor(threads, "ledger")
        self._opening = threading.Lock()
        self._ledger: Ledger | None = None
        self._refused: tuple[float, LedgerError] | None = None
        self._counting = threading.Lock()
        self._asked = 0

    async def ask(self, question: Callable[[Ledger], T]) -> T:
        """The answer to a question; 503 if it does not come in time, or too many were asked."""
        answering = asyncio.wrap_future(self.put(question))
        try:
            # A question that nobody waits for any more is dropped, if it was not begun yet.
            return await asyncio.wait_for(answering, self._patience)
        except TimeoutError:
            raise _later(
                f"the ledger did not answer within {self._patience:g} s: ask for less, or try again"
            ) from None

    def put(self, question: Callable[[Ledger], T]) -> Future[T]:
        """Let a question be answered by a thread, when its turn comes."""
        with self._counting:
            if self._asked >= self._most:
                raise _later("too many questions wait for the ledger: try again in 1 s", 1)
            self._asked += 1
        try:
            future = self._pool.submit(self._answer, question)
        except BaseException:
            self._done()
            raise
        future.add_done_callback(self._done)
        return future

    def close(self) -> None:
        """Let the threads end, and give the connections back."""
        self._pool.shutdown(cancel_futures=True)
        if self._ledger is not None:
            self._ledger.close()

    def _answer(self, question: Callable[[Ledger], T]) -> T:
        return question(self._opened())

    def _opened(self) -> Ledger:
        if self._ledger is not None:
            return self._ledger
        from fraudloop.ledger.ledger import Ledger

        with self._opening:
            if self._ledger is not None:
                return self._ledger
            if self._refused is not None and time.monotonic() - self._refused[0] < TRIED_EVERY:
                raise self._refused[1].with_traceback(None)
            try:
                self._ledger = Ledger.open(self._address, self._statement_seconds)
            except LedgerError as error:
                self._refused = time.monotonic(), error
                raise
            return self._ledger

    def _done(self, _: object = None) -> None:
        with self._counting:
            self._asked -= 1


def _later(sentence: str, seconds: int = 5) -> RequestError:
    return RequestError(503, sentence, headers={"Retry-After": str(seconds)})
