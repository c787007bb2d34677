"""The catalogue makes plain scikit-learn pipelines, and refuses what it does not know by name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sklearn.base import clone

from fraudloop.errors import ParamsError
from fraudloop.params import Candidate
from fraudloop.training import candidates
from fraudloop.training.candidates import ESTIMATORS, SAMPLERS, build
from tests.fitted import FAMILIES, PARAMS, card

NOTHING = Candidate()


def made(sampler: str, estimator: str, candidate: Candidate = NOTHING) -> Any:
    return build(sampler, estimator, candidate, card(), seed=7, threads=3)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_pair_of_the_catalogue_is_a_pipeline_that_clones(
    sampler: str, estimator: str
) -> None:
    pipeline = made(sampler, estimator)
    copy = clone(pipeline)
    assert copy is not pipeline
    # Of parameters that are estimators themselves, their text is what can be compared.
    assert {key: repr(value) for key, value in copy.get_params().items()} == {
        key: repr(value) for key, value in pipeline.get_params().items()
    }


@pytest.mark.parametrize(
    ("sampler", "estimator", "steps"),
    [
        ("none", "logistic_regression", ["features", "scaler", "estimator"]),
        ("none", "random_forest", ["features", "estimator"]),
        ("smote", "logistic_regression", ["features", "sampler", "scaler", "estimator"]),
        ("undersample", "boosted_trees", ["features", "sampler", "estimator"]),
    ],
)
def test_the_sampler_is_a_step_between_features_and_scaler(
    sampler: str, estimator: str, steps: list[str]
) -> None:
    assert [name for name, _ in made(sampler, estimator).steps] == steps


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("sampler", ["smote", "undersample"])
def test_all_that_draws_is_seeded(sampler: str, estimator: str) -> None:
    settings = made(sampler, estimator).get_params()
    seeds = {key: value for key, value in settings.items() if key.endswith("random_state")}
    assert len(seeds) == 1 + ESTIMATORS[estimator].seeded
    assert set(seeds.values()) == {7}


def test_threads_are_those_of_the_parameters_whatever_a_candidate_says() -> None:
    candidate = Candidate(estimator={"n_jobs": 64})
    for estimator in ("random_forest", "boosted_trees"):
        assert made("none", estimator, candidate)[-1].estimator.n_jobs == 3


def test_settings_reach_sampler_and_estimator() -> None:
    candidate = Candidate(sampler={"k_neighbors": 3}, estimator={"C": 0.5, "random_state": 99})
    pipeline = made("smote", "logistic_regression", candidate)
    assert pipeline["sampler"].sampler.k_neighbors == 3
    model = pipeline["estimator"].estimator
    assert (model.C, model.random_state) == (0.5, 99)


@pytest.mark.parametrize(
    ("sampler", "estimator", "candidate", "named"),
    [
        ("smoke", "boosted_trees", NOTHING, "unknown sampler 'smoke' .* none, smote, "),
        ("none", "boosted_tree", NOTHING, "unknown estimator 'boosted_tree' .* logistic_regress"),
        (
            "smote",
            "random_forest",
            Candidate(sampler={"neighbours": 5}),
            r"candidates\.smote\.random_forest\.sampler: SMOTE has no parameter 'neighbours'",
        ),
        (
            "none",
            "boosted_trees",
            Candidate(estimator={"max_depht": 5}),
            r"candidates\.none\.boosted_trees\.estimator: XGBClassifier has no .* 'max_depht'",
        ),
        (
            "none",
            "logistic_regression",
            Candidate(sampler={"k_neighbors": 5}),
            r"candidates\.none\.logistic_regression\.sampler has settings, but no sampler",
        ),
    ],
)
def test_what_is_not_known_is_named(
    sampler: str, estimator: str, candidate: Candidate, named: str
) -> None:
    with pytest.raises(ParamsError, match=named):
        made(sampler, estimator, candidate)


@pytest.mark.parametrize("estimator", FAMILIES)
def test_without_a_sampler_rare_frauds_weigh_more(estimator: str) -> None:
    model = made("none", estimator, PARAMS.candidates["none"][estimator])[-1].estimator
    if estimator == "boosted_trees":
        assert model.scale_pos_weight > 10
    else:
        assert str(model.class_weight).startswith("balanced")


@pytest.mark.parametrize("sampler", PARAMS.samplers)
@pytest.mark.parametrize("estimator", PARAMS.estimators)
def test_every_committed_candidate_can_be_made(sampler: str, estimator: str) -> None:
    settings = PARAMS.candidates[sampler][estimator]
    pipeline = made(sampler, estimator, settings)
    assert pipeline[-1].estimator.get_params().items() >= settings.estimator.items()


def test_what_params_say_comes_before_what_the_catalogue_says() -> None:
    candidate = Candidate(sampler={"version": 3}, estimator={"max_depth": 2, "class_weight": None})
    pipeline = made("nearmiss", "decision_tree", candidate)
    assert pipeline["sampler"].sampler.version == 3
    assert pipeline["sampler"].sampler.sampling_strategy == 0.05
    tree = pipeline["estimator"].estimator
    assert (tree.max_depth, tree.min_samples_leaf, tree.class_weight) == (2, 20, None)


@pytest.mark.parametrize("estimator", [name for name, each in ESTIMATORS.items() if each.weighted])
def test_the_catalogue_weighs_frauds_only_where_nothing_is_resampled(estimator: str) -> None:
    for name, value in ESTIMATORS[estimator].weighted.items():
        assert getattr(made("none", estimator)[-1].estimator, name) == value
        assert getattr(made("smote", estimator)[-1].estimator, name) != value


def test_params_name_every_pair_of_the_catalogue() -> None:
    assert {name: set(pairs) for name, pairs in PARAMS.candidates.items()} == {
        sampler: set(ESTIMATORS) for sampler in SAMPLERS
    }


def test_the_pipeline_carries_its_card_as_text() -> None:
    text = made("none", "random_forest")["features"].card
    assert json.loads(text)["id"] == card().id


def test_a_candidate_is_called_by_both_its_parts() -> None:
    assert candidates.name("smote", "random_forest") == "smote-random_forest"
