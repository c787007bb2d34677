"""A fitted champion → a bundle: compiled, held against the original on every row, described."""

from __future__ import annotations

import io
from collections.abc import Mapping
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from fraudloop import __version__
from fraudloop.dataset.card import Card
from fraudloop.errors import BundleError
from fraudloop.model import manifest as manifests
from fraudloop.model.bundle import Bundle, digests
from fraudloop.model.compile import compile_pipeline
from fraudloop.model.graph import Compiled
from fraudloop.model.manifest import Manifest, Native, ReasonsForm, Reference, Smoke
from fraudloop.model.reasons import SUM_TOLERANCE, explainer
from fraudloop.model.scorer import TOLERANCE, Scorer, native_form

GRAPH = "compiled/model.onnx"
PIPELINE = "model.joblib"
REASONS = "compiled/reasons.ubj"
NATIVE = {"booster": "compiled/booster.ubj", "linear": "compiled/linear.json"}
LIBRARIES = (
    "imbalanced-learn",
    "joblib",
    "numpy",
    "onnxruntime",
    "scikit-learn",
    "scipy",
    "xgboost-cpu",
)
# Of each kind: the booster takes half a second for so many.
ROWS_OF_REASONS = 250
QUANTILES = np.linspace(0, 1, 21)

Features = NDArray[np.float32]
Scores = NDArray[np.float64]


def package(
    dumped: bytes,
    card: Card,
    *,
    candidate: str,
    threshold: float,
    metrics: Mapping[str, float],
    synthetic: bool,
    training: Features,
    test: Features,
    test_scores: Scores,
) -> Bundle:
    """Make the bundle of a fitted pipeline, given as `joblib.dump` wrote it when it was fitted.

    It is kept as it is: a forest that was loaded and is dumped again gets whatever is in memory
    between its numbers, and so other bytes every time.

    Its calibration goes into the manifest. `test_scores` are its own scores of the `test` features,
    calibrated: the compiled forms must give every one of them to 1e-6, or there is no bundle.
    Reasons must add up to the log-odds of a sample of them.
    """
    import joblib

    pipeline = joblib.load(io.BytesIO(dumped))
    compiled = compile_pipeline(pipeline, len(card.feature_names))
    native, reasons, further = _forms(compiled)
    files = {PIPELINE: dumped, GRAPH: compiled.onnx} | further
    manifest = Manifest(
        card=card,
        synthetic=synthetic,
        candidate=candidate,
        features=card.feature_names,
        calibration=pipeline[-1].calibration,
        threshold=threshold,
        graph=GRAPH,
        rows_at_once=compiled.rows_at_once,
        native=native,
        reasons=reasons,
        pipeline=PIPELINE,
        files=digests(files),
        metrics=dict(metrics),
        differs_by_less_than=TOLERANCE,
        reference=reference(card.feature_names, training),
        smoke=_smoke(test, test_scores),
        versions={"fraudloop": __version__} | {name: version(name) for name in LIBRARIES},
    )
    made = _bundle(manifest, files)
    require_agreement(made, test, test_scores)
    require_reasons(made, test[_telling(test_scores)])
    return made


def require_agreement(bundle: Bundle, features: Features, scores: Scores) -> None:
    """Refuse a bundle of which a compiled form gives any row a score that is not the pipeline's."""
    scorer = Scorer(bundle)
    forms = {"graph": scorer.by_graph}
    if bundle.manifest.native is not None:
        forms["native form"] = scorer.by_native_form
    for name, form in forms.items():
        difference = np.abs(form(features) - scores)
        if not difference.max() <= TOLERANCE:
            raise BundleError(
                f"the {name} of {bundle.manifest.candidate} differs from its pipeline by "
                f"{difference.max():.2g} on test row {int(difference.argmax())}, more than "
                f"{TOLERANCE:g}: leave its estimator out of params.yaml, and report this"
            )


def require_reasons(bundle: Bundle, features: Features) -> None:
    """Refuse a bundle whose reasons for any row add up to something else than its log-odds."""
    scorer = Scorer(bundle)
    log_odds = scorer.log_odds(features)
    made = explainer(bundle, scorer.log_odds)
    if made is None:
        return
    misses = made.misses(features, log_odds)
    if not misses.max() <= SUM_TOLERANCE:
        raise BundleError(
            f"the reasons of {bundle.manifest.candidate} miss a test row's log-odds by "
            f"{misses.max():.2g}, more than {SUM_TOLERANCE:g}: leave its estimator out of "
            "params.yaml, and report this"
        )


def reference(names: tuple[str, ...], features: Features) -> dict[str, Reference]:
    """How each feature is distributed in training."""
    quantiles = np.quantile(features, QUANTILES, axis=0)
    means = features.mean(axis=0, dtype=np.float64)
    deviations = features.std(axis=0, dtype=np.float64)
    return {
        name: Reference(
            mean=_rounded(means[place]),
            standard_deviation=_rounded(deviations[place]),
            quantiles=tuple(_rounded(value) for value in quantiles[:, place]),
        )
        for place, name in enumerate(names)
    }


def _smoke(features: Features, scores: Scores) -> Smoke:
    """The least certain score is the one that moves most when anything in the model does."""
    row = int(np.argmin(np.abs(scores - 0.5)))
    return Smoke(features=tuple(features[row].tolist()), score=float(scores[row]))


def _telling(scores: Scores) -> NDArray[np.intp]:
    """The rows with the highest scores, whose reasons people read, and others of every score."""
    order = np.argsort(-scores, kind="stable")
    others = np.linspace(0, len(order) - 1, min(ROWS_OF_REASONS, len(order))).astype(np.intp)
    return np.union1d(order[:ROWS_OF_REASONS], order[others])


def _forms(compiled: Compiled) -> tuple[Native | None, ReasonsForm | None, dict[str, bytes]]:
    """What scores many rows and what reasons are made from, and the files that these are."""
    if compiled.shares is not None:
        return None, ReasonsForm(kind="forest", file=REASONS), {REASONS: compiled.shares}
    if compiled.native is None:
        return None, None, {}
    native = native_form(compiled.native.kind, NATIVE[compiled.native.kind])
    reasons = ReasonsForm(kind=native.kind, file=native.file)
    return native, reasons, {native.file: compiled.native.content}


def _bundle(manifest: Manifest, files: Mapping[str, bytes]) -> Bundle:
    content = manifest.to_bytes()
    return Bundle(manifest, manifests.version(content), manifests.sha256(content), files)


def _rounded(value: float) -> float:
    return float(f"{value:.8g}")
