"""What clients of five older systems send, byte for byte, and read; the values are our own."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import joblib
import numpy as np
import pandas as pd
import pytest

from fraudloop import users
from fraudloop.dataset.card import Card, Kind, parse
from fraudloop.dataset.features import encode
from fraudloop.dataset.words import as_text
from fraudloop.model import bundle as bundles
from fraudloop.model.package import package
from fraudloop.model.scorer import Scorer
from fraudloop.params import Candidate
from fraudloop.training.fit import fit, score
from tests.fitted import ROOT, bundle_of, dumped, unseen
from tests.fitted import card as default_card
from tests.serving.running import Answer, Client, Running, running

PAYLOAD = ROOT / "ml" / "input" / "api" / "payload.json"
PASSWORD = "open sesame"
NAMES = ["Time", *(f"V{place}" for place in range(1, 29)), "Amount"]
# A payment in the middle of everything, as a table holds it: a whole number, many digits, two.
VALUES: list[float] = [
    406,
    *(round((-1) ** place * 0.1234567890123 / place, 15) for place in range(1, 29)),
    12.5,
]
ONE = dict(zip(NAMES, VALUES, strict=True))

CREDIT = """
id: credit-of-a-bank
title: Loans, with their codes
columns:
  account_balance: {kind: nominal, categories: [1, 2, 3, 4]}
  duration_of_credit_month: {kind: numeric, minimum: 0}
  payment_status_of_previous_credit: {kind: ordinal, categories: [0, 1, 2, 3, 4]}
  purpose: {kind: nominal, categories: [0, 1, 2, 3]}
  credit_amount: {kind: numeric, minimum: 0}
  age_years: {kind: numeric, minimum: 0, maximum: 120}
  no_of_credits_at_this_bank: {kind: ordinal, categories: [1, 2, 3, 4]}
  telephone: {kind: binary, categories: [0, 1]}
label: {column: creditability, legitimate: 1, fraud: 0}
"""
LOAN = {
    "account_balance": 4,
    "duration_of_credit_month": 15,
    "payment_status_of_previous_credit": 2,
    "purpose": 3,
    "credit_amount": 907,
    "age_years": 41,
    "no_of_credits_at_this_bank": 1,
    "telephone": 0,
}


@pytest.fixture(scope="module")
def server(ran: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server of the small run's bundle, for everybody on this machine."""
    with running(tmp_path_factory.mktemp("served") / "log", ran / "output") as served:
        yield served


@pytest.fixture(scope="module")
def lender(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server of a loans bundle, for users with a password."""
    folder = tmp_path_factory.mktemp("lender")
    bundles.save(folder / "bundle", bundle_for(parse(CREDIT, "loans.yaml")))
    users.add(folder / "users.yaml", "ana", PASSWORD, ["scorer"])
    settings = {"FRAUDLOOP_AUTH": "basic", "FRAUDLOOP_USERS": str(folder / "users.yaml")}
    with running(folder / "log", folder / "bundle", environment=settings) as served:
        yield served


def bundle_for(card: Card) -> bundles.Bundle:
    """A bundle of any card, fitted on a few rows."""
    table = _drawn(card)
    candidate = Candidate(estimator={})
    pipeline = fit(table, card, "none", "logistic_regression", candidate, seed=1, threads=1)
    features = encode(card, {name: table[name].to_numpy() for name in card.columns})
    return package(
        dumped(pipeline),
        card,
        candidate="none-logistic_regression",
        threshold=0.4,
        metrics={},
        synthetic=False,
        training=features,
        test=features,
        test_scores=score(pipeline, table, card),
    )


def _drawn(card: Card, rows: int = 300) -> pd.DataFrame:
    """Rows drawn at random; what is large in the first number is a fraud more often."""
    random = np.random.default_rng(5)
    table = pd.DataFrame(
        {
            name: [as_text(each) for each in random.choice(column.categories, rows)]
            if column.categories
            else random.integers(4, 100, rows).astype(np.float64)
            for name, column in card.columns.items()
        }
    )
    number = next(name for name, column in card.columns.items() if column.kind is Kind.NUMERIC)
    lost = table[number] + random.normal(0, 20, rows) > 70
    return table.assign(**{card.label.column: lost.astype(np.int8)})


def sent(server: Running, request: bytes) -> Answer:
    """The answer to a request of exactly these bytes."""
    with Client(server.port) as client:
        client.send(request)
        return client.answer()


def by_requests(
    path: str, body: bytes, *, host: str = "localhost:5004", user: str | None = None
) -> bytes:
    """requests.post(url, json=…): urllib3's own headers first, then in requests' order."""
    head = (
        f"POST {path} HTTP/1.1\r\n"
        f"Host: {host}\r\n"
        "User-Agent: python-requests/2.25.1\r\n"
        "Accept-Encoding: gzip, deflate\r\n"
        "Accept: */*\r\n"
        "Connection: keep-alive\r\n"
        f"Content-Length: {len(body)}\r\n"
        "Content-Type: application/json\r\n"
    )
    if user:
        head += f"Authorization: {basic(user)}\r\n"
    return head.encode() + b"\r\n" + body


def by_curl(path: str, body: bytes, *, host: str = "192.0.2.18:5000") -> bytes:
    """curl --header 'Content-Type: application/json' -X POST URL -d @FILE: it joins its lines."""
    joined = body.replace(b"\r", b"").replace(b"\n", b"")
    head = (
        f"POST {path} HTTP/1.1\r\n"
        f"Host: {host}\r\n"
        "User-Agent: curl/7.43.0\r\n"
        "Accept: */*\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(joined)}\r\n"
        "\r\n"
    )
    return head.encode() + joined


def by_browser(path: str, *, user: str | None = None) -> bytes:
    """An address typed into a browser; with `user`, after it has asked for a password."""
    head = (
        f"GET {path} HTTP/1.1\r\n"
        "Host: 127.0.0.1:5001\r\n"
        "Connection: keep-alive\r\n"
    )  # fmt: skip
    if user:
        head += f"Authorization: {basic(user)}\r\n"
    head += (
        "Upgrade-Insecure-Requests: 1\r\n"
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/142.0.0.0 Safari/537.36\r\n"
        "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,"
        "*/*;q=0.8\r\n"
        "Sec-Fetch-Site: none\r\n"
        "Sec-Fetch-Mode: navigate\r\n"
        "Sec-Fetch-User: ?1\r\n"
        "Sec-Fetch-Dest: document\r\n"
        "Accept-Encoding: gzip, deflate, br, zstd\r\n"
        "Accept-Language: fr-FR,fr;q=0.9,en-US;q=0.8,en;q=0.7\r\n"
        "\r\n"
    )
    return head.encode()


def by_load_balancer(path: str) -> bytes:
    """A health check of a load balancer or of SageMaker."""
    return (
        f"GET {path} HTTP/1.1\r\n"
        "Host: 10.0.0.7:80\r\n"
        "Connection: close\r\n"
        "User-Agent: ELB-HealthChecker/2.0\r\n"
        "Accept-Encoding: gzip, compressed\r\n"
        "\r\n"
    ).encode()


def basic(user: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{PASSWORD}".encode()).decode()


def test_seed_000_one_transaction_by_requests_gets_its_prediction(server: Running) -> None:
    body = json.dumps(ONE).encode()
    assert b'"Time": 406, "V1": ' in body
    answer = sent(server, by_requests("/predict_fraud", body))
    assert (answer.status, answer.json) == (200, {"prediction": 0})


def test_seed_000_a_fraud_is_one(server: Running) -> None:
    frauds = _frauds(server)
    answer = sent(server, by_requests("/predict_fraud", json.dumps(frauds[0]).encode()))
    assert (answer.status, answer.json) == (200, {"prediction": 1})


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (json.dumps(dict(list(ONE.items())[:-1])).encode(), 422),  # too short
        (json.dumps(ONE | {"V3": "much"}).encode(), 422),
        (b"{}", 422),  # requests' json={}: no data
        (b"null", 422),
        (b"", 400),
        (b"Time=0&V1=1", 400),
    ],
)
def test_seed_000_an_error_stands_under_error_with_a_4xx_status(
    server: Running, body: bytes, status: int
) -> None:
    answer = sent(server, by_requests("/predict_fraud", body))
    assert answer.status == status
    assert isinstance(answer.json["error"], str)
    assert "prediction" not in answer.json


def test_seed_000_only_post_is_accepted(server: Running) -> None:
    answer = sent(server, by_browser("/predict_fraud"))
    assert answer.status == 405
    assert "POST" in answer.headers["allow"]
    assert "GET" in answer.json["error"]


def test_seed_001_an_address_in_a_browser_gets_the_answer_of_a_post(lender: Running) -> None:
    asked = sent(lender, by_browser(f"/predict?{urlencode(LOAN)}", user="ana"))
    assert asked.status == 200
    assert asked.json["prediction"] == asked.json["predictions"][0] in (0, 1)
    assert asked.json["message"]
    body = json.dumps(LOAN).encode()
    posted = sent(lender, by_requests("/predict", body, host="127.0.0.1:5001", user="ana"))
    assert (posted.status, posted.json) == (200, asked.json)


def test_seed_001_each_field_of_the_address_counts(lender: Running) -> None:
    short = sent(lender, by_browser(f"/predict?{urlencode(LOAN)}", user="ana")).json
    long = LOAN | {"duration_of_credit_month": 96}
    late = sent(lender, by_browser(f"/predict?{urlencode(long)}", user="ana")).json
    assert short["predictions"] + late["predictions"] == [0, 1]


def test_seed_001_a_code_that_the_card_does_not_have_is_refused_by_name(lender: Running) -> None:
    wrong = sent(lender, by_browser(f"/predict?{urlencode(LOAN | {'purpose': 9})}", user="ana"))
    assert wrong.status == 422
    assert "'purpose' is '9'" in wrong.json["error"]


def test_seed_001_hello_says_hello_to_who_has_a_password(lender: Running) -> None:
    answer = sent(lender, by_browser("/hello", user="ana"))
    assert (answer.status, answer.content) == (200, b"hello")


@pytest.mark.parametrize("path", ["/hello", f"/predict?{urlencode(LOAN)}"])
def test_seed_001_a_browser_without_a_password_asks_for_one(lender: Running, path: str) -> None:
    answer = sent(lender, by_browser(path))
    assert answer.status == 401
    assert answer.headers["www-authenticate"].startswith("Basic realm=")


@pytest.mark.parametrize("client", [by_curl, by_requests])
def test_seed_002_the_payload_gets_its_predictions_by_id(server: Running, client: Any) -> None:
    content = PAYLOAD.read_bytes()
    body = content if client is by_curl else json.dumps(json.loads(content)).encode()
    answer = sent(server, client("/invocations", body, host="localhost:8080"))
    assert answer.status == 200
    (dataset,) = answer.json
    predictions = answer.json[dataset]
    assert dataset == "credit-card-fraud"
    assert list(predictions) == list(json.loads(content))
    assert set(predictions.values()) == {0, 1}


def test_seed_002_numbered_columns_are_the_cards_in_order(server: Running) -> None:
    payload = json.loads(PAYLOAD.read_bytes())
    numbered = {
        key: {f"Atr{place}": row[name] for place, name in enumerate(NAMES, start=1)}
        for key, row in payload.items()
    }
    by_name = sent(server, by_curl("/invocations", json.dumps(payload).encode()))
    by_number = sent(server, by_curl("/invocations", json.dumps(numbered).encode()))
    assert (by_number.status, by_number.json) == (200, by_name.json)


@pytest.mark.parametrize("path", ["/ping", "/health-check/liveness"])
def test_seed_002_a_probe_reads_that_all_is_well(server: Running, path: str) -> None:
    answer = sent(server, by_load_balancer(path))
    assert (answer.status, answer.json) == (200, {"data": {"status": "ok"}})


@pytest.mark.parametrize("features", [VALUES, [VALUES]])
def test_seed_003_curl_gets_a_score_for_features(server: Running, features: list[Any]) -> None:
    body = json.dumps({"features": features}, indent=2).encode() + b"\n"
    answer = sent(server, by_curl("/predict", body))
    assert answer.status == 200
    (given,) = answer.json["scores"]
    assert isinstance(given, float)
    assert 0 <= given <= 1


def test_seed_003_a_load_balancer_reads_ok(server: Running) -> None:
    answer = sent(server, by_load_balancer("/health"))
    assert (answer.status, answer.content) == (200, b"OK")


@pytest.mark.parametrize("also", [["Class"], ["id"], ["Class", "id"], []])
def test_seed_004_a_split_frame_may_have_known_columns_beside_in_any_order(
    server: Running, also: list[str]
) -> None:
    """pandas' DataFrame.to_json(orient="split") of a table as it was stored."""
    table = unseen().head(4).assign(id=["a7", "b8", "c9", "d0"])
    columns = [*NAMES[15:], *also, *NAMES[:15]]
    body = table[columns].to_json(orient="split").encode()
    answer = sent(server, by_requests("/predict", body))
    assert answer.status == 200
    assert answer.json["ids"] == [0, 1, 2, 3]
    in_order = sent(server, by_requests("/predict", table[NAMES].to_json(orient="split").encode()))
    assert answer.json == in_order.json


def test_seed_004_the_version_of_the_model_is_told(server: Running) -> None:
    answer = sent(server, by_browser("/get_model_ver"))
    assert answer.status == 200
    scored = sent(server, by_requests("/predict", json.dumps(ONE).encode()))
    assert answer.json == {"version": scored.json["model_version"]}


@pytest.mark.parametrize("family", ["boosted_trees", "random_forest", "logistic_regression"])
def test_a_row_has_one_score_whatever_the_way(family: str, tmp_path: Path) -> None:
    bundle = bundle_of(family)
    bundles.save(tmp_path / "bundle", bundle)
    table = unseen()[NAMES]
    frauds = np.flatnonzero(unseen()["Class"].to_numpy() == 1)
    table = table.iloc[np.union1d(np.arange(300), frauds)].reset_index(drop=True)
    columns = {name: table[name].to_numpy() for name in default_card().columns}
    expected = Scorer(bundle).scores(columns)
    assert expected.min() < 0.1 < 0.8 < expected.max()

    pipeline = joblib.load(tmp_path / "bundle" / "model.joblib")
    by_joblib = pipeline.predict_proba(table)[:, 1]
    np.testing.assert_allclose(by_joblib, expected, rtol=0, atol=1e-6)

    with running(tmp_path / "log", tmp_path / "bundle") as served:
        for body in _bodies(table):
            found = _scores(sent(served, by_curl("/predict", body)))
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
        for place in [0, 1, *np.argsort(-expected)[:4].tolist()]:
            row = {name: float(table[name].iloc[place]) for name in NAMES}
            asked = sent(served, by_browser(f"/predict?{urlencode(row)}"))
            posted = sent(served, by_requests("/predict", json.dumps(row).encode()))
            for answer in (asked, posted):
                assert abs(_scores(answer)[0] - expected[place]) <= 1e-6


def _bodies(table: pd.DataFrame) -> list[bytes]:
    """The same rows in every dialect of a body that takes several."""
    rows = table.to_dict("records")
    values = table.to_numpy().tolist()
    backwards = NAMES[::-1]
    shapes: list[Any] = [
        rows,
        {"features": values},
        {"columns": NAMES, "index": list(range(len(rows))), "data": values},
        {"columns": backwards, "data": [row[::-1] for row in values]},
        {f"row {place}": row for place, row in enumerate(rows)},
    ]
    return [json.dumps(shape).encode() for shape in shapes]


def _scores(answer: Answer) -> list[float]:
    assert answer.status == 200, answer.content
    scores: list[float] = answer.json["scores"]
    return scores


def _frauds(server: Running) -> list[dict[str, float]]:
    """Transactions of the payload that are predicted to be fraud."""
    payload = json.loads(PAYLOAD.read_bytes())
    answer = sent(server, by_curl("/predict", PAYLOAD.read_bytes()))
    found = dict(zip(answer.json["ids"], answer.json["predictions"], strict=True))
    return [row for key, row in payload.items() if found[key] == 1]
