"""The answer: what was decided, by which model, for which transaction, and why."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest

from fraudloop.model.scorer import Scorer
from fraudloop.serving.answers import answer
from fraudloop.serving.asked import Asked
from tests.fitted import FAMILIES, bundle_of, card, features, repackaged, scores


def asked(rows: list[int], *, single: bool = False) -> Asked:
    return Asked(features()[rows], [f"row {row}" for row in rows], single)


def unsure() -> list[int]:
    """A few rows about the threshold, and the surest of either kind."""
    order = np.argsort(np.abs(scores("boosted_trees") - 0.5))
    return [*map(int, order[:5]), int(scores("boosted_trees").argmin())]


def test_every_transaction_gets_its_score_and_its_prediction() -> None:
    rows = unsure()
    made = answer(Scorer(bundle_of("boosted_trees")), asked(rows))
    expected = scores("boosted_trees")[rows]
    np.testing.assert_allclose(made["scores"], expected, rtol=0, atol=1e-6)
    assert made["predictions"] == [int(score >= 0.5) for score in expected]
    assert set(made["predictions"]) == {0, 1}
    assert made["ids"] == [f"row {row}" for row in rows]
    assert "prediction" not in made


def test_one_transaction_sent_as_one_has_its_prediction_by_itself_too() -> None:
    made = answer(Scorer(bundle_of("boosted_trees")), asked(unsure()[:1], single=True))
    assert made["prediction"] == made["predictions"][0]


def test_the_answer_says_which_model_and_which_threshold() -> None:
    bundle = bundle_of("boosted_trees")
    made = answer(Scorer(bundle), asked([1]))
    assert made["model_version"] == bundle.version
    assert made["threshold"] == bundle.manifest.threshold


def test_the_answer_says_what_the_model_was_trained_on() -> None:
    real = repackaged("boosted_trees", synthetic=False)
    of_synthetic = answer(Scorer(bundle_of("boosted_trees")), asked([1, 2]))
    of_real = answer(Scorer(real), asked([1]))
    assert of_synthetic["message"] == (
        "0 of 2 transactions are predicted to be fraud, by a model trained on synthetic data"
    )
    assert of_real["message"].startswith("0 of 1 transaction is predicted to be fraud")
    assert of_real["message"].endswith(f"by a model trained on {card().id}")


def test_a_score_at_the_threshold_is_predicted_to_be_fraud() -> None:
    bundle, row = bundle_of("boosted_trees"), asked(unsure()[:1])
    (score,) = answer(Scorer(bundle), row)["scores"]
    for threshold, prediction in ((score, 1), (float(np.nextafter(score, 1)), 0)):
        manifest = bundle.manifest.model_copy(update={"threshold": threshold})
        scorer = Scorer(dataclasses.replace(bundle, manifest=manifest))
        assert answer(scorer, row)["predictions"] == [prediction]


def test_the_answer_is_plain_json() -> None:
    made = answer(Scorer(bundle_of("random_forest")), asked([0, 1]), explain=True)
    assert json.loads(json.dumps(made, allow_nan=False)) == made


@pytest.mark.parametrize("family", FAMILIES)
def test_reasons_add_up_to_the_scores_log_odds_the_largest_first(family: str) -> None:
    made = answer(Scorer(bundle_of(family)), asked(unsure()), explain=True)
    for score, reasons in zip(made["scores"], made["reasons"], strict=True):
        terms = [reason["contribution"] for reason in reasons]
        total = made["base_value"] + math.fsum(terms)
        assert total == pytest.approx(math.log(score / (1 - score)), abs=1e-4)
        assert sorted(map(abs, terms), reverse=True) == list(map(abs, terms))
        assert {reason["feature"] for reason in reasons} == set(card().feature_names)


def test_only_the_largest_reasons_are_given_where_few_are_asked_for() -> None:
    scorer, row = Scorer(bundle_of("boosted_trees")), asked([3])
    (every,) = answer(scorer, row, explain=True)["reasons"]
    assert answer(scorer, row, explain=True, top=3)["reasons"] == [every[:3]]
    assert answer(scorer, row, explain=True, top=10**6)["reasons"] == [every]


def test_a_model_without_reasons_says_so_and_decides_all_the_same() -> None:
    made = answer(Scorer(bundle_of("neural_network")), asked([0]), explain=True)
    assert made["reasons"] is None
    assert made["base_value"] is None
    assert "without reasons" in made["message"]
    assert len(made["scores"]) == 1
