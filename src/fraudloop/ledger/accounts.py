"""Users in the ledger: the same names, roles and hashes as in a users file."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import Engine, delete, insert, select

from fraudloop.errors import LedgerError, UsersError
from fraudloop.ledger import faults, place
from fraudloop.ledger.tables import users as table
from fraudloop.users import Role, User, is_our_hash, made


class Accounts:
    """Users, added and removed by an admin."""

    def __init__(self, engine: Engine, where: str) -> None:
        self._engine = engine
        self._writing = place.writing(engine)
        self._where = where

    def add(self, name: str, password: str, roles: Iterable[str]) -> User:
        """Add a user; the password is kept as a hash alone."""
        user = made(name, password, roles)
        values = {
            "name": name,
            "password_hash": user.password_hash,
            "roles": sorted(user.roles),
        }
        with faults.told(self._where):
            try:
                with self._writing.begin() as connection:
                    connection.execute(insert(table).values(**values))
            except Exception as error:
                if not faults.is_known_already(error):
                    raise
                raise UsersError(
                    f"the ledger has a user {name} already: remove that one first"
                ) from None
        return user

    def remove(self, name: str) -> None:
        """Remove a user."""
        with faults.told(self._where), self._writing.begin() as connection:
            gone = connection.execute(delete(table).where(table.c.name == name[:64])).rowcount
        if not gone:
            raise UsersError(
                f"the ledger has no user {name[:64]!r}: see `fraudloop users list --ledger`"
            )

    def all(self) -> dict[str, User]:
        """The users by their names, but those whose hash is none of ours: they may not enter."""
        with faults.told(self._where), self._engine.begin() as connection:
            found = [_user(row) for row in connection.execute(select(table).order_by("name"))]
        return {user.name: user for user in found if is_our_hash(user.password_hash)}


class LedgerUsers:
    """The users as the ledger had them a moment ago: `users.Users` for a server.

    They are read again when they are older than `seconds`, by one thread while the others go on.
    While the ledger is away, the users read last stay in force; `report` is told once of each such
    fault.
    """

    def __init__(
        self,
        accounts: Accounts,
        report: Callable[[LedgerError], None],
        seconds: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._accounts = accounts
        self._report = report
        self._seconds = seconds
        self._clock = clock
        self._reported = ""
        self._reading = threading.Lock()
        self._users = accounts.all()
        self._read_at = clock()

    def find(self, name: str) -> User | None:
        """The user of this name, as of `seconds` ago at most while the ledger answers."""
        if self._clock() - self._read_at > self._seconds and self._reading.acquire(blocking=False):
            try:
                self._read_again()
            finally:
                self._reading.release()
        return self._users.get(name)

    def _read_again(self) -> None:
        try:
            self._users = self._accounts.all()
            self._reported = ""
        except LedgerError as error:
            if str(error) != self._reported:
                self._reported = str(error)
                self._report(error)
        self._read_at = self._clock()  # when it ended: a ledger that is away is not asked each time


def _user(row: Any) -> User:
    known = {role.value for role in Role}
    return User(row.name, row.password_hash, frozenset(Role(r) for r in row.roles if r in known))
