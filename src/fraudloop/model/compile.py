"""A fitted pipeline → an ONNX graph from features to the raw score, which needs no unpickling.

Only the raw score is compiled: calibration does not survive conversion, and is a small function of
our own that both paths call. How each family keeps its decisions to the bit is in
docs/decisions/compiled-model.md.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fraudloop.errors import TrainingError

INPUT = "features"
OUTPUT = "score"
TREES = "TreeEnsembleRegressor"
ML = "ai.onnx.ml"
OPSET = 15  # the newest that both converters write


@dataclass(frozen=True)
class NativeForm:
    """The same model as the library that scores many rows fastest wants it."""

    kind: Literal["booster", "linear"]
    content: bytes


@dataclass(frozen=True)
class Compiled:
    """The graph, for few rows, and a native form for many where there is a faster one."""

    onnx: bytes
    native: NativeForm | None = None


def compile_pipeline(pipeline: Any, features: int) -> Compiled:
    """Compile what follows the features step of a fitted candidate."""
    steps = [step for name, step in pipeline.steps if name not in ("features", "sampler")]
    model = steps[-1]
    family = type(model).__name__
    if family == "XGBClassifier":
        _must_be_plain_trees(model)
        native = NativeForm("booster", bytes(model.get_booster().save_raw("ubj")))
        return Compiled(_boosted(model, features), native)
    if family == "LogisticRegression":
        weights, intercept = _folded(*steps)
        linear = json.dumps({"weights": weights.tolist(), "intercept": intercept}).encode()
        return Compiled(_linear(weights, intercept), NativeForm("linear", linear))
    if family == "RandomForestClassifier":
        return Compiled(_forest(model, features))
    raise TrainingError(f"{family} has no compiled form: leave it out of estimators in params.yaml")


def _must_be_plain_trees(model: Any) -> None:
    """The converter takes boosted trees of one tree a round, and misreads or drops the rest."""
    learner = json.loads(model.get_booster().save_config())["learner"]
    booster, objective = learner["gradient_booster"]["name"], learner["objective"]["name"]
    trees = model.num_parallel_tree or 1
    rounds = model.get_booster().num_boosted_rounds()
    if (booster, objective, trees) != ("gbtree", "binary:logistic", 1) or rounds == 0:
        raise TrainingError(
            f"boosting of {rounds} rounds with booster={booster}, objective={objective} and "
            f"num_parallel_tree={trees} has no compiled form: set n_estimators above 0 and leave "
            "the other three out of params.yaml"
        )


def _folded(scaler: Any, model: Any) -> tuple[NDArray[np.float64], float]:
    """Scaler and logistic regression as one product and one sum, in double."""
    weights = model.coef_[0] / scaler.scale_
    shift = math.fsum(weights * scaler.mean_)  # exact, and so the same on every processor
    return weights, float(model.intercept_[0]) - shift


def _linear(weights: NDArray[np.float64], intercept: float) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Cast", [INPUT], ["double"], to=TensorProto.DOUBLE),
        helper.make_node("MatMul", ["double", "weights"], ["product"]),
        helper.make_node("Add", ["product", "intercept"], ["log_odds"]),
        helper.make_node("Sigmoid", ["log_odds"], [OUTPUT]),
    ]
    constants = {"weights": weights[:, None], "intercept": np.array(intercept)}
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    return _graph(nodes, initializers, len(weights), TensorProto.DOUBLE)


def _boosted(model: Any, features: int) -> bytes:
    from onnx import TensorProto, helper
    from onnxmltools import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    graph = convert_xgboost(
        model, initial_types=[("input", FloatTensorType([None, features]))], target_opset=OPSET
    )
    settings = _tree_settings(graph)
    nodes = [
        helper.make_node(TREES, [INPUT], ["log_odds"], domain=ML, n_targets=1, **settings),
        helper.make_node("Sigmoid", ["log_odds"], [OUTPUT]),
    ]
    return _graph(nodes, [], features, TensorProto.FLOAT)


def _forest(model: Any, features: int) -> bytes:
    """Thresholds and sums in double, as scikit-learn has them: in float32 a row next to a threshold
    takes the other branch, and a hundred rounded leaves add up to another sixth decimal."""
    from onnx import TensorProto, helper, numpy_helper
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType

    graph = to_onnx(
        model,
        initial_types=[("input", FloatTensorType([None, features]))],
        options={"zipmap": False},
        target_opset={"": OPSET, ML: 3},
    )
    settings = _tree_settings(graph)
    fitted = [each.tree_ for each in model.estimators_]

    def exact(role: str, values: Callable[[Any, int], float]) -> Any:
        places = zip(settings[f"{role}_treeids"], settings[f"{role}_nodeids"], strict=True)
        numbers = [values(fitted[tree], node) for tree, node in places]
        return numpy_helper.from_array(np.array(numbers, dtype=np.float64), role)

    del settings["nodes_values"], settings["target_weights"], settings["nodes_hitrates"]
    settings["nodes_values_as_tensor"] = exact("nodes", lambda tree, node: tree.threshold[node])
    settings["target_weights_as_tensor"] = exact(
        "target",
        lambda tree, node: tree.value[node, 0, 1] / tree.value[node, 0].sum() / len(fitted),
    )
    nodes = [
        helper.make_node("Cast", [INPUT], ["double"], to=TensorProto.DOUBLE),
        helper.make_node(TREES, ["double"], [OUTPUT], domain=ML, n_targets=1, **settings),
    ]
    return _graph(nodes, [], features, TensorProto.FLOAT)


def _tree_settings(model: Any) -> dict[str, Any]:
    """The converter's tree ensemble as the settings of a regressor of the fraud's score alone.

    What a converter writes besides (labels, the other class, shapes) is computed for nothing.
    """
    from onnx import helper

    (trees,) = [node for node in model.graph.node if node.op_type.startswith("TreeEnsemble")]
    settings = {each.name: helper.get_attribute_value(each) for each in trees.attribute}
    classes = settings.pop("class_ids")
    keep = [place for place, each in enumerate(classes) if each == max(classes)]
    for key in ("nodeids", "treeids", "weights"):
        values = settings.pop(f"class_{key}")
        settings[f"target_{key}"] = [values[place] for place in keep]
    del settings["classlabels_int64s"], settings["post_transform"]
    return settings | {"target_ids": [0] * len(keep)}


def _graph(nodes: list[Any], constants: list[Any], features: int, scores: int) -> bytes:
    from onnx import TensorProto, checker, helper

    graph = helper.make_graph(
        nodes,
        "fraudloop",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [None, features])],
        [helper.make_tensor_value_info(OUTPUT, scores, [None, 1])],
        constants,
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(ML, 3)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    checker.check_model(made)
    return bytes(made.SerializeToString(deterministic=True))
