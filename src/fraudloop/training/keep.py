"""Which of the settings that were tried are worth keeping, and how `params.yaml` says them.

How often noise alone gets past these rules: docs/decisions/0008-tuning.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from fraudloop.params import Candidate
from fraudloop.training import spaces
from fraudloop.training.spaces import Dimension
from fraudloop.training.tune import Target, Trial

FINALISTS = 3  # of each candidate
STANDARD_ERRORS = 2.0  # by so many a lead must exceed zero


@dataclass(frozen=True)
class Standing:
    """A setting, looked at again: on the folds under a new seed, and on the validation part.

    Together they are successive stretches of time, the last of which the search has not seen.
    """

    candidate: Candidate
    folds: tuple[float, ...]
    validation: float

    @property
    def periods(self) -> NDArray[np.float64]:
        """Its average precision on each stretch."""
        return np.array([*self.folds, self.validation])


@dataclass(frozen=True)
class Lead:
    """How far one setting is ahead of another, and the standard error of that."""

    mean: float
    error: float

    @classmethod
    def of(cls, one: Standing, other: Standing) -> Lead:
        """The mean lead over the stretches, and what their differing says of its error.

        >>> one, other = (Standing(Candidate(), (high, high - 0.01), 0.8) for high in (0.72, 0.7))
        >>> lead = Lead.of(one, other)
        >>> round(lead.mean, 4), round(lead.error, 4), lead.real
        (0.0133, 0.0067, False)
        """
        ahead = one.periods - other.periods
        return cls(float(ahead.mean()), float(ahead.std(ddof=1) / np.sqrt(len(ahead))))

    @property
    def real(self) -> bool:
        """Whether it is more than noise."""
        return self.mean > STANDARD_ERRORS * self.error


@dataclass(frozen=True)
class Conclusion:
    """What came of the search of one candidate; None where there was nothing to judge."""

    target: Target
    trials: int
    present: Trial | None
    best: Trial | None
    validation: Mapping[str, float]  # of `present` and of `best`
    lead: Lead | None
    kept: Candidate


def conclude(
    target: Target,
    trials: Sequence[Trial],
    validation: Callable[[Candidate], float],
    again: Callable[[Candidate], tuple[float, ...]],
) -> Conclusion:
    """Judge the finalists beside the present setting, by validation rows first.

    `again` measures a setting on the folds under a seed that the search did not use. The best of
    many is best by luck too, and luck does not come twice.
    """
    present = next(
        (each for each in trials if each.state == "complete" and each.candidate == target.present),
        None,
    )
    refused = any(each.state == "refused" and each.candidate == target.present for each in trials)
    if present is None and not refused:  # there was no time to measure it
        return Conclusion(target, len(trials), None, None, {}, None, target.present)
    found = finalists(trials, present)
    on_validation = {each.number: validation(each.candidate) for each in found}
    if present is None:
        best = max(found, key=lambda each: on_validation[each.number], default=None)
        figures = {} if best is None else {"best": on_validation[best.number]}
        kept = target.present if best is None else best.candidate
        return Conclusion(target, len(trials), None, best, figures, None, kept)

    before = validation(target.present)
    standing = {
        each.number: Standing(each.candidate, again(each.candidate), on_validation[each.number])
        for each in found
        if on_validation[each.number] >= before
    }
    best, lead, kept = next(iter(found), None), None, target.present
    if standing:
        now = Standing(target.present, again(target.present), before)
        chosen = choose(now, list(standing.values()), target.space)
        shown = max(standing.values(), key=_height) if chosen == now else chosen
        best = next(each for each in found if each.candidate == shown.candidate)
        lead, kept = Lead.of(shown, now), chosen.candidate
    figures = {"present": before} | ({} if best is None else {"best": on_validation[best.number]})
    return Conclusion(target, len(trials), present, best, figures, lead, kept)


def finalists(trials: Sequence[Trial], present: Trial | None) -> list[Trial]:
    """The best complete trials that are ahead of the present setting; of equals, the first."""
    ahead: dict[str, Trial] = {}
    for trial in sorted(trials, key=lambda each: (-each.mean, each.number)):
        if trial.state == "complete" and (present is None or trial.mean > present.mean):
            ahead.setdefault(trial.candidate.model_dump_json(), trial)
    return list(ahead.values())[:FINALISTS]


def choose(
    present: Standing, found: Sequence[Standing], space: Mapping[str, Dimension]
) -> Standing:
    """The best of those that really lead the present setting and do so on validation, or it.

    Of those that the best does not really lead in turn, the one that is the least work to fit.
    """
    better = [
        each
        for each in found
        if each.validation >= present.validation and Lead.of(each, present).real
    ]
    if not better:
        return present
    best = max(better, key=_height)
    as_good = [best, *(each for each in better if each != best and not Lead.of(best, each).real)]
    return min(as_good, key=lambda each: spaces.work(each.candidate, space))


def lines(kept: Mapping[tuple[str, str], Candidate]) -> str:
    """The lines of `params.yaml` that say these settings of each sampler and estimator.

    >>> print(lines({("none", "linear_svm"): Candidate(estimator={"C": 0.001})}), end="")
    candidates:
      none:
        linear_svm:
          estimator: {C: 0.001}
    """
    content: dict[str, dict[str, Any]] = {}
    for (sampler, estimator), candidate in kept.items():
        said = candidate.model_dump(mode="json")
        content.setdefault(sampler, {})[estimator] = {
            part: settings for part, settings in said.items() if settings
        }
    return yaml.safe_dump(
        {"candidates": content}, sort_keys=False, default_flow_style=None, width=90
    )


def _height(standing: Standing) -> float:
    return float(standing.periods.mean())
