"""Reasons: exact sums in calibrated log-odds, from a bundle's files alone, proven before use."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from fraudloop.errors import BundleError
from fraudloop.model import bundle as bundles
from fraudloop.model.bundle import Bundle
from fraudloop.model.contributions import Contributions, contributions, loaded
from fraudloop.model.graph import INWARDS
from fraudloop.model.package import package
from fraudloop.model.reasons import SUM_TOLERANCE, Reasons, in_log_odds
from fraudloop.model.scorer import Scorer
from fraudloop.training.fit import score
from tests.fitted import (
    EVERY,
    Features,
    bundle_of,
    card,
    dumped,
    features,
    features_of,
    fitted,
    start_python,
    told,
    unseen,
)
from tests.model.compiled import fitted_as, rows_at_thresholds, rows_far_out
from tests.model.test_scorer import with_files

LINEAR = ("logistic_regression", "linear_svm")
FORESTS = ("random_forest", "balanced_forest", "decision_tree")
TREES = (*FORESTS, "boosted_trees")
WITH = (*LINEAR, *TREES)
WITHOUT = tuple(family for family in EVERY if family not in WITH)
WIDTH = len(card().feature_names)


@cache
def scorer_of(family: str) -> Scorer:
    return Scorer(bundle_of(family))


def reasons_of(scorer: Scorer, rows: Features) -> Reasons:
    found = scorer.reasons(rows)
    assert found is not None
    return found


def calibrated_log_odds(scorer: Scorer, rows: Features) -> Any:
    calibration = scorer.bundle.manifest.calibration
    return calibration.slope * scorer.log_odds(rows) + calibration.offset


def require_sums(scorer: Scorer, rows: Features, *, of_themselves: float = 0.0) -> None:
    """The sums are the log-odds; far out, where these have thirty digits, to so much of them."""
    found = reasons_of(scorer, rows)
    assert found.terms.shape == (len(rows), WIDTH)
    assert found.terms.dtype == np.float64
    bound = SUM_TOLERANCE + of_themselves * np.abs(found.terms).sum(axis=1)
    miss = found.base_value + found.terms.sum(axis=1) - calibrated_log_odds(scorer, rows)
    assert (np.abs(miss) <= bound).all()


def packed(pipeline: Any) -> Scorer:
    rows = unseen().head(500)
    made = package(
        dumped(pipeline),
        card(),
        candidate="it",
        threshold=0.5,
        metrics={},
        synthetic=True,
        training=features(),
        test=features_of(rows),
        test_scores=score(pipeline, rows, card()),
    )
    return Scorer(made)


@pytest.mark.parametrize("family", WITH)
def test_terms_and_base_value_add_up_to_the_log_odds_of_every_score(family: str) -> None:
    scorer, rows = scorer_of(family), features_of(unseen())
    require_sums(scorer, rows)
    found, scores = reasons_of(scorer, rows), scorer.score_features(rows)
    inner = (scores > 1e-9) & (scores < 1 - 1e-9)  # nearer to 1 a score has too few digits
    assert inner.sum() > 100
    log_odds = np.log(scores[inner] / (1 - scores[inner]))
    sums = found.base_value + found.terms.sum(axis=1)[inner]
    np.testing.assert_allclose(sums, log_odds, rtol=0, atol=1e-4)


@pytest.mark.parametrize("family", WITH)
@given(
    rows=arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 3), st.just(WIDTH)),
        elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
    )
)
def test_any_row_of_finite_numbers_has_reasons_that_add_up(family: str, rows: Features) -> None:
    require_sums(scorer_of(family), rows, of_themselves=1e-12 if family in LINEAR else 0.0)


@pytest.mark.parametrize("family", WITH)
def test_rows_far_out_have_reasons_that_add_up(family: str) -> None:
    far = 1e-12 if family in LINEAR else 0.0
    require_sums(scorer_of(family), rows_far_out(features()), of_themselves=far)


@pytest.mark.parametrize("family", TREES)
def test_rows_on_and_next_to_thresholds_have_reasons_that_add_up(family: str) -> None:
    rows = rows_at_thresholds(fitted(family)[-1].estimator_, features())
    assert len(rows) > 20
    require_sums(scorer_of(family), rows[:: len(rows) // 3000 + 1])


@pytest.mark.parametrize("family", WITHOUT)
def test_a_model_that_is_no_sum_of_terms_gives_none(family: str) -> None:
    assert bundle_of(family).manifest.reasons is None
    assert scorer_of(family).reasons(features()[:2]) is None
    assert set(WITHOUT) == {"rbf_svm", "nearest_neighbours", "neural_network", "isolation_forest"}


@pytest.mark.parametrize("family", WITH)
def test_a_row_has_its_reasons_whatever_company_it_comes_in(family: str) -> None:
    scorer, rows = scorer_of(family), features_of(unseen())[:300]
    together = reasons_of(scorer, rows)
    for row in (0, 7, 299):
        alone = reasons_of(scorer, rows[row : row + 1])
        np.testing.assert_allclose(alone.terms[0], together.terms[row], rtol=0, atol=1e-9)
        assert alone.base_value == together.base_value
    none = reasons_of(scorer, rows[:0])
    assert none.terms.shape == (0, WIDTH)
    assert none.base_value == together.base_value


@pytest.mark.parametrize("family", LINEAR)
def test_a_linear_term_says_how_far_a_feature_lies_from_its_training_mean(family: str) -> None:
    pipeline, manifest = fitted(family), bundle_of(family).manifest
    rows = features_of(unseen())[:50]
    weights = pipeline[-1].estimator_.coef_[0] / pipeline["scaler"].scale_
    means = features().mean(axis=0, dtype=np.float64)
    terms = manifest.calibration.slope * weights * (rows - means)
    found = reasons_of(scorer_of(family), rows)
    np.testing.assert_allclose(found.terms, terms, rtol=1e-4, atol=1e-5)


def test_the_terms_of_boosted_trees_are_those_of_the_fitted_model_calibrated() -> None:
    rows, calibration = features_of(unseen())[:200], bundle_of("boosted_trees").manifest.calibration
    fitted_terms = contributions(fitted("boosted_trees"), rows)
    assert fitted_terms is not None
    found = reasons_of(scorer_of("boosted_trees"), rows)
    np.testing.assert_allclose(found.terms, fitted_terms.terms * calibration.slope, rtol=1e-12)
    expected = fitted_terms.base * calibration.slope + calibration.offset
    assert found.base_value == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("family", FORESTS)
def test_terms_of_a_forest_keep_the_signs_and_order_they_have_in_its_share(family: str) -> None:
    rows = features_of(unseen())[:500]
    shares = contributions(fitted(family), rows)
    assert shares is not None
    found = reasons_of(scorer_of(family), rows).terms
    factors = found.sum(axis=1) / shares.terms.sum(axis=1)
    assert (factors > 0).all()
    np.testing.assert_allclose(found, shares.terms * factors[:, None], rtol=1e-3, atol=1e-5)
    np.testing.assert_array_equal(np.sign(found), np.sign(shares.terms))
    for row in range(len(rows)):
        by_share = np.argsort(shares.terms[row], kind="stable")
        assert (np.diff(found[row, by_share]) >= 0).all()


def log_odds_of(share: Any) -> Any:
    inner = share * (1 - 2 * INWARDS) + INWARDS
    return np.log(inner / (1 - inner))


@given(base=st.floats(0, 1), share=st.floats(0, 1))
def test_a_unit_of_share_is_worth_what_lies_between_its_worth_at_both_ends(
    base: float, share: float
) -> None:
    terms = np.array([[(share - base) / 2, share - base, (base - share) / 2]])
    made = in_log_odds(Contributions(terms, base, "share"), log_odds_of(np.array([share])))
    assert made.unit == "log-odds"
    assert made.base == pytest.approx(log_odds_of(base), abs=1e-9)
    assert made.base + made.terms.sum() == pytest.approx(log_odds_of(share), abs=1e-7)


@pytest.mark.parametrize("base", [0.0, 1e-4, 0.05, 0.5, 1.0])
@pytest.mark.parametrize("apart", [0.0, 1e-15, 1e-12, 1e-9, 0.9e-8, 1.1e-8, 1e-7, 1e-6])
def test_where_share_and_base_meet_a_term_is_worth_the_slope_there(
    base: float, apart: float
) -> None:
    share = base - apart if base else apart
    terms = np.array([[0.25, -0.25, share - base]])
    log_odds = log_odds_of(np.array([share]))
    made = in_log_odds(Contributions(terms, base, "share"), log_odds)
    step = 1e-7 if base < 1 else -1e-7  # by finite differences
    slope = (log_odds_of(base + step) - log_odds_of(base)) / step
    np.testing.assert_allclose(made.terms[0, :2] / terms[0, :2], slope, rtol=0.006)
    assert made.base + made.terms.sum() == pytest.approx(float(log_odds[0]), abs=1e-8)


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("boosted_trees", {"n_estimators": 0}),
        ("boosted_trees", {"n_estimators": 3, "gamma": 1e9}),
        ("boosted_trees", {"n_estimators": 7, "num_parallel_tree": 3, "base_score": 0.001}),
        ("random_forest", {"n_estimators": 3, "min_samples_leaf": 2001}),
        ("random_forest", {"n_estimators": 20, "max_depth": None, "class_weight": "balanced"}),
        ("decision_tree", {"max_depth": None, "min_samples_leaf": 1}),
    ],
    ids=str,
)
def test_models_of_unusual_shape_have_reasons_that_add_up(
    family: str, settings: dict[str, Any]
) -> None:
    scorer = packed(fitted_as(family, **settings))
    require_sums(scorer, np.vstack([features()[:300], rows_far_out(features())]))


def other_forest() -> bytes:
    return bundle_of("balanced_forest").files["compiled/reasons.ubj"]


def other_width() -> bytes:
    booster = json.loads(loaded(other_forest()).save_raw("json"))
    booster["learner"]["learner_model_param"]["num_feature"] = str(WIDTH + 1)
    return json.dumps(booster).encode()


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (other_forest, "miss the log-odds of its smoke row by"),
        (other_width, "cannot be made here"),
        (lambda: b"no booster", "cannot be made here"),
        (lambda: other_forest()[:1000], "cannot be made here"),
        (lambda: b"", "cannot be made here .an empty file holds no booster"),
    ],
    ids=["another forest", "another width", "no booster", "half of one", "empty"],
)
def test_a_file_of_reasons_that_are_not_the_models_gives_none_and_scores_go_on(
    make: Callable[[], bytes], named: str
) -> None:
    bundle = with_files(bundle_of("random_forest"), {"compiled/reasons.ubj": make()})
    scorer, rows = Scorer(bundle), features()[:3]
    refusal = f"the reasons of model {bundle.version} {named}"
    for _ in range(2):
        with pytest.raises(BundleError, match=refusal) as e:
            scorer.reasons(rows)
        assert "\n" not in str(e.value)
    expected = scorer_of("random_forest").score_features(rows)
    np.testing.assert_array_equal(scorer.score_features(rows), expected)


def test_means_that_are_not_numbers_of_every_feature_give_no_reasons() -> None:
    bundle = bundle_of("logistic_regression")
    less = dict(list(bundle.manifest.reference.items())[1:])
    manifest = bundle.manifest.model_copy(update={"reference": less})
    with pytest.raises(BundleError, match="cannot be made here"):
        Scorer(dataclasses.replace(bundle, manifest=manifest)).reasons(features()[:1])


@pytest.mark.parametrize("family", ["logistic_regression", "random_forest", "boosted_trees"])
def test_threads_may_ask_one_scorer_for_reasons(family: str) -> None:
    rows = features_of(unseen())[:240]
    pieces = [rows[start : start + 1 + start % 4] for start in range(0, 236, 3)]
    alone = [reasons_of(scorer_of(family), piece) for piece in pieces]
    fresh = Scorer(bundle_of(family))
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda piece: reasons_of(fresh, piece), pieces))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one.terms, other.terms)
        assert one.base_value == other.base_value


WITHOUT_TRAINING_LIBRARIES = """
import importlib.abc, sys
from pathlib import Path

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"sklearn", "imblearn", "pandas", "joblib", "onnx", "pyarrow"}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
import numpy as np
from fraudloop.model import bundle
from fraudloop.model.scorer import Scorer
print(sorted({"xgboost", "onnxruntime"} & set(sys.modules)))
scorer = Scorer(bundle.load(Path(sys.argv[1])))
row = np.array([scorer.bundle.manifest.smoke.features], dtype=np.float32)
found = scorer.reasons(row)
print(f"{found.base_value + found.terms.sum():.6f}", "xgboost" in sys.modules)
"""


@pytest.mark.parametrize("family", ["logistic_regression", "random_forest", "boosted_trees"])
def test_reasons_need_no_training_library_and_no_booster_before_they_are_asked_for(
    family: str, tmp_path: Path
) -> None:
    bundle: Bundle = bundle_of(family)
    bundles.save(tmp_path, bundle)
    smoke = bundle.manifest.smoke
    imported, found, booster = told(start_python(WITHOUT_TRAINING_LIBRARIES, tmp_path)).split()
    assert imported == "[]"
    assert float(found) == pytest.approx(np.log(smoke.score / (1 - smoke.score)), abs=1e-4)
    assert booster == str(family in TREES)
