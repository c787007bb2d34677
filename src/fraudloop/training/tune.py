"""Searching a candidate's parameters: each trial is one setting, judged on folds.

Why it is done this way: docs/decisions/0008-tuning.md.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fraudloop.dataset.card import Card
from fraudloop.errors import ParamsError, TrainingError
from fraudloop.params import Candidate
from fraudloop.training import candidates, spaces
from fraudloop.training.spaces import Choice, Dimension

if TYPE_CHECKING:
    import optuna
    import pandas as pd
    from optuna.distributions import BaseDistribution

COMPLETED_FIRST = 5  # trials that nothing is dropped before
FOLDS_FIRST = 2  # folds that nothing is dropped before: one alone says too little
REFUSED_FIRST = 5  # trials: a candidate none of whose first ones can be fitted is given up
# Attributes of a study: which one it is of all that ever were, and how many trials it had when last
# concluded.
KEY = "key"
CONCLUDED = "concluded"

State = Literal["complete", "pruned", "refused"]
STATES: dict[str, State] = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "refused"}


@dataclass(frozen=True)
class Target:
    """A candidate as `params.yaml` has it now, and where better settings may lie."""

    sampler: str
    estimator: str
    present: Candidate
    space: Mapping[str, Dimension]

    @property
    def name(self) -> str:
        """How the candidate is called everywhere."""
        return candidates.name(self.sampler, self.estimator)


@dataclass(frozen=True)
class Trial:
    """One setting, and its average precision on the folds it was tried on."""

    number: int
    candidate: Candidate
    folds: tuple[float, ...]
    state: State
    seconds: float
    refusal: str | None = None

    @property
    def mean(self) -> float:
        """Over its folds; of a complete trial, what the search wants to be high."""
        return float(np.mean(self.folds)) if self.folds else 0.0


def average_precision(
    target: Target,
    candidate: Candidate,
    fitted: pd.DataFrame,
    judged: pd.DataFrame,
    card: Card,
    *,
    seed: int,
    threads: int,
) -> float:
    """Fit on some rows, judge by others: to six decimals, as every figure."""
    from sklearn.metrics import average_precision_score

    from fraudloop.training.fit import fit, log_odds

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the figure says how bad a setting is
        pipeline = fit(
            fitted, card, target.sampler, target.estimator, candidate, seed=seed, threads=threads
        )
    labels = judged[card.label.column].to_numpy()
    return round(float(average_precision_score(labels, log_odds(pipeline, judged, card))), 6)


def rows_digest(table: pd.DataFrame) -> str:
    """What tells one table from another: its values, in their order."""
    import pandas as pd

    rows = pd.util.hash_pandas_object(table, index=False).to_numpy()
    return hashlib.sha256(rows.tobytes()).hexdigest()


def study_name(target: Target, card: Card, circumstances: Mapping[str, str]) -> str:
    """The name of a study: another one wherever its trials could not be compared.

    What `params.yaml` has within the space is left out: once a better setting is written there, it
    is one more trial of the same study.
    """
    kept = {
        part: {key: value for key, value in settings if f"{part}.{key}" not in target.space}
        for part, settings in (
            ("sampler", sorted(target.present.sampler.items())),
            ("estimator", sorted(target.present.estimator.items())),
        )
    }
    entries = candidates.SAMPLERS[target.sampler], candidates.ESTIMATORS[target.estimator]
    content = {
        "card": card.model_dump_json(),
        "catalogue": repr(entries),
        "kept": kept,
        "space": repr(sorted(target.space.items())),
        **circumstances,
    }
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return f"{target.name} {digest[:16]}"


def in_force(target: Target, card: Card) -> dict[str, Any]:
    """What is set now, by its dotted place, whoever says it: candidate, catalogue or library."""
    pipeline = candidates.build(
        target.sampler, target.estimator, target.present, card, seed=0, threads=1
    )
    parts = {"estimator": pipeline[-1].estimator}
    if "sampler" in pipeline.named_steps:
        step = pipeline.named_steps["sampler"]
        parts["sampler"] = getattr(step, "sampler", step)
    return {
        f"{part}.{name}": value
        for part, made in sorted(parts.items())
        for name, value in made.get_params(deep=False).items()
    }


class Search:
    """The trials of one candidate, in a study that may have been begun before.

    A trial's settings follow from the seed and from the trials that ended before it: a search that
    was stopped and gone on with ends as one that was not.
    """

    def __init__(
        self,
        target: Target,
        study: optuna.Study,
        card: Card,
        judge: Callable[[Candidate, int], float],
        *,
        folds: int,
        seed: int,
        clock: Callable[[], float],
    ) -> None:
        from optuna.pruners import MedianPruner

        self.target = target
        self.study = study
        self._judge = judge
        self._folds = folds
        self._seed = seed
        self._clock = clock
        self._space = {place: _distribution(each) for place, each in target.space.items()}
        study.pruner = MedianPruner(COMPLETED_FIRST, n_warmup_steps=FOLDS_FIRST - 1)
        self._take_up_what_was_interrupted()
        self._queue_the_present_setting(card)

    @property
    def trials(self) -> list[Trial]:
        """Those that ended, in the order in which they began."""
        return [
            Trial(
                number=each.number,
                candidate=Candidate.model_validate_json(each.user_attrs["candidate"]),
                folds=tuple(each.user_attrs.get("folds", ())),
                state=STATES[each.state.name],
                seconds=each.user_attrs.get("seconds", 0.0),
                refusal=each.user_attrs.get("refusal"),
            )
            for each in self.study.get_trials(deepcopy=False)
            if each.state.is_finished() and not _was_interrupted(each)
        ]

    @property
    def key(self) -> str:
        """Which study it is: not only by its name, as a fresh one of the same name is another."""
        return str(self.study.user_attrs[KEY])

    @property
    def best(self) -> Trial | None:
        """The complete trial with the highest mean so far."""
        complete = [each for each in self.trials if each.state == "complete"]
        return max(complete, key=lambda each: each.mean, default=None)

    @property
    def seconds(self) -> float:
        """What its trials took since it was last concluded."""
        concluded = int(self.study.user_attrs.get(CONCLUDED, 0))
        return sum(each.seconds for each in self.trials[concluded:])

    @property
    def has_given(self) -> bool:
        """Whether the present setting, which is measured in any case, still waits for its turn."""
        from optuna.trial import TrialState

        waiting = self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        return any("given" in each.user_attrs for each in waiting)

    @property
    def is_hopeless(self) -> bool:
        """Whether its settings cannot be fitted, one like the other."""
        trials = self.trials
        return len(trials) >= REFUSED_FIRST and all(each.state == "refused" for each in trials)

    def conclude(self) -> None:
        """Remember that all trials until now were judged."""
        self.study.set_user_attr(CONCLUDED, len(self.trials))

    def once(self, what: str, measure: Callable[[], float]) -> float:
        """What was measured under this name before, or is now."""
        if what not in self.study.user_attrs:
            self.study.set_user_attr(what, measure())
        return float(self.study.user_attrs[what])

    def advance(self) -> Trial:
        """Try one more setting, to its end."""
        from optuna.samplers import TPESampler

        ended = self.trials
        seed = _seed(self._seed, self.target.name, len(ended))
        self.study.sampler = TPESampler(seed=seed, constant_liar=False)
        trial = self.study.ask(self._space)
        if "candidate" not in trial.user_attrs:
            settings = {place: trial.params[place] for place in self._space}
            candidate = spaces.candidate(settings, self.target.present)
            trial.set_user_attr("candidate", candidate.model_dump_json())
        self._run(trial, next((each for each in ended if each.state == "complete"), None))
        return next(each for each in self.trials if each.number == trial.number)

    def _run(self, trial: optuna.Trial, first: Trial | None) -> None:
        from optuna.trial import TrialState

        candidate = Candidate.model_validate_json(trial.user_attrs["candidate"])
        given = "given" in trial.user_attrs
        measured = list(trial.user_attrs.get("folds", ()))
        seconds = trial.user_attrs.get("seconds", 0.0)
        for place in range(self._folds):
            if place == len(measured):
                began = self._clock()
                try:
                    measured.append(self._judge(candidate, place))
                except (ParamsError, TrainingError) as refusal:
                    trial.set_user_attr("refusal", str(refusal))
                seconds += self._clock() - began
                trial.set_user_attr("folds", measured)
                trial.set_user_attr("seconds", round(seconds, 3))
                if "refusal" in trial.user_attrs:
                    self.study.tell(trial, state=TrialState.FAIL)
                    return
            # Folds differ more than settings do: what is compared is the lead over the first trial.
            theirs = measured if first is None else first.folds
            lead = np.mean(measured[: place + 1]) - np.mean(theirs[: place + 1])
            trial.report(float(lead), place)
            if place + 1 < self._folds and not given and trial.should_prune():
                self.study.tell(trial, state=TrialState.PRUNED)
                return
        self.study.tell(trial, float(np.mean(measured)))

    def _take_up_what_was_interrupted(self) -> None:
        from optuna.trial import TrialState

        for each in self.study.get_trials(states=(TrialState.RUNNING,)):
            self.study.tell(each.number, state=TrialState.FAIL)
            if "candidate" in each.user_attrs:
                self.study.enqueue_trial(each.params, user_attrs=each.user_attrs)

    def _queue_the_present_setting(self, card: Card) -> None:
        told = self.target.present.model_dump_json()
        for each in self.study.get_trials(deepcopy=False):
            measured = each.state.name != "PRUNED" and not _was_interrupted(each)
            if measured and each.user_attrs.get("candidate") == told:
                return
        values = in_force(self.target, card)
        near = {
            place: _nearest(each, values.get(place)) for place, each in self.target.space.items()
        }
        self.study.enqueue_trial(near, user_attrs={"candidate": told, "given": True})


def _was_interrupted(trial: optuna.trial.FrozenTrial) -> bool:
    return trial.state.name == "FAIL" and "refusal" not in trial.user_attrs


def _seed(seed: int, name: str, place: int) -> int:
    digest = hashlib.sha256(f"{seed} {name} {place}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def _distribution(dimension: Dimension) -> BaseDistribution:
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    if isinstance(dimension, Choice):
        return CategoricalDistribution(dimension.options)
    if dimension.whole:
        return IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log)


def _nearest(dimension: Dimension, value: Any) -> Any:
    """What the search learns of a setting that it did not choose: the nearest that it could have.

    A value that is no number ("sqrt", or None for what a library finds out) counts as the middle.
    """
    if isinstance(dimension, Choice):
        return value if value in dimension.options else dimension.options[0]
    if isinstance(value, bool) or not isinstance(value, int | float):
        value = dimension.middle
    inside = min(max(value, dimension.low), dimension.high)
    return round(inside) if dimension.whole else inside
