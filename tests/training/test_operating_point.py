"""The threshold is the best there is, and lies between scores, not on one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fraudloop.training.operating_point import WAYS, by_capacity, by_cost, thresholds
from fraudloop.training.scored import Policy, Scored

LEAST = float(np.nextafter(0, 1))
NEAR_HALF = [0.5, float(np.nextafter(0.5, 1)), float(np.nextafter(0.5, 0))]
# Few values, so that there are ties; ends and neighbours, so that there is no room between them.
VALUES = st.one_of(
    st.sampled_from([0.0, 1.0, 0.1, 0.25, 0.9, LEAST, float(np.nextafter(1, 0)), *NEAR_HALF]),
    st.floats(0, 1),
)
AMOUNTS = st.sampled_from([0.0, 1.0, 3.0, 40.0])
ROWS = st.lists(st.tuples(st.integers(0, 1), VALUES, AMOUNTS), min_size=1, max_size=40)
POLICIES = st.builds(
    Policy,
    review_cost=st.sampled_from([0.5, 1.0, 7.0]),
    lost_share=st.sampled_from([0.1, 1.0]),
    alert_share=st.floats(0.01, 1),
)


def rows_of(given: list[tuple[int, float, float]]) -> Scored:
    labels, scores, amounts = zip(*given, strict=True)
    labels = (1, *labels[1:])  # the pipeline refuses a split without fraud before it comes to this
    return Scored(np.array(labels, np.int8), np.array(scores), np.array(amounts))


def alerts(rows: Scored, threshold: float) -> NDArray[np.bool_]:
    return rows.scores >= threshold


def cost(rows: Scored, threshold: float, policy: Policy) -> float:
    """By its definition."""
    missed = int((~alerts(rows, threshold) & (rows.labels == 1)).sum())
    average = float(rows.amounts[rows.labels == 1].mean())
    reviewed = int(alerts(rows, threshold).sum())
    return policy.review_cost * reviewed + policy.lost_share * average * missed


def every_cut(rows: Scored) -> list[float]:
    return [*np.unique(rows.scores).tolist(), 2.0]


@given(ROWS, POLICIES)
@example([(1, 1.0, 0.0)], Policy(1.0, 1.0, 1.0))
@example([(0, 1.0, 3.0)], Policy(1.0, 1.0, 1.0))
@example([(1, NEAR_HALF[1], 40.0), (0, 0.5, 0.0)], Policy(1.0, 1.0, 1.0))
def test_no_threshold_costs_less(given: list[tuple[int, float, float]], policy: Policy) -> None:
    rows = rows_of(given)
    threshold = by_cost(rows, policy)
    found = cost(rows, threshold, policy)
    costs = {cut: cost(rows, cut, policy) for cut in every_cut(rows)}
    assert found == pytest.approx(min(costs.values()))
    # Of equals the highest: whatever alerts on fewer rows costs more.
    fewer = [cut for cut in costs if alerts(rows, cut).sum() < alerts(rows, threshold).sum()]
    assert all(costs[cut] > found - 1e-9 for cut in fewer)


@given(ROWS, POLICIES)
@example([(0, 0.3, 0.0), (1, 0.3, 0.0)], Policy(1.0, 1.0, 0.5))
def test_no_more_alerts_than_can_be_reviewed_and_no_fewer_than_need_be(
    given: list[tuple[int, float, float]], policy: Policy
) -> None:
    rows = rows_of(given)
    most = max(1, int(policy.alert_share * len(rows)))
    raised = alerts(rows, by_capacity(rows, policy)).sum()
    possible = [alerts(rows, cut).sum() for cut in every_cut(rows)]
    assert raised == max(count for count in possible if count <= most)


@pytest.mark.parametrize("way", WAYS)
@given(ROWS, POLICIES)
@example([(1, 0.0, 9.0), (0, 0.0, 9.0)], Policy(1.0, 1.0, 1.0))
@example([(1, LEAST, 9.0), (0, 0.0, 9.0)], Policy(1.0, 1.0, 0.5))
@example([(1, 0.5, 9.0), (0, NEAR_HALF[2], 9.0)], Policy(1.0, 1.0, 0.5))
@example([(0, 1.0, 9.0)], Policy(1.0, 1.0, 0.5))
def test_the_threshold_is_a_score_only_where_no_float_is_between(
    way: str, given: list[tuple[int, float, float]], policy: Policy
) -> None:
    rows = rows_of(given)
    threshold = WAYS[way](rows, policy)
    assert 0 <= threshold <= np.nextafter(1.0, 2.0)
    if threshold in rows.scores:
        below = max([0.0, *rows.scores[rows.scores < threshold]])
        assert threshold in {0.0, float(np.nextafter(below, 1))}


def test_it_lies_midway_so_that_rounding_a_score_moves_no_decision() -> None:
    rows = Scored(
        np.array([1, 1, 0, 0], np.int8), np.array([0.9, 0.6, 0.4, 0.2]), np.full(4, 100.0)
    )
    found = thresholds(rows, Policy(review_cost=1, lost_share=1, alert_share=0.75))
    assert found == {"cost": pytest.approx(0.5), "capacity": pytest.approx(0.3)}


def test_a_hand_worked_case() -> None:
    """The average fraud takes 20: three more alerts for one more are worth it at 6, not at 7."""
    labels = np.array([1, 1, 0, 0, 1, 0], np.int8)
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.1])
    rows = Scored(labels, scores, np.array([50.0, 8.0, 999.0, 999.0, 2.0, 999.0]))
    assert by_cost(rows, Policy(6, 1, 1)) == pytest.approx(0.3)
    assert by_cost(rows, Policy(7, 1, 1)) == pytest.approx(0.75)
    # Where a tenth is lost, no review of 7 is worth its cost.
    assert by_cost(rows, Policy(7, 0.1, 1)) > 0.9


def test_one_large_fraud_does_not_choose_the_threshold() -> None:
    labels = np.array([1, 1, 1, 1, 0, 0], np.int8)
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.1])
    amounts = np.array([1.0, 1.0, 900.0, 1.0, 5.0, 5.0])
    for order in ([0, 1, 2, 3], [2, 0, 1, 3], [3, 1, 0, 2]):
        shuffled = amounts.copy()
        shuffled[:4] = amounts[order]
        found = by_cost(Scored(labels, scores, shuffled), Policy(5, 1, 1))
        assert found == pytest.approx(0.55)


@pytest.mark.parametrize("way", WAYS)
def test_the_order_of_rows_does_not_matter(way: str) -> None:
    rng = np.random.default_rng(0)
    rows = Scored(
        rng.integers(0, 2, 300).astype(np.int8), rng.integers(0, 9, 300) / 9, rng.random(300)
    )
    mixed = rows.only(rng.permutation(300))
    policy = Policy(0.3, 1, 0.4)
    assert WAYS[way](mixed, policy) == WAYS[way](rows, policy)
