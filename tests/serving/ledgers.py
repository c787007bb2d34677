"""Servers that have a ledger, and what tests put into it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fraudloop import users
from fraudloop.ledger.ledger import Ledger
from fraudloop.model import bundle as bundles
from tests.fitted import bundle_of, card
from tests.serving.running import JSON, Answer, Client, Running, request, running, transactions

PASSWORD = "open sesame"
ROLES = {"sam": "scorer", "ann": "analyst", "bob": "analyst", "oli": "operator"}
ANALYSTS = ("ann", "bob")


@dataclass(frozen=True)
class House:
    """A server and its ledger, which the test has opened beside it."""

    server: Running
    ledger: Ledger

    def ask(self, method: str, path: str, body: bytes = b"", head: str = JSON) -> Answer:
        """Ask by a new connection, and by the machine's own name."""
        with Client(self.server.port) as client:
            asking = request(method, path, body, head)
            client.send(asking.replace(b"Host: here", b"Host: 127.0.0.1:8080", 1))
            return client.answer()

    def get(self, path: str, user: str | None = None, head: str = "") -> Answer:
        return self.ask("GET", path, head=login(user) + head)

    def post(self, path: str, content: Any, user: str | None = None, head: str = JSON) -> Answer:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        return self.ask("POST", path, body, login(user) + head)

    def judge(self, id: str, content: Any, user: str | None = "ann") -> Answer:
        return self.post(f"/decisions/{quote(id, safe='')}/verdict", content, user)


def login(user: str | None, password: str = PASSWORD) -> str:
    """The header of a user."""
    if user is None:
        return ""
    return f"Authorization: Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}\r\n"


@contextmanager
def house(folder: Path, url: str, *options: str, **settings: str) -> Iterator[House]:
    """A server with the users of ROLES in a file, and an open ledger."""
    environment: Mapping[str, str] = {"LEDGER_URL": url, **settings}
    if "FRAUDLOOP_USERS" not in settings:
        for name, role in ROLES.items():
            users.add(folder / "users.yaml", name, PASSWORD, [role])
        environment = {"FRAUDLOOP_USERS": str(folder / "users.yaml"), **environment}
    elif not settings["FRAUDLOOP_USERS"]:
        environment = {name: text for name, text in environment.items() if text}
    bundles.save(folder / "bundle", bundle_of("logistic_regression"))
    with (
        Ledger.open(url) as ledger,
        running(folder / "log", folder / "bundle", *options, environment=environment) as server,
    ):
        yield House(server, ledger)


def named(id: str | int, row: int = 0, **changes: Any) -> dict[str, Any]:
    """A transaction with an id."""
    return {"id": id, **transactions(row + 1)[row], **changes}


def fraud(id: str, **changes: Any) -> dict[str, Any]:
    """A transaction that is predicted to be fraud."""
    strange = dict.fromkeys(("V10", "V12", "V14", "V17"), -20.0)
    extreme = dict.fromkeys(card().columns, 0.0) | strange
    return {"id": id, **extreme, "Time": 1.0, "V4": 12.0, "V11": 12.0, "Amount": 10.0, **changes}
