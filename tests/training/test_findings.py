"""Every sentence is said when the figures say so, and not otherwise."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from fraudloop.dataset import card as cards
from fraudloop.training.findings import findings, span
from tests.fitted import PARAMS, ROOT

CARD = cards.load(ROOT / PARAMS.paths.card)
AP = "average_precision"


def figures(value: float, reach: float = 0.05) -> dict[str, Any]:
    """Average precision and recall of so much, with an interval of so far to either side."""
    interval = {"low": value - reach, "high": value + reach}
    return {
        AP: value,
        "recall": value,
        "frauds": 500,
        "interval": {AP: interval, "recall": interval},
    }


def at(alerts: int) -> dict[str, Any]:
    return {"threshold": 0.2, "test": {"alerts": alerts, "precision": 0.9, "recall": 0.8}}


def behind(real: bool) -> dict[str, Any]:
    return {"real": real}


def quality(brier: float) -> dict[str, float]:
    return {"brier": brier, "calibration_error": brier}


EVALUATED: dict[str, Any] = {
    "accounts": {
        "temporal": {
            "test": figures(0.84),
            "validation": figures(0.86),
            "calibration": {"test": {"before": quality(0.02), "after": quality(0.01)}},
            "operating_point": {"decided_by": "cost", "cost": at(12), "capacity": at(34)},
        },
        "stratified": {"test": figures(0.85), "validation": figures(0.86)},
    },
    "candidates": [
        {"candidate": "one", "behind": None},
        {"candidate": "two", "behind": behind(False)},
        {"candidate": "three", "behind": behind(True)},
    ],
    "champion": "one",
    "dataset": {"split": "temporal"},
    "left_out": {},
    "floor": {"random": {AP: 0.002}},
    "oracle": {AP: 1.0},
    "slices": {"temporal": {"amount": [figures(0.83) | {"label": "below 7", "frauds": 9}]}},
    "study": [{"sampler": "none", "rightly": 0.8}],
    "test": figures(0.84),
}
REPORT = {"synthetic": False, "published": False}


def said(evaluated: dict[str, Any], **report: bool) -> dict[str, bool]:
    """What is said, and whether as a caution."""
    found = findings(evaluated, REPORT | report, CARD)
    return {finding.text: finding.caution for finding in found}


def changed(path: str, value: Any) -> dict[str, Any]:
    evaluated = copy.deepcopy(EVALUATED)
    *parents, last = path.split(".")
    place = evaluated
    for name in parents:
        place = place[name]
    place[last] = value
    return evaluated


def test_an_ordinary_result_has_no_caution() -> None:
    assert not any(said(EVALUATED).values())


@pytest.mark.parametrize(
    ("evaluated", "report", "sentence", "caution"),
    [
        (EVALUATED, {"synthetic": True}, "nothing about fraud", True),
        (changed("accounts.temporal.test", figures(0.98)), {}, "presume that a column knows", True),
        (
            changed("accounts.stratified.test", figures(0.91)),
            {"published": True},
            "above 0.9: presume",
            True,
        ),
        (changed("test.frauds", 50), {}, "each is 2.0% of recall", False),
        (changed("test", figures(0.7)), {}, "Expect the latter", True),
        (
            changed("accounts.temporal.calibration.test.after", quality(0.03)),
            {},
            "from 0.020000 to 0.030000",
            True,
        ),
        (
            changed("slices.temporal.amount", [figures(0.6) | {"label": "below 7", "frauds": 9}]),
            {},
            "in: below 7 (amount: 60% (55% to 65%), 9 frauds)",
            True,
        ),
        (
            changed("study", [{"sampler": "smote", "rightly": 0.8, "wrongly": 0.99}]),
            {},
            "feigned an average precision of smote 0.990 instead of 0.800",
            False,
        ),
        (changed("oracle", {AP: 0.9}), {}, "the figures themselves are broken", True),
        (
            changed("test", figures(0.04)),
            {},
            "cannot be told from random scores",
            True,
        ),
    ],
)
def test_a_sentence_is_said_only_when_the_figures_say_so(
    evaluated: dict[str, Any], report: dict[str, bool], sentence: str, caution: bool
) -> None:
    assert not any(sentence in text for text in said(EVALUATED))
    found = said(evaluated, **report)
    assert [is_caution for text, is_caution in found.items() if sentence in text] == [caution]
    assert sorted(found.values(), reverse=True) == list(found.values())  # cautions first


def test_of_a_handful_of_frauds_a_perfect_ranking_proves_no_leak() -> None:
    few = changed("accounts.temporal.test", figures(1.0) | {"frauds": 7})
    assert not any("presume" in text for text in said(few))


@pytest.mark.parametrize(
    ("value", "place"),
    [(0.85, "in keeping with it"), (0.75, "below it"), (0.95, "above it"), (0.80, "in keeping")],
)
def test_the_published_file_is_held_against_what_others_reached(value: float, place: str) -> None:
    evaluated = changed("accounts.stratified.test", figures(value))
    (sentence,) = [text for text in said(evaluated, published=True) if "Published figures" in text]
    assert "between 0.82 and 0.87" in sentence
    assert f"{value:.3f} (" in sentence
    assert place in sentence
    assert not any("Published figures" in text for text in said(evaluated))


def test_candidates_that_cannot_be_told_from_the_champion_are_named() -> None:
    (sentence,) = [text for text in said(EVALUATED) if "The champion one" in text]
    assert "1 of the 2 others cannot be told from it" in sentence
    assert "two" in sentence
    assert "three" not in sentence
    clear = changed("candidates", [EVALUATED["candidates"][0], EVALUATED["candidates"][2]])
    assert any("better on validation than each of the 1 other" in text for text in said(clear))
    alone = changed("candidates", EVALUATED["candidates"][:1])
    assert not any("The champion" in text for text in said(alone))


def test_both_thresholds_are_told_the_deciding_one_first() -> None:
    (sentence,) = [text for text in said(EVALUATED) if text.startswith("Decided by")]
    assert sentence.startswith("Decided by cost, the threshold is 0.200: 12 alerts on test, 90%")
    assert "By capacity it would be 0.200: 34 alerts" in sentence


def test_a_figure_that_is_not_known_has_no_span() -> None:
    unknown = {"recall": None, "interval": {"recall": {"low": None, "high": None}}}
    assert span(unknown, "recall") == "unknown"
    assert span(figures(0.5), "recall", ".1%") == "50.0% (45.0% to 55.0%)"


def test_the_default_card_knows_what_others_reached() -> None:
    assert CARD.benchmark is not None
    assert CARD.benchmark.average_precision == (0.82, 0.87)
