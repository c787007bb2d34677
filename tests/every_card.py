"""Each card's stand-in, and a small model fitted on it: made once, and not to be changed."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fraudloop import params
from fraudloop.dataset import card as cards
from fraudloop.dataset import synthetic
from fraudloop.dataset.card import Card
from fraudloop.dataset.checks import validate
from fraudloop.dataset.features import encode
from fraudloop.dataset.reading import read_csv
from fraudloop.dataset.records import naming
from fraudloop.model.bundle import Bundle
from fraudloop.model.package import package
from fraudloop.model.scorer import Scorer
from fraudloop.params import Params
from fraudloop.training import calibrate
from fraudloop.training.fit import calibrated, fit, log_odds, score
from tests.fitted import PARAMS, ROOT, dumped

EVERY_CARD = ("credit-card-fraud", "german-credit", "sparkov")
ROWS = {"credit-card-fraud": 6000, "german-credit": 1000, "sparkov": 6000}
FEW = 300  # more than are scored by the graph alone


@dataclass(frozen=True)
class Small:
    """A card, rows as its raw file has them, and what is fitted on them."""

    params: Params
    rows: pd.DataFrame
    raw: pd.DataFrame  # a few of them, frauds as well
    pipeline: Any
    bundle: Bundle
    scores: NDArray[Any]  # what the fitted pipeline itself gives the few

    @property
    def card(self) -> Card:
        """The card."""
        return self.bundle.manifest.card

    @property
    def transactions(self) -> pd.DataFrame:
        """A few rows of the raw file, each with an id, without what nothing looks at."""
        rows = self.raw[list(self.card.columns)].reset_index(drop=True)
        if naming(self.card) == ("id",):
            rows.insert(0, "id", [f"t-{place}" for place in range(len(rows))])
        return rows

    @property
    def ids(self) -> list[str]:
        """What these rows are called."""
        return list(self.transactions[naming(self.card)[0]])

    @property
    def records(self) -> list[dict[str, Any]]:
        """The same rows as a client sends them."""
        rows = self.transactions.to_dict("records")
        return [{str(name): value for name, value in row.items()} for row in rows]


@cache
def small(card_id: str) -> Small:
    """What there is of a card."""
    is_default = card_id == EVERY_CARD[0]
    own = PARAMS if is_default else params.load(ROOT / f"ml/params/{card_id}.yaml")
    card = cards.load(ROOT / own.paths.card)
    raw = pd.DataFrame(dict(synthetic.draw(card, seed=3, rows=ROWS[card_id])))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "raw.csv"
        raw.to_csv(path, index=False)
        table = validate(read_csv(path, card), card, path)
    candidate = own.candidates["none"]["boosted_trees"]
    pipeline = fit(table, card, "none", "boosted_trees", candidate, seed=own.seed, threads=2)
    fraud = table[card.label.column].to_numpy(dtype="int8")
    calibrated(pipeline, calibrate.fit(fraud, log_odds(pipeline, table, card)))
    features = encode(card, {name: table[name].to_numpy() for name in card.columns})
    scores = score(pipeline, table, card)
    bundle = package(
        dumped(pipeline),
        card,
        candidate="none-boosted_trees",
        threshold=0.3,
        metrics={"average_precision": 0.5},
        synthetic=True,
        training=features,
        test=features,
        test_scores=scores,
    )
    frauds_first = np.argsort(-fraud, kind="stable")
    some = np.sort(np.r_[frauds_first[: FEW // 3], frauds_first[FEW // 3 - FEW :]])
    return Small(own, raw, raw.iloc[some], pipeline, bundle, scores[some])


@cache
def scorer(card_id: str) -> Scorer:
    """What decides by it."""
    return Scorer(small(card_id).bundle)
