"""Users in the ledger: found a moment after they were added, without holding anybody up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from fraudloop.errors import FraudloopError, LedgerAwayError, LedgerError
from fraudloop.serving.ledger_users import FRESH, LedgerUsers
from fraudloop.serving.refusals import RequestError
from fraudloop.users import NOBODYS_HASH, Role, User
from tests.ledger.given import CARD, decision
from tests.serving.ledgers import PASSWORD, House, house, named
from tests.serving.running import until

pytest_plugins = ("tests.databases",)


class Desk:
    """A ledger's desk whose answer is set, held up, or a fault."""

    def __init__(self) -> None:
        self.users: dict[str, User] = {}
        self.fault: FraudloopError | None = None
        self.go = threading.Event()
        self.go.set()
        self.asked = 0
        self._pool = ThreadPoolExecutor(1)

    def put(self, question: Any) -> Future[Any]:
        self.asked += 1
        return self._pool.submit(self._answer)

    def _answer(self) -> dict[str, User]:
        assert self.go.wait(60)
        if self.fault is not None:
            raise self.fault
        return dict(self.users)

    def close(self) -> None:
        self.go.set()
        self._pool.shutdown()


class Seen:
    """What a server sees of a desk's users, at a time that is set."""

    def __init__(self, desk: Desk) -> None:
        self.now = 100.0
        self.told: list[str] = []
        self.users = LedgerUsers(
            desk,  # type: ignore[arg-type]  # it only puts questions
            lambda fault: self.told.append(str(fault)),
            clock=lambda: self.now,
            patience=60,
        )

    def find(self, name: str, *, patience: float | None = None) -> User | None:
        if patience is not None:
            self.users._patience = patience
        asyncio.run(self.users.freshen())
        return self.users.find(name)


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    yield made
    made.close()


def user(name: str) -> User:
    return User(name, NOBODYS_HASH, frozenset({Role.SCORER}))


def test_users_are_read_at_the_first_and_again_when_they_are_old(desk: Desk) -> None:
    seen = Seen(desk)
    desk.users = {"ana": user("ana")}
    assert seen.find("ana") == user("ana")
    desk.users = {"ben": user("ben")}
    assert seen.find("ana") is not None
    assert desk.asked == 1
    seen.now += FRESH
    assert seen.find("ana") is None
    assert seen.find("ben") == user("ben")
    assert desk.asked == 2


def test_while_the_ledger_is_away_the_last_users_stay_and_it_is_told_once(desk: Desk) -> None:
    seen = Seen(desk)
    desk.users = {"ana": user("ana")}
    seen.find("ana")
    desk.fault = LedgerAwayError("the ledger is away")
    for _ in range(5):
        seen.now += FRESH
        assert seen.find("ana") == user("ana")
    assert seen.told == ["the ledger is away"]
    desk.fault, desk.users = None, {}
    seen.now += FRESH
    until(lambda: seen.find("ana") is None, "the users are read again", 60)


def test_before_any_were_read_nobody_can_be_told_from_anybody(desk: Desk) -> None:
    seen = Seen(desk)
    desk.fault = LedgerAwayError("the ledger is away")
    with pytest.raises(RequestError) as refused:
        seen.find("ana")
    assert refused.value.status == 503
    assert refused.value.headers["Retry-After"] == "5"
    desk.fault = None
    desk.users = {"ana": user("ana")}
    seen.now += FRESH
    assert seen.find("ana") == user("ana")


def test_where_there_is_no_ledger_there_is_nobody(desk: Desk) -> None:
    seen = Seen(desk)
    desk.fault = LedgerError("there is no ledger")
    assert seen.find("ana") is None
    assert seen.told == ["there is no ledger"]


def test_a_slow_ledger_is_waited_for_once_and_not_by_everybody(desk: Desk) -> None:
    seen = Seen(desk)
    desk.users = {"ana": user("ana")}
    seen.find("ana")
    desk.go.clear()
    desk.users = {}
    seen.now += FRESH
    assert seen.find("ana", patience=0.01) is not None
    # The others do not wait at all: with this patience the test would never end.
    for _ in range(5):
        seen.now += FRESH
        assert seen.find("ana", patience=100_000) is not None
    assert desk.asked == 2
    desk.go.set()
    until(lambda: seen.find("ana") is None, "the slow answer is taken", 60)
    assert seen.told == ["the ledger is slow to say who its users are"]


@pytest.fixture
def strict(sqlite_url: str, tmp_path: Path) -> Iterator[House]:
    """A server that asks for users, and has them of the ledger."""
    with house(tmp_path, sqlite_url, FRAUDLOOP_AUTH="basic", FRAUDLOOP_USERS="") as made:
        yield made


def test_a_server_without_a_users_file_takes_the_ledgers_users(strict: House) -> None:
    strict.ledger.users.add("ana", PASSWORD, ["scorer"])
    assert strict.get("/hello", "ana").status == 200
    assert strict.post("/predict", named("x"), "ana").status == 200
    assert strict.post("/predict?store=true", named("x"), "ana").status == 200
    assert strict.get("/decisions", "ana").status == 403
    strict.ledger.users.add("ben", PASSWORD, ["analyst"])
    strict.ledger.users.remove("ana")
    # Asked so, as wrong logins would soon be braked: once ana is gone, ben is known.
    until(lambda: strict.get("/hello", "ana").status == 401, "ana is gone", 60)
    assert strict.post("/predict", named("x"), "ana").status == 401
    assert strict.get("/decisions", "ben").status == 200
    judged = strict.judge("x", {"true_value": 0, "why": "a test"}, "ben")
    assert judged.json["verdict"]["by"] == "ben"


def test_who_is_in_stays_in_while_the_ledger_is_away(strict: House, sqlite_url: str) -> None:
    import sqlite3

    strict.ledger.users.add("ana", PASSWORD, ["scorer"])
    assert strict.get("/hello", "ana").status == 200
    with sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None) as other:
        other.execute("ALTER TABLE users RENAME TO elsewhere")

        def told() -> bool:
            assert strict.post("/predict", named("x"), "ana").status == 200
            return bool(strict.server.events("users"))

        until(told, "the log tells of it", 60)
        other.execute("ALTER TABLE elsewhere RENAME TO users")
    other.close()
    assert PASSWORD not in strict.server.log.read_text()


def test_on_an_open_server_the_ledgers_users_judge(sqlite_url: str, tmp_path: Path) -> None:
    with house(tmp_path, sqlite_url, FRAUDLOOP_USERS="") as made:
        made.ledger.keep([decision("t-1")], card=CARD)
        made.ledger.users.add("ana", PASSWORD, ["analyst"])
        good = {"true_value": 1, "why": "a test"}
        assert made.judge("t-1", good, None).status == 401
        assert made.judge("t-1", good, "ana").status == 200
