"""What the figures say, in sentences: each written from measured values, or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fraudloop.dataset.card import Benchmark, Card

Evaluated = Mapping[str, Any]

# Where no card says what is too good: nothing known on one fraud in 600 has honestly come so far.
TOO_GOOD = 0.97
FEW_FRAUDS, SO_FEW = 200, 20


@dataclass(frozen=True)
class Finding:
    """A sentence; a caution is one to read before any figure is believed."""

    text: str
    caution: bool = False


def findings(evaluated: Evaluated, report: Mapping[str, Any], card: Card) -> list[Finding]:
    """All that is to be said of `evaluation.json`, cautions first."""
    said = [
        *_on_the_data(report),
        *_too_good(evaluated, report, card),
        *_against_the_benchmark(evaluated, report, card.benchmark),
        *_on_few_frauds(evaluated),
        *_on_candidates(evaluated),
        *_on_harder_rows(evaluated),
        *_on_the_other_split(evaluated),
        *_on_thresholds(evaluated),
        *_on_calibration(evaluated),
        *_on_slices(evaluated),
        *_on_sampling(evaluated),
        *_on_bounds(evaluated),
    ]
    return sorted(said, key=lambda finding: not finding.caution)


def span(figures: Mapping[str, Any], name: str, form: str = ".3f") -> str:
    """A figure with its interval: 0.847 (0.769 to 0.916)."""
    interval = figures["interval"][name]
    if figures[name] is None or interval["low"] is None:
        return "unknown"
    return f"{figures[name]:{form}} ({interval['low']:{form}} to {interval['high']:{form}})"


def _on_the_data(report: Mapping[str, Any]) -> Iterator[Finding]:
    if report["synthetic"]:
        yield Finding(
            "Everything here was measured on synthetic data. It says that the code works; it says "
            "nothing about fraud.",
            caution=True,
        )


def _too_good(evaluated: Evaluated, report: Mapping[str, Any], card: Card) -> Iterator[Finding]:
    for way, account in evaluated["accounts"].items():
        benchmark = card.benchmark if report["published"] else None
        limit = TOO_GOOD
        if benchmark is not None and benchmark.split == way:
            limit = benchmark.leak_above
        few = account["test"]["frauds"] < SO_FEW  # of a handful, all are ranked first by chance
        if account["test"]["average_precision"] > limit and not few:
            yield Finding(
                f"Average precision on the {way} split is {span(account['test'], AP)}, above "
                f"{limit:g}: presume that a column knows the label, or that rows stand on two "
                "sides, until the most important features have been explained.",
                caution=True,
            )


def _against_the_benchmark(
    evaluated: Evaluated, report: Mapping[str, Any], benchmark: Benchmark | None
) -> Iterator[Finding]:
    if benchmark is None or not report["published"] or benchmark.split not in evaluated["accounts"]:
        return
    figures = evaluated["accounts"][benchmark.split]["test"]
    low, high = benchmark.average_precision
    interval = figures["interval"][AP]
    if interval["low"] > high:
        place = "above it: see whether the champion's parameters, or a leak, are the reason"
    elif interval["high"] < low:
        place = "below it: the parameters in params.yaml do not suit this file"
    else:
        place = "in keeping with it"
    yield Finding(
        f"Published figures on the {benchmark.split} split that do not leak lie between {low:g} "
        f"and {high:g}. Average precision here is {span(figures, AP)}, {place}."
    )


def _on_few_frauds(evaluated: Evaluated) -> Iterator[Finding]:
    frauds = evaluated["test"]["frauds"]
    if frauds < FEW_FRAUDS:
        yield Finding(
            f"The test rows hold {frauds} frauds, so each is {1 / frauds:.1%} of recall: read the "
            "intervals, not the third decimal."
        )


def _on_candidates(evaluated: Evaluated) -> Iterator[Finding]:
    others = [each for each in evaluated["candidates"] if each["behind"] is not None]
    if not others:
        return
    alike = [each["candidate"] for each in others if not each["behind"]["real"]]
    if not alike:
        yield Finding(
            f"The champion {evaluated['champion']} ranks frauds better on validation than each of "
            f"the {len(others)} other candidates, by more than chance."
        )
        return
    yield Finding(
        f"The champion {evaluated['champion']} had the highest average precision on validation, "
        f"but {len(alike)} of the {len(others)} others cannot be told from it by a paired "
        f"bootstrap (Holm's correction): {', '.join(alike)}. Choose among them by speed or by what "
        "can be explained; its lead is flattered, as the same rows made it champion."
    )


def _on_harder_rows(evaluated: Evaluated) -> Iterator[Finding]:
    validation = _used(evaluated)["validation"]
    test = evaluated["test"][AP]
    if test < validation["interval"][AP]["low"]:
        yield Finding(
            f"Average precision falls from {span(validation, AP)} on validation, where champion "
            f"and threshold were chosen, to {test:.3f} on test. Expect the latter.",
            caution=True,
        )


def _on_the_other_split(evaluated: Evaluated) -> Iterator[Finding]:
    for way, reason in evaluated["left_out"].items():
        yield Finding(f"The same recipe could not be judged on the {way} split: {reason}.")
    for way, account in evaluated["accounts"].items():
        if way != evaluated["dataset"]["split"]:
            yield Finding(
                f"The same recipe, fitted and judged on the {way} split, reaches average precision "
                f"{span(account['test'], AP)}; on the {evaluated['dataset']['split']} split, which "
                f"is in use, {span(evaluated['test'], AP)}."
            )


def _on_thresholds(evaluated: Evaluated) -> Iterator[Finding]:
    point = _used(evaluated)["operating_point"]
    decides = point["decided_by"]
    other = next(way for way in ("cost", "capacity") if way != decides)
    told = {way: _told(point[way]["test"]) for way in (decides, other)}
    yield Finding(
        f"Decided by {decides}, the threshold is {point[decides]['threshold']:.3f}: "
        f"{told[decides]}. By {other} it would be {point[other]['threshold']:.3f}: {told[other]}."
    )


def _used(evaluated: Evaluated) -> Mapping[str, Any]:
    """The account of the split that is in use."""
    account: Mapping[str, Any] = evaluated["accounts"][evaluated["dataset"]["split"]]
    return account


def _told(at: Mapping[str, Any]) -> str:
    return (
        f"{at['alerts']:,} alerts on test, {at['precision']:.0%} of them right, "
        f"{at['recall']:.0%} of the frauds caught"
    )


def _on_calibration(evaluated: Evaluated) -> Iterator[Finding]:
    before, after = (_used(evaluated)["calibration"]["test"][when] for when in ("before", "after"))
    worse = after["brier"] > before["brier"]
    yield Finding(
        f"Calibration took the Brier score on test from {before['brier']:.6f} to "
        f"{after['brier']:.6f}, and the calibration error from "
        f"{before['calibration_error']:.6f} to {after['calibration_error']:.6f}.",
        caution=worse,
    )


def _on_slices(evaluated: Evaluated) -> Iterator[Finding]:
    """Name the slices whose whole interval lies below the figure of all rows."""
    overall = evaluated["test"]["recall"]
    kinds = evaluated["slices"][evaluated["dataset"]["split"]]
    weak = [
        f"{each['label']} ({kind}: {span(each, 'recall', '.0%')}, {each['frauds']} frauds)"
        for kind in ("amount", "hour", "day")
        for each in kinds.get(kind, [])
        if each["frauds"] and each["interval"]["recall"]["high"] < overall
    ]
    if weak:
        yield Finding(
            f"Fewer frauds are caught than the {overall:.0%} of all rows in: {'; '.join(weak)}.",
            caution=True,
        )


def _on_sampling(evaluated: Evaluated) -> Iterator[Finding]:
    flattered = [
        f"{each['sampler']} {each['wrongly']:.3f} instead of {each['rightly']:.3f}"
        for each in evaluated["study"]
        if each.get("wrongly") is not None and each["wrongly"] > each["rightly"]
    ]
    if flattered:
        yield Finding(
            "Resampling before the split would have feigned an average precision of "
            f"{', '.join(flattered)}."
        )


def _on_bounds(evaluated: Evaluated) -> Iterator[Finding]:
    test, random = evaluated["test"], evaluated["floor"]["random"]
    if evaluated["oracle"][AP] != 1.0:
        yield Finding(
            f"The oracle reaches average precision {evaluated['oracle'][AP]} instead of 1: the "
            "figures themselves are broken. Report this.",
            caution=True,
        )
    if test["interval"][AP]["low"] <= random[AP]:
        yield Finding(
            f"The champion cannot be told from random scores ({span(test, AP)}; random "
            f"{random[AP]:.4f}): do not use it.",
            caution=True,
        )


AP = "average_precision"
