"""Why a score is what it is: what each feature adds to a transaction's calibrated log-odds.

Made from a bundle's files alone, without unpickling and without the libraries that fit models. What
the terms are, by family, is in docs/decisions/0010-reasons.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fraudloop.errors import BundleError
from fraudloop.model.bundle import Bundle
from fraudloop.model.calibration import Calibration
from fraudloop.model.contributions import Contributions, LinearTerms, TreeTerms, loaded
from fraudloop.model.graph import INWARDS
from fraudloop.model.manifest import Manifest

Features = NDArray[np.float32]
Floats = NDArray[np.float64]
Terms = LinearTerms | TreeTerms

# A booster adds float32s: so far may a sum of terms be from the log-odds it explains.
SUM_TOLERANCE = 1e-4
# Two shares nearer than this differ by too few digits to divide by.
TOUCHING = 1e-8


@dataclass(frozen=True)
class Reasons:
    """One term per row and feature: `base_value` and a row's terms add up to its log-odds.

    These are the log-odds of the calibrated score. A term above 0 speaks for fraud.
    """

    terms: Floats
    base_value: float


@dataclass(frozen=True)
class Explainer:
    """Gives the reasons of rows whose log-odds, before calibration, the model has given."""

    terms: Terms
    calibration: Calibration

    def reasons(self, features: Features, log_odds: Floats) -> Reasons:
        """The reasons of each row."""
        found = self.terms.of(features)
        if found.unit == "share":
            found = in_log_odds(found, log_odds)
        slope, offset = self.calibration.slope, self.calibration.offset
        return Reasons(found.terms * slope, found.base * slope + offset)

    def misses(self, features: Features, log_odds: Floats) -> Floats:
        """How far the reasons of each row add up to something else than its log-odds."""
        found = self.reasons(features, log_odds)
        sums = found.terms.sum(axis=1) + found.base_value
        calibrated = self.calibration.slope * log_odds + self.calibration.offset
        return np.asarray(np.abs(sums - calibrated))


def explainer(bundle: Bundle, log_odds: Callable[[Features], Floats]) -> Explainer | None:
    """What explains the scores of a bundle whose model gives such log-odds, proven on a row of it.

    None where the model's output is no sum of terms.
    """
    manifest = bundle.manifest
    if manifest.reasons is None:
        return None
    smoke = np.array([manifest.smoke.features], dtype=np.float32)
    known = log_odds(smoke)
    try:
        content = bundle.files[manifest.reasons.file]
        made = Explainer(_TERMS[manifest.reasons.kind](content, manifest), manifest.calibration)
        miss = float(made.misses(smoke, known)[0])
    except Exception as error:  # JSON, numpy and XGBoost have no base class in common
        raise BundleError(
            f"the reasons of model {bundle.version} cannot be made here "
            f"({str(error).partition(chr(10))[0]}): install the locked versions (make install)"
        ) from error
    if not miss <= SUM_TOLERANCE:
        raise BundleError(
            f"the reasons of model {bundle.version} miss the log-odds of its smoke row by "
            f"{miss:.2g}: install the locked versions (make install)"
        )
    return made


def in_log_odds(shares: Contributions, log_odds: Floats) -> Contributions:
    """A forest's terms, which add up to its share of frauds, as terms that add up to its log-odds.

    By DeepLIFT's rescale rule (https://arxiv.org/abs/1704.02685): on the way from the base share to
    the row's own, a unit of share is worth so many log-odds, and it is worth that in every term.
    So no term changes its sign, or its place among the others.
    """
    base = shares.base * (1 - 2 * INWARDS) + INWARDS
    base_log_odds = float(np.log(base / (1 - base)))
    moved = 1 / (1 + np.exp(-log_odds)) - base
    touching = np.abs(moved) < TOUCHING
    slope_at_base = 1 / (base * (1 - base))
    secant = (log_odds - base_log_odds) / np.where(touching, 1.0, moved)
    rise = np.where(touching, slope_at_base, secant) * (1 - 2 * INWARDS)
    return Contributions(shares.terms * rise[:, None], base_log_odds, "log-odds")


def _linear(content: bytes, manifest: Manifest) -> LinearTerms:
    linear = json.loads(content)
    weights = np.array(linear["weights"], dtype=np.float64)
    means = np.array([manifest.reference[name].mean for name in manifest.features])
    return LinearTerms(weights, means, float(linear["intercept"] + weights @ means))


def _booster(content: bytes, manifest: Manifest) -> TreeTerms:
    return TreeTerms(loaded(content), "log-odds")


def _forest(content: bytes, manifest: Manifest) -> TreeTerms:
    return TreeTerms(loaded(content), "share")


_TERMS: dict[str, Callable[[bytes, Manifest], Terms]] = {
    "booster": _booster,
    "linear": _linear,
    "forest": _forest,
}
