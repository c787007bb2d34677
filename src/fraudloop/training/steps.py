"""Two steps of a candidate's pipeline that scikit-learn and imbalanced-learn do not have."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.preprocessing import StandardScaler

from fraudloop.dataset.card import Card
from fraudloop.dataset.features import encode


class CardFeatures(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # untyped library
    """Transactions → features, by the card: takes a DataFrame, or an array in the card's order.

    The card is kept as its JSON text, so that a dumped pipeline holds no set whose order depends on
    the process, and comes out with the same bytes every time. `dtype` is the precision that the
    next step computes in; the values themselves are always rounded to float32.
    """

    def __init__(self, card: str, dtype: str = "float32") -> None:
        self.card = card
        self.dtype = dtype

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn nothing: the card says it all."""
        return self

    def transform(self, X: Any) -> NDArray[Any]:
        """The feature matrix."""
        card = _card(self.card)
        if hasattr(X, "columns"):
            columns = {name: X[name].to_numpy() for name in card.columns}
        else:
            rows = np.asarray(X)
            columns = {name: rows[:, place] for place, name in enumerate(card.columns)}
        return encode(card, columns).astype(self.dtype, copy=False)

    def __sklearn_is_fitted__(self) -> bool:
        """Say that it is ready as it is."""
        return True

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """The card's feature names."""
        return np.asarray(_card(self.card).feature_names, dtype=object)


class Standardised(BaseEstimator):  # type: ignore[misc]  # untyped library
    """Add rows as if columns had mean 0 and deviation 1, and leave those there were untouched.

    Samplers that look for neighbours measure distances: unscaled, the column with the largest
    numbers would decide alone who is near whom. `sampler` adds its rows after those it was given,
    as SMOTE and its kin do.
    """

    def __init__(self, sampler: Any) -> None:
        self.sampler = sampler

    def fit_resample(self, X: NDArray[Any], y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Give `X` and `y` back, with more rows after them."""
        scaler = StandardScaler().fit(X)
        self.sampler_ = clone(self.sampler)
        scaled, labels = self.sampler_.fit_resample(scaler.transform(X), y)
        # There and back again, a value differs in its last bits: what was given is given back.
        return np.vstack([X, scaler.inverse_transform(scaled[len(X) :])]), labels


@lru_cache(maxsize=8)
def _card(text: str) -> Card:
    return Card.model_validate_json(text)
