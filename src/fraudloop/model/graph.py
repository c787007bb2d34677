"""What a model is compiled to: an ONNX graph from features to log-odds, written step by step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

INPUT = "features"
OUTPUT = "log_odds"
ML = "ai.onnx.ml"
OPSET, ML_OPSET, IR = 17, 5, 8  # the oldest that say all of this: more runtimes read them

# A share of trees or of neighbours may be 0 or 1, which has no log-odds: so far it moves inwards.
INWARDS = 1e-4

# As many numbers may stand between two steps of a graph: 64 MB of doubles.
NUMBERS_AT_ONCE = 2**23
# And so many rows: calling a graph costs nothing beside them, and threads can share the others.
ROWS_AT_ONCE = 5000


@dataclass(frozen=True)
class NativeForm:
    """The same model as the library that scores many rows fastest wants it."""

    kind: Literal["booster", "linear"]
    content: bytes


@dataclass(frozen=True)
class Compiled:
    """The graph, for few rows, and a native form for many where there is a faster one.

    `shares` is a forest as a booster that gives the share of frauds: reasons are made from it.
    """

    onnx: bytes
    native: NativeForm | None = None
    rows_at_once: int = ROWS_AT_ONCE
    shares: bytes | None = None


class Graph:
    """Steps and constants; what a step gives is known by the name that `add` answers with."""

    def __init__(self, features: int) -> None:
        self.features = features
        self._steps: list[Any] = []
        self._constants: list[Any] = []

    def add(
        self, operation: str, *inputs: str, results: int = 1, domain: str = "", **settings: Any
    ) -> str:
        """Add a step, and give the last of its results."""
        from onnx import helper

        names = [f"step{len(self._steps)}.{result}" for result in range(results)]
        step = helper.make_node(operation, inputs, names, domain=domain, **settings)
        self._steps.append(step)
        return names[-1]

    def constant(self, value: NDArray[Any] | float) -> str:
        """Add a constant; a plain number is a double."""
        from onnx import numpy_helper

        name = f"constant{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def doubles(self) -> str:
        """The features, which come as float32, as doubles."""
        from onnx import TensorProto

        return self.add("Cast", INPUT, to=TensorProto.DOUBLE)

    def total(self, values: str, axis: int, *, keep: bool = True) -> str:
        """Sums along an axis, which is kept as one of length 1."""
        return self.add("ReduceSum", values, self.constant(np.array([axis])), keepdims=int(keep))

    def inwards(self, share: str) -> str:
        """A share between 0 and 1, with both left out."""
        narrowed = self.add("Mul", share, self.constant(1 - 2 * INWARDS))
        return self.add("Add", narrowed, self.constant(INWARDS))

    def log_odds(self, share: str) -> str:
        """The log-odds of a share."""
        rest = self.add("Sub", self.constant(1.0), share)
        return self.add("Log", self.add("Div", share, rest))

    def to_bytes(self, *, double: bool = True) -> bytes:
        """The graph, whose last step gives the log-odds; the same bytes for the same steps."""
        from onnx import TensorProto, checker, helper

        self._steps[-1].output[0] = OUTPUT
        precision = TensorProto.DOUBLE if double else TensorProto.FLOAT
        graph = helper.make_graph(
            self._steps,
            "fraudloop",
            [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [None, self.features])],
            [helper.make_tensor_value_info(OUTPUT, precision, [None, 1])],
            self._constants,
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(ML, ML_OPSET)]
        made = helper.make_model(graph, opset_imports=opsets, ir_version=IR)
        checker.check_model(made)
        return bytes(made.SerializeToString(deterministic=True))


def rows_at_once(numbers: int) -> int:
    """How many rows a graph takes at once that holds so many numbers of each."""
    return max(1, min(ROWS_AT_ONCE, NUMBERS_AT_ONCE // numbers))
