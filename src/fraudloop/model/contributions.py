"""What each feature adds to a model's raw output: a base value and one term a feature, exact sums.

Linear models have their own terms; trees have their TreeSHAP values, path-dependent: a feature that
is not yet known is averaged over the training rows that came through each branch. Both kinds are
made of a few arrays or a booster's bytes, so that a server can have them too, with no unpickling.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fraudloop.errors import BundleError

Floats = NDArray[np.float64]
Features = NDArray[np.float32]

# What the terms add up to: log-odds before calibration, or for forests the mean share of frauds.
Unit = Literal["log-odds", "share"]
ROOT = 2**31 - 1  # how XGBoost writes that a node has no parent


@dataclass(frozen=True)
class Contributions:
    """One term per row and feature; a row's terms and `base` add up to its raw output."""

    terms: Floats
    base: float
    unit: Unit


@dataclass(frozen=True)
class LinearTerms:
    """Of a linear model: how far a feature lies from its training mean, times its weight.

    >>> terms = LinearTerms(weights=np.array([2.0, -1.0]), means=np.array([1.0, 5.0]), base=-3.0)
    >>> terms.of(np.array([[1.5, 4.0]], dtype=np.float32)).terms
    array([[1., 1.]])
    """

    weights: Floats
    means: Floats
    base: float  # what the model gives a row of means

    def of(self, features: Features) -> Contributions:
        """The terms of each row."""
        return Contributions((features - self.means) * self.weights, self.base, "log-odds")


@dataclass(frozen=True)
class TreeTerms:
    """Of boosted trees, or of a forest written as such: `booster` is an xgboost.Booster."""

    booster: Any
    unit: Unit

    def of(self, features: Features) -> Contributions:
        """The terms of each row."""
        return Contributions(self._found(features)[:, :-1], self.base, self.unit)

    @cached_property
    def base(self) -> float:
        """What all rows' terms are added to: it is the same for each, and so asked for once."""
        zeros = np.zeros((1, self.booster.num_features()), dtype=np.float32)
        return float(self._found(zeros)[0, -1])

    def _found(self, features: Features) -> Floats:
        """Of each row its terms, and last of all the base value."""
        from xgboost import DMatrix

        found = self.booster.predict(DMatrix(features, nthread=1), pred_contribs=True)
        # Of no rows the booster gives no columns either.
        return np.asarray(found, np.float64).reshape(len(features), features.shape[1] + 1)


def terms_of(pipeline: Any) -> LinearTerms | TreeTerms | None:
    """What gives the terms of a fitted candidate; None where its output is no sum of such terms."""
    estimator = pipeline[-1].estimator_
    if hasattr(estimator, "get_booster"):
        return TreeTerms(estimator.get_booster(), "log-odds")
    if hasattr(estimator, "coef_"):
        scaler = pipeline.named_steps["scaler"]
        weights = estimator.coef_[0] / scaler.scale_
        return LinearTerms(weights, scaler.mean_, float(estimator.intercept_[0]))
    if hasattr(estimator, "tree_"):
        return TreeTerms(as_booster([estimator.tree_]), "share")
    if hasattr(estimator, "estimators_") and hasattr(estimator, "predict_proba"):
        return TreeTerms(as_booster([each.tree_ for each in estimator.estimators_]), "share")
    return None


def contributions(pipeline: Any, features: Features) -> Contributions | None:
    """The terms of each row of `features`, as the features step of a fitted candidate gives them.

    None where the model has none: a network, a kernel, neighbours, an isolation forest.
    """
    terms = terms_of(pipeline)
    return None if terms is None else terms.of(features)


def as_booster(trees: Sequence[Any]) -> Any:
    """A forest's fitted trees (scikit-learn's `tree_`) as an xgboost.Booster of the same output.

    It gives each row the mean share of frauds in the leaves that the row falls into.
    """
    return loaded(json.dumps(_model(trees)).encode())


def loaded(content: bytes, threads: int = 1) -> Any:
    """An xgboost.Booster of its own bytes."""
    if not content:  # of which XGBoost would end the process
        raise BundleError("an empty file holds no booster: restore it, or run `fraudloop package`")
    from xgboost import Booster

    return Booster({"nthread": threads}, model_file=bytearray(content))


def _model(trees: Sequence[Any]) -> dict[str, Any]:
    """XGBoost's JSON model: https://xgboost.readthedocs.io/en/stable/tutorials/saving_model.html."""
    features = str(trees[0].n_features)
    count = len(trees)
    return {
        "version": [3, 0, 0],
        "learner": {
            "attributes": {},
            "feature_names": [],
            "feature_types": [],
            "gradient_booster": {
                "name": "gbtree",
                "model": {
                    "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": str(count)},
                    "iteration_indptr": list(range(count + 1)),
                    "tree_info": [0] * count,
                    "trees": [_tree(tree, place, count) for place, tree in enumerate(trees)],
                },
            },
            "learner_model_param": {
                "base_score": "0",
                "boost_from_average": "0",
                "num_class": "0",
                "num_feature": features,
                "num_target": "1",
            },
            "objective": {"name": "reg:squarederror", "reg_loss_param": {"scale_pos_weight": "1"}},
        },
    }


def _tree(tree: Any, place: int, count: int) -> dict[str, Any]:
    nodes, left = _siblings_together(tree)
    leaf = left < 0
    counts = tree.value[nodes, 0, :]
    shares = counts[:, 1] / counts.sum(axis=1) / count
    parents = np.full(len(nodes), ROOT)
    parents[left[~leaf]] = parents[left[~leaf] + 1] = np.flatnonzero(~leaf)
    thresholds = _next_above(tree.threshold[nodes])
    nothing = [0] * len(nodes)
    return {
        "id": place,
        "tree_param": {
            "num_deleted": "0",
            "num_feature": str(tree.n_features),
            "num_nodes": str(len(nodes)),
            "size_leaf_vector": "1",
        },
        "left_children": left.tolist(),
        "right_children": np.where(leaf, -1, left + 1).tolist(),
        "parents": parents.tolist(),
        "split_indices": np.where(leaf, 0, tree.feature[nodes]).tolist(),
        "split_conditions": np.where(leaf, shares, thresholds).tolist(),
        "sum_hessian": tree.weighted_n_node_samples[nodes].tolist(),
        "base_weights": shares.tolist(),
        "loss_changes": [0.0] * len(nodes),
        "default_left": nothing,
        "split_type": nothing,
        "categories": [],
        "categories_nodes": [],
        "categories_segments": [],
        "categories_sizes": [],
    }


def _siblings_together(tree: Any) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The tree's nodes in an order in which each right child follows its left one, and where in it
    each node's left child stands (-1 for a leaf): XGBoost goes right by adding 1 to the left."""
    nodes, left = [0], []
    for node in nodes:  # grows while it is read
        children = (int(tree.children_left[node]), int(tree.children_right[node]))
        left.append(-1 if children[0] < 0 else len(nodes))
        nodes.extend(child for child in children if child >= 0)
    return np.array(nodes), np.array(left)


def _next_above(thresholds: Floats) -> Features:
    """The smallest float32 above each threshold.

    scikit-learn goes left where a float32 is at most a double, XGBoost where it is below a float32:
    no float32 lies between the threshold and this number, so every row takes the same branch.
    """
    nearest = thresholds.astype(np.float32)
    above = np.nextafter(nearest, np.float32(np.inf))
    return np.where(nearest > thresholds, nearest, above)
