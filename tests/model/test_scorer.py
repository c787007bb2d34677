"""One way to a score: both forms agree, the smoke row is a gate, and threads may share it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fraudloop.errors import BundleError
from fraudloop.model import bundle as bundles
from fraudloop.model.bundle import Bundle, digests
from fraudloop.model.calibration import Calibration
from fraudloop.model.graph import ROWS_AT_ONCE
from fraudloop.model.scorer import FROM_ROWS, Scorer
from tests.fitted import (
    EVERY,
    FAMILIES,
    Features,
    Scores,
    bundle_of,
    card,
    features,
    features_of,
    fitted,
    scores,
    start_python,
    table,
    told,
    unseen,
)
from tests.model.compiled import by_steps

NATIVE = {"logistic_regression": "linear", "boosted_trees": "booster"}


def with_files(bundle: Bundle, files: Mapping[str, bytes]) -> Bundle:
    """A bundle that vouches for other files."""
    together = {**bundle.files, **files}
    manifest = bundle.manifest.model_copy(update={"files": digests(together)})
    return dataclasses.replace(bundle, manifest=manifest, files=together)


def with_smoke_score(bundle: Bundle, score: float) -> Bundle:
    smoke = bundle.manifest.smoke.model_copy(update={"score": score})
    return dataclasses.replace(bundle, manifest=bundle.manifest.model_copy(update={"smoke": smoke}))


@pytest.mark.parametrize("family", NATIVE)
def test_graph_and_native_form_agree_for_any_number_of_rows(family: str) -> None:
    scorer = Scorer(bundle_of(family), threads=2)
    change = FROM_ROWS[NATIVE[family]]
    for rows in (0, 1, 2, change - 1, change, change + 1, len(features())):
        some = features()[:rows]
        graph, native = scorer.by_graph(some), scorer.by_native_form(some)
        assert graph.shape == native.shape == (rows,)
        assert graph.dtype == native.dtype == np.float64
        np.testing.assert_allclose(graph, native, rtol=0, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_row_gets_its_score_whatever_company_it_comes_in(family: str) -> None:
    scorer = Scorer(bundle_of(family))
    for rows in (1, 99, 100, 5000):
        found = scorer.score_features(features()[:rows])
        np.testing.assert_allclose(found, scores(family)[:rows], rtol=0, atol=1e-6)
    assert scorer.score_features(features()[:0]).shape == (0,)


@pytest.mark.parametrize("family", FAMILIES)
def test_several_threads_share_many_rows_and_change_no_score(family: str) -> None:
    rows = features()[: ROWS_AT_ONCE + 3]
    assert len(rows) > ROWS_AT_ONCE
    alone = Scorer(bundle_of(family), threads=1).by_graph(rows)
    for threads in (2, 3):
        shared = Scorer(bundle_of(family), threads=threads).by_graph(rows)
        np.testing.assert_allclose(shared, alone, rtol=1e-12)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_graph_never_gets_more_rows_at_once_than_its_manifest_says(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = bundle_of("boosted_trees")
    manifest = bundle.manifest.model_copy(update={"rows_at_once": 7})
    scorer = Scorer(dataclasses.replace(bundle, manifest=manifest), threads=threads)
    got: list[int] = []
    run = scorer._run_graph

    def count(rows: Features) -> Scores:
        got.append(len(rows))
        return run(rows)

    monkeypatch.setattr(scorer, "_run_graph", count)
    for rows in (0, 1, 7, 8, 15, 100):
        got.clear()
        found = scorer.by_graph(features()[:rows])
        np.testing.assert_allclose(found, scores("boosted_trees")[:rows], rtol=0, atol=1e-6)
        assert sum(got) == rows
        assert max(got) <= 7


def test_few_rows_go_by_graph_and_many_by_the_native_form(monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = Scorer(bundle_of("boosted_trees"))
    change = FROM_ROWS["booster"]
    asked: list[str] = []

    def asks(form: str) -> Callable[[Features], Scores]:
        def log_odds(rows: Features) -> Scores:
            asked.append(f"{form} {len(rows)}")
            return np.zeros(len(rows))

        return log_odds

    monkeypatch.setattr(scorer, "_graph_in_blocks", asks("graph"))
    monkeypatch.setattr(scorer, "_native", asks("native"))
    for rows in (1, change - 1, change, change + 1):
        scorer.score_features(features()[:rows])
    assert asked == ["graph 1", f"graph {change - 1}", f"native {change}", f"native {change + 1}"]


@pytest.mark.parametrize("family", EVERY)
def test_scores_are_the_models_log_odds_calibrated_in_every_form(family: str) -> None:
    bundle, rows = bundle_of(family), features_of(unseen().head(300))
    other = Calibration(slope=bundle.manifest.calibration.slope * 1.5, offset=-0.25)
    manifest = bundle.manifest.model_copy(update={"calibration": other})
    (smoke,) = other.scores(Scorer(bundle).log_odds(np.array([manifest.smoke.features], "f4")))
    spoilt = dataclasses.replace(bundle, manifest=manifest)
    with pytest.raises(BundleError, match="scores its smoke row"):
        Scorer(spoilt)
    scorer = Scorer(with_smoke_score(spoilt, float(smoke)))
    expected = other.scores(Scorer(bundle).log_odds(rows))
    forms = [scorer.score_features, scorer.by_graph]
    if manifest.native is not None:
        forms.append(scorer.by_native_form)
    for form in forms:
        np.testing.assert_allclose(form(rows), expected, rtol=1e-9)
        np.testing.assert_allclose(form(rows[:1]), expected[:1], rtol=1e-9)


@pytest.mark.parametrize("family", EVERY)
def test_log_odds_are_those_before_calibration(family: str) -> None:
    pipeline, some = fitted(family), unseen().head(400)
    rows = features_of(some)
    scorer = Scorer(bundle_of(family))
    for count in (0, 1, 400):
        found = scorer.log_odds(rows[:count])
        assert found.dtype == np.float64
        expected = by_steps(pipeline, rows)[:count]
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_the_booster_and_its_graph_agree_to_the_last_bit() -> None:
    scorer = Scorer(bundle_of("boosted_trees"), threads=2)
    np.testing.assert_array_equal(scorer.by_graph(features()), scorer.by_native_form(features()))


def test_a_model_without_native_form_says_so() -> None:
    with pytest.raises(BundleError, match="has no native form: score by its graph"):
        Scorer(bundle_of("random_forest")).by_native_form(features()[:1])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("off", [2e-6, -2e-6, 0.1])
def test_a_bundle_whose_smoke_row_scores_otherwise_is_refused(family: str, off: float) -> None:
    bundle = bundle_of(family)
    spoilt = with_smoke_score(bundle, bundle.manifest.smoke.score + off)
    with pytest.raises(BundleError, match=rf"model {bundle.version} scores its smoke row"):
        Scorer(spoilt)


def test_a_smoke_row_within_rounding_is_accepted() -> None:
    bundle = bundle_of("boosted_trees")
    assert Scorer(with_smoke_score(bundle, bundle.manifest.smoke.score + 5e-7))


def test_a_native_form_of_another_model_never_scores_a_row() -> None:
    bundle = bundle_of("logistic_regression")
    native = bundle.manifest.native
    assert native is not None
    linear = json.loads(bundle.files[native.file])
    other = json.dumps(linear | {"intercept": linear["intercept"] - 1}).encode()
    scorer = Scorer(with_files(bundle, {native.file: other}))
    for _ in range(2):
        with pytest.raises(BundleError, match="scores its smoke row"):
            scorer.score_features(features())


def test_a_graph_that_cannot_be_run_is_one_error() -> None:
    bundle = bundle_of("boosted_trees")
    with pytest.raises(
        BundleError, match=r"cannot be run here .*: install the locked versions"
    ) as e:
        Scorer(with_files(bundle, {bundle.manifest.graph: b"no graph"}))
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("family", FAMILIES)
def test_one_row_alone_gets_the_score_of_the_same_row_among_many(family: str) -> None:
    scorer = Scorer(bundle_of(family))
    rows = features()[:300]
    alone = [scorer.score_one(row[None]) for row in rows]
    np.testing.assert_allclose(alone, scorer.score_features(rows), rtol=0, atol=1e-12)
    assert all(type(score) is float for score in alone)


@pytest.mark.parametrize("family", FAMILIES)
def test_threads_may_share_a_scorer(family: str) -> None:
    scorer = Scorer(bundle_of(family))
    pieces = [features()[start : start + 1 + start % 150] for start in range(0, 9000, 45)]
    alone = [Scorer(bundle_of(family)).score_features(piece) for piece in pieces]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(scorer.score_features, pieces))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("threshold", [0.37, 0.5, float(np.nextafter(0, 1)), 1.0])
def test_a_score_at_the_threshold_is_an_alert(threshold: float) -> None:
    bundle = bundle_of("logistic_regression")
    manifest = bundle.manifest.model_copy(update={"threshold": threshold})
    scorer = Scorer(dataclasses.replace(bundle, manifest=manifest))
    near = np.array([threshold, np.nextafter(threshold, -1), np.nextafter(threshold, 2)])
    predictions = scorer.predictions(near)
    assert predictions.tolist() == [1, 0, 1]
    assert predictions.dtype == np.int8


def test_transactions_are_scored_by_their_columns_names_not_their_order() -> None:
    scorer = Scorer(bundle_of("boosted_trees"))
    some = table().head(500)
    columns: dict[str, Any] = {name: some[name].to_numpy() for name in reversed(card().columns)}
    found = scorer.scores(columns)
    np.testing.assert_allclose(found, scores("boosted_trees")[:500], rtol=0, atol=1e-6)


def test_scoring_a_row_needs_no_unpickling_and_no_training_library(tmp_path: Path) -> None:
    bundles.save(tmp_path, bundle_of("boosted_trees"))
    code = (
        "import sys; from pathlib import Path; import numpy as np\n"
        "from fraudloop.model import bundle; from fraudloop.model.scorer import Scorer\n"
        "scorer = Scorer(bundle.load(Path(sys.argv[1])))\n"
        "smoke = scorer.bundle.manifest.smoke\n"
        "scorer.score_features(np.array([smoke.features], dtype=np.float32))\n"
        "heavy = {'sklearn', 'imblearn', 'xgboost', 'joblib', 'pandas', 'scipy', 'onnx'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert told(start_python(code, tmp_path)) == "[]\n"
