"""A column that knows the label is refused before anything is trained on it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from fraudloop.dataset import card as cards
from fraudloop.dataset.leaks import ranking_power, refuse_leaks
from fraudloop.errors import DataError

CARD = cards.parse(
    """
    id: cups
    title: Cups of coffee, paid by card
    columns:
      price: {kind: numeric}
      disputed_later: {kind: numeric}
      cup: {kind: nominal, categories: [small, large, refunded]}
    label: {column: stolen}
    """,
    "a test",
)
RNG = np.random.default_rng(0)
LABELS = (np.arange(5000) % 100 == 0).astype(np.int8)
HONEST = {
    "price": RNG.normal(0, 1, 5000) + 2 * LABELS,
    "disputed_later": RNG.normal(0, 1, 5000),
    "cup": RNG.choice(["small", "large"], 5000),
}


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 5)), min_size=1, max_size=50))
def test_the_power_of_a_column_is_its_average_precision_in_the_better_direction(
    rows: list[tuple[int, int]],
) -> None:
    labels = np.array([1, *(label for label, _ in rows)])
    values = np.array([2, *(value for _, value in rows)], dtype=np.float32)
    found = ranking_power(values, labels)
    both = (average_precision_score(labels, sign * values) for sign in (1, -1))
    assert found == pytest.approx(max(both))


def test_an_honest_table_passes() -> None:
    refuse_leaks(CARD, HONEST, LABELS, trusted=())


@pytest.mark.parametrize("sign", [1, -1])
def test_a_planted_column_that_knows_the_future_is_found(sign: int) -> None:
    planted = HONEST | {"disputed_later": sign * (LABELS + RNG.normal(0, 0.05, 5000))}
    with pytest.raises(DataError, match=r"^feature 'disputed_later' alone ranks .* data\.trusted"):
        refuse_leaks(CARD, planted, LABELS, trusted=())


def test_a_planted_category_is_found_by_its_own_feature() -> None:
    planted = HONEST | {"cup": np.where(LABELS == 1, "refunded", HONEST["cup"])}
    with pytest.raises(DataError, match="'cup=refunded' alone"):
        refuse_leaks(CARD, planted, LABELS, trusted=())


def test_what_is_trusted_passes() -> None:
    planted = HONEST | {"disputed_later": LABELS.astype(np.float64)}
    refuse_leaks(CARD, planted, LABELS, trusted=("disputed_later",))


@pytest.mark.parametrize(
    ("frauds", "noise", "refused"),
    [(9, 0.0, False), (10, 0.0, True), (19, 0.22, False), (50, 0.22, True)],
)
def test_the_fewer_frauds_the_surer_it_must_be(frauds: int, noise: float, refused: bool) -> None:
    few = np.zeros(5000, np.int8)
    few[:frauds] = 1
    planted = few + np.random.default_rng(1).normal(0, noise, 5000)
    assert (0.9 < ranking_power(planted.astype(np.float32), few) < 0.99) == (noise > 0)
    table = HONEST | {"disputed_later": planted}
    if refused:
        with pytest.raises(DataError, match="disputed_later"):
            refuse_leaks(CARD, table, few, trusted=())
    else:
        refuse_leaks(CARD, table, few, trusted=())
