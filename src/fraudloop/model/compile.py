"""A fitted pipeline → an ONNX graph from features to raw log-odds, which needs no unpickling.

Only the raw log-odds are compiled: calibration does not survive conversion, and is a small function
of our own that every path calls. How each family is kept exact is in
docs/decisions/0003-compiled-model.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fraudloop.errors import TrainingError
from fraudloop.model import compile_dense, compile_neighbours, compile_trees
from fraudloop.model.graph import Compiled

# By the estimator's class. These see the features as they are …
_PLAIN: dict[str, Callable[[Any, int], Compiled]] = {
    "BalancedRandomForestClassifier": compile_trees.forest,
    "DecisionTreeClassifier": compile_trees.forest,
    "IsolationForest": compile_trees.isolation_forest,
    "RandomForestClassifier": compile_trees.forest,
    "XGBClassifier": compile_trees.boosted,
}
# … and these in standard units, by the scaler before them.
_SCALED: dict[str, Callable[[Any, Any], Compiled]] = {
    "KNeighborsClassifier": compile_neighbours.neighbours,
    "KernelSVM": compile_dense.kernel_machine,
    "LinearSVC": compile_dense.linear,
    "LogisticRegression": compile_dense.linear,
    "MLPClassifier": compile_dense.network,
}


def compile_pipeline(pipeline: Any, features: int) -> Compiled:
    """Compile what stands between the features and the calibration of a fitted candidate."""
    estimator = pipeline[-1].estimator_
    family = type(estimator).__name__
    if family in _PLAIN:
        return _PLAIN[family](estimator, features)
    if family in _SCALED:
        return _SCALED[family](pipeline.named_steps["scaler"], estimator)
    raise TrainingError(f"{family} has no compiled form: leave it out of estimators in params.yaml")
