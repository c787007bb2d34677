"""Trees → one node of the graph, with every threshold and leaf as the fitted model holds it.

No converter stands between: those known write float32 where scikit-learn has doubles, add a
booster's start last where it comes first, and misread trees whose leaves are all 0.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraudloop.errors import TrainingError
from fraudloop.model.contributions import as_booster
from fraudloop.model.graph import INPUT, ML, Compiled, Graph, NativeForm

# How the operator names its comparisons: to the left where a feature is …
AT_MOST, BELOW = 0, 1
SUM = 1

Numbers = NDArray[Any]


@dataclass(frozen=True)
class Tree:
    """One tree, as arrays over its nodes; a node without a child to its left is a leaf."""

    feature: Numbers
    threshold: Numbers
    left: Numbers
    right: Numbers
    value: Numbers


def forest(model: Any, features: int) -> Compiled:
    """A forest, or a single tree as a forest of one: the log-odds of its trees' mean share."""
    estimators = getattr(model, "estimators_", [model])
    trees = [_tree(each.tree_, each.tree_.value[:, 0, 1] / len(estimators)) for each in estimators]
    graph = Graph(features)
    share = _sum_of_leaves(graph, graph.doubles(), trees, AT_MOST)
    graph.log_odds(graph.inwards(share))
    shares = as_booster([each.tree_ for each in estimators]).save_raw("ubj")
    return Compiled(graph.to_bytes(), shares=bytes(shares))


def isolation_forest(model: Any, features: int) -> Compiled:
    """An isolation forest: 2 to the power of minus the mean path, in units of a usual path."""
    usual = len(model.estimators_) * float(_usual_path(np.array([model.max_samples_]))[0])
    trees = []
    for each, used in zip(model.estimators_, model.estimators_features_, strict=True):
        fitted = each.tree_
        paths = fitted.compute_node_depths() - 1.0 + _usual_path(fitted.n_node_samples)
        # Of one training row no path is known: scikit-learn takes it to be a usual one.
        doublings = -paths / usual if usual else np.full(len(paths), -1 / len(model.estimators_))
        # Trees that see only some of the columns number them anew.
        columns = np.arange(features) if len(used) == features else np.array(used)
        trees.append(_tree(fitted, doublings, columns))
    graph = Graph(features)
    doublings_of_row = _sum_of_leaves(graph, graph.doubles(), trees, AT_MOST)
    log_score = graph.add("Mul", doublings_of_row, graph.constant(float(np.log(2.0))))
    rest = graph.add("Sub", graph.constant(1.0), graph.add("Exp", log_score))
    graph.add("Sub", log_score, graph.add("Log", rest))
    return Compiled(graph.to_bytes())


def boosted(model: Any, features: int) -> Compiled:
    """Boosted trees: float32 throughout and added in the booster's own order, so to the bit."""
    booster = model.get_booster()
    _require_plain(model, json.loads(booster.save_config())["learner"])
    content = json.loads(bytes(booster.save_raw("json")))
    trees = []
    for each in content["learner"]["gradient_booster"]["model"]["trees"]:
        # Where a node is a leaf, its value stands among the thresholds.
        values = np.array(each["split_conditions"], dtype=np.float32)
        left, right = np.array(each["left_children"]), np.array(each["right_children"])
        trees.append(Tree(np.array(each["split_indices"]), values, left, right, values))
    graph = Graph(features)
    _sum_of_leaves(graph, INPUT, [_constant_tree(_start_of(content, features)), *trees], BELOW)
    native = NativeForm("booster", bytes(booster.save_raw("ubj")))
    return Compiled(graph.to_bytes(double=False), native)


def _require_plain(model: Any, learner: dict[str, Any]) -> None:
    booster, objective = learner["gradient_booster"]["name"], learner["objective"]["name"]
    if (booster, objective) != ("gbtree", "binary:logistic") or not np.isnan(model.missing):
        raise TrainingError(
            f"boosting with booster={booster}, objective={objective} and missing={model.missing} "
            "has no compiled form: leave these three out of params.yaml"
        )


def _start_of(content: dict[str, Any], features: int) -> np.float32:
    """The log-odds to which a booster adds its trees: what it gives when every leaf is 0.

    It is known as a probability only, and the booster's own logarithm need not round as ours does.
    """
    import xgboost

    for tree in content["learner"]["gradient_booster"]["model"]["trees"]:
        tree["split_conditions"] = [0.0] * len(tree["split_conditions"])
    flat = xgboost.Booster({"nthread": 1}, model_file=bytearray(json.dumps(content).encode()))
    row = np.zeros((1, features), dtype=np.float32)
    return np.float32(flat.inplace_predict(row, predict_type="margin")[0])


def _usual_path(rows: Numbers) -> NDArray[np.float64]:
    """How long a path is on average in a tree that isolates so many rows."""
    many = np.maximum(rows, 3).astype(np.float64)
    path = 2.0 * (np.log(many - 1.0) + np.euler_gamma) - 2.0 * (many - 1.0) / many
    return np.where(rows <= 1, 0.0, np.where(rows == 2, 1.0, path))


def _tree(fitted: Any, values: Numbers, columns: Numbers | None = None) -> Tree:
    """A tree of scikit-learn, with other values in its leaves."""
    feature = fitted.feature  # below 0 where the node is a leaf
    if columns is not None:
        feature = columns[np.maximum(feature, 0)]
    return Tree(feature, fitted.threshold, fitted.children_left, fitted.children_right, values)


def _constant_tree(value: np.float32) -> Tree:
    leaf = np.array([-1])
    return Tree(np.array([0]), np.zeros(1, np.float32), leaf, leaf, np.array([value]))


def _sum_of_leaves(graph: Graph, rows: str, trees: list[Tree], comparison: int) -> str:
    """Every row's leaves, one of each tree, added in the trees' order."""
    from onnx import numpy_helper

    splits, leaves = 0, 0
    parts: dict[str, list[Numbers]] = {name: [] for name in (*_WHOLE, "splits", "weights")}
    for tree in map(_split_once, trees):
        inner = tree.left >= 0
        numbers = np.where(inner, splits + np.cumsum(inner), leaves + np.cumsum(~inner)) - 1
        parts["tree_roots"].append(np.array([splits]))
        parts["nodes_featureids"].append(tree.feature[inner])
        parts["splits"].append(tree.threshold[inner])
        parts["weights"].append(tree.value[~inner])
        for side, children in (("true", tree.left[inner]), ("false", tree.right[inner])):
            parts[f"nodes_{side}nodeids"].append(numbers[children])
            parts[f"nodes_{side}leafs"].append(~inner[children])
        splits, leaves = splits + int(inner.sum()), leaves + int((~inner).sum())
    joined = {name: np.concatenate(each) for name, each in parts.items()}
    return graph.add(
        "TreeEnsemble",
        rows,
        domain=ML,
        n_targets=1,
        aggregate_function=SUM,
        nodes_splits=numpy_helper.from_array(joined.pop("splits"), "splits"),
        leaf_weights=numpy_helper.from_array(joined.pop("weights"), "weights"),
        nodes_modes=numpy_helper.from_array(np.full(splits, comparison, np.uint8), "modes"),
        leaf_targetids=[0] * leaves,
        **{name: each.astype(np.int64).tolist() for name, each in joined.items()},
    )


_WHOLE = (
    "tree_roots",
    "nodes_featureids",
    "nodes_truenodeids",
    "nodes_falsenodeids",
    "nodes_trueleafs",
    "nodes_falseleafs",
)


def _split_once(tree: Tree) -> Tree:
    """The operator wants a split at every root: one that leads to the same value either way."""
    if tree.left[0] >= 0:
        return tree
    return Tree(
        np.zeros(3, dtype=np.int64),
        np.zeros(3, dtype=tree.threshold.dtype),
        np.array([1, -1, -1]),
        np.array([2, -1, -1]),
        np.repeat(tree.value[0], 3),
    )
