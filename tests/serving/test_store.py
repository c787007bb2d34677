"""POST /predict?store=true: answered once the ledger has it, each id decided once."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fraudloop.model.scorer import Scorer
from tests.fitted import bundle_of, card
from tests.serving.ledgers import House, fraud, house, named
from tests.serving.running import until

if TYPE_CHECKING:
    from tests.databases import Postgres

pytest_plugins = ("tests.databases",)

STORE = "/predict?store=true"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def served(
    request: pytest.FixtureRequest, template_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("storing")
    if request.param == "sqlite":
        file = folder / "ledger.db"
        file.write_bytes(template_file.read_bytes())
        url = f"sqlite:///{file}"
    else:
        postgres: Postgres = request.getfixturevalue("postgres")
        url = postgres.fresh(request.getfixturevalue("template"))
    with house(folder, url) as made:
        yield made


def test_what_is_answered_is_what_is_kept(served: House) -> None:
    sent = named("one", Class=0)
    answer = served.post(STORE, sent)
    assert answer.status == 200, answer.content
    plain = served.post("/predict", sent).json
    stored = answer.json["stored"]
    assert {name: value for name, value in answer.json.items() if name != "stored"} == plain
    kept = served.ledger.find("one")
    assert kept is not None
    assert kept.card == card().id
    assert kept.decision.transaction == sent
    assert kept.decision.source == "online"
    assert kept.decision.score == answer.json["scores"][0]
    assert kept.decision.prediction == answer.json["prediction"]
    assert kept.decision.model_version == plain["model_version"]
    shown = served.get("/decisions/one").json
    assert stored == [
        {
            "id": "one",
            "new": True,
            "decided_at": shown["decided_at"],
            "model_version": plain["model_version"],
        }
    ]


@pytest.mark.parametrize(
    ("body", "ids"),
    [
        ([named("l-1"), named(12, 1)], ["l-1", "12"]),
        ({"i-1": named("ignored"), "i-2": named("ignored", 1)}, ["i-1", "i-2"]),
        (
            {
                "columns": list(named("x")),
                "index": [900, "s-2"],
                "data": [list(named("x").values()), list(named("y", 1).values())],
            },
            ["900", "s-2"],
        ),
        (
            {"columns": list(named("x")), "data": [list(named("c-1").values())]},
            ["c-1"],
        ),
    ],
    ids=["list", "pandas index", "pandas split", "split without index"],
)
def test_every_dialect_that_names_its_transactions_is_kept(
    served: House, body: Any, ids: list[str]
) -> None:
    answer = served.post(STORE, body)
    assert answer.status == 200, answer.content
    assert answer.json["scores"] == served.post("/predict", body).json["scores"]
    assert answer.json["ids"] == ids
    for id, score in zip(ids, answer.json["scores"], strict=True):
        kept = served.ledger.find(id)
        assert kept is not None
        assert kept.decision.score == score
        assert kept.decision.transaction["V1"] is not None


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({**named("x"), "id": None}, "has no id to be kept by: give it 'id'"),
        ([named("u-1"), {k: v for k, v in named("u").items() if k != "id"}], "transaction 1"),
        ({"features": [list(named("x").values())[1:]]}, "has no id to be kept by"),
        ([named("u-1"), named("u-1", 1)], "'u-1' stands there twice"),
        ([named(5), named("5", 1)], "stands there twice"),
        (named(""), "1 to 512"),
        (named("x" * 513), "1 to 512"),
        (named("a\0b"), "without NUL"),
        (named("u-2", Class="a\0b"), "NUL"),
        (named("u-2", Amount=float("nan")), "Amount"),
        ([named("u-1"), named("u-2", Amount="much")], "Amount"),
        ([], "at least one"),
    ],
)
def test_what_cannot_be_kept_is_refused_and_nothing_of_it_is_kept(
    served: House, body: Any, said: str
) -> None:
    answer = served.post(STORE, body)
    assert answer.status == 422, answer.content
    assert said in answer.json["error"]
    assert served.ledger.known(["u-1", "u-2"]) == {}


def test_what_is_too_much_to_keep_is_refused(served: House) -> None:
    many = served.post(STORE, [named(f"m-{number}") for number in range(1_001)])
    large = served.post(STORE, named("m-large", Class="x" * 100_001))
    assert (many.status, large.status) == (413, 413)
    assert "1,000 at once are the most" in many.json["error"]
    assert "100,000 bytes" in large.json["error"]
    assert served.ledger.known(["m-0", "m-large"]) == {}


def test_who_asks_again_is_told_what_was_decided_the_first_time(served: House) -> None:
    first = served.post(STORE, [named("r-1"), named("r-2", 1)]).json
    served.judge("r-1", {"true_value": 1, "why": "a test"})
    again = served.post(STORE, [named("r-2", 1), named("r-1"), named("r-3", 2)])
    assert again.status == 200, again.content
    assert [each["new"] for each in again.json["stored"]] == [False, False, True]
    assert again.json["scores"][:2] == first["scores"][::-1]
    assert [each["decided_at"] for each in again.json["stored"]][:2] == [
        each["decided_at"] for each in first["stored"]
    ][::-1]
    assert len(served.get("/decisions/r-1").json["verdicts"]) == 1


def test_another_transaction_of_a_known_id_is_refused_with_all_that_came_along(
    served: House,
) -> None:
    assert served.post(STORE, named("k-1")).status == 200
    answer = served.post(STORE, [named("k-2", 1), named("k-1", Amount=12345.0)])
    assert answer.status == 409, answer.content
    assert "another transaction of the id 'k-1'" in answer.json["error"]
    assert served.ledger.find("k-2") is None


def test_many_who_send_the_same_at_once_are_told_the_same(served: House) -> None:
    bodies = [named("same"), named("same-2", 1)]
    start = threading.Barrier(4)
    answers: list[Any] = []

    def sends() -> None:
        start.wait(60)
        answers.append(served.post(STORE, bodies))

    threads = [threading.Thread(target=sends) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert [answer.status for answer in answers] == [200] * 4, answers
    told = [answer.json["stored"] for answer in answers]
    assert len({json.dumps([[e["id"], e["decided_at"]] for e in each]) for each in told}) == 1
    assert sum(each[0]["new"] for each in told) == 1


def test_a_fraud_is_kept_with_its_strongest_reasons(served: House) -> None:
    answer = served.post(STORE, [fraud("f-1"), named("f-2")])
    assert answer.json["predictions"] == [1, 0], answer.content
    assert "reasons" not in answer.json
    kept = served.ledger.known(["f-1", "f-2"])
    reasons = kept["f-1"].decision.reasons
    assert reasons is not None
    assert len(reasons) == 8
    assert kept["f-2"].decision.reasons is None
    explained = served.post("/predict?explain=true&top=8", fraud("x")).json["reasons"][0]
    assert [each["feature"] for each in reasons] == [each["feature"] for each in explained]
    asked = served.post(STORE + "&explain=true&top=3", [named("f-3"), fraud("f-4")]).json
    kept = served.ledger.known(["f-3", "f-4"])
    assert [kept[id].decision.reasons for id in ("f-3", "f-4")] == asked["reasons"]


def test_a_score_that_is_kept_is_the_librarys(served: House) -> None:
    sent = [named(f"lib-{row}", row) for row in range(20)]
    made = served.post(STORE, sent).json
    scorer = Scorer(bundle_of("logistic_regression"))
    from fraudloop.serving.dialects import Dialects

    asked = Dialects(card(), most_rows=100).read(json.dumps(sent).encode())
    expected = scorer.score_features(asked.features).tolist()
    assert made["scores"] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/predict?store=maybe", 422),
        ("/invocations?store=true", 422),
        ("/predict_fraud?store=true", 422),
    ],
)
def test_only_predict_keeps(served: House, path: str, status: int) -> None:
    answer = served.post(path, named("nowhere"))
    assert answer.status == status, answer.content
    assert served.ledger.find("nowhere") is None


def test_a_query_and_another_sites_page_keep_nothing(served: House) -> None:
    query = "&".join(f"{name}={value}" for name, value in named("query").items())
    answer = served.get(f"/predict?store=true&{query}")
    assert (answer.status, "by POST" in answer.json["error"]) == (422, True)
    body = named("site")
    typed = "Content-Type: application/json\r\n"
    assert served.post(STORE, body, head=typed + "Sec-Fetch-Site: cross-site\r\n").status == 403
    assert served.post(STORE, body, head="").status == 415
    assert served.ledger.known(["query", "site"]) == {}


def test_where_users_are_asked_for_a_scorer_may_keep_and_an_analyst_may_not(
    sqlite_url: str, tmp_path: Path
) -> None:
    with house(tmp_path, sqlite_url, FRAUDLOOP_AUTH="basic") as strict:
        assert strict.post(STORE, named("a-1")).status == 401
        assert strict.post(STORE, named("a-1"), "ann").status == 403
        assert strict.ledger.find("a-1") is None
        assert strict.post(STORE, named("a-1"), "sam").status == 200


def test_while_the_ledger_is_away_scoring_goes_on_and_keeping_waits(
    postgres: Postgres, template: str, tmp_path: Path
) -> None:
    """The database lets nobody in, and nobody who was in stays: then it does again."""
    url = postgres.fresh(template)
    name = url.rpartition("/")[2]
    with house(tmp_path, url) as made:
        assert made.post(STORE, named("w-1")).status == 200
        postgres.run(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        postgres.run(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        )
        for answer in (
            made.post(STORE, named("w-2", 1)),
            made.get("/decisions"),
            made.judge("w-1", {"true_value": 1, "why": "a test"}),
        ):
            assert answer.status == 503, answer.content
            assert int(answer.headers["retry-after"]) >= 1
            assert "password" not in answer.json["error"]
        assert made.post("/predict", named("w-2", 1)).status == 200
        assert made.get("/ready").status == 200
        postgres.run(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        until(lambda: made.post(STORE, named("w-2", 1)).status == 200, "kept again", 60)
        kept = made.ledger.known(["w-1", "w-2"])
        assert set(kept) == {"w-1", "w-2"}
        assert kept["w-1"].verdict is None


def test_a_server_starts_and_scores_while_its_ledger_is_not_there(
    sqlite_url: str, tmp_path: Path
) -> None:
    file = Path(sqlite_url.removeprefix("sqlite:///"))
    with house(tmp_path, sqlite_url) as made:
        aside = file.rename(tmp_path / "aside.db")
        assert made.post("/predict", named("n-1")).status == 200
        answer = made.post(STORE, named("n-1"))
        assert answer.status == 409, answer.content
        assert "run `fraudloop ledger migrate`" in answer.json["error"]
        aside.rename(file)
        until(lambda: made.post(STORE, named("n-1")).status == 200, "kept", 60)


def test_what_takes_too_long_is_ended(sqlite_url: str, tmp_path: Path) -> None:
    """Another process writes for a long time: who wants to keep is told to come again."""
    import sqlite3

    with house(tmp_path, sqlite_url) as made:
        writer = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
        try:
            writer.execute("BEGIN IMMEDIATE")
            answer = made.post(STORE, named("t-1"))
            assert answer.status == 503, answer.content
            assert int(answer.headers["retry-after"]) >= 1
            assert made.get("/decisions").status == 200
            writer.execute("ROLLBACK")
        finally:
            writer.close()
        until(lambda: made.post(STORE, named("t-1")).status == 200, "kept", 60)
