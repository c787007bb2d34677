"""Every further card goes the whole way: stages, bundle, server, a file; and to the same score."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fraudloop import artifacts, decisions, params
from fraudloop.dataset import card as cards
from fraudloop.dataset.card import Card
from fraudloop.model import bundle as bundles
from fraudloop.model.bundle import Bundle
from fraudloop.model.scorer import Scorer
from fraudloop.params import Params
from fraudloop.serving import api, log
from fraudloop.serving.front import Front
from fraudloop.serving.openapi import example
from fraudloop.serving.options import Options
from fraudloop.settings import Serving
from fraudloop.training.fit import score
from tests.fitted import ROOT
from tests.serving.asgi import ask
from tests.small_run import params_in, run_all

ROWS = {"german-credit": 1000, "sparkov": 10_000}


@dataclass(frozen=True)
class Ran:
    """What came of a card."""

    params: Params
    card: Card
    bundle: Bundle
    payload: dict[str, dict[str, Any]]

    @property
    def rows(self) -> list[dict[str, Any]]:
        return list(self.payload.values())


@pytest.fixture(scope="module", params=ROWS)
def ran(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    committed = params.load(ROOT / f"ml/params/{request.param}.yaml")
    own = params_in(tmp_path_factory.mktemp(request.param), committed, ROWS[request.param])
    run_all(own)
    bundle = bundles.load(own.paths.output)
    return Ran(own, cards.load(own.paths.card), bundle, decisions.payload(own))


@pytest.fixture
def app(ran: Ran, monkeypatch: pytest.MonkeyPatch) -> Front:
    made = log.Log
    monkeypatch.setattr(api, "Log", lambda: made(io.BytesIO()))
    monkeypatch.setattr(api, "catch_others", lambda log: None)
    return api.create(Options(ran.params.paths.output, settings=Serving()))


def test_the_server_scores_as_training_does(ran: Ran, app: Front) -> None:
    candidate = artifacts.read_json(ran.params.paths.output / artifacts.CHAMPION)["candidate"]
    pipeline = artifacts.loaded(artifacts.dumped_candidate(ran.params, candidate))
    test = artifacts.read_table(ran.params, "test")
    expected = score(pipeline, test, ran.card)
    # The payload is of test rows: each is found again by what it says.
    found = ask(app, "/predict", ran.payload).json
    places = _places(test, ran)
    assert found["scores"] == pytest.approx(expected[places].tolist(), abs=1e-6)
    assert found["ids"] == list(ran.payload)
    assert {*test[ran.card.label.column].to_numpy()[places]} == {0, 1}


def _places(test: pd.DataFrame, ran: Ran) -> list[int]:
    if "trans_num" in ran.card.columns:
        numbers = test["trans_num"].tolist()
        return [numbers.index(name) for name in ran.payload]
    return [int(name.removeprefix("row ")) for name in ran.payload]


def test_the_raw_file_is_scored_by_the_pipeline_as_by_the_bundle(ran: Ran) -> None:
    """Whoever takes the fitted pipeline gives it the file as pandas reads it."""
    raw = pd.read_csv(ran.params.paths.raw).head(50)
    pipeline = artifacts.loaded(ran.bundle.files[ran.bundle.manifest.pipeline])
    columns = {name: raw[name].to_numpy() for name in ran.card.columns}
    expected = Scorer(ran.bundle).scores(columns)
    assert pipeline.predict_proba(raw)[:, 1] == pytest.approx(expected, abs=1e-6)


def test_a_file_of_transactions_is_decided_as_the_server_does(
    ran: Ran, app: Front, tmp_path: Path
) -> None:
    path = tmp_path / "payload.json"
    path.write_text(json.dumps(ran.payload), encoding="utf-8")
    assert decisions.made_here(path, ran.params.paths.output, None) == (
        ask(app, "/predict", ran.payload).json
    )


def test_every_dialect_gives_the_same_scores(ran: Ran, app: Front) -> None:
    asked = ask(app, "/predict", ran.rows).json["scores"]
    names = list(example(ran.bundle.manifest))
    values = [[row[name] for name in names] for row in ran.rows]
    bodies = [ran.payload, {"features": values}, {"columns": names, "data": values}]
    assert [ask(app, "/predict", body).json["scores"] for body in bodies] == [asked] * 3
    alone = ask(app, "/predict", ran.rows[0]).json["scores"]
    assert alone == pytest.approx(asked[:1], abs=1e-9)  # one row goes by the graph
    by_id = ask(app, "/invocations", ran.payload).json
    assert list(by_id) == [ran.card.id]
    assert list(by_id[ran.card.id]) == list(ran.payload)


def test_the_documents_examples_work_as_they_stand(ran: Ran, app: Front) -> None:
    made = ask(app, "/openapi.json", method="GET").json
    examples = made["paths"]["/invocations"]["post"]["requestBody"]["content"]["application/json"]
    assert len(examples["examples"]) == 6
    for each in examples["examples"].values():
        assert ask(app, "/invocations", each["value"]).status == 200


def test_reasons_are_given_by_the_cards_features(ran: Ran, app: Front) -> None:
    answered = ask(app, "/predict", ran.rows, query="explain=true&top=3").json
    named = {each["feature"] for row in answered["reasons"] for each in row}
    assert named <= set(ran.card.feature_names)


REFUSED: dict[str, list[tuple[str, Any, str]]] = {
    "german-credit": [
        ("Account Balance", 5, "none of 1, 2, 3, 4"),
        ("Length of current employment", "long", "none of 1, 2, 3, 4, 5"),
        ("Telephone", True, "is true, none of 1, 2"),
        ("Credit Amount", "1000", "which is no number"),
        ("Age (years)", 17, "below 18"),
    ],
    "sparkov": [
        ("trans_date_trans_time", "2020-12-32 00:00:00", "not written as 2020-12-31 23:59:59"),
        ("dob", "31.12.1990", "not written as 2020-12-31"),
        ("merchant", "", "which is empty"),
        ("category", "fuel", "none of entertainment"),
        ("gender", "f", "none of F, M"),
        ("amt", -1, "below 0"),
        ("merch_lat", 90.5, "above 90"),
        ("cc_num", [1], "which is no id"),
    ],
}


def test_what_does_not_fit_its_kind_is_refused_by_field(ran: Ran, app: Front) -> None:
    for field, value, said in REFUSED[ran.card.id]:
        refused = ask(app, "/predict", [ran.rows[0], {**ran.rows[1], field: value}])
        assert refused.status == 422
        assert f"'{field}'" in refused.json["error"]
        assert said in refused.json["error"]
        assert refused.json["detail"][0]["field"] == field


def test_metrics_say_whose_they_are(ran: Ran) -> None:
    metrics = artifacts.read_json(ran.params.paths.output / artifacts.METRICS)
    assert metrics["dataset"] == {
        "id": ran.card.id,
        "split": ran.params.split.use,
        "synthetic": True,
    }
    assert (
        metrics["test"]["average_precision"] > 2 * metrics["floor"]["random"]["average_precision"]
    )
