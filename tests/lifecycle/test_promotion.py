"""A promotion reaches every server under load, without a failed request, and so does a rollback."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from fraudloop import users
from fraudloop.ledger import migrate
from fraudloop.ledger.ledger import Ledger
from fraudloop.lifecycle import steering
from fraudloop.lifecycle.following import FromRegistry, RegistrySource
from fraudloop.lifecycle.listing import rows
from fraudloop.lifecycle.register import Origin, register
from fraudloop.lifecycle.registry import Registry
from fraudloop.lifecycle.store import opened
from fraudloop.model.bundle import Bundle
from fraudloop.model.scorer import Scorer
from fraudloop.settings import RegistrySettings
from tests.fitted import bundle_of, features
from tests.lifecycle.stores import changed, saved, settings_in
from tests.mlflow_server import MlflowServer
from tests.serving.running import JSON, Answer, Running, as_body, running, until
from tests.serving.test_reload import MANY, Expected, posting

pytest_plugins = ("tests.mlflow_server",)
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")

NUMBERS = count(1)  # of models: all tests share one server
PASSWORD = "open sesame"
LONG = 60.0  # seconds; bench/promotion.py has the figure


@dataclass(frozen=True)
class House:
    """A registry with two versions, of which the first decides, and what servers are told of it."""

    name: str
    settings: RegistrySettings
    ledger: str
    two: tuple[Bundle, Bundle]
    environment: dict[str, str]

    def promote(self, which: str, why: str) -> None:
        with closing(opened(self.settings)) as store:
            source = RegistrySource(FromRegistry(self.name, "champion", self.settings), store)
            record = steering.in_ledger(self.ledger)
            steering.promote(source, which, by="ana", why=why, record=record)


@pytest.fixture
def house(mlflow_server: MlflowServer, tmp_path: Path) -> House:
    good, name = bundle_of("logistic_regression"), f"under-load-{next(NUMBERS)}"
    two = changed(good, card=name, threshold=0.2), changed(good, card=name, threshold=0.7)
    settings = settings_in(tmp_path, mlflow_server.uri)
    for number, bundle in enumerate(two):
        register(settings, saved(tmp_path / f"bundle {number}", bundle), Origin("d", "c"))
    ledger = f"sqlite:///{tmp_path / 'ledger.db'}"
    migrate.migrate(ledger)
    for user, role in (("ana", "operator"), ("ben", "scorer")):
        users.add(tmp_path / "users.yaml", user, PASSWORD, [role])
    environment = {
        "MLFLOW_TRACKING_URI": mlflow_server.uri,
        "LEDGER_URL": ledger,
        "FRAUDLOOP_MODEL": name,
        "FRAUDLOOP_USERS": str(tmp_path / "users.yaml"),
    }
    made = House(name, settings, ledger, two, environment)
    made.promote("1", "the first")
    return made


@pytest.fixture
def servers(house: House, tmp_path: Path) -> Iterator[list[Running]]:
    """One server of two workers, and one of a single worker with a challenger in the shadow."""
    with closing(opened(house.settings)) as store:
        Registry(store, house.name).challenge(2)
    with ExitStack() as stack:
        started = []
        for number, options in enumerate(((), ("--shadow", "registry:challenger")), start=1):
            own = {"FRAUDLOOP_CACHE": str(tmp_path / f"cache {number}")}
            server = running(
                tmp_path / f"log {number}",
                Path("registry:champion"),
                *options,
                workers=3 - number,
                environment=house.environment | own,
            )
            started.append(stack.enter_context(server))
        yield started


def as_user(user: str, head: str = JSON) -> str:
    return f"{head}Authorization: Basic {b64encode(f'{user}:{PASSWORD}'.encode()).decode()}\r\n"


def post(server: Running, path: str, content: Any, head: str) -> Answer:
    return server.ask("POST", path, as_body(content), head)


def all_decide(servers: list[Running], bundle: Bundle) -> bool:
    label = f'candidate="{bundle.manifest.candidate}",version="{bundle.version}"'
    deciding = []
    for server in servers:
        text = server.ask("GET", "/metrics").content.decode()
        found = [line for line in text.splitlines() if line.startswith(f"fraudloop_model{{{label}")]
        deciding.append(float(found[0].rpartition(" ")[2]) if found else 0.0)
    return deciding == [2, 1]


def test_a_promotion_and_a_rollback_reach_every_server_under_load(
    house: House, servers: list[Running]
) -> None:
    first, second = house.two
    expected = {
        bundle.version: Expected(
            bundle.manifest.threshold, Scorer(bundle).score_features(features()[:MANY])
        )
        for bundle in house.two
    }
    assert all_decide(servers, first)
    shadowing = servers[1]

    def compared() -> int:
        return int(shadowing.ask("GET", "/model/shadow").json.get("rows", 0))

    with posting(servers[0], expected) as some, posting(servers[1], expected) as others:
        until(lambda: compared() > MANY, "the challenger has scored beside", within=LONG)
        said = shadowing.ask("GET", "/model/shadow").json
        assert (said["champion"], said["challenger"]) == (first.version, second.version)
        assert 0 < said["agreement"] <= 1
        assert said["mean_difference"] < 1e-9  # the same model at another operating point
        house.promote("challenger", "it catches more")
        until(lambda: all_decide(servers, second), "all decide with the second", within=LONG)
        back = post(servers[0], "/model/rollback", {"reason": "too many"}, as_user("ana"))
        assert (back.status, back.json["version"]) == (200, first.version), back.content
        for _ in range(8):  # both workers do, once it is answered
            assert servers[0].ask("GET", "/get_model_ver").json == {"version": first.version}
        until(lambda: all_decide(servers, first), "all decide with the first", within=LONG)
    assert some.wrong + others.wrong == []
    assert set(some.versions) == set(others.versions) == {first.version, second.version}
    with Ledger.open(house.ledger) as ledger:
        noted = [(row.by, row.action, row.detail["why"]) for row in ledger.audit.newest(10)]
    assert noted == [
        ("ana", "rollback", "too many"),
        ("ana", "promote", "it catches more"),
        ("ana", "promote", "the first"),
    ]
    with closing(opened(house.settings)) as store:
        told = rows(Registry(store, house.name))
        assert [row["aliases"] for row in told] == [[], ["champion"]]


def test_who_may_not_or_gives_no_reason_changes_nothing(
    house: House, servers: list[Running]
) -> None:
    first, second = house.two
    server = servers[1]
    reason, ana = {"reason": "better"}, as_user("ana")
    refused = [
        (401, post(server, "/model/promote", reason, JSON)),
        (403, post(server, "/model/promote", reason, as_user("ben"))),
        (403, post(server, "/model/promote", reason, ana + "Sec-Fetch-Site: cross-site\r\n")),
        (415, post(server, "/model/promote", reason, as_user("ana", ""))),
        (422, post(server, "/model/promote", {}, ana)),
        (422, post(server, "/model/promote", {"reason": " "}, ana)),
        (422, post(server, "/model/promote", {**reason, "version": "../x"}, ana)),
        (422, post(server, "/model/rollback", {**reason, "version": "2"}, ana)),
        (409, post(server, "/model/promote", {**reason, "version": "9"}, ana)),
        (409, post(server, "/model/promote", {**reason, "version": "1"}, ana)),
        (409, post(server, "/switch_model_ver", reason, ana)),
        (400, server.ask("POST", "/model/promote", b"{", ana)),
    ]
    for status, answer in refused:
        assert answer.status == status, answer.content
        assert answer.json["error"]
    assert server.ask("GET", "/get_model_ver").json == {"version": first.version}
    there = post(server, "/model/promote", {**reason, "version": second.version}, ana)
    assert (there.status, there.json["version"]) == (200, second.version), there.content
    again = post(server, "/switch_model_ver", reason, ana)
    assert again.json["version"] == first.version
    assert again.json["number_before"] == 2


def test_a_server_starts_from_its_cache_while_the_registry_is_away(
    house: House, tmp_path: Path
) -> None:
    place, own = Path("registry:champion"), {"FRAUDLOOP_CACHE": str(tmp_path / "cache")}
    environment = house.environment | own
    with running(tmp_path / "log 1", place, environment=environment):
        pass
    # The same name and address, and nobody who answers: a proxy of nothing.
    nowhere = environment | {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    pointers = tmp_path / "cache" / "followed"
    (known,) = pointers.iterdir()
    name = f"http://127.0.0.1:9 registry:{house.name}/champion"
    known.rename(pointers / f"{sha256(name.encode()).hexdigest()[:16]}.json")
    with running(tmp_path / "log 2", place, environment=nowhere) as server:
        said = server.ask("GET", "/ready").json
        assert said["model_version"] == house.two[0].version
        assert "does not answer" in said["detail"][0]
        assert "meanwhile version 1 decides" in said["detail"][0]
