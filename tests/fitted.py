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
from fraudloop.training.fit import fit, score

ROOT = Path(__file__).parents[1]
PARAMS = params.load(ROOT / "params.yaml")
FAMILIES = ("logistic_regression", "random_forest", "boosted_trees")
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


def refit(family: str, sampler: str = "none", rows: pd.DataFrame | None = None) -> Any:
    """A candidate of the committed parameters, fitted anew."""
    candidate = PARAMS.candidates[sampler][family]
    training = table() if rows is None else rows
    return fit(training, card(), sampler, family, candidate, seed=PARAMS.seed, threads=2)


@cache
def fitted(family: str, sampler: str = "none") -> Any:
    return refit(family, sampler)


@cache
def scores(family: str) -> Scores:
    """What the fitted pipeline itself gives every row."""
    return score(fitted(family), table(), card())


@cache
def bundle_of(family: str) -> Bundle:
    return repackaged(family)


def repackaged(family: str, **changes: Any) -> Bundle:
    """The bundle of a fitted family, made anew, with some of its parts changed."""
    parts: dict[str, Any] = {
        "candidate": f"none-{family}",
        "threshold": 0.5,
        "metrics": {"average_precision": 0.5},
        "synthetic": True,
        "training": features(),
        "test": features(),
        "test_scores": scores(family),
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
