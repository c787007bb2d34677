"""How long a search goes on, and whose turn it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fraudloop.errors import ParamsError
from fraudloop.training.keep import FINALISTS

if TYPE_CHECKING:
    from fraudloop.training.tune import Search

MINUTES = 10.0
# Of the minutes, the most that is set aside for judging what was found.
SET_ASIDE = 1 / 3


@dataclass(frozen=True)
class Budget:
    """How long to search: so many minutes for all candidates, so many trials of each, or both."""

    minutes: float | None
    trials: int | None

    @classmethod
    def of(cls, minutes: float | None, trials: int | None) -> Budget:
        """The budget that was asked for, or the usual one."""
        if minutes is not None and not 0 < minutes < math.inf:
            raise ParamsError(f"--minutes is {minutes:g}: give it a number above 0")
        if trials is not None and trials < 1:
            raise ParamsError(f"--trials is {trials}: give it a number above 0")
        return cls(MINUTES if minutes is None and trials is None else minutes, trials)

    def next(self, searches: Sequence[Search], minutes: float) -> Search | None:
        """Whose turn it is after so many minutes, or None when the search is over.

        Of trials each candidate gets as many as the others; of minutes, as much time. Whenever it
        is stopped, all have had their share.
        """
        if self.minutes is not None:
            to_conclude = min(minutes_to_conclude(searches), self.minutes * SET_ASIDE)
            if minutes + to_conclude >= self.minutes:
                return None
        open_to_more = [
            each
            for each in searches
            if each.has_given or (not each.is_hopeless and len(each.trials) < self._most)
        ]
        if self.trials is None:
            return min(open_to_more, key=lambda each: each.seconds, default=None)
        return min(open_to_more, key=lambda each: len(each.trials), default=None)

    @property
    def _most(self) -> float:
        return math.inf if self.trials is None else self.trials

    def share(self, searches: Sequence[Search], minutes: float) -> float:
        """How much of it is spent, of 1."""
        by_minutes = minutes / self.minutes if self.minutes else 0.0
        done = sum(len(each.trials) for each in searches)
        by_trials = done / (self.trials * len(searches)) if self.trials else 0.0
        return min(max(by_minutes, by_trials), 1.0)

    def left(self, searches: Sequence[Search], minutes: float) -> str:
        """How much of it is left, as it is said."""
        if self.minutes is not None:
            return f"{max(self.minutes - minutes, 0.0):.1f} minutes left"
        done = sum(len(each.trials) for each in searches)
        return f"{(self.trials or 0) * len(searches) - done} trials left"


def minutes_to_conclude(searches: Sequence[Search]) -> float:
    """How long it takes to judge what was found: each setting takes about as long as its trial."""
    seconds = 0.0
    for each in searches:
        complete = [trial.seconds for trial in each.trials if trial.state == "complete"]
        if complete:
            seconds += min(len(complete), FINALISTS + 1) * sum(complete) / len(complete)
    return seconds / 60
