"""GET /decisions, GET /decisions/{id}, POST /decisions/{id}/verdict: on both databases."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from tests.ledger.given import CARD, NOON, decision, many
from tests.serving.ledgers import ANALYSTS, House, house
from tests.serving.running import Client

if TYPE_CHECKING:
    from tests.databases import Postgres

pytest_plugins = ("tests.databases",)

COUNT = 40


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def served(
    request: pytest.FixtureRequest, template_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    """A server with some decisions, which tests may judge and add to."""
    folder = tmp_path_factory.mktemp("served")
    if request.param == "sqlite":
        file = folder / "ledger.db"
        file.write_bytes(template_file.read_bytes())
        url = f"sqlite:///{file}"
    else:
        postgres: Postgres = request.getfixturevalue("postgres")
        url = postgres.fresh(request.getfixturevalue("template"))
    with house(folder, url) as made:
        made.ledger.keep(many(COUNT), card=CARD)
        odd = [
            decision("order 17/ä", transaction={"price": 1e300, "stall": "7", "size": 7}),
            decision("a/verdict-b", source="batch", decided_at=NOON - timedelta(days=3)),
        ]
        made.ledger.keep(odd, card="odd")
        yield made


def pages(served: House, query: str, limit: int = 7) -> list[dict[str, Any]]:
    """All decisions of a query, page by page."""
    found: list[dict[str, Any]] = []
    after = ""
    while True:
        answer = served.get(f"/decisions?{query}&limit={limit}{after}")
        assert answer.status == 200, answer.content
        assert len(answer.json["decisions"]) <= limit
        found += answer.json["decisions"]
        if answer.json["next"] is None:
            return found
        after = f"&after={answer.json['next']}"


def ids(served: House, query: str) -> list[str]:
    return [each["id"] for each in pages(served, query)]


def test_pages_hold_each_decision_once_the_newest_or_the_riskiest_first(served: House) -> None:
    newest = pages(served, f"card={CARD}")
    assert [each["id"] for each in newest] == [f"t-{n:06}" for n in reversed(range(COUNT))]
    riskiest = pages(served, f"card={CARD}&order=riskiest")
    assert [each["score"] for each in riskiest] == sorted(
        (each["score"] for each in newest), reverse=True
    )
    assert newest[0] == {
        "id": "t-000039",
        "card": CARD,
        "source": "stream",
        "decided_at": "2026-11-03T12:00:39Z",
        "score": 39 / COUNT,
        "prediction": 1,
        "model_version": "v1",
        "transaction": {"price": 39.0, "stall": "fish"},
        "reasons": None,
        "verdict": None,
    }


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("prediction=1", range(32, 40)),
        ("min_score=0.5&max_score=0.6", range(20, 25)),
        ("from=2026-11-03T12:00:10Z&to=2026-11-03T12:00:12Z", range(10, 12)),
        ("from=2026-11-03T13:00:38%2B01:00", range(38, 40)),
        ("from=2026-11-03T13:00:38+01:00", range(38, 40)),  # a + is a blank in a query
        ("to=2026-11-03", ()),
        ("from=2026-11-03&to=2026-11-04&prediction=1", range(32, 40)),
        ("field=price>=38", range(38, 40)),
        ("field.price>=38", range(38, 40)),
        ("field.price%3E=38", range(38, 40)),
        ("field.price>37&field=price!=39", (38,)),
        ("field=price<2", range(2)),
        ("field.price<2", range(2)),
        ("field.price=3.0e0", (3,)),
        ("field=stall=fish&field.price<4", (1, 3)),
        ("field=stall!=fish&field=price<4", (0, 2)),
        ("field=nothing=1", ()),
        ("source=batch", ()),
        ("model_version=v1&field=price=5", (5,)),
    ],
)
def test_filters_let_through_what_they_say(served: House, query: str, numbers: Any) -> None:
    assert ids(served, f"card={CARD}&{query}") == [f"t-{n:06}" for n in sorted(numbers)[::-1]]


def test_a_text_that_reads_like_a_number_is_asked_for_in_quotes(served: House) -> None:
    assert ids(served, "field=stall=%227%22&card=odd") == ["order 17/ä"]
    assert ids(served, "field=stall=7&card=odd") == []
    assert ids(served, "field=size=7&card=odd") == ["order 17/ä"]


def test_pages_neither_repeat_nor_miss_what_was_there_while_others_come(served: House) -> None:
    at = NOON + timedelta(days=40)
    old = [replace(each, id=f"p-{each.id}", decided_at=at) for each in many(30)]
    served.ledger.keep(old, card="paged")
    for order in ("newest", "riskiest"):
        seen: list[str] = []
        after = ""
        for number in range(10):
            answer = served.get(f"/decisions?card=paged&order={order}&limit=4{after}").json
            seen += [each["id"] for each in answer["decisions"]]
            come = decision(f"new-{order}-{number}", decided_at=at + timedelta(days=1), score=0.99)
            served.ledger.keep([come], card="paged")
            if answer["next"] is None:
                break
            after = f"&after={answer['next']}"
        assert len(seen) == len(set(seen))
        assert {each.id for each in old} <= set(seen)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("limit=0", "limit"),
        ("limit=201", "1 to 200"),
        ("limit=ten", "limit"),
        ("limit=%D9%A1", "limit"),
        ("limit=99999999999999999999", "limit"),
        ("order=oldest", "newest or riskiest"),
        ("from=yesterday", "from is 'yesterday'"),
        ("to=2026-13-01", "to is"),
        ("from=0001-01-01T00:00:00%2B23:59", "from is"),
        ("to=9999-12-31T23:59:59-23:59", "to is"),
        ("from=", "from is"),
        ("prediction=2", "0 or 1"),
        ("prediction=true", "0 or 1"),
        ("true_value=", "0 or 1"),
        ("min_score=high", "min_score"),
        ("min_score=nan", "min_score"),
        ("min_score=-0.1", "from 0 to 1"),
        ("max_score=1e999", "max_score"),
        ("verdict=maybe", "yes or no"),
        ("source=carrier%20pigeon", "stream or online or batch"),
        ("model_version=", "characters"),
        ("card=" + "x" * 501, "characters"),
        ("card=a%00b", "NUL"),
        ("colour=red", "unknown filter 'colour'"),
        ("prediction=1&prediction=0", "twice"),
        ("after=", "key"),
        ("after=zz", "key"),
        ("after=00", "key"),
        ("after=" + "5b5d", "key"),
        ("after=" + json.dumps(["newest", 0.5, "x"]).encode().hex(), "key"),
        ("after=" + json.dumps(["newest", "2026-11-03", "x"]).encode().hex(), "key"),
        ("after=" + json.dumps(["riskiest", 1, "x"]).encode().hex(), "key"),
        ("after=" + json.dumps(["newest", "2026-11-03T00:00:00Z", "\0"]).encode().hex(), "key"),
        ("after=" + "a" * 5_000, "key"),
        ("field=", "field is"),
        ("field=Amount", "field is"),
        ("field=>5", "field is"),
        ("field.=5", "field is"),
        ("field.Amount", "field is"),
        ("field.Amount>", "field is"),
        ("field=Amount>", "field is"),
        ("field=a%22b=5", "cannot be asked for"),
        ("field=a=1e999", "give a number"),
        ("field=a=%00", "NUL"),
        ("field=" + "a" * 201 + "=1", "field is"),
        ("field=a=" + "1" * 600, "field is"),
        ("&".join(["field=a=1"] * 11), "10 at most"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_a_sentence(
    served: House, query: str, said: str
) -> None:
    answer = served.get(f"/decisions?{query}")
    assert answer.status == 422, answer.content
    assert said in answer.json["error"]
    assert list(answer.json) == ["error", "detail"]


@pytest.mark.parametrize(
    "query",
    [
        "field=price=1e308",
        "field=price=" + "9" * 308,
        "field=price<=-1e-320",
        "field=$=1",
        "field=a]b=1",
        "field=a%5Cu0041=1",
        "field=%27;drop%20table%20decisions;--=1",
        "field=%C3%A4%F0%9F%A6%8A=%F0%9F%A6%8A",
        "model_version=%27%20or%201=1%20--",
        "from=0001-01-01T00:00:00Z&to=9999-12-31T23:59:59Z",
        "after=" + json.dumps(["newest", "0001-01-01T00:00:00+23:59", "x"]).encode().hex(),
        "after=" + json.dumps(["newest", "9999-12-31T23:59:59-23:59", "x"]).encode().hex(),
        "order=riskiest&after=" + json.dumps(["riskiest", 1e308, "x"]).encode().hex(),
    ],
)
def test_what_is_strange_but_can_be_asked_is_answered(served: House, query: str) -> None:
    answer = served.get(f"/decisions?{query}&limit=3")
    assert answer.status == 200, answer.content


def test_a_query_that_is_no_query_is_refused(served: House) -> None:
    assert served.get("/decisions?card=%ff").status == 400
    assert served.get("/decisions?" + "a=1&" * 1_100).status == 400


@pytest.mark.parametrize("id", ["order 17/ä", "a/verdict-b"])
def test_a_decision_is_found_by_any_id(served: House, id: str) -> None:
    for path in (quote(id, safe=""), quote(id)):
        answer = served.get(f"/decisions/{path}")
        assert answer.status == 200, answer.content
        assert answer.json["id"] == id
        assert answer.json["verdicts"] == []


@pytest.mark.parametrize("path", ["nobody", "", "%00", "%ff", "x" * 2_000, "..%2f..%2fping"])
def test_an_unknown_decision_is_404(served: House, path: str) -> None:
    for answer in (
        served.get(f"/decisions/{path}"),
        served.post(f"/decisions/{path}/verdict", {"true_value": 1, "why": "a test"}, "ann"),
    ):
        assert answer.status == 404, answer.content
        assert "there is no decision" in answer.json["error"]


def test_verdicts_are_added_and_the_newest_counts(served: House) -> None:
    first = served.judge("t-000003", {"true_value": 1, "why": "the owner says so"}, "ann")
    assert first.status == 200, first.content
    assert first.json["verdict"]["by"] == "ann"
    second = served.judge("t-000003", {"true_value": 0, "why": "the owner remembers now"}, "bob")
    found = served.get("/decisions/t-000003").json
    assert found["verdicts"] == [first.json["verdict"], second.json["verdict"]]
    assert found["verdict"] == second.json["verdict"]
    assert "t-000003" in ids(served, f"card={CARD}&verdict=yes")
    assert "t-000003" in ids(served, f"card={CARD}&true_value=0")
    assert "t-000003" not in ids(served, f"card={CARD}&true_value=1")
    assert "t-000003" not in ids(served, f"card={CARD}&verdict=no")
    assert (
        len(ids(served, f"card={CARD}&verdict=no")) + len(ids(served, f"card={CARD}&verdict=yes"))
        == COUNT
    )


def test_two_analysts_at_once_are_both_heard(served: House) -> None:
    """Each gives twenty verdicts on the same decision, and none is lost."""
    start = threading.Barrier(2)
    refused: list[Any] = []

    def judges(name: str, true_value: int) -> None:
        start.wait(60)
        for number in range(10):
            why = {"true_value": true_value, "why": f"{name} {number}"}
            answer = served.judge("t-000007", why, name)
            if answer.status != 200:
                refused.append(answer.content)

    threads = [
        threading.Thread(target=judges, args=(name, value)) for value, name in enumerate(ANALYSTS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not refused
    found = served.get("/decisions/t-000007").json
    assert sorted(each["why"] for each in found["verdicts"]) == sorted(
        f"{name} {number}" for name in ANALYSTS for number in range(10)
    )
    assert found["verdict"] == found["verdicts"][-1]
    assert all(each["by"] == each["why"].partition(" ")[0] for each in found["verdicts"])


@pytest.mark.parametrize(
    ("content", "status"),
    [
        ({"true_value": 2, "why": "x"}, 422),
        ({"true_value": True, "why": "x"}, 422),
        ({"true_value": "1", "why": "x"}, 422),
        ({"true_value": None, "why": "x"}, 422),
        ({"true_value": 1}, 422),
        ({"true_value": 1, "why": ""}, 422),
        ({"true_value": 1, "why": "  "}, 422),
        ({"true_value": 1, "why": "a\0b"}, 422),
        ({"true_value": 1, "why": "x" * 4_001}, 422),
        ({"true_value": 1, "why": "x", "by": "somebody else"}, 422),
        ([], 422),
        (b"", 400),
        (b"\xff", 400),
        (b'{"true_value": 1, "why": "\\ud800"}', 400),
        (b'{"true_value": 1, "true_value": 0, "why": "x"}', 422),
    ],
)
def test_what_is_no_verdict_is_refused_and_not_kept(
    served: House, content: Any, status: int
) -> None:
    answer = served.judge("t-000011", content)
    assert answer.status == status, answer.content
    assert served.get("/decisions/t-000011").json["verdicts"] == []


def test_a_verdict_wants_an_analyst_on_an_open_server_too(served: House) -> None:
    good = {"true_value": 1, "why": "a test"}
    assert served.judge("t-000012", good, None).status == 401
    assert served.judge("t-000012", good, "sam").status == 403
    refused = served.judge("t-000012", good, "oli")
    assert (refused.status, "role analyst" in refused.json["error"]) == (403, True)
    page = served.post("/decisions/t-000012/verdict", good, "ann", "Sec-Fetch-Site: cross-site\r\n")
    assert page.status == 403
    assert served.get("/decisions/t-000012").json["verdicts"] == []


def test_other_methods_are_told_which_there_are(served: House) -> None:
    for method, path, allowed in (
        ("POST", "/decisions", "GET"),
        ("POST", "/decisions/t-000001", "GET"),
        ("DELETE", "/decisions/t-000001", "GET"),
        ("GET", "/decisions/t-000001/verdict", "POST"),
    ):
        answer = served.ask(method, path)
        assert (answer.status, answer.headers["allow"]) == (405, allowed), (method, path)


def test_requests_are_counted_by_route_and_not_by_id(served: House) -> None:
    served.get("/decisions/t-000001")
    text = served.get("/metrics").content.decode()
    assert 'route="/decisions/{id}"' in text
    assert "t-000001" not in text


def test_a_page_of_another_name_that_leads_here_reads_nothing(served: House) -> None:
    """Without users a browser would let it read all transactions."""
    asking = b"GET /decisions HTTP/1.1\r\nHost: evil.example:8080\r\n\r\n"
    with Client(served.server.port) as client:
        client.send(asking)
        assert client.answer().status == 403
        client.send(asking.replace(b"evil.example:8080", b"[::1]:8080"))
        assert client.answer().status == 200


def test_where_users_are_asked_for_only_those_read_who_judge_or_run_models(
    sqlite_url: str, tmp_path: Path
) -> None:
    with house(tmp_path, sqlite_url, FRAUDLOOP_AUTH="basic") as strict:
        strict.ledger.keep([decision("t-1")], card=CARD)
        for path in ("/decisions", "/decisions/t-1", "/drift", "/outcomes"):
            assert strict.get(path).status == 401
            assert strict.get(path, "sam").status == 403
            for reader in ("ann", "oli"):
                assert strict.get(path, reader).status in (200, 409), path
        assert "analyst or operator" in strict.get("/decisions", "sam").json["error"]


def test_a_server_open_to_others_shows_no_transactions_without_a_user(
    sqlite_url: str, tmp_path: Path
) -> None:
    with house(tmp_path, sqlite_url, FRAUDLOOP_AUTH="none") as opened:
        assert opened.get("/decisions").status == 401
        assert opened.get("/decisions", "ann").status == 200
        assert opened.get("/model").status == 200


def test_without_a_ledger_the_routes_say_what_to_do(tmp_path: Path, sqlite_url: str) -> None:
    with house(tmp_path, sqlite_url) as made:
        Path(sqlite_url.removeprefix("sqlite:///")).unlink()
        for path in ("/decisions", "/decisions/x", "/drift", "/drift/x", "/outcomes"):
            answer = made.get(path)
            assert answer.status == 409, path
            assert "run `fraudloop ledger migrate`" in answer.json["error"]
        assert made.judge("x", {"true_value": 1, "why": "a test"}).status == 409
