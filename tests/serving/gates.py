"""A gate, with a clock that is set, users that are known and checks that are counted."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from fraudloop.serving.auth import BrakedError, Gate, UnauthorisedError
from fraudloop.users import Role, User

HERE, ELSEWHERE = "192.0.2.1", "198.51.100.7"
RIGHT = "open sesame"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Known:
    """Users of whom `hash of X` is the hash of the password X."""

    def __init__(self, *names: str) -> None:
        self.users = {name: self.user(name, RIGHT) for name in names}

    @staticmethod
    def user(name: str, password: str) -> User:
        return User(name, f"hash of {password}", frozenset({Role.SCORER}))

    def find(self, name: str) -> User | None:
        return self.users.get(name)


class Checks:
    """Counts the passwords that are checked; holds them up while it is told to."""

    def __init__(self) -> None:
        self.hashes: list[str] = []
        self.threads: set[int] = set()
        self.go = threading.Event()
        self.go.set()
        self.at_once = self.most_at_once = 0

    def __call__(self, password_hash: str, password: str) -> bool:
        self.hashes.append(password_hash)
        self.threads.add(threading.get_ident())
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        assert self.go.wait(10)
        self.at_once -= 1
        return password_hash == f"hash of {password}"

    @property
    def count(self) -> int:
        return len(self.hashes)


class House:
    """A gate with all that stands around it."""

    def __init__(self, *names: str) -> None:
        self.clock = Clock()
        self.users = Known(*(names or ("ana", "ben")))
        self.checks = Checks()
        self.gate = Gate(self.users, self.clock, self.checks)

    async def enter(self, name: str = "ana", password: str = RIGHT, client: str = HERE) -> User:
        return await self.gate.admit(basic(f"{name}:{password}"), client)

    async def fail(self, times: int, name: str = "ana", client: str = HERE) -> None:
        for number in range(times):
            with pytest.raises(UnauthorisedError):
                await self.enter(name, f"wrong {number}", client)

    async def braked(self, name: str = "ana", client: str = HERE, password: str = RIGHT) -> int:
        """The seconds after which to try again, of a try that is not even checked."""
        before = self.checks.count
        with pytest.raises(BrakedError) as refused:
            await self.enter(name, password, client)
        assert self.checks.count == before
        return refused.value.retry_after


@contextmanager
def house(*names: str) -> Iterator[House]:
    made = House(*names)
    try:
        yield made
    finally:
        made.checks.go.set()
        made.gate.close()


def run(body: Coroutine[Any, Any, None]) -> None:
    asyncio.run(body)


def basic(text: str | bytes) -> bytes:
    return b"Basic " + base64.b64encode(text.encode() if isinstance(text, str) else text)


async def until_waiting(gate: Gate, count: int) -> None:
    while len(gate._under_way) < count:
        await asyncio.sleep(0)
