"""Challenger against champion, on the same test rows: which ranks frauds better, and is it real."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fraudloop import artifacts
from fraudloop.errors import FraudloopError
from fraudloop.lifecycle.store import DATA_VERSION, Version
from fraudloop.model.bundle import Bundle
from fraudloop.model.scorer import Scorer
from fraudloop.params import Params
from fraudloop.training.compare import Difference, paired
from fraudloop.training.scored import Scores

if TYPE_CHECKING:
    import pandas as pd

# Parameters that say which rows are the test rows.
DIVIDING = ("seed", "split.use", "split.validation", "split.test")


@dataclass(frozen=True)
class Contest:
    """How it went: `better` is meant beyond chance; `unfair` says why it cannot be told."""

    difference: Difference | None
    better: bool
    rows: int = 0
    frauds: int = 0
    unfair: str = ""

    @property
    def sentence(self) -> str:
        """The result for a person."""
        if self.difference is None:
            return self.unfair
        span = self.difference.interval
        measured = (
            f"average precision {self.difference.value:+.4f} ({span.low:+.4f} to {span.high:+.4f}) "
            f"on the same {self.rows:,} test rows with {self.frauds:,} frauds"
        )
        if self.better:
            return f"better than the champion: {measured}"
        if span.high < 0:
            return f"worse than the champion: {measured}"
        return f"not surely better than the champion: {measured}"

    def as_json(self) -> dict[str, Any]:
        """The result for programs."""
        return {
            "better": self.better,
            "sentence": self.sentence,
            "rows": self.rows,
            "frauds": self.frauds,
            **({} if self.difference is None else self.difference.as_json()),
        }


def held(challenger: Bundle, champion: Bundle, params: Params) -> Contest:
    """Let both score the test rows of the challenger's own run, which neither has seen."""
    test = artifacts.read_table(params, "test")
    label = challenger.manifest.card.label.column
    labels = test[label].to_numpy(dtype=np.int8)
    try:
        ours, theirs = (_scores(each, test, params.threads) for each in (challenger, champion))
    except (FraudloopError, KeyError) as error:
        return Contest(None, False, unfair=f"the champion cannot score the test rows ({error})")
    evaluation = params.evaluation
    difference = paired(
        labels,
        ours,
        theirs,
        resamples=evaluation.resamples,
        confidence=evaluation.confidence,
        rng=np.random.default_rng(params.seed),
    )
    real = difference.p_value <= 1 - evaluation.confidence
    return Contest(difference, real and difference.value > 0, len(labels), int(labels.sum()))


def unfairness(champion: Version, made_with: Mapping[str, str], raw: str, params: Params) -> str:
    """Why the champion may have seen the test rows; empty if it has not.

    `made_with` are the parameters it was trained with, `raw` the raw file of the challenger.
    """
    its = champion.tags.get(DATA_VERSION, "unknown").partition("+")[0]
    if its != raw:
        return (
            f"the champion was trained on another raw file ({its[:16]} and not {raw[:16]}), so "
            "these test rows may be known to it"
        )
    ours = {
        "seed": params.seed,
        **{f"split.{name}": value for name, value in params.split},
    }
    other = [name for name in DIVIDING if made_with.get(name, str(ours[name])) != str(ours[name])]
    if other:
        return f"the champion was trained with another {other[0]}, so it may know these test rows"
    return ""


def _scores(bundle: Bundle, test: pd.DataFrame, threads: int) -> Scores:
    card = bundle.manifest.card
    columns = {name: test[name].to_numpy() for name in card.columns}
    return Scorer(bundle, threads=threads).scores(columns)
