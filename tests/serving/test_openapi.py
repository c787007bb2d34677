"""The OpenAPI document says what the server does, and its page needs no other host."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jsonschema_rs
import pytest
import schemathesis
from schemathesis import Case, HookContext, engine
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events

from fraudloop import users
from fraudloop.ledger.migrate import migrate
from fraudloop.model import bundle as bundles
from tests.dataset.tables import market
from tests.serving.running import Running, running
from tests.serving.test_seeds import PASSWORD, bundle_for, by_browser, by_requests, sent

ROUTES = {
    "POST /predict",
    "GET /predict",
    "POST /invocations",
    "POST /predict_fraud",
    "GET /ping",
    "GET /health-check/liveness",
    "GET /health",
    "GET /ready",
    "GET /hello",
    "GET /model",
    "GET /get_model_ver",
    "GET /jobs",
    "GET /jobs/{id}",
    "POST /initialtrain",
    "POST /retrain",
    "GET /model/shadow",
    "POST /model/promote",
    "POST /model/rollback",
    "POST /switch_model_ver",
    "GET /metrics",
    "GET /decisions",
    "GET /decisions/{id}",
    "POST /decisions/{id}/verdict",
    "GET /drift",
    "GET /drift/{id}",
    "GET /outcomes",
}


@pytest.fixture(scope="module")
def described(ran: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Running]]:
    """By name: a server of the default card's bundle, and one of a card with every kind."""
    folder = tmp_path_factory.mktemp("described")
    bundles.save(folder / "market", bundle_for(market()))
    users.add(folder / "users.yaml", "ana", PASSWORD, ["scorer", "analyst"])
    ledger = f"sqlite:///{folder / 'ledger.db'}"
    migrate(ledger)
    known = {"FRAUDLOOP_USERS": str(folder / "users.yaml"), "LEDGER_URL": ledger}
    with (
        running(folder / "default.log", ran / "output", environment=known) as default,
        running(folder / "market.log", folder / "market", environment=known) as every_kind,
    ):
        yield {"default": default, "every kind": every_kind}


@pytest.mark.parametrize(
    ("card", "phases", "examples", "at_least"),
    [
        ("every kind", ("examples", "coverage", "fuzzing"), 20, 900),
        # The many columns of the default card would make thousands of cases of coverage.
        ("default", ("examples", "fuzzing"), 20, 110),
    ],
)
def test_the_server_does_what_its_document_says(
    described: dict[str, Running],
    card: str,
    phases: tuple[str, ...],
    examples: int,
    at_least: int,
) -> None:
    """Statuses, content types and shapes are those documented; what violates it is refused."""
    everywhere = ("examples", "coverage", "fuzzing", "stateful")
    config = SchemathesisConfig.from_dict(
        {
            "generation": {"max-examples": examples, "deterministic": True, "database": "none"},
            "phases": {phase: {"enabled": phase in phases} for phase in everywhere},
            "cache": {"enabled": False},
            "auth": {"basic": {"username": "ana", "password": PASSWORD}},
        }
    )
    address = f"http://127.0.0.1:{described[card].port}/openapi.json"
    api = schemathesis.openapi.from_url(address, config=config)
    api.hook("filter_case")(_can_be_told_by_a_schema)
    # Not by schemathesis' plugin for pytest, which reaches into what pytest 9.2 has no more.
    cases: Counter[str] = Counter()
    faults = []
    for event in engine.from_schema(api).execute():
        if isinstance(event, events.FatalError | events.NonFatalError):
            faults.append(repr(event))
        if isinstance(event, events.ScenarioFinished):
            cases[event.label or ""] += len(event.recorder.cases)
            faults += _faults(event)
    assert not faults, "\n\n".join(faults)
    assert set(cases) == ROUTES
    assert cases.total() >= at_least


def _faults(event: events.ScenarioFinished) -> list[str]:
    """What the checks of some cases found, and how to see it again."""
    return [
        f"{event.label}: {check.failure_info.failure.message}\n{check.failure_info.code_sample}"
        for checks in event.recorder.checks.values()
        for check in checks
        if check.failure_info
    ]


def _can_be_told_by_a_schema(context: HookContext, case: Case[Any]) -> bool:
    """Whether a schema can tell this case's body from what is refused."""
    body: Any = case.body
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return True
    # A key is one of ours; what is to be kept wants ids, each once, without a NUL.
    if "after" in (case.query or {}) or str((case.query or {}).get("store")).lower() == "true":
        return False
    # Which value of a row belongs to which column, and how many there are, the columns say.
    if isinstance(body, dict) and isinstance(body.get("columns"), list):
        return False
    # No id may stand twice in an answer by id; where a transaction has none, its place is its id.
    if case.path == "/invocations" and isinstance(body, list):
        ids = [str(place if row.get("id") is None else row["id"]) for place, row in enumerate(body)]
        return len(set(ids)) == len(ids)
    return True


@pytest.mark.parametrize("card", ["default", "every kind"])
def test_every_example_works_as_it_stands(described: dict[str, Running], card: str) -> None:
    server = described[card]
    posted = 0
    for path, operations in _document(server)["paths"].items():
        for operation in operations.values():
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            for name, example in body.get("examples", {}).items():
                content = json.dumps(example["value"]).encode()
                answer = sent(server, by_requests(path, content))
                assert answer.status == 200, (path, name, answer.content)
                posted += 1
    assert posted == 5 + 6 + 1


@pytest.mark.parametrize("card", ["default", "every kind"])
def test_the_example_of_a_query_works_as_it_stands(
    described: dict[str, Running], card: str
) -> None:
    parameters = _document(described[card])["paths"]["/predict"]["get"]["parameters"]
    query = {each["name"]: each["example"] for each in parameters if each.get("required")}
    answer = sent(described[card], by_browser(f"/predict?{urlencode(query)}"))
    assert answer.status == 200, answer.content
    in_one = _document(described[card])["components"]["schemas"]["Transaction"]["required"]
    assert list(query) == in_one


@pytest.mark.parametrize("card", ["default", "every kind"])
def test_the_document_is_openapi_3_1_and_every_schema_in_it_is_one(
    described: dict[str, Running], card: str
) -> None:
    document = _document(described[card])
    assert document["openapi"].startswith("3.1")
    assert {
        f"{method.upper()} {path}"
        for path, operations in document["paths"].items()
        for method in operations
    } == ROUTES
    schemas = list(_under("schema", document)) + list(document["components"]["schemas"].values())
    assert len(schemas) > 50
    for schema in schemas:
        jsonschema_rs.meta.validate(schema)
    names = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(_under("$ref", document)) == names


def test_every_limit_and_category_of_the_card_stands_in_its_transaction(
    described: dict[str, Running],
) -> None:
    fields = _document(described["every kind"])["components"]["schemas"]["Transaction"]
    assert fields["properties"]["price"]["minimum"] == 0
    assert fields["properties"]["price"]["maximum"] == 1000.125
    assert fields["properties"]["stall"]["enum"] == ["fish", "NA", 7, "7"]
    assert fields["required"] == ["at", "price", "abroad", "stall", "size"]
    assert {"buyer", "id", "verdict"} < set(fields["properties"])
    assert fields["additionalProperties"] is False


def test_the_page_of_the_document_needs_no_other_host(described: dict[str, Running]) -> None:
    server = described["default"]
    page = sent(server, by_browser("/docs"))
    assert page.status == 200
    found = _Needed()
    found.feed(page.content.decode())
    assert {Path(path).suffix for path in found.paths} >= {".js", ".css"}
    assert "url: '/openapi.json'" in page.content.decode()
    assert b"://" not in page.content
    for path in found.paths:
        assert path.startswith("/")
        assert not path.startswith("//")
        answer = sent(server, by_browser(path))
        assert answer.status == 200
        assert answer.content
        style = answer.content.decode("utf-8", "replace") if path.endswith(".css") else ""
        assert "@import" not in style
        assert all(
            address.strip("\"'").startswith("data:")
            for address in re.findall(r"url\((.*?)\)", style)
        )


class _Needed(HTMLParser):
    """The addresses of all that a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.paths: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        address = named.get("href") if tag == "link" else named.get("src")
        if address is not None:
            self.paths.append(address)


def _document(server: Running) -> Any:
    answer = sent(server, by_browser("/openapi.json"))
    assert answer.status == 200
    return answer.json


def _under(name: str, value: Any) -> Iterator[Any]:
    """All that stands under this name, anywhere."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == name:
                yield inner
            yield from _under(name, inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _under(name, inner)
