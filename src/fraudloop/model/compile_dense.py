"""Models made of sums of products → the graph, in double like the scikit-learn that fitted them."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraudloop.model.graph import Compiled, Graph, NativeForm, rows_at_once

# A probability nearer to 0 or 1 than this is only rounding.
ROUNDING = 1e-15
ACTIVATIONS = {"relu": "Relu", "tanh": "Tanh", "logistic": "Sigmoid", "identity": "Identity"}


def linear(scaler: Any, model: Any) -> Compiled:
    """Logistic regression, or a linear machine; its native form is its numbers as JSON."""
    weights, intercept = _folded(scaler, model)
    graph = Graph(len(weights))
    product = graph.add("MatMul", graph.doubles(), graph.constant(weights[:, None]))
    graph.add("Add", product, graph.constant(intercept))
    native = json.dumps({"weights": weights.tolist(), "intercept": intercept})
    return Compiled(graph.to_bytes(), NativeForm("linear", native.encode()))


def network(scaler: Any, model: Any) -> Compiled:
    """Layer upon layer, and through the network's own logistic function and back.

    Above 20 that loses digits, of which a calibration with a large offset makes visible ones: the
    graph has to lose the same.
    """
    graph = Graph(len(scaler.mean_))
    values = standardised(graph, scaler)
    for place, (weights, bias) in enumerate(zip(model.coefs_, model.intercepts_, strict=True)):
        if place:
            values = graph.add(ACTIVATIONS[model.activation], values)
        product = graph.add("MatMul", values, graph.constant(weights))
        values = graph.add("Add", product, graph.constant(bias))
    share = graph.add(
        "Reciprocal",
        graph.add("Add", graph.add("Exp", graph.add("Neg", values)), graph.constant(1.0)),
    )
    inner = graph.add("Clip", share, graph.constant(ROUNDING), graph.constant(1 - ROUNDING))
    graph.log_odds(inner)
    return Compiled(graph.to_bytes())


def kernel_machine(scaler: Any, model: Any) -> Compiled:
    """A linear machine on the likeness to landmarks.

    Nyström's normalisation is a product between likeness and weights, and folded into the weights.
    """
    landmarks = model.kernel_.components_
    gamma = 1 / landmarks.shape[1] if model.kernel_.gamma is None else model.kernel_.gamma
    # Row upon row, and no matrix product: the same on every processor.
    weights = (model.kernel_.normalization_ * model.machine_.coef_[0][:, None]).sum(axis=0)
    graph = Graph(landmarks.shape[1])
    rows, place = standardised(graph, scaler), graph.constant(landmarks)
    distances = squared_distances(graph, rows, landmarks, place)
    likeness = graph.add("Exp", graph.add("Mul", distances, graph.constant(-float(gamma))))
    product = graph.add("MatMul", likeness, graph.constant(weights[:, None]))
    graph.add("Add", product, graph.constant(_intercept(model.machine_)))
    return Compiled(graph.to_bytes(), rows_at_once=rows_at_once(len(landmarks)))


def standardised(graph: Graph, scaler: Any) -> str:
    """The rows in standard units, by the scaler's own two steps: equal rows stay equal."""
    centred = graph.add("Sub", graph.doubles(), graph.constant(scaler.mean_))
    return graph.add("Div", centred, graph.constant(scaler.scale_))


def squared_distances(
    graph: Graph, rows: str, others: NDArray[np.float64], others_name: str
) -> str:
    """Of each row to each of the others: x² - 2xy + y², added in scikit-learn's order."""
    own = graph.total(graph.add("Mul", rows, rows), 1)
    products = graph.add("Gemm", rows, others_name, alpha=-2.0, transB=1)
    norms = graph.constant((others * others).sum(axis=1))
    return graph.add("Add", graph.add("Add", products, own), norms)


def _folded(scaler: Any, model: Any) -> tuple[NDArray[np.float64], float]:
    """Scaler and linear model as one product and one sum."""
    weights = model.coef_[0] / scaler.scale_
    shift = math.fsum(weights * scaler.mean_)  # exact, and so the same on every processor
    return weights, _intercept(model) - shift


def _intercept(model: Any) -> float:
    return float(np.ravel(model.intercept_)[0])  # a plain 0.0 where none was fitted
