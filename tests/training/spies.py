"""A sampler that remembers what it was shown."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from threadpoolctl import threadpool_info


class SpySampler(BaseEstimator):  # type: ignore[misc]  # untyped library
    """Gives every row back twice; `seen` outlives the clones that pipelines make."""

    seen: ClassVar[list[NDArray[Any]]] = []
    blas_threads: ClassVar[list[int]] = []

    def __init__(self, random_state: int | None = None) -> None:
        self.random_state = random_state

    def fit(self, X: NDArray[Any], y: NDArray[Any]) -> Self:
        return self

    def fit_resample(self, X: NDArray[Any], y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        self.seen.append(np.array(X))
        libraries = threadpool_info()
        self.blas_threads.extend(
            each["num_threads"] for each in libraries if each["user_api"] == "blas"
        )
        return np.vstack([X, X]), np.concatenate([y, y])
