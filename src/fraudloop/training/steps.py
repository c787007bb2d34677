"""Steps of a candidate's pipeline that scikit-learn and imbalanced-learn do not have."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.kernel_approximation import Nystroem
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from fraudloop.dataset.card import Card
from fraudloop.dataset.features import encode
from fraudloop.model.calibration import Calibration
from fraudloop.model.compile_dense import ROUNDING
from fraudloop.model.graph import INWARDS


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
    """Resample as if columns had mean 0 and deviation 1, and leave the rows that stay untouched.

    Samplers that look for neighbours measure distances: unscaled, the column with the largest
    numbers would decide alone who is near whom. `sampler` adds its rows after those it was given
    (as SMOTE), or says which it kept (`sample_indices_`, as NearMiss), or both (as SMOTE-Tomek).
    """

    def __init__(self, sampler: Any) -> None:
        self.sampler = sampler

    def fit_resample(self, X: NDArray[Any], y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Give `X` and `y` back, with more rows or fewer."""
        scaler = StandardScaler().fit(X)
        self.sampler_ = clone(self.sampler)
        scaled, labels = self.sampler_.fit_resample(scaler.transform(X), y)
        came_from = getattr(self.sampler_, "sample_indices_", np.arange(len(scaled)))
        # There and back again, a value differs in its last bits: what was given is given back.
        rows = scaler.inverse_transform(scaled)
        given = came_from < len(X)
        rows[given] = X[came_from[given]]
        return rows.astype(X.dtype, copy=False), labels


class SmoteTomek(BaseEstimator):  # type: ignore[misc]  # untyped library
    """SMOTE, then the removal of pairs that lie too near; with SMOTE's neighbours as a parameter.

    imbalanced-learn's own takes a whole SMOTE instead, which a line of `params.yaml` cannot write.
    """

    def __init__(
        self,
        sampling_strategy: float | str = "auto",
        k_neighbors: int = 5,
        random_state: int | None = None,
    ) -> None:
        self.sampling_strategy = sampling_strategy
        self.k_neighbors = k_neighbors
        self.random_state = random_state

    def fit_resample(self, X: NDArray[Any], y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Add frauds between neighbours, then remove what lies too near to the other class."""
        from imblearn.combine import SMOTETomek
        from imblearn.over_sampling import SMOTE

        both = SMOTETomek(smote=SMOTE(**self.get_params()))
        rows, labels = both.fit_resample(X, y)
        self.sample_indices_ = both.tomek_.sample_indices_
        return rows, labels


class Calibrated(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # untyped library
    """An estimator whose log-odds are turned into scores by a calibration.

    Fitting fits the estimator alone: `slope` and `offset` are found afterwards, on other rows.
    """

    def __init__(self, estimator: Any, slope: float = 1.0, offset: float = 0.0) -> None:
        self.estimator = estimator
        self.slope = slope
        self.offset = offset

    def fit(self, X: NDArray[Any], y: NDArray[Any]) -> Self:
        """Fit the estimator."""
        self.classes_ = np.unique(y)
        self.estimator_ = clone(self.estimator).fit(X, y)
        return self

    @property
    def calibration(self) -> Calibration:
        """What its log-odds go through."""
        return Calibration(slope=self.slope, offset=self.offset)

    def log_odds(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """How much rather fraud than not, before calibration."""
        return log_odds(self.estimator_, X)

    def predict_proba(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """The probability of legitimate and of fraud."""
        scores = self.calibration.scores(self.log_odds(X))
        return np.column_stack([1.0 - scores, scores])

    def predict(self, X: NDArray[Any]) -> NDArray[Any]:
        """1 where fraud is the likelier; a bundle decides by its own threshold instead."""
        return np.asarray(self.classes_[(self.predict_proba(X)[:, 1] > 0.5).astype(np.intp)])


class KernelSVM(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # untyped library
    """A support vector machine with an RBF kernel, through Nyström's approximation of the kernel.

    Its time grows with the rows, not with their square. Where there are no more rows than
    `n_components`, every row is a landmark and the kernel is exact.
    """

    def __init__(
        self,
        n_components: int = 300,
        gamma: float | None = None,
        C: float = 1.0,
        class_weight: str | None = None,
        random_state: int | None = None,
    ) -> None:
        self.n_components = n_components
        self.gamma = gamma
        self.C = C
        self.class_weight = class_weight
        self.random_state = random_state

    def fit(self, X: NDArray[Any], y: NDArray[Any]) -> Self:
        """Choose the landmarks, then fit a linear machine on the rows' likeness to them."""
        self.classes_ = np.unique(y)
        self.kernel_ = Nystroem(
            gamma=self.gamma,
            n_components=min(self.n_components, len(X)),
            random_state=self.random_state,
        )
        self.machine_ = LinearSVC(
            C=self.C, class_weight=self.class_weight, dual=False, random_state=self.random_state
        )
        self.machine_.fit(self.kernel_.fit_transform(X), y)
        return self

    def decision_function(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """How far on the side of fraud each row lies."""
        return np.asarray(self.machine_.decision_function(self.kernel_.transform(X)))

    def predict(self, X: NDArray[Any]) -> NDArray[Any]:
        """The side each row lies on."""
        return np.asarray(self.classes_[(self.decision_function(X) > 0).astype(np.intp)])


def log_odds(estimator: Any, X: NDArray[Any]) -> NDArray[np.float64]:
    """The log-odds of fraud that a fitted estimator gives, exact where it works in log-odds.

    `model/compile.py` writes the same into its graph.
    """
    if hasattr(estimator, "get_booster"):
        return np.asarray(estimator.predict(X, output_margin=True), dtype=np.float64)
    if hasattr(estimator, "score_samples"):  # the more isolated a row, the lower
        return np.asarray(logit(-estimator.score_samples(X)), dtype=np.float64)
    if hasattr(estimator, "decision_function"):
        return np.asarray(estimator.decision_function(X), dtype=np.float64)
    share = np.asarray(estimator.predict_proba(X)[:, 1], dtype=np.float64)
    if hasattr(estimator, "coefs_"):  # a network: its last layer's sum, through its own logistic
        return np.asarray(logit(np.clip(share, ROUNDING, 1 - ROUNDING)))
    return np.asarray(logit(INWARDS + (1 - 2 * INWARDS) * share))


@lru_cache(maxsize=8)
def _card(text: str) -> Card:
    return Card.model_validate_json(text)
