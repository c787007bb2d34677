"""The compiled form gives the pipeline's own score, on the rows where rounding would show most."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier

from fraudloop.errors import TrainingError
from fraudloop.model.compile import INPUT, OUTPUT, compile_pipeline
from fraudloop.params import Candidate
from fraudloop.training.fit import fit, score
from tests.fitted import (
    FAMILIES,
    Features,
    Scores,
    card,
    features,
    features_of,
    fitted,
    refit,
    scores,
    table,
)

WIDTH = len(card().feature_names)
LARGEST = float(np.finfo(np.float32).max)


def by_graph(graph: bytes, rows: Features) -> Scores:
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    (found,) = session.run([OUTPUT], {INPUT: rows})
    return np.asarray(found, dtype=np.float64).ravel()


def by_steps(pipeline: Any, rows: Features) -> Scores:
    """The pipeline's own score of features: what it does after its features step, uncompiled."""
    values: Any = rows.astype(pipeline["features"].dtype)
    if "scaler" in pipeline.named_steps:
        values = pipeline["scaler"].transform(values)
    return np.asarray(pipeline[-1].predict_proba(values)[:, 1], dtype=np.float64)


def splits_of(model: Any, rows: Features) -> Iterator[tuple[int, float, int]]:
    """Feature and threshold of every split that some row comes to, and the first such row."""
    if hasattr(model, "estimators_"):
        for each in model.estimators_:
            tree, path = each.tree_, each.decision_path(rows).tocsc()
            for node in np.flatnonzero(tree.children_left >= 0):
                comers = path.indices[path.indptr[node] : path.indptr[node + 1]]
                if len(comers):
                    yield int(tree.feature[node]), float(tree.threshold[node]), int(comers[0])
        return
    leaves = model.apply(rows).astype(int)
    for place, tree in model.get_booster().trees_to_dataframe().groupby("Tree"):
        first = dict(zip(leaves[::-1, int(str(place))], range(len(rows) - 1, -1, -1), strict=True))
        for node in tree.sort_values("Node", ascending=False).itertuples():
            for child in (node.Yes, node.No):
                number = None if pd.isna(child) else int(str(child).split("-")[1])
                if number in first:
                    first[node.Node] = min(first[number], first.get(node.Node, len(rows)))
            if node.Feature != "Leaf" and node.Node in first:
                yield int(str(node.Feature)[1:]), float(str(node.Split)), first[node.Node]


def rows_at_thresholds(model: Any, rows: Features) -> Features:
    """For every split of its trees: a row on the threshold, one just below, and one just above."""
    made = []
    for feature, threshold, row in splits_of(model, rows):
        on = np.float32(threshold)
        for value in (on, np.nextafter(on, np.float32(-np.inf)), np.nextafter(on, np.float32(9e9))):
            changed = rows[row].copy()
            changed[feature] = value
            made.append(changed)
    return np.array(made, dtype=np.float32)


def rows_far_out(rows: Features) -> Features:
    """Every feature in turn at the ends of what float32 can hold, and all of them together."""
    values = (0.0, -0.0, 1e-45, 1e-38, 1e30, -1e30, LARGEST, -LARGEST)
    one_by_one = np.repeat(rows[:WIDTH], len(values), axis=0)
    for place in range(WIDTH):
        one_by_one[place * len(values) : (place + 1) * len(values), place] = values
    return np.vstack([one_by_one, np.repeat(np.array(values, np.float32)[:, None], WIDTH, axis=1)])


@pytest.mark.parametrize("family", FAMILIES)
def test_every_row_gets_the_score_that_its_pipeline_gives(family: str) -> None:
    graph = compile_pipeline(fitted(family), WIDTH).onnx
    np.testing.assert_allclose(by_graph(graph, features()), scores(family), rtol=0, atol=1e-6)


@pytest.mark.parametrize("sampler", ["smote", "undersample"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_resampled_pipeline_is_compiled_without_its_sampler(family: str, sampler: str) -> None:
    some = table().head(3000)
    pipeline = fitted(family, sampler)
    graph = compile_pipeline(pipeline, WIDTH).onnx
    expected = score(pipeline, some, card())
    np.testing.assert_allclose(by_graph(graph, features_of(some)), expected, rtol=0, atol=1e-6)


DEEP: dict[str, dict[str, Any]] = {
    "random_forest": {"n_estimators": 40, "max_depth": 12, "class_weight": "balanced"},
    "boosted_trees": {"n_estimators": 100, "max_depth": 6, "scale_pos_weight": 30},
}


@pytest.mark.parametrize("family", DEEP)
def test_rows_on_and_next_to_every_threshold_take_the_same_branch(family: str) -> None:
    candidate = Candidate(estimator=DEEP[family])
    pipeline = fit(table(), card(), "none", family, candidate, seed=1, threads=2)
    rows = rows_at_thresholds(pipeline[-1], features())
    assert len(rows) > 500
    graph = compile_pipeline(pipeline, WIDTH).onnx
    np.testing.assert_allclose(by_graph(graph, rows), by_steps(pipeline, rows), rtol=0, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_tiny_and_huge_values_get_the_same_score(family: str) -> None:
    pipeline, rows = fitted(family), rows_far_out(features())
    found = by_graph(compile_pipeline(pipeline, WIDTH).onnx, rows)
    np.testing.assert_allclose(found, by_steps(pipeline, rows), rtol=0, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_no_rows_get_no_scores(family: str) -> None:
    graph = compile_pipeline(fitted(family), WIDTH).onnx
    assert by_graph(graph, np.empty((0, WIDTH), dtype=np.float32)).shape == (0,)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_pipeline_compiles_to_the_same_bytes(family: str) -> None:
    assert compile_pipeline(fitted(family), WIDTH) == compile_pipeline(refit(family), WIDTH)


def test_only_forests_have_no_native_form() -> None:
    natives = {family: compile_pipeline(fitted(family), WIDTH).native for family in FAMILIES}
    kinds = {family: native.kind if native else None for family, native in natives.items()}
    assert kinds == {
        "logistic_regression": "linear",
        "random_forest": None,
        "boosted_trees": "booster",
    }


def test_trees_that_never_split_are_compiled_too() -> None:
    candidate = Candidate(estimator={"n_estimators": 8, "gamma": 4, "learning_rate": 0.5})
    some = table().head(4000)
    pipeline = fit(some, card(), "none", "boosted_trees", candidate, seed=1, threads=1)
    sizes = {text.count("leaf") for text in pipeline[-1].get_booster().get_dump()}
    assert 1 in sizes
    assert max(sizes) > 1
    found = by_graph(compile_pipeline(pipeline, WIDTH).onnx, features_of(some))
    np.testing.assert_allclose(found, score(pipeline, some, card()), rtol=0, atol=1e-6)


def test_an_estimator_without_compiled_form_is_named() -> None:
    pipeline = fitted("random_forest")
    steps = [pipeline.steps[0], ("estimator", DummyClassifier())]
    with pytest.raises(TrainingError, match="DummyClassifier has no compiled form: leave it out"):
        compile_pipeline(type(pipeline)(steps), WIDTH)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"booster": "dart"}, "booster=dart"),
        ({"booster": "gblinear"}, "booster=gblinear"),
        ({"objective": "binary:hinge"}, "objective=binary:hinge"),
        ({"num_parallel_tree": 2}, "num_parallel_tree=2"),
        ({"n_estimators": 0}, "0 rounds"),
    ],
)
def test_boosting_that_the_converter_would_misread_is_refused(
    settings: dict[str, Any], named: str
) -> None:
    candidate = Candidate(estimator={"n_estimators": 2, **settings})
    some = table().head(2000)
    pipeline = fit(some, card(), "none", "boosted_trees", candidate, seed=1, threads=1)
    with pytest.raises(TrainingError, match=named):
        compile_pipeline(pipeline, WIDTH)
