"""The scorer: the one piece of code that turns transactions into scores and predictions."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraudloop.dataset.features import Columns, encode
from fraudloop.errors import BundleError
from fraudloop.model.bundle import Bundle
from fraudloop.model.contributions import loaded
from fraudloop.model.graph import INPUT, OUTPUT
from fraudloop.model.manifest import Native
from fraudloop.model.reasons import Explainer, Reasons, explainer

Features = NDArray[np.float32]
Scores = NDArray[np.float64]
LogOdds = NDArray[np.float64]

TOLERANCE = 1e-6
# From this many rows on the native form is the faster one: `make bench` measures where they cross.
FROM_ROWS = {"booster": 200, "linear": 1}


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
        return self._calibrated(self.log_odds(features))

    def score_one(self, features: Features) -> float:
        """The score of a single row, for which numpy's own calls would cost more than the graph."""
        return self.bundle.manifest.calibration.score(self.log_odds(features).item())

    def log_odds(self, features: Features) -> LogOdds:
        """What the model itself gives each row, before calibration."""
        native = self.bundle.manifest.native
        if native is not None and len(features) >= native.from_rows:
            return self._native(features)
        return self._graph_in_blocks(features)

    def reasons(self, features: Features) -> Reasons | None:
        """What each feature adds to each row's log-odds; None where these are no sum of terms."""
        if self._explainer is None:
            return None
        return self._explainer.reasons(features, self.log_odds(features))

    def by_graph(self, features: Features) -> Scores:
        """By the compiled graph: the fastest for few rows, and by several threads for many."""
        return self._calibrated(self._graph_in_blocks(features))

    def by_native_form(self, features: Features) -> Scores:
        """By the native form: the fastest for many rows."""
        return self._calibrated(self._native(features))

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

    def _calibrated(self, log_odds: LogOdds) -> Scores:
        return self.bundle.manifest.calibration.scores(log_odds)

    def _graph_in_blocks(self, features: Features) -> LogOdds:
        """Never more rows at once than the manifest says, so that no table is too long."""
        blocks = math.ceil(len(features) / self.bundle.manifest.rows_at_once)
        if blocks <= 1:
            return self._run_graph(features)
        shared = math.ceil(blocks / self.threads) * self.threads  # as many for each thread
        parts = np.array_split(features, shared)
        if self.threads == 1:
            return np.concatenate([self._run_graph(part) for part in parts])
        with ThreadPoolExecutor(self.threads) as pool:
            return np.concatenate(list(pool.map(self._run_graph, parts)))

    def _run_graph(self, features: Features) -> LogOdds:
        (log_odds,) = self._graph.run((OUTPUT,), {INPUT: features})
        return np.asarray(log_odds, dtype=np.float64).ravel()

    @cached_property
    def _native(self) -> Callable[[Features], LogOdds]:
        native = self.bundle.manifest.native
        if native is None:
            raise BundleError(f"model {self.bundle.version} has no native form: score by its graph")
        content = self.bundle.files[native.file]
        form = _NATIVE_FORMS[native.kind](content, self.threads)
        self._prove(lambda features: self._calibrated(form(features)))
        return form

    @cached_property
    def _explainer(self) -> Explainer | None:
        return explainer(self.bundle, self.log_odds)


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


def _booster(content: bytes, threads: int) -> Callable[[Features], LogOdds]:
    booster = loaded(content, threads)

    def log_odds(features: Features) -> LogOdds:
        margins = booster.inplace_predict(features, predict_type="margin")
        return np.asarray(margins, dtype=np.float64)

    return log_odds


def _linear(content: bytes, threads: int) -> Callable[[Features], LogOdds]:
    linear = json.loads(content)
    weights = np.array(linear["weights"], dtype=np.float64)

    def log_odds(features: Features) -> LogOdds:
        return np.asarray(features.astype(np.float64) @ weights + linear["intercept"])

    return log_odds


_NATIVE_FORMS: dict[str, Callable[[bytes, int], Callable[[Features], LogOdds]]] = {
    "booster": _booster,
    "linear": _linear,
}
