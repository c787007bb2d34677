"""A few transactions → the answer that every face gives: predictions, scores, ids, version."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fraudloop.dataset.records import columns_of
from fraudloop.errors import DataError
from fraudloop.model.scorer import Scorer


def answer(scorer: Scorer, transactions: Mapping[str, Any]) -> dict[str, Any]:
    """Decide transactions given by id."""
    manifest = scorer.bundle.manifest
    scores = scorer.scores(columns_of(manifest.card, transactions))
    predictions = scorer.predictions(scores)
    trained_on = "synthetic data" if manifest.synthetic else manifest.card.id
    return {
        "predictions": predictions.tolist(),
        "scores": [float(score) for score in scores],
        "ids": list(transactions),
        "threshold": manifest.threshold,
        "model_version": scorer.bundle.version,
        "message": f"{int(predictions.sum())} of {len(predictions)} transactions are predicted "
        f"to be fraud, by a model trained on {trained_on}",
    }


def read_transactions(path: Path) -> dict[str, Any]:
    """The transactions of a JSON file, by id."""
    try:
        content = json.loads(path.read_bytes(), object_pairs_hook=_each_once)
    except OSError as error:
        raise DataError(
            f"no transactions at {path} ({error.strerror}): name a JSON file"
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON ({error}): correct it") from error
    if not isinstance(content, dict):
        raise DataError(f'{path} is not {{"<id>": {{"<column>": …}}, …}}: write it so')
    return content


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object's members; JSON would let the last of two equal names win in silence."""
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} stands twice in one object")
    return members
