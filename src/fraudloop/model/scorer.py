"""The scorer: the one piece of code that turns transactions into scores and predictions."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraudloop.dataset.features import Columns, encode
from fraudloop.errors import BundleError
from fraudloop.model.bundle import Bundle
from fraudloop.model.compile import INPUT, OUTPUT
from fraudloop.model.manifest import Native

Features = NDArray[np.float32]
Scores = NDArray[np.float64]

TOLERANCE = 1e-6
# From this many rows on the native form is the faster one: `make bench` measures where they cross.
FROM_ROWS = {"booster": 200, "linear": 1}
# From so many rows on several threads share them, where several are allowed.
SHARED_FROM_ROWS = 5000


class Scorer:
    """Scores transactions with a verified bundle; safe to share between threads.

    `threads` is for many rows; one row is always scored by one thread, which is the fastest.
    """

    def __init__(self, bundle: Bundle, *, threads: int = 1) -> None:
        self.bundle = bundle
        self.threads = threads
        self._graph = _session(bundle)
        self._prove(self.by_graph)

    def scores(self, columns: Columns) -> Scores:
        """The score of each transaction, given by columns as the card names them."""
        return self.score_features(encode(self.bundle.manifest.card, columns))

    def score_features(self, features: Features) -> Scores:
        """The score of each row of features, by whichever form is faster for so many."""
        native = self.bundle.manifest.native
        if native is not None and len(features) >= native.from_rows:
            return self.by_native_form(features)
        return self.by_graph(features)

    def by_graph(self, features: Features) -> Scores:
        """By the compiled graph: the fastest for few rows, and by several threads for many."""
        if self.threads == 1 or len(features) < SHARED_FROM_ROWS:
            return self._run_graph(features)
        with ThreadPoolExecutor(self.threads) as pool:
            parts = pool.map(self._run_graph, np.array_split(features, self.threads))
            return np.concatenate(list(parts))

    def by_native_form(self, features: Features) -> Scores:
        """By the native form: the fastest for many rows."""
        return self._native(features)

    def predictions(self, scores: Scores) -> NDArray[np.int8]:
        """1 where a score is at the threshold or above, else 0."""
        return (scores >= self.bundle.manifest.threshold).astype(np.int8)

    def _prove(self, form: Callable[[Features], Scores]) -> None:
        """Score the manifest's smoke row by a form that has just been loaded, or refuse it."""
        smoke = self.bundle.manifest.smoke
        row = np.array([smoke.features], dtype=np.float32)
        score = float(form(row)[0])
        if not abs(score - smoke.score) <= TOLERANCE:
            raise BundleError(
                f"model {self.bundle.version} scores its smoke row {score:.9f} here, "
                f"{smoke.score:.9f} where it was made: install the locked versions (make install)"
            )

    def _run_graph(self, features: Features) -> Scores:
        (scores,) = self._graph.run((OUTPUT,), {INPUT: features})
        return np.asarray(scores, dtype=np.float64).ravel()

    @cached_property
    def _native(self) -> Callable[[Features], Scores]:
        native = self.bundle.manifest.native
        if native is None:
            raise BundleError(f"model {self.bundle.version} has no native form: score by its graph")
        content = self.bundle.files[native.file]
        form = _NATIVE_FORMS[native.kind](content, self.threads)
        self._prove(form)
        return form


def native_form(kind: str, file: str) -> Native:
    """What a manifest says of a native form."""
    return Native.model_validate({"kind": kind, "file": file, "from_rows": FROM_ROWS[kind]})


def _session(bundle: Bundle) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # Its own threads cost one row time, and spin while they wait: many rows are shared out by us.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    graph = bundle.files[bundle.manifest.graph]
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no base class of their own
        raise BundleError(
            f"the graph of model {bundle.version} cannot be run here "
            f"({' '.join(str(error).split())}): install the locked versions (make install)"
        ) from error


def _booster(content: bytes, threads: int) -> Callable[[Features], Scores]:
    import xgboost

    booster = xgboost.Booster({"nthread": threads}, model_file=bytearray(content))

    def score(features: Features) -> Scores:
        return np.asarray(booster.inplace_predict(features), dtype=np.float64)

    return score


def _linear(content: bytes, threads: int) -> Callable[[Features], Scores]:
    linear = json.loads(content)
    weights = np.array(linear["weights"], dtype=np.float64)

    def score(features: Features) -> Scores:
        log_odds = features.astype(np.float64) @ weights + linear["intercept"]
        with np.errstate(over="ignore"):  # exp of a large number is infinite, and the score 0
            return np.asarray(1.0 / (1.0 + np.exp(-log_odds)))

    return score


_NATIVE_FORMS: dict[str, Callable[[bytes, int], Callable[[Features], Scores]]] = {
    "booster": _booster,
    "linear": _linear,
}
