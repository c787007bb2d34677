"""Every route in this process: what it answers, what it refuses, what it counts and logs."""

from __future__ import annotations

import io
import json
import logging
import re
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fraudloop import users
from fraudloop.model import bundle as bundles
from fraudloop.model.scorer import Scorer
from fraudloop.serving import api, log
from fraudloop.serving.front import Front
from fraudloop.serving.options import Options
from fraudloop.settings import Serving
from tests.fitted import ROOT, bundle_of, card, features, scores, table
from tests.serving.asgi import ask

Make = Callable[..., Front]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("bundle")
    bundles.save(directory, bundle_of("boosted_trees"))
    return directory


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> io.BytesIO:
    """What is logged."""
    written = io.BytesIO()
    made = log.Log
    monkeypatch.setattr(api, "Log", lambda: made(written))
    monkeypatch.setattr(api, "catch_others", lambda log: None)
    return written


@pytest.fixture
def make(folder: Path, lines: io.BytesIO) -> Make:
    return lambda **settings: api.create(Options(folder, settings=Serving(**settings)))


@pytest.fixture
def app(make: Make) -> Front:
    return make()


def sent(row: int) -> dict[str, Any]:
    return {name: float(table()[name][row]) for name in card().columns}


def test_one_transaction_is_decided(app: Front) -> None:
    answered = ask(app, "/predict", sent(5))
    assert answered.status == 200
    assert answered.headers["content-type"] == "application/json"
    made = answered.json
    assert made["scores"] == pytest.approx([scores("boosted_trees")[5]], abs=1e-6)
    assert made["prediction"] == made["predictions"][0]
    assert made["model_version"] == bundle_of("boosted_trees").version
    assert list(made) == [
        *("predictions", "scores", "ids", "threshold", "model_version", "message", "prediction")
    ]


def test_a_query_is_decided_like_a_body(app: Front) -> None:
    query = "&".join(f"{name}={value!r}" for name, value in sent(5).items())
    assert ask(app, "/predict", query=query).json == ask(app, "/predict", sent(5)).json


def test_many_rows_are_decided_in_a_thread_and_like_few(app: Front) -> None:
    rows = [sent(row % 50) for row in range(400)]
    answered = ask(app, "/predict", rows)
    expected = [scores("boosted_trees")[row % 50] for row in range(400)]
    assert answered.json["scores"] == pytest.approx(expected, abs=1e-6)


def test_a_hundred_thousand_transactions_are_taken_and_not_one_more(app: Front) -> None:
    row = b"[" + b",".join([b"0"] * len(card().columns)) + b"]"
    most = b'{"features":[' + b",".join([row] * 100_000) + b"]}"
    assert len(ask(app, "/predict", most).json["scores"]) == 100_000
    refused = ask(app, "/predict", most[:-2] + b"," + row + b"]}")
    assert refused.status == 413
    assert "holds 100,001 transactions, and 100,000 at once" in refused.json["error"]


def test_reasons_come_when_asked_for(app: Front) -> None:
    made = ask(app, "/predict", [sent(1), sent(2)], query="explain=true&top=3").json
    assert [len(reasons) for reasons in made["reasons"]] == [3, 3]
    reasons = Scorer(bundle_of("boosted_trees")).reasons(features()[[1]])
    assert reasons is not None
    assert made["base_value"] == pytest.approx(reasons.base_value)
    assert "reasons" not in ask(app, "/predict", sent(1), query="explain=false").json
    every = ask(app, "/predict", sent(1), query="explain=true&top=99999999999").json["reasons"]
    assert ask(app, "/predict", sent(1), query="explain=1&top=0030").json["reasons"] == every


def test_predictions_by_id(app: Front) -> None:
    payload = json.loads((ROOT / "ml/input/api/payload.json").read_bytes())
    answered = ask(app, "/invocations", payload)
    assert list(answered.json) == ["credit-card-fraud"]
    assert list(answered.json["credit-card-fraud"]) == list(payload)
    unnamed = {f"Atr{place}": value for place, value in enumerate(sent(3).values(), start=1)}
    assert ask(app, "/invocations", {"x": unnamed}).json == {
        "credit-card-fraud": {"x": int(scores("boosted_trees")[3] >= 0.5)}
    }
    assert ask(app, "/predict", {"x": unnamed}).status == 422


def test_two_transactions_of_one_id_have_no_predictions_by_id(app: Front) -> None:
    values = list(sent(0).values())
    body = {"columns": list(sent(0)), "index": [1, "1"], "data": [values, values]}
    answered = ask(app, "/invocations", body)
    assert (answered.status, "the same id" in answered.json["error"]) == (422, True)
    assert ask(app, "/predict", body).json["ids"] == [1, "1"]


def test_one_prediction_alone(app: Front) -> None:
    assert ask(app, "/predict_fraud", sent(0)).json == {"prediction": 0}
    many = ask(app, "/predict_fraud", [sent(0), sent(1)])
    assert (many.status, "takes one transaction, not 2" in many.json["error"]) == (422, True)


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/ping", {"data": {"status": "ok"}}),
        ("/health-check/liveness", {"data": {"status": "ok"}}),
        ("/get_model_ver", {"version": bundle_of("boosted_trees").version}),
    ],
)
def test_the_small_routes(app: Front, path: str, answer: Any) -> None:
    assert ask(app, path).json == answer


def test_health_is_one_word(app: Front) -> None:
    answered = ask(app, "/health")
    assert (answered.status, answered.content) == (200, b"OK")
    assert answered.headers["content-type"].startswith("text/plain")


def test_readiness_names_the_version(app: Front) -> None:
    version = bundle_of("boosted_trees").version
    ready = {"status": "ready", "model_version": version, "detail": []}
    assert ask(app, "/ready").json == ready


def test_the_model_is_described(app: Front) -> None:
    made, manifest = ask(app, "/model").json, bundle_of("boosted_trees").manifest
    assert made["version"] == bundle_of("boosted_trees").version
    assert made["threshold"] == manifest.threshold
    assert made["metrics"] == manifest.metrics
    assert list(made["card"]["columns"]) == list(card().columns)
    assert "synthetic" not in made["card"]


REFUSED: list[tuple[str, dict[str, Any], int, str]] = [
    ("/predict", {"body": b"{"}, 400, "is not JSON"),
    ("/predict", {"body": b""}, 400, "is not JSON"),
    ("/predict", {"body": {"Time": 1}}, 422, "has no 'V1'"),
    ("/predict", {"query": "Time=1"}, 422, "has no 'V1'"),
    ("/predict", {"body": {}, "query": "explian=true"}, 422, "unknown option 'explian'"),
    ("/predict", {"body": {}, "query": "explain=maybe"}, 422, "explain is 'maybe'"),
    ("/predict", {"body": {}, "query": "top=0"}, 422, "top is '0'"),
    ("/predict", {"body": {}, "query": "top=%C2%B2"}, 422, "top is '²'"),
    ("/predict", {"body": {}, "query": "top=%FF"}, 400, "the query is not UTF-8"),
    ("/predict", {"body": {}, "headers": {"content-type": "text/csv"}}, 415, "'text/csv'"),
    ("/predict", {"body": {}, "headers": {"content-type": ""}}, 415, "Content-Type"),
    (
        "/predict",
        {"body": {}, "headers": {"content-type": "application/json; charset=utf-16"}},
        415,
        "charset is 'utf-16'",
    ),
    ("/predict", {"body": {}, "headers": {"content-encoding": "gzip"}}, 415, "compressed"),
    ("/predict", {"body": b"x" * 2001}, 413, "larger than 2,000 bytes"),
    ("/predict", {"body": b"1", "headers": {"content-length": "2001"}}, 413, "larger than"),
    ("/predict", {"parts": [b"x" * 999, b"x" * 999, b"x" * 3, b""]}, 413, "larger than"),
    ("/predict", {"parts": [b"{", None]}, 408, "was not here after 0.1 s"),
    ("/predict", {"parts": [None]}, 408, "was not here after 0.1 s"),
    ("/predict", {"body": {"features": [[0] * 30] * 6}}, 413, "holds 6 transactions, and 5"),
    (
        "/predict",
        {"body": {"features": [[0] * 30] * 3}, "query": "explain=1"},
        413,
        "reasons were asked for 3 transactions, and 2",
    ),
    ("/predict_fraud", {"body": {}}, 422, "the body is empty"),
    ("/invocations", {"body": {}, "query": "explain=1"}, 422, "unknown option 'explain'"),
    ("/predict_fraud", {}, 405, "/predict_fraud does not take GET"),
    ("/predict", {"method": "DELETE"}, 405, "/predict does not take DELETE"),
    ("/predict/", {"body": {}}, 404, "there is no /predict/ here"),
    ("/nothing", {}, 404, "there is no /nothing here"),
    ("/ready", {"body": {}}, 405, "/ready does not take POST"),
    ("/hello", {}, 401, "this wants a user"),
    ("/static-offline-docs/../../secret", {}, 404, "there is no"),
]


@pytest.mark.parametrize(("path", "asked", "status", "said"), REFUSED)
def test_every_refusal_has_one_shape(
    make: Make, path: str, asked: dict[str, Any], status: int, said: str
) -> None:
    app = make(max_body_bytes=2000, max_rows=5, max_explained=2, body_seconds=0.1)
    answered = ask(app, path, **asked)
    assert answered.status == status, answered.content
    assert set(answered.json) == {"error", "detail"}
    assert said in answered.json["error"]


@pytest.mark.parametrize(
    "kind",
    ["application/json; charset=UTF-8", 'application/json;charset="utf-8"', "APPLICATION/JSON"],
)
def test_json_may_be_called_by_its_other_names(app: Front, kind: str) -> None:
    assert ask(app, "/predict", sent(0), headers={"content-type": kind}).status == 200


def test_a_body_in_pieces_is_read_whole(app: Front) -> None:
    body = json.dumps(sent(0)).encode()
    parts = [body[:7], body[7:300], body[300:], b""]
    assert ask(app, "/predict", parts=parts).json == ask(app, "/predict", sent(0)).json


def test_who_hangs_up_is_answered_nothing_and_counted(app: Front, lines: io.BytesIO) -> None:
    assert ask(app, "/predict", parts=[b"{"]).status == 0
    (request,) = requests(app, lines)
    assert request["status"] == 499


def basic(name: str, password: str) -> dict[str, str]:
    return {"authorization": "Basic " + b64encode(f"{name}:{password}".encode()).decode()}


def test_with_passwords_only_the_probes_are_open(make: Make, tmp_path: Path) -> None:
    file = tmp_path / "users.yaml"
    users.add(file, "till", "correct horse", ["scorer"])
    users.add(file, "ana", "battery staple", ["analyst"])
    app = make(auth="basic", users=file)
    for path in ("/ping", "/health", "/health-check/liveness", "/ready"):
        assert ask(app, path).status == 200
    for path in ("/hello", "/model", "/get_model_ver", "/metrics", "/docs", "/openapi.json", "/x"):
        refused = ask(app, path)
        assert refused.status == 401
        assert refused.headers["www-authenticate"].startswith("Basic realm=")
    assert ask(app, "/predict", sent(0)).status == 401
    assert ask(app, "/predict", sent(0), headers=basic("till", "wrong horse")).status == 401
    assert ask(app, "/predict", sent(0), headers=basic("till", "correct horse")).status == 200
    assert ask(app, "/predict", sent(0), headers=basic("ana", "battery staple")).status == 403
    hello = ask(app, "/hello", headers=basic("ana", "battery staple"))
    assert (hello.status, hello.content) == (200, b"hello")


def requests(app: Front, lines: io.BytesIO) -> list[dict[str, Any]]:
    app._log.flush()
    every = [json.loads(line) for line in lines.getvalue().splitlines()]
    return [line for line in every if line["event"] == "request"]


def test_a_request_is_one_line_of_the_log_without_its_values(app: Front, lines: io.BytesIO) -> None:
    answered = ask(app, "/predict", {**sent(5), "id": "secret-id"}, query="explain=true")
    assert answered.status == 200
    ask(app, "/predict", {"secret-field": 1})
    ask(app, "/secret-path", headers={"x-request-id": "mine-7"})
    first, second, third = requests(app, lines)
    assert first["request_id"] == answered.headers["x-request-id"]
    assert first["rows"] == 1
    assert first["model_version"] == bundle_of("boosted_trees").version
    assert (first["route"], first["method"], first["status"]) == ("/predict", "POST", 200)
    assert (second["status"], third["status"], third["route"]) == (422, 404, "other")
    assert third["request_id"] == "mine-7"
    assert 0 < first["ms"] < 60_000
    assert b"secret" not in lines.getvalue()
    assert str(sent(5)["V1"]).encode() not in lines.getvalue()


@pytest.mark.parametrize("own", ["a\nb", "x" * 65, "ü", '"', ""])
def test_a_request_id_that_could_spoil_the_log_is_replaced(app: Front, own: str) -> None:
    answered = ask(app, "/ping", headers={"x-request-id": own})
    assert re.fullmatch("[0-9a-f]{12}-[0-9a-f]+", answered.headers["x-request-id"])


def counted(app: Front, name: str, **labels: str) -> float:
    text = ask(app, "/metrics").content.decode()
    wanted = "".join(f'(?=.*{key}="{re.escape(value)}")' for key, value in labels.items())
    found = re.search(rf"^{name}(?:\{{{wanted}.*\}})? (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def test_what_is_done_is_counted(app: Front) -> None:
    ask(app, "/predict", [sent(row) for row in range(50)])
    ask(app, "/predict", sent(0))
    ask(app, "/predict", b"{")
    ask(app, "/made-up-by-a-client")
    predicted = {"route": "/predict", "method": "POST"}
    assert counted(app, "fraudloop_http_requests_total", **predicted, status="200") == 2
    assert counted(app, "fraudloop_http_requests_total", **predicted, status="400") == 1
    assert counted(app, "fraudloop_http_requests_total", route="other", status="404") == 1
    assert counted(app, "fraudloop_http_request_seconds_count", route="/predict", status="200") == 2
    assert counted(app, "fraudloop_rows_total") == 51
    frauds = int((scores("boosted_trees")[:50] >= 0.5).sum())
    assert counted(app, "fraudloop_predictions_total", prediction="0") == 51 - frauds
    assert counted(app, "fraudloop_predictions_total", prediction="1") == frauds
    assert counted(app, "fraudloop_score_count") == 51
    total = float(scores("boosted_trees")[[*range(50), 0]].sum())
    assert counted(app, "fraudloop_score_sum") == pytest.approx(total, abs=1e-4)
    version = bundle_of("boosted_trees").version
    assert counted(app, "fraudloop_model", version=version) == 1
    assert b"made-up-by-a-client" not in ask(app, "/metrics").content


def test_beyond_the_rate_nothing_is_read(make: Make) -> None:
    app = make(rate_limit=2)
    told = [ask(app, "/predict", sent(0)) for _ in range(3)]
    assert [each.status for each in told] == [200, 200, 503]
    assert told[2].headers["retry-after"] == "1"
    assert "takes 2 requests a second" in told[2].json["error"]
    assert ask(app, "/ready").status == 200


def test_what_fails_by_our_own_fault_is_told_and_logged_by_its_place_alone(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("with a secret of the client's")

    monkeypatch.setattr("fraudloop.serving.scoring.answer", broken)
    answered = ask(make(), "/predict", sent(0), failing=(ZeroDivisionError,))
    assert (answered.status, set(answered.json)) == (500, {"error", "detail"})
    assert b"secret" not in answered.content
    written = io.BytesIO()
    record = logging.LogRecord("uvicorn.error", 40, "x.py", 1, "Exception", (), None)
    try:
        broken()
    except ZeroDivisionError as error:
        record.exc_info = (type(error), error, error.__traceback__)
    log.OthersToo(log.Log(written)).emit(record)
    assert b"ZeroDivisionError" in written.getvalue()
    assert b"secret" not in written.getvalue()
