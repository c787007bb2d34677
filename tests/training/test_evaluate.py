"""From candidates to an account: chosen on validation, told of test, held between known bounds."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fraudloop.dataset import card as cards
from fraudloop.errors import ParamsError, TrainingError
from fraudloop.model.calibration import Calibration
from fraudloop.training import evaluate, operating_point
from fraudloop.training.evaluate import Account, Trained, account, bounds, by_rank, policy
from fraudloop.training.figures import FIGURES, Judgement, figures, judge
from fraudloop.training.scored import Policy, Scored
from tests.fitted import PARAMS, card, fitted, table

POLICY = Policy(review_cost=5.0, lost_share=1.0, alert_share=0.01)
SETTINGS = PARAMS.evaluation.model_copy(update={"resamples": 200})
REPORT = {"rows": 1000, "columns": {card().time: {"minimum": 0.0, "maximum": 86400.0 / 2}}}


def drawn(seed: int, rows: int = 3000) -> Scored:
    rng = np.random.default_rng(seed)
    labels = (np.arange(rows) % 60 == 0).astype(np.int8)
    odds = rng.normal(-4, 1, rows) + 5 * labels
    return Scored(labels, 1 / (1 + np.exp(-odds)), rng.lognormal(3, 1, rows))


def model(test_seed: int = 1) -> Trained:
    parts = {"validation": drawn(0), "test": drawn(test_seed)}
    return Trained(Calibration(slope=2.0, offset=-1.0), before=parts, **parts)


def accounted(trained: Trained, decide_by: str = "cost") -> Account:
    return account(trained, POLICY, decide_by, SETTINGS, seed=3)


def judged(average_precision: float) -> Judgement:
    rows = drawn(0)
    made = judge(rows, 0.5, POLICY, resamples=100, confidence=0.9, rng=np.random.default_rng(0))
    return replace(made, figures=made.figures | {"average_precision": average_precision})


@pytest.mark.parametrize("decide_by", ["cost", "capacity"])
def test_the_threshold_comes_from_validation_rows_alone(decide_by: str) -> None:
    one, other = (accounted(model(seed), decide_by) for seed in (1, 2))
    assert one.threshold == other.threshold
    assert one.threshold == operating_point.WAYS[decide_by](drawn(0), POLICY)
    assert one.parts["test"] != other.parts["test"]
    assert one.parts["validation"] == other.parts["validation"]


def test_both_ways_to_decide_are_told_whichever_decides() -> None:
    by_cost, by_capacity = (accounted(model(), way) for way in ("cost", "capacity"))
    assert by_cost.at_thresholds == by_capacity.at_thresholds
    assert by_cost.threshold != by_capacity.threshold
    for way, told in by_cost.at_thresholds.items():
        threshold = by_cost.thresholds[way]
        found = figures(drawn(1), threshold, POLICY)
        assert told["test"]["alerts"] == (drawn(1).scores >= threshold).sum()
        assert told["test"]["recall"] == round(found["recall"], 6)
        assert told["test"]["cost"] == round(found["cost"], 6)


def test_probabilities_are_judged_before_and_after_calibration() -> None:
    trained = model()
    raw = {part: rows.by(rows.scores**2) for part, rows in trained.before.items()}
    told = accounted(replace(trained, before=raw)).calibration
    assert (told["slope"], told["offset"]) == (2.0, -1.0)
    for when, rows in (("before", raw["test"]), ("after", trained.test)):
        expected = float(((rows.scores - rows.labels) ** 2).mean())
        assert told["test"][when]["brier"] == pytest.approx(expected, abs=1e-6)


def test_capacity_is_a_share_of_the_raw_files_pace() -> None:
    settings = PARAMS.operating_point.model_copy(update={"alerts_per_day": 10})
    assert policy(settings, card(), REPORT).alert_share == pytest.approx(10 / 2000)
    assert policy(settings, card(), REPORT).review_cost == settings.review_cost
    said = settings.model_copy(update={"transactions_per_day": 100.0})
    assert policy(said, card(), REPORT).alert_share == pytest.approx(0.1)
    few = settings.model_copy(update={"transactions_per_day": 4.0})
    assert policy(few, card(), REPORT).alert_share == 1.0


def test_without_a_time_column_the_pace_must_be_said() -> None:
    timeless = cards.parse(
        "{id: cups, title: Cups, columns: {price: {kind: numeric}}, label: {column: stolen}}",
        "a test",
    )
    with pytest.raises(ParamsError, match=r"cups has no time .* operating_point\.transactions_per"):
        policy(PARAMS.operating_point, timeless, REPORT)


def test_scores_of_both_parts_come_from_one_calibrated_pipeline() -> None:
    parts = {"validation": table().head(2000), "test": table().tail(1000)}
    found = evaluate.trained(fitted("boosted_trees"), parts, card(), fraud_amount=7.0)
    assert found.calibration == fitted("boosted_trees")[-1].calibration
    assert (len(found.validation), len(found.test)) == (2000, 1000)
    own = fitted("boosted_trees").predict_proba(parts["test"][list(card().columns)])[:, 1]
    np.testing.assert_allclose(found.test.scores, own, atol=1e-6)
    assert (found.before["test"].scores != found.test.scores).any()
    np.testing.assert_array_equal(found.test.amounts, parts["test"][card().amount])


def test_rows_of_a_card_without_amounts_take_the_amount_of_the_parameters() -> None:
    poor = card().model_copy(update={"amount": None, "time": None})
    rows = evaluate.scored(table().head(5), poor, np.zeros(5), fraud_amount=7.0)
    assert rows.amounts.tolist() == [7.0] * 5
    assert rows.seconds is None


def test_ranks_rank_as_log_odds_do_where_the_logistic_function_would_tie() -> None:
    odds = np.array([60.0, 40.0, 50.0, -800.0, 40.0])
    ranks = by_rank(odds)
    assert ranks.tolist() == [1.0, 0.5, 0.8, 0.2, 0.5]


def test_the_champion_has_the_highest_average_precision() -> None:
    assert evaluate.champion({"a": judged(0.4), "b": judged(0.8), "c": judged(0.7)}) == "b"


@pytest.mark.parametrize("names", ["abc", "cba", "bca"])
def test_of_equal_candidates_the_first_named_is_champion(names: str) -> None:
    judgements = {name: judged(0.8) for name in names} | {"z": judged(0.2)}
    assert evaluate.champion(judgements) == names[0]


def test_without_candidates_there_is_no_champion() -> None:
    with pytest.raises(TrainingError, match="no candidate was trained: run `dvc repro`"):
        evaluate.champion({})


def test_the_oracle_is_perfect_and_the_floors_know_nothing() -> None:
    rows = drawn(4, 60_000)
    found = bounds(rows, POLICY, np.random.default_rng(0))
    perfect = ("average_precision", "roc_auc", "precision", "recall", "f1", "matthews")
    assert {name: found["oracle"][name] for name in perfect} == dict.fromkeys(perfect, 1.0)
    assert found["oracle"]["brier"] == found["oracle"]["calibration_error"] == 0.0
    assert found["oracle"]["money_caught"] == 1.0
    base_rate = rows.frauds / len(rows)
    floor = found["floor"]
    assert list(floor) == ["always_legitimate", "random"]
    assert floor["always_legitimate"]["average_precision"] == pytest.approx(base_rate, abs=1e-6)
    assert floor["always_legitimate"]["recall"] == 0.0
    assert floor["always_legitimate"]["saved_against_no_model"] == 0.0
    assert floor["random"]["roc_auc"] == pytest.approx(0.5, abs=0.05)
    assert floor["random"]["average_precision"] == pytest.approx(base_rate, rel=0.3)
    for figures_of in (found["oracle"], *floor.values()):
        assert tuple(figures_of) == FIGURES


def test_metrics_hold_what_is_promised_as_plain_json() -> None:
    about = {"id": "a-card", "split": "temporal", "synthetic": True}
    accounts = {"temporal": accounted(model()), "stratified": accounted(model(2))}
    candidates = {"b": judged(0.8), "a": judged(0.4)}
    between = bounds(drawn(1), POLICY, np.random.default_rng(0))
    made: dict[str, Any] = evaluate.summary(about, "b", candidates, accounts, between)
    made = json.loads(json.dumps(made, allow_nan=False))
    assert made["dataset"] == about
    assert made["champion"] == "b"
    assert {*FIGURES, "threshold", "rows", "frauds", "interval"} == set(made["test"])
    assert set(made["test"]["interval"]) == set(made["validation"]) == set(FIGURES)
    assert (made["test"]["rows"], made["test"]["frauds"]) == (3000, 50)
    assert made["test"]["threshold"] == accounts["temporal"].threshold
    assert list(made["candidates"]) == ["a", "b"]
    assert made["candidates"]["b"]["validation"]["average_precision"] == 0.8
    assert list(made) == sorted(made)
    assert set(made) >= {"oracle", "floor", "operating_point", "calibration"}
    beside = made["beside"]["stratified"]["test"]["average_precision"]
    assert beside == round(accounts["stratified"].parts["test"].figures["average_precision"], 6)
    assert list(made["beside"]) == ["stratified"]
