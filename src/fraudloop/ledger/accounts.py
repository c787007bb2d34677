"""Users in the ledger: the same names, roles and hashes as in a users file."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Engine, delete, insert, select

from fraudloop.errors import UsersError
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


def _user(row: Any) -> User:
    known = {role.value for role in Role}
    return User(row.name, row.password_hash, frozenset(Role(r) for r in row.roles if r in known))
