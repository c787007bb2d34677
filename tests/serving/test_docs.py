"""docs/api.md stays true: its requests, answers, routes, settings, errors and metrics."""

from __future__ import annotations

import argparse
import base64
import inspect
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer

from fraudloop import users
from fraudloop.cli import app
from fraudloop.serving.openapi import REFUSALS
from fraudloop.settings import Serving
from tests.fitted import ROOT
from tests.serving.running import Answer, Client, Running, running
from tests.serving.test_seeds import PASSWORD, by_browser, by_requests, sent

PAGE = ROOT / "docs" / "api.md"
TEXT = PAGE.read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8080"
# A block of commands, and the block of what they answer where one follows.
BLOCK = re.compile(r"^```sh\n(.*?)^```\n(?:\n```(json|text)\n(.*?)^```\n)?", re.M | re.S)
# What a page of the API itself is not in the OpenAPI document.
PAGES = {"GET /docs", "GET /openapi.json"}


@dataclass(frozen=True)
class Example:
    """A curl line of the page, and the answer shown below it."""

    command: str
    shown: str

    @property
    def status(self) -> int:
        """The status shown, if the page shows any."""
        line = re.match(r"HTTP/1\.1 (\d+)", self.shown)
        return int(line[1]) if line else 200

    @property
    def content(self) -> str:
        """What is shown below the headers."""
        return self.shown.partition("\n\n")[2] if self.status != 200 else self.shown.rstrip("\n")


EXAMPLES = [
    Example(found[1], found[3] or "")
    for found in BLOCK.finditer(TEXT)
    if found[1].startswith("curl ")
]


@pytest.fixture(scope="module")
def server(ran: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server as the page starts it, of another model, which knows the page's user."""
    folder = tmp_path_factory.mktemp("documented")
    users.add(folder / "users.yaml", "ana", PASSWORD, ["scorer", "operator"])
    known = {
        "FRAUDLOOP_USERS": str(folder / "users.yaml"),
        "LEDGER_URL": "sqlite:///no/ledger.db",
    }
    with running(folder / "log", ran / "output", environment=known) as served:
        yield served


@pytest.fixture(scope="module")
def strict(ran: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that soon has enough."""
    folder = tmp_path_factory.mktemp("strict")
    users.add(folder / "users.yaml", "ana", PASSWORD, ["scorer"])
    users.add(folder / "users.yaml", "ben", PASSWORD, ["analyst"])
    limits = {
        "FRAUDLOOP_AUTH": "basic",
        "FRAUDLOOP_USERS": str(folder / "users.yaml"),
        "FRAUDLOOP_CONCURRENCY": "1",
        "FRAUDLOOP_MAX_BODY_BYTES": "100",
        "FRAUDLOOP_BODY_SECONDS": "1",
    }
    with running(folder / "log", ran / "output", environment=limits) as served:
        yield served


def test_no_curl_line_is_left_untried() -> None:
    assert len(EXAMPLES) == TEXT.count("curl -s") > 15


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.command.split("'{")[0])
def test_every_curl_line_is_answered_as_it_says(server: Running, example: Example) -> None:
    answer = sent(server, _request(example.command))
    assert answer.status == example.status, answer.content
    text = answer.content.decode()
    if "…" in example.content:  # left out
        told = re.findall(r'"(\w+)":', example.content)
        assert list(answer.json) == list(
            dict.fromkeys(name for name in told if name in answer.json)
        )
        assert set(told) <= set(re.findall(r'"(\w+)":', text))
    elif example.content.startswith("{"):
        assert _shape(json.loads(example.content)) == _shape(answer.json)
    elif example.content:
        assert example.content == text


def test_the_same_transaction_gets_one_score_all_over_the_page(server: Running) -> None:
    scores = {
        round(score, 9)
        for example in EXAMPLES
        if "40532" in example.command
        for score in sent(server, _request(example.command)).json["scores"][:1]
    }
    assert len(scores) == 1
    assert len([example for example in EXAMPLES if "40532" in example.command]) >= 5


def test_every_route_is_on_the_page_and_no_other(server: Running) -> None:
    document = sent(server, by_browser("/openapi.json")).json
    routes = {
        f"{method.upper()} {path}"
        for path, operations in document["paths"].items()
        for method in operations
    }
    on_page = set(re.findall(r"`((?:GET|POST|PUT|DELETE|PATCH) /[\w./{}-]*)`", TEXT))
    assert on_page == routes | PAGES
    for page in PAGES:
        assert sent(server, by_browser(page.partition(" ")[2])).status == 200


def test_every_route_has_its_curl_line() -> None:
    asked = {example.command.partition(ADDRESS)[2] for example in EXAMPLES}
    paths = {re.split(r"[?'\s]", rest)[0] for rest in asked}
    on_page = set(re.findall(r"`(?:GET|POST) (/[\w./{}-]*)`", TEXT))
    assert paths == on_page - {"/docs", "/openapi.json"}


def test_every_setting_is_on_the_page_with_its_default() -> None:
    read = set(re.findall(r"\bFRAUDLOOP_[A-Z_]+", inspect.getsource(Serving)))
    rows = {cells[0].strip("`"): cells[1] for cells in _table("variable")}
    assert set(rows) == read
    assert set(re.findall(r"\bFRAUDLOOP_[A-Z_]+", TEXT)) == read
    for name, default in rows.items():
        value = getattr(Serving(), name.removeprefix("FRAUDLOOP_").lower())
        assert (None if default in ("unset", "none") else float(default)) == value, name


def test_every_metric_is_on_the_page_and_no_other(server: Running) -> None:
    for example in EXAMPLES:
        sent(server, _request(example.command))
    text = sent(server, by_browser("/metrics")).content.decode()
    types = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.M))
    served = {name for name in types if not name.endswith("_created")}
    rows = _table("name")
    on_page = {name for cells in rows for name in re.findall(r"`(\w+)`", cells[0])}
    ours = {name for name in on_page if name.startswith("fraudloop_")}
    assert ours == {name for name in served if name.startswith("fraudloop_")}
    assert served <= on_page  # but for those of the process, which not every system tells
    for names, labels, what in rows:
        if names.strip("`") in ours:
            used = re.findall(rf"^{names.strip('`')}(?:_bucket)?{{(.*?)}} ", text, re.M)
            found = {name for each in used for name in re.findall(r'(\w+)="', each)} - {"le"}
            assert found == set(re.findall(r"`(\w+)`", labels)), names
            assert ("histogram" in what) == (types[names.strip("`")] == "histogram")


def test_every_status_is_on_the_page() -> None:
    assert [int(cells[0]) for cells in _table("status")] == sorted({*REFUSALS, 404, 405})


def test_every_refusal_reads_as_the_page_says(server: Running, strict: Running) -> None:
    told = {
        400: sent(server, by_requests("/predict", b'{"Time": 1')),
        401: sent(server, by_browser("/hello")),
        409: sent(server, by_browser("/model/shadow")),
        403: sent(strict, by_requests("/predict", b"[]", user="ben")),
        404: sent(server, by_browser("/nowhere")),
        405: sent(server, by_browser("/predict").replace(b"GET", b"PUT", 1)),
        413: sent(strict, by_requests("/predict", b"[" + b" " * 100 + b"]", user="ana")),
        415: sent(server, _as_text(by_requests("/predict", b"[]"))),
        422: sent(server, by_requests("/predict", _with_a_wrong_amount())),
        **_while_one_is_slow(strict),
        429: _after_failed_logins(strict),
    }
    shown = {int(cells[0]): _code(cells[2]) for cells in _table("status")}
    for status, answer in told.items():
        assert answer.status == status, answer.content
        assert list(answer.json) == ["error", "detail"]
        assert _without_numbers(answer.json["error"]) == _without_numbers(shown[status])
    assert set(told) == set(shown)
    for status in (429, 503):
        assert int(told[status].headers["retry-after"]) >= 1
    assert told[405].headers["allow"]


def test_what_the_page_names_is_there() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (PAGE.parent / link).is_file(), link
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
    assert {"run", "serve", "predict", "image"} <= set(re.findall(r"\bmake ([a-z-]+)", TEXT))
    assert set(re.findall(r"\bmake ([a-z-]+)", TEXT)) <= set(targets)


def test_every_command_of_the_page_is_one_with_these_options() -> None:
    lines = re.findall(r"^fraudloop (.*)$", TEXT, re.M)
    assert len(lines) >= 5
    for line in lines:
        command: Any = typer.main.get_command(app)
        words = shlex.split(line, comments=True)
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]
        assert not hasattr(command, "commands"), line
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known, line


def _request(command: str) -> bytes:
    """A curl line of the page as curl would send it; no other options than these are known."""
    known = argparse.ArgumentParser(exit_on_error=False, add_help=False)
    known.add_argument("curl")
    known.add_argument("url")
    for switch in ("-s", "-i"):
        known.add_argument(switch, action="store_true")
    known.add_argument("-H", action="append", default=[])
    known.add_argument("-d")
    known.add_argument("-u")
    given = known.parse_args(shlex.split(command))
    assert given.url.startswith(ADDRESS)
    head = [*given.H]
    content = b""
    if given.u:
        head.append("Authorization: Basic " + base64.b64encode(given.u.encode()).decode())
    if given.d:
        content = _data(given.d)
        head.append(f"Content-Length: {len(content)}")
        if not any(line.lower().startswith("content-type:") for line in given.H):
            head.append("Content-Type: application/x-www-form-urlencoded")
    first = f"{'POST' if given.d else 'GET'} {given.url.removeprefix(ADDRESS)} HTTP/1.1"
    return "\r\n".join([first, "Host: 127.0.0.1:8080", *head, "", ""]).encode() + content


def _data(given: str) -> bytes:
    """What -d sends: a text as it is, a file without the ends of its lines."""
    if not given.startswith("@"):
        return given.encode()
    return (ROOT / given[1:]).read_bytes().replace(b"\r", b"").replace(b"\n", b"")


def _shape(value: Any) -> Any:
    """A value without what depends on the model: its keys, lengths and types."""
    if isinstance(value, dict):
        return {name: _shape(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_shape(inner) for inner in value]
    return "number" if isinstance(value, int | float) else type(value).__name__


def _table(first: str) -> list[list[str]]:
    """The rows of the table whose first column is called so."""
    _, found, rest = TEXT.partition(f"\n| {first} |")
    assert found
    lines = rest.partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def _code(cell: str) -> str:
    """What stands in a cell as code."""
    found = re.fullmatch(r"(`+) ?(.*?) ?\1", cell)
    assert found, cell
    return found[2]


def _without_numbers(sentence: str) -> str:
    return re.sub(r"\d[\d,]*", "N", sentence)


def _as_text(request: bytes) -> bytes:
    return request.replace(b"application/json", b"text/plain")


def _with_a_wrong_amount() -> bytes:
    payload = json.loads((ROOT / "ml" / "input" / "api" / "payload.json").read_bytes())
    return json.dumps(next(iter(payload.values())) | {"Amount": "much"}).encode()


def _while_one_is_slow(strict: Running) -> dict[int, Answer]:
    """What a second client is told while the first is still sending, and then the first."""
    whole = by_requests("/predict", b"[" + b" " * 90 + b"]", user="ana")
    with Client(strict.port) as first:
        first.send(whole[:-50])
        second = sent(strict, whole)
        return {503: second, 408: first.answer()}


def _after_failed_logins(strict: Running) -> Answer:
    for _ in range(5):
        assert sent(strict, by_requests("/predict", b"[]", user="eve")).status == 401
    return sent(strict, by_requests("/predict", b"[]", user="eve"))
