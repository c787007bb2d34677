"""Packaging holds the compiled forms against the pipeline, and describes what it packs."""

from __future__ import annotations

from importlib.metadata import version

import numpy as np
import pytest

import fraudloop
from fraudloop.errors import BundleError
from fraudloop.model import package as packaging
from fraudloop.model.calibration import Calibration
from fraudloop.model.compile import compile_pipeline
from fraudloop.model.graph import Compiled
from fraudloop.model.package import QUANTILES, reference, require_reasons
from fraudloop.model.reasons import explainer
from fraudloop.model.scorer import TOLERANCE, Scorer
from tests.fitted import (
    EVERY,
    FAMILIES,
    bundle_of,
    card,
    features,
    features_of,
    fitted,
    repackaged,
    scores,
    unseen,
)
from tests.model.compiled import fitted_as

WIDTH = len(card().feature_names)


@pytest.mark.parametrize("family", FAMILIES)
def test_both_forms_of_a_bundle_give_every_test_row_its_score(family: str) -> None:
    bundle = bundle_of(family)
    scorer = Scorer(bundle)
    bound = bundle.manifest.differs_by_less_than
    assert bound == TOLERANCE == 1e-6
    assert np.abs(scorer.by_graph(features()) - scores(family)).max() < bound
    if bundle.manifest.native is not None:
        assert np.abs(scorer.by_native_form(features()) - scores(family)).max() < bound


@pytest.mark.parametrize("family", EVERY)
def test_the_unpickled_pipeline_and_the_scorer_give_a_transaction_the_same_score(
    family: str,
) -> None:
    bundle = bundle_of(family)
    pipeline = bundle.pipeline(sha256=bundle.sha256)
    expected = pipeline.predict_proba(unseen()[list(card().columns)])[:, 1]
    columns = {name: unseen()[name].to_numpy() for name in card().columns}
    for threads in (1, 2):
        found = Scorer(bundle, threads=threads).scores(columns)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    one = Scorer(bundle).scores({name: column[:1] for name, column in columns.items()})
    np.testing.assert_allclose(one, expected[:1], rtol=0, atol=1e-6)


@pytest.mark.parametrize("family", EVERY)
def test_the_pipelines_calibration_stands_in_the_manifest(family: str) -> None:
    calibration = fitted(family)[-1].calibration
    assert calibration != Calibration()
    assert bundle_of(family).manifest.calibration == calibration


@pytest.mark.parametrize("family", ["boosted_trees", "nearest_neighbours"])
def test_how_many_rows_a_graph_takes_stands_in_the_manifest(family: str) -> None:
    at_once = compile_pipeline(fitted(family), WIDTH).rows_at_once
    assert bundle_of(family).manifest.rows_at_once == at_once


@pytest.mark.parametrize("family", EVERY)
def test_scores_that_are_not_calibrated_are_not_those_of_the_bundle(family: str) -> None:
    rows = features_of(unseen())
    raw = Calibration().scores(Scorer(bundle_of(family)).log_odds(rows))
    with pytest.raises(BundleError, match=r"differs from its pipeline|scores its smoke row"):
        repackaged(family, test=rows, test_scores=raw)


@pytest.mark.parametrize("off", [2e-6, -2e-6])
@pytest.mark.parametrize("family", FAMILIES)
def test_one_row_that_differs_is_named_and_there_is_no_bundle(family: str, off: float) -> None:
    wrong = scores(family).copy()
    row = int(np.argmin(wrong))
    wrong[row] += off
    with pytest.raises(
        BundleError, match=rf"none-{family} differs .* on test row {row}, more than"
    ):
        repackaged(family, test_scores=wrong)


@pytest.mark.parametrize("form", ["graph", "native"])
def test_a_compiled_form_of_another_model_is_refused(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = compile_pipeline(fitted("boosted_trees"), WIDTH)
    other = compile_pipeline(fitted("boosted_trees", "undersample"), WIDTH)
    mixed = {
        "graph": Compiled(other.onnx, right.native),
        "native": Compiled(right.onnx, other.native),
    }
    monkeypatch.setattr(packaging, "compile_pipeline", lambda *_: mixed[form])
    with pytest.raises(BundleError):
        repackaged("boosted_trees")


@pytest.mark.parametrize("leaf", [2, 2001], ids=["another forest", "a forest of one leaf"])
def test_reasons_that_do_not_add_up_to_the_log_odds_are_refused(
    leaf: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = compile_pipeline(fitted("random_forest"), WIDTH)
    forest = fitted_as("random_forest", n_estimators=9, min_samples_leaf=leaf)
    other = compile_pipeline(forest, WIDTH)
    mixed = Compiled(right.onnx, shares=other.shares)
    monkeypatch.setattr(packaging, "compile_pipeline", lambda *_: mixed)
    with pytest.raises(BundleError, match=r"the reasons of .* miss .* log-odds"):
        repackaged("random_forest")


def test_reasons_are_held_against_scores_on_more_rows_than_one() -> None:
    bundle = bundle_of("random_forest")
    rows = features()[np.argsort(-scores("random_forest"))[:100]]
    require_reasons(bundle, rows)
    made = explainer(bundle, Scorer(bundle).log_odds)
    assert made is not None
    largest = float(made.misses(rows, Scorer(bundle).log_odds(rows)).max())
    assert largest > 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packaging, "SUM_TOLERANCE", largest / 2)
        with pytest.raises(BundleError, match=r"the reasons of none-random_forest miss a test row"):
            require_reasons(bundle, rows)


def test_the_rows_whose_reasons_are_checked_are_few_and_of_every_score() -> None:
    found = scores("boosted_trees")
    chosen = found[packaging._telling(found)]
    assert packaging.ROWS_OF_REASONS < len(chosen) <= 2 * packaging.ROWS_OF_REASONS
    assert set(np.sort(found)[-packaging.ROWS_OF_REASONS :]) <= set(chosen)
    assert found.min() in chosen
    np.testing.assert_array_equal(packaging._telling(found[:3]), [0, 1, 2])


@pytest.mark.parametrize("family", FAMILIES)
def test_the_smoke_row_is_one_that_the_model_is_unsure_of(family: str) -> None:
    smoke = bundle_of(family).manifest.smoke
    unsure = int(np.argmin(np.abs(scores(family) - 0.5)))
    assert smoke.score == scores(family)[unsure]
    assert 0.05 < smoke.score < 0.95
    np.testing.assert_array_equal(np.array(smoke.features, np.float32), features()[unsure])


def test_the_reference_is_that_of_the_training_rows_alone() -> None:
    training = features()[:4000]
    made = repackaged("logistic_regression", training=training).manifest.reference
    assert made == reference(card().feature_names, training)
    assert list(made) == list(card().feature_names)
    for place, name in enumerate(card().feature_names):
        column = training[:, place].astype(np.float64)
        assert made[name].mean == pytest.approx(column.mean(), rel=1e-6, abs=1e-7)
        assert made[name].standard_deviation == pytest.approx(column.std(), rel=1e-6)
        assert made[name].quantiles[0] == pytest.approx(column.min())
        assert made[name].quantiles[10] == pytest.approx(np.median(column), rel=1e-5, abs=1e-6)
        assert made[name].quantiles[-1] == pytest.approx(column.max())
        assert len(made[name].quantiles) == len(QUANTILES)


def test_the_manifest_says_what_was_given_and_what_made_it() -> None:
    manifest = repackaged(
        "boosted_trees", candidate="a-b", threshold=0.25, metrics={"f1": 0.5}, synthetic=False
    ).manifest
    assert (manifest.candidate, manifest.threshold, manifest.synthetic) == ("a-b", 0.25, False)
    assert manifest.metrics == {"f1": 0.5}
    assert manifest.card == card()
    assert manifest.versions.pop("fraudloop") == fraudloop.__version__
    assert manifest.versions == {name: version(name) for name in manifest.versions}
    assert set(manifest.versions) >= {
        "numpy",
        "scikit-learn",
        "scipy",
        "onnxruntime",
        "xgboost-cpu",
    }


@pytest.mark.parametrize("family", FAMILIES)
def test_the_manifest_vouches_for_every_file_and_names_each_role(family: str) -> None:
    bundle = bundle_of(family)
    manifest = bundle.manifest
    roles = {manifest.pipeline, manifest.graph}
    if manifest.native is not None:
        roles.add(manifest.native.file)
    assert manifest.reasons is not None
    roles.add(manifest.reasons.file)
    assert roles == set(bundle.files) == set(manifest.files)
    assert {name: each.bytes for name, each in manifest.files.items()} == {
        name: len(content) for name, content in bundle.files.items()
    }


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_model_packs_to_the_same_bytes(family: str) -> None:
    again, made = repackaged(family), bundle_of(family)
    assert again.files == made.files
    assert again.manifest.to_bytes() == made.manifest.to_bytes()


def test_what_is_packed_uses_one_thread() -> None:
    for family in ("random_forest", "boosted_trees"):
        bundle = bundle_of(family)
        assert bundle.pipeline(sha256=bundle.sha256)[-1].estimator_.n_jobs == 1
