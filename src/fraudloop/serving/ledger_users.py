"""Users as the ledger had them a moment ago: no request waits long for the database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING

from fraudloop.errors import FraudloopError, LedgerAwayError
from fraudloop.serving.ledger import LedgerDesk
from fraudloop.serving.refusals import RequestError
from fraudloop.users import User

if TYPE_CHECKING:
    from fraudloop.ledger.ledger import Ledger

FRESH = 2.0  # seconds
PATIENCE = 2.0  # seconds, for one reading


class LedgerUsers:
    """The users of the ledger: `users.Users` for a server.

    While the ledger is away, the users read last stay in force; before any were read, nobody can
    be told from anybody, which is a 503. `report` is told once of each such fault.
    """

    def __init__(
        self,
        desk: LedgerDesk,
        report: Callable[[FraudloopError], None],
        clock: Callable[[], float] = time.monotonic,
        patience: float = PATIENCE,
    ) -> None:
        self._desk = desk
        self._report = report
        self._clock = clock
        self._patience = patience
        self._users: Mapping[str, User] | None = None
        self._reading: Future[Mapping[str, User]] | None = None
        self._asked_at = float("-inf")
        self._fault: str | None = None

    async def freshen(self) -> None:
        """See to it that the users are those of a moment ago.

        Only the first waits for a ledger that did not answer the last time: others would all wait.
        """
        if self._reading is None and self._clock() - self._asked_at >= FRESH:
            self._begin()
        reading = self._reading
        if reading is not None and (self._fault is None or self._users is None):
            ended = asyncio.wrap_future(reading)
            ended.add_done_callback(_nothing_more)
            await asyncio.wait([ended], timeout=self._patience)
        self._take()

    def find(self, name: str) -> User | None:
        """The user of this name, as of the last `freshen`."""
        if self._users is None:
            raise RequestError(
                503,
                "the ledger is away, and who may enter stands there: try again in 5 s",
                headers={"Retry-After": "5"},
            )
        return self._users.get(name)

    def _begin(self) -> None:
        self._asked_at = self._clock()
        try:
            self._reading = self._desk.put(_all)
        except RequestError as error:  # it has too much to do
            self._failed(error)

    def _take(self) -> None:
        """Take what was read; what is read slower than a client waits counts as a fault."""
        reading = self._reading
        if reading is None:
            return
        if not reading.done():
            if self._fault is None:
                self._failed(LedgerAwayError("the ledger is slow to say who its users are"))
            return
        self._reading = None
        try:
            self._users = reading.result()
            self._fault = None
        except LedgerAwayError as error:
            self._failed(error)
        except FraudloopError as error:  # there is none: nobody is in it
            self._users = self._users or {}
            self._failed(error)

    def _failed(self, error: FraudloopError) -> None:
        if self._fault != str(error):
            self._fault = str(error)
            self._report(error)


def _nothing_more(ended: asyncio.Future[Mapping[str, User]]) -> None:
    """Look at how it ended, so that asyncio does not warn that nobody did."""
    if not ended.cancelled():
        ended.exception()


def _all(ledger: Ledger) -> Mapping[str, User]:
    return ledger.users.all()
