"""What a request asks: rows of features, and what each is called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fraudloop.dataset.records import Id
from fraudloop.model.scorer import Features


class Asked(NamedTuple):
    """Transactions to decide: a row of features and an id each; `single` if sent as one."""

    features: Features
    ids: Sequence[Id]
    single: bool = False
