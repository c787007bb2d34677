"""Importance: what a model loses without a feature, measured on a sample that stands for all."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from fraudloop.dataset import card as cards
from fraudloop.dataset.card import Card
from fraudloop.params import Candidate
from fraudloop.training import importance as module
from fraudloop.training.fit import fit, log_odds
from fraudloop.training.importance import Importance, Importances, groups, importances
from fraudloop.training.steps import Calibrated
from tests.fitted import card, fitted, labels, table

Scores = NDArray[np.float64]

SHOP = """
id: shop
title: A shop whose frauds give themselves away by one column
columns:
  at: {kind: time}
  shop: {kind: nominal, categories: [corner, market, online]}
  tell: {kind: numeric}
  noise: {kind: numeric}
label: {column: fraud}
time: at
derived: [{name: hour, hour_of: at}]
"""


@cache
def shop() -> Card:
    return cards.parse(SHOP, "an example")


@cache
def sales(rows: int = 3000) -> pd.DataFrame:
    """Frauds happen online more often, and `tell` gives most of them away; the rest is noise."""
    rng = np.random.default_rng(8)
    fraud = np.arange(rows) % 50 == 0
    where = np.where(
        fraud,
        rng.choice(["corner", "market", "online"], rows, p=[0.1, 0.1, 0.8]),
        rng.choice(["corner", "market", "online"], rows),
    )
    return pd.DataFrame(
        {
            "at": rng.uniform(0, 1e5, rows),
            "shop": where,
            "tell": rng.normal(2.5 * fraud, 1.0),
            "noise": rng.normal(0, 1.0, rows),
            "fraud": fraud.astype(np.int8),
        }
    )


@cache
def seller(estimator: str) -> Any:
    return fit(sales(), shop(), "none", estimator, Candidate(), seed=1, threads=1)


def of(pipeline: Any, rows: pd.DataFrame, on: Card, seed: int = 0) -> Importances:
    return importances(pipeline, rows, on, log_odds(pipeline, rows, on), seed=seed)


def named(found: Importances) -> dict[str, Importance]:
    return {each.feature: each for each in found.features}


@pytest.mark.parametrize("estimator", ["logistic_regression", "boosted_trees"])
def test_what_gives_frauds_away_is_found_to_be_most_important(estimator: str) -> None:
    found = of(seller(estimator), sales(), shop())
    assert found.features[0].feature == "tell"
    drops = [each.drop for each in found.features]
    assert drops == sorted(drops, reverse=True)
    assert named(found)["tell"].drop > 3 * abs(named(found)["hour"].drop)


def test_what_the_model_does_not_look_at_costs_it_nothing() -> None:
    pipeline = fit(
        sales().assign(noise=0.0, at=0.0), shop(), "none", "decision_tree", Candidate(),
        seed=1, threads=1,
    )  # fmt: skip
    found = named(of(pipeline, sales(), shop()))
    for name in ("noise", "hour"):
        assert found[name] == Importance(name, drop=0.0, spread=0.0, contribution=0.0)
    assert found["tell"].drop > 0.1
    assert found["tell"].spread > 0


def test_a_shuffled_feature_is_worth_as_much_as_chance() -> None:
    class Tell:
        """Looks at `tell` alone."""

        def predict_proba(self, rows: NDArray[Any]) -> Scores:
            share = 1 / (1 + np.exp(-rows[:, list(shop().feature_names).index("tell")]))
            return np.column_stack([1 - share, share]).astype(np.float64)

    pipeline = fit(sales(), shop(), "none", "decision_tree", Candidate(), seed=1, threads=1)
    pipeline[-1].estimator_ = Tell()
    found = of(pipeline, sales(), shop())
    exact = average_precision_score(sales()["fraud"], sales()["tell"])
    assert found.average_precision == pytest.approx(exact, abs=1e-6)
    assert found.unit is None
    left = found.average_precision - named(found)["tell"].drop
    assert left == pytest.approx(sales()["fraud"].mean(), abs=0.015)
    assert named(found)["shop"].drop == 0


def test_the_codes_of_one_column_are_shuffled_together(monkeypatch: pytest.MonkeyPatch) -> None:
    assert groups(shop()) == {"shop": [0, 1, 2], "tell": [3], "noise": [4], "hour": [5]}
    seen: list[NDArray[Any]] = []
    exact = Calibrated.log_odds

    def spy(self: Calibrated, rows: NDArray[Any]) -> Scores:
        seen.append(rows[:, :3])
        return exact(self, rows)

    pipeline = seller("boosted_trees")
    scores = log_odds(pipeline, sales(), shop())
    monkeypatch.setattr(Calibrated, "log_odds", spy)
    importances(pipeline, sales(), shop(), scores, seed=0)
    assert len(seen) == 1 + len(groups(shop()))
    assert all((each.sum(axis=1) == 1).all() for each in seen)
    assert not np.array_equal(seen[1], np.tile(seen[0], (module.REPEATS, 1)))


def test_every_feature_is_in_one_group_under_the_name_that_people_know() -> None:
    names = list(card().feature_names)
    assert groups(card()) == {name: [place] for place, name in enumerate(names)}


def test_a_sample_stands_for_all_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS", 400)
    scores = log_odds(fitted("random_forest"), table(), card())
    sample = module._Sample.of(labels(), scores, 400, np.random.default_rng(0))
    assert len(sample.rows) == len(set(sample.rows)) == labels().sum() + 400
    assert sample.weights.sum() == pytest.approx(len(table()))
    assert sample.weights[sample.labels == 1].tolist() == [1.0] * int(labels().sum())
    highest = np.sort(scores[labels() == 0])[-200:]
    assert np.sort(scores[sample.rows][sample.weights == 1])[-200:].min() >= highest.min()
    exact = average_precision_score(labels(), scores)
    assert of(fitted("random_forest"), table(), card()).average_precision == pytest.approx(
        exact, abs=1e-6
    )


def test_a_sample_gives_the_same_importance_as_all_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    everything = named(of(seller("logistic_regression"), sales(), shop()))
    monkeypatch.setattr(module, "ROWS", 600)
    sampled = named(of(seller("logistic_regression"), sales(), shop()))
    for name, each in everything.items():
        assert sampled[name].drop == pytest.approx(each.drop, abs=0.05), name
        assert sampled[name].contribution == pytest.approx(each.contribution, rel=0.15), name


def test_shuffled_values_come_from_rows_as_often_as_these_stand_for_others() -> None:
    sample = module._Sample(np.arange(4), np.zeros(4, np.int8), np.array([1.0, 1.0, 1.0, 97.0]))
    donors = sample.donors(500, np.random.default_rng(0))
    assert len(donors) == 2000
    assert (donors == 3).mean() == pytest.approx(0.97, abs=0.02)


def test_the_mean_contribution_of_a_linear_model_can_be_worked_by_hand() -> None:
    pipeline = seller("logistic_regression")
    found = of(pipeline, sales(), shop())
    scaled = pipeline.named_steps["scaler"].transform(pipeline[0].transform(sales()))
    terms = pipeline[-1].estimator_.coef_[0] * scaled
    assert found.unit == "log-odds"
    for name, places in groups(shop()).items():
        by_hand = np.abs(terms[:, places].sum(axis=1)).mean()
        assert named(found)[name].contribution == pytest.approx(by_hand, abs=1e-6), name


@pytest.mark.parametrize("estimator", ["isolation_forest", "nearest_neighbours"])
def test_a_model_without_contributions_still_has_importances(estimator: str) -> None:
    found = of(seller(estimator), sales(), shop())
    assert found.unit is None
    assert {each.contribution for each in found.features} == {None}
    assert max(each.drop for each in found.features) > 0


def test_the_same_seed_gives_the_same_importances_and_another_seed_others() -> None:
    first = of(seller("boosted_trees"), sales(), shop(), seed=3)
    assert of(seller("boosted_trees"), sales(), shop(), seed=3) == first
    assert of(seller("boosted_trees"), sales(), shop(), seed=4) != first


def test_measuring_importance_changes_neither_rows_nor_model() -> None:
    pipeline = seller("boosted_trees")
    rows, scores = sales().copy(), log_odds(pipeline, sales(), shop())
    of(pipeline, rows, shop())
    pd.testing.assert_frame_equal(rows, sales())
    assert np.array_equal(log_odds(pipeline, sales(), shop()), scores)
