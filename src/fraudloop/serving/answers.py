"""Rows of features → the answer that every face gives: predictions, scores, ids, version."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fraudloop.model.manifest import Manifest
from fraudloop.model.reasons import Reasons
from fraudloop.model.scorer import Scorer
from fraudloop.serving.asked import Asked


def answer(
    scorer: Scorer, asked: Asked, *, explain: bool = False, top: int | None = None
) -> dict[str, Any]:
    """Decide what was asked; `explain` adds what each feature contributed, the largest first."""
    manifest = scorer.bundle.manifest
    scores, predictions = _decided(scorer, asked)
    made: dict[str, Any] = {
        "predictions": predictions,
        "scores": scores,
        "ids": asked.ids,
        "threshold": manifest.threshold,
        "model_version": scorer.bundle.version,
        "message": message_of(manifest, predictions),
    }
    if asked.single:
        made["prediction"] = predictions[0]
    if explain:
        made |= _explained(manifest, scorer.reasons(asked.features), top)
    return made


def _decided(scorer: Scorer, asked: Asked) -> tuple[list[float], list[int]]:
    if len(asked.ids) == 1:
        score = scorer.score_one(asked.features)
        return [score], [int(score >= scorer.bundle.manifest.threshold)]
    scores = scorer.score_features(asked.features)
    return scores.tolist(), scorer.predictions(scores).tolist()


def message_of(manifest: Manifest, predictions: Sequence[int]) -> str:
    """The answer in a sentence."""
    trained_on = "synthetic data" if manifest.synthetic else manifest.card.id
    many, frauds = len(predictions), sum(predictions)
    are = "transaction is" if many == 1 else "transactions are"
    return f"{frauds} of {many} {are} predicted to be fraud, by a model trained on {trained_on}"


def _explained(manifest: Manifest, reasons: Reasons | None, top: int | None) -> dict[str, Any]:
    if reasons is None:
        return {
            "reasons": None,
            "base_value": None,
            "message": f"a model of this kind ({manifest.candidate}) gives scores without reasons",
        }
    return {
        "reasons": strongest(manifest, reasons, top),
        "base_value": reasons.base_value,
    }


def strongest(
    manifest: Manifest, reasons: Reasons, top: int | None = None
) -> list[list[dict[str, Any]]]:
    """What each feature of each row contributed, the largest first."""
    order = np.argsort(-np.abs(reasons.terms), axis=1, kind="stable")[:, :top]
    return [
        [
            {"feature": manifest.features[place], "contribution": float(terms[place])}
            for place in places
        ]
        for terms, places in zip(reasons.terms, order, strict=True)
    ]
