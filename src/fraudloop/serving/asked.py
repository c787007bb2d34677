"""What a request asks: rows of features, and what each is called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fraudloop.dataset.records import Id
from fraudloop.model.scorer import Features


@dataclass(frozen=True)
class Asked:
    """Transactions to decide: a row of features and an id each; `single` if sent as one."""

    features: Features
    ids: Sequence[Id]
    single: bool = False
