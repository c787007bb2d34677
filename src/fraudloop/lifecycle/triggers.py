"""When a model is trained anew without anybody's asking: one reason, the most pressing, or none."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from fraudloop.params import Params, Retraining


@dataclass(frozen=True)
class Facts:
    """What is known of a model now.

    `trained_at` is when its last training was asked for, or its champion registered: what came
    later is new to it. `over_at` is when the last training ended, well or not; `drifted` and
    `broken` are sentences.
    """

    now: datetime
    trained_at: datetime | None = None
    over_at: datetime | None = None
    drifted: str | None = None
    broken: str | None = None
    new_verdicts: int = 0


@dataclass(frozen=True)
class Answer:
    """Whether to train, and why or why not."""

    due: bool
    why: str


def answer(facts: Facts, rules: Retraining) -> Answer:
    """Whether it is time.

    >>> rules = Retraining(
    ...     new_rows=1000, new_verdicts=500, every_days=31, cooldown_hours=24, promote="person")
    >>> monday = datetime(2026, 11, 30)
    >>> answer(Facts(monday, monday, new_verdicts=499), rules).due
    False
    >>> answer(Facts(monday, monday, new_verdicts=500), rules)
    Answer(due=True, why='500 new verdicts')
    """
    rested_at = None if facts.over_at is None else facts.over_at + _hours(rules.cooldown_hours)
    if rested_at is not None and facts.now < rested_at:
        said = f"the last training ended at {_shown(facts.over_at)}, and the next may begin at "
        return Answer(False, f"{said}{_shown(rested_at)}")
    if facts.broken is not None:
        return Answer(True, f"outcomes: {facts.broken}")
    if facts.drifted is not None:
        return Answer(True, f"drift: {facts.drifted}")
    if facts.new_verdicts >= rules.new_verdicts:
        return Answer(True, f"{facts.new_verdicts:,} new verdicts")
    if facts.trained_at is None:
        return Answer(False, "no model decides yet: ask for an initial training")
    old = facts.now - facts.trained_at
    if old >= timedelta(days=rules.every_days):
        return Answer(True, f"the last training is {old.days} days ago")
    return Answer(
        False,
        f"no drift, no broken bound, {facts.new_verdicts:,} of {rules.new_verdicts:,} new "
        f"verdicts, and the last training is {old.days} of {rules.every_days:g} days ago",
    )


def rules_of(params: Params) -> Retraining:
    """What params.yaml says of training anew."""
    return params.retraining


def _hours(hours: float) -> timedelta:
    return timedelta(hours=hours)


def _shown(moment: datetime | None) -> str:
    return "-" if moment is None else moment.isoformat(sep=" ", timespec="minutes")
