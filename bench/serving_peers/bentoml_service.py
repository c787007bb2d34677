"""The champion behind BentoML: a service that loads model.joblib and takes a typed array.

Runs in an environment of its own, where the bench puts the path of the model into MODEL.
"""

# No `from __future__ import annotations`: BentoML reads the types of an endpoint at run time.
import os
from pathlib import Path

import bentoml  # type: ignore[import-not-found]  # installed in the peer's environment only
import joblib
import numpy as np


@bentoml.service(workers=1, metrics={"enabled": True})
class Fraud:
    """One worker with one model."""

    def __init__(self) -> None:
        self.model = joblib.load(Path(os.environ["MODEL"]))

    @bentoml.api  # type: ignore[untyped-decorator]  # as above
    def score(self, rows: np.ndarray) -> np.ndarray:
        """The probability of each class, for each row."""
        scores: np.ndarray = self.model.predict_proba(rows)
        return scores
