"""Both sides of every agreement: what a graph gives, and what the pipeline's own steps give."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
from numpy.typing import NDArray

from fraudloop.model.compile import compile_pipeline
from fraudloop.model.graph import INPUT, OUTPUT, Compiled
from fraudloop.params import Candidate
from fraudloop.training.fit import fit
from tests.fitted import Features, Scores, card, table

LARGEST = float(np.finfo(np.float32).max)
TOLERANCE = 1e-6


def compiled(pipeline: Any) -> Compiled:
    return compile_pipeline(pipeline, len(card().feature_names))


def by_graph(pipeline: Any, rows: Features) -> Scores:
    """The raw log-odds of the pipeline's graph."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # as the scorer has it: several would share a row's trees
    made = compiled(pipeline)
    session = onnxruntime.InferenceSession(made.onnx, options, providers=["CPUExecutionProvider"])
    blocks = np.array_split(rows, math.ceil(len(rows) / made.rows_at_once) or 1)
    found = np.concatenate([session.run([OUTPUT], {INPUT: block})[0] for block in blocks])
    assert found.shape == (len(rows), 1)
    return found.astype(np.float64).ravel()


def standardised(pipeline: Any, rows: Features) -> NDArray[Any]:
    """Features as the pipeline's estimator is given them."""
    values: NDArray[Any] = rows.astype(pipeline["features"].dtype)
    if "scaler" in pipeline.named_steps:
        values = pipeline["scaler"].transform(values)
    return values


def by_steps(pipeline: Any, rows: Features) -> Scores:
    """The pipeline's own raw log-odds of features: what it does after its features step."""
    return np.asarray(pipeline[-1].log_odds(standardised(pipeline, rows)))


def require_agreement(pipeline: Any, rows: Features, *, of_log_odds: float | None = 1e-8) -> None:
    """The same log-odds, to so much of themselves, and the same calibrated scores."""
    found, expected = by_graph(pipeline, rows), by_steps(pipeline, rows)
    if of_log_odds is not None:
        np.testing.assert_allclose(found, expected, rtol=of_log_odds, atol=of_log_odds)
    scores = pipeline[-1].calibration.scores
    np.testing.assert_allclose(scores(found), scores(expected), rtol=0, atol=TOLERANCE)


def fitted_as(
    family: str, rows: pd.DataFrame | None = None, sampler: str = "none", **settings: Any
) -> Any:
    """A candidate of other parameters, whose calibration makes differences larger."""
    training = table().head(4000) if rows is None else rows
    candidate = Candidate(estimator=settings)
    made = fit(training, card(), sampler, family, candidate, seed=1, threads=2)
    made[-1].set_params(slope=2.0, offset=1.0)
    return made


def rows_at_thresholds(model: Any, rows: Features) -> Features:
    """For every split of its trees: a row on the threshold, one just below, and one just above."""
    made = []
    for feature, threshold, row in _splits_of(model, rows):
        on = np.float32(threshold)
        for value in (on, np.nextafter(on, np.float32(-np.inf)), np.nextafter(on, np.float32(9e9))):
            changed = rows[row].copy()
            changed[feature] = value
            made.append(changed)
    return np.array(made, dtype=np.float32)


def rows_far_out(rows: Features) -> Features:
    """Every feature in turn at the ends of what float32 can hold, and all of them together."""
    values = (0.0, -0.0, 1e-45, 1e-38, 1e30, -1e30, LARGEST, -LARGEST)
    width = rows.shape[1]
    one_by_one = np.repeat(rows[:width], len(values), axis=0)
    for place in range(width):
        one_by_one[place * len(values) : (place + 1) * len(values), place] = values
    return np.vstack([one_by_one, np.repeat(np.array(values, np.float32)[:, None], width, axis=1)])


def _splits_of(model: Any, rows: Features) -> Iterator[tuple[int, float, int]]:
    """Feature and threshold of every split that some row comes to, and the first such row."""
    if hasattr(model, "get_booster"):
        yield from _splits_of_booster(model, rows)
        return
    for each in getattr(model, "estimators_", [model]):
        tree, path = each.tree_, each.decision_path(rows).tocsc()
        for node in np.flatnonzero(tree.children_left >= 0):
            comers = path.indices[path.indptr[node] : path.indptr[node + 1]]
            if len(comers):
                yield int(tree.feature[node]), float(tree.threshold[node]), int(comers[0])


def _splits_of_booster(model: Any, rows: Features) -> Iterator[tuple[int, float, int]]:
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
