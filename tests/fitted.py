"""Small data, and what is fitted on them: made once, when first asked for. Look, do not change."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fraudloop import params
from fraudloop.dataset import card as cards
from fraudloop.dataset import synthetic
from fraudloop.dataset.card import Card
from fraudloop.dataset.features import encode
from fraudloop.model.bundle import Bundle
from fraudloop.model.package import package
from fraudloop.params import Candidate
from fraudloop.training import calibrate
from fraudloop.training.fit import calibrated, fit, log_odds, score

ROOT = Path(__file__).parents[1]
PARAMS = params.load(ROOT / "params.yaml")
FAMILIES = ("logistic_regression", "random_forest", "boosted_trees")
# The rest of the catalogue, as small as still shows what is particular to each.
SMALL: dict[str, dict[str, Any]] = {
    "decision_tree": {"min_samples_leaf": 5},
    "linear_svm": {},
    "rbf_svm": {"n_components": 60},
    "nearest_neighbours": {"n_neighbors": 15},
    # Patience with a loss that falls slowly ends in a warning that it still falls.
    "neural_network": {
        "hidden_layer_sizes": 8,
        "learning_rate_init": 0.001,
        "alpha": 0.01,
        "batch_size": 64,
        "tol": 0.01,
        "max_iter": 100,
    },
    "balanced_forest": {"n_estimators": 20},
    "isolation_forest": {"n_estimators": 25, "max_samples": 128},
}
OTHERS = tuple(SMALL)
EVERY = (*FAMILIES, *OTHERS)
ROWS = 12_000

Features = NDArray[np.float32]
Scores = NDArray[np.float64]


@cache
def card() -> Card:
    return cards.load(ROOT / PARAMS.paths.card)


@cache
def table() -> pd.DataFrame:
    return pd.DataFrame(dict(synthetic.draw(card(), seed=3, rows=ROWS)))


@cache
def labels() -> NDArray[np.int8]:
    return table()[card().label.column].to_numpy(dtype=np.int8)


@cache
def features() -> Features:
    return features_of(table())


def features_of(rows: pd.DataFrame) -> Features:
    return encode(card(), {name: rows[name].to_numpy() for name in card().columns})


@cache
def unseen() -> pd.DataFrame:
    """Rows that nothing is fitted on."""
    return pd.DataFrame(dict(synthetic.draw(card(), seed=4, rows=ROWS // 3)))


def refit(family: str, sampler: str = "none", rows: pd.DataFrame | None = None) -> Any:
    """A candidate of the committed parameters, fitted anew.

    It is calibrated, on the same rows for want of others: whoever forgets that is found out.
    """
    candidate = (
        Candidate(estimator=SMALL[family])
        if family in SMALL
        else PARAMS.candidates[sampler][family]
    )
    training = table() if rows is None else rows
    made = fit(training, card(), sampler, family, candidate, seed=PARAMS.seed, threads=2)
    fraud = training[card().label.column].to_numpy(dtype=np.int8)
    return calibrated(made, calibrate.fit(fraud, log_odds(made, training, card())))


@cache
def fitted(family: str, sampler: str = "none") -> Any:
    return refit(family, sampler)


@cache
def scores(family: str) -> Scores:
    """What the fitted pipeline itself gives every row, calibrated."""
    return score(fitted(family), table(), card())


@cache
def scores_of_unseen(family: str) -> Scores:
    return score(fitted(family), unseen(), card())


@cache
def bundle_of(family: str) -> Bundle:
    return repackaged(family)


def repackaged(family: str, **changes: Any) -> Bundle:
    """The bundle of a fitted family, made anew, with some of its parts changed.

    The default families are held against every row, as the tests of them are; the others against
    rows that they have not seen, since no two ways to a neighbour at distance 0 agree.
    """
    seen = family in FAMILIES
    parts: dict[str, Any] = {
        "candidate": f"none-{family}",
        "threshold": 0.5,
        "metrics": {"average_precision": 0.5},
        "synthetic": True,
        "training": features(),
        "test": features() if seen else features_of(unseen()),
        "test_scores": scores(family) if seen else scores_of_unseen(family),
    }
    return package(dumped(fitted(family)), card(), **(parts | changes))


def dumped(pipeline: Any) -> bytes:
    content = io.BytesIO()
    joblib.dump(pipeline, content)
    return content.getvalue()


def md5_of_dump(pipeline: Any) -> str:
    return hashlib.md5(dumped(pipeline), usedforsecurity=False).hexdigest()


def start_python(code: str, *arguments: str | Path, **environment: str) -> subprocess.Popen[str]:
    """Run Python code in a process of its own, with this project's code first."""
    command = [sys.executable, "-c", code, *(str(argument) for argument in arguments)]
    path = os.pathsep.join(str(folder) for folder in (ROOT / "src", ROOT))
    return subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": path, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def told(process: subprocess.Popen[str]) -> str:
    """What it wrote, once it has ended well."""
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out
