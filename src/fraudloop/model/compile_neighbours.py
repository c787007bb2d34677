"""Nearest neighbours → the graph, which holds every training row."""

from __future__ import annotations

from typing import Any

import numpy as np

from fraudloop.errors import TrainingError
from fraudloop.model.compile_dense import squared_distances, standardised
from fraudloop.model.graph import Compiled, Graph, rows_at_once

# In place of no distance at all: no two different rows of float32 are so near.
ITSELF = 1e-150


def neighbours(scaler: Any, model: Any) -> Compiled:
    """The log-odds of the share of frauds among a row's neighbours.

    Who is near is found through matrix products, as scikit-learn does it. How near is measured anew
    by differences: those products leave two equal rows up to 1e-6 apart.
    """
    if model.effective_metric_ != "euclidean":
        raise TrainingError(
            f"neighbours by metric={model.effective_metric_} have no compiled form: "
            "leave metric and p out of params.yaml"
        )
    known = model._fit_X
    graph = Graph(known.shape[1])
    rows, known_name = standardised(graph, scaler), graph.constant(known)
    distances = squared_distances(graph, rows, known, known_name)
    count = graph.constant(np.array([model.n_neighbors]))
    nearest = graph.add("TopK", distances, count, results=2, axis=1, largest=0, sorted=0)
    frauds = graph.add("Gather", graph.constant(model._y.astype(np.float64)), nearest, axis=0)
    if model.weights == "uniform":
        share = graph.add("ReduceMean", frauds, axes=[1], keepdims=1)
    else:
        weights = _weights(graph, rows, graph.add("Gather", known_name, nearest, axis=0))
        weighted = graph.total(graph.add("Mul", weights, frauds), 1)
        share = graph.add("Div", weighted, graph.total(weights, 1))
    graph.log_odds(graph.inwards(share))
    return Compiled(graph.to_bytes(), rows_at_once=rows_at_once(len(known)))


def _weights(graph: Graph, rows: str, neighbours: str) -> str:
    """1 / distance: next to a neighbour that is the row itself, no other weighs anything."""
    each = graph.add("Unsqueeze", rows, graph.constant(np.array([1])))
    apart = graph.add("Sub", neighbours, each)
    squares = graph.total(graph.add("Mul", apart, apart), 2, keep=False)
    distances = graph.add("Max", graph.add("Sqrt", squares), graph.constant(ITSELF))
    return graph.add("Reciprocal", distances)
