"""A search is the same every time, goes on where it stopped, and is soon done with what is bad."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from fraudloop.errors import ParamsError, TrainingError
from fraudloop.params import Candidate
from fraudloop.training import candidates, spaces, tune
from fraudloop.training.spaces import Choice, Number
from fraudloop.training.tune import KEY, Search, Target, Trial
from tests.fitted import PARAMS, card, labels, scores, table

FOLDS = 4
PRESENT = PARAMS.candidates["none"]["logistic_regression"]
TARGET = Target("none", "logistic_regression", PRESENT, spaces.space("none", "logistic_regression"))
# As far from what is best as params.yaml could be.
COLD = Candidate(estimator={"C": 7.0, "max_iter": 100, "class_weight": "balanced"})
Judge = Callable[[Candidate, int], float]


@pytest.fixture(autouse=True, scope="module")
def quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def height(candidate: Candidate, place: int) -> float:
    """Best at C = 0.001, with classes as they are; each fold is harder than the one before."""
    away = math.log10(float(candidate.estimator.get("C", 0.01))) + 3  # type: ignore[arg-type]  # C is a number
    weighed = candidate.estimator.get("class_weight") is not None
    return 0.9 - 0.05 * away**2 - 0.03 * weighed - 0.1 * place


def study() -> optuna.Study:
    made = optuna.create_study(direction="maximize")
    made.set_user_attr(KEY, "one")
    return made


def search(judge: Judge = height, target: Target = TARGET, **changes: Any) -> Search:
    given: dict[str, Any] = {"study": study(), "folds": FOLDS, "seed": 1, "clock": lambda: 0.0}
    return Search(target, card=card(), judge=judge, **(given | changes))


def run(judge: Judge = height, count: int = 12, **changes: Any) -> list[Trial]:
    made = search(judge, **changes)
    return [made.advance() for _ in range(count)]


@pytest.fixture(scope="module")
def uninterrupted() -> list[Trial]:
    return run(count=14)


def test_the_present_setting_is_tried_first_as_it_stands() -> None:
    first = run(count=1)[0]
    assert first.candidate == PRESENT
    assert first.folds == tuple(height(PRESENT, place) for place in range(FOLDS))
    assert first.state == "complete"


def test_the_same_seed_tries_the_same_settings(uninterrupted: list[Trial]) -> None:
    assert run(count=14) == uninterrupted
    assert run(count=14, seed=2)[3:] != uninterrupted[3:]


@settings(max_examples=15)
@given(stops=st.lists(st.integers(0, 45), max_size=3, unique=True))
def test_stopped_anywhere_it_goes_on_where_it_was(
    stops: list[int], uninterrupted: list[Trial]
) -> None:
    begun = study()
    judged: list[tuple[str, int]] = []
    waiting = sorted(stops)

    def interrupted(candidate: Candidate, place: int) -> float:
        if waiting and len(judged) == waiting[0]:
            waiting.pop(0)
            raise KeyboardInterrupt
        judged.append((candidate.model_dump_json(), place))
        return height(candidate, place)

    while len(search(study=begun).trials) < 14:
        goes_on = search(interrupted, study=begun)
        try:
            while len(goes_on.trials) < 14:
                goes_on.advance()
        except KeyboardInterrupt:
            continue
    ended = [replace(each, number=0) for each in search(study=begun).trials]
    assert ended == [replace(each, number=0) for each in uninterrupted]
    assert len(judged) == sum(len(each.folds) for each in uninterrupted)


def test_what_a_killed_process_was_choosing_is_chosen_again(uninterrupted: list[Trial]) -> None:
    begun = study()
    first = search(study=begun)
    for _ in range(5):
        first.advance()
    begun.ask()  # and then killed, before a setting was known
    again = search(study=begun)
    assert again.advance().candidate == uninterrupted[5].candidate


def test_a_search_finds_what_is_better() -> None:
    trials = run(count=30)
    best = max(trials, key=lambda each: each.mean if each.state == "complete" else 0.0)
    assert 0.0003 < float(best.candidate.estimator["C"]) < 0.003  # type: ignore[arg-type]  # C is a number
    assert best.candidate.estimator["class_weight"] is None
    assert best.candidate.estimator["max_iter"] == 500


def test_bad_settings_are_dropped_after_a_few_folds_and_given_ones_never_are() -> None:
    bad = replace(TARGET, present=COLD)
    trials = run(count=30, target=bad)
    pruned = [each for each in trials if each.state == "pruned"]
    complete = [each for each in trials if each.state == "complete"]
    assert trials[0].state == "complete"
    assert all(tune.FOLDS_FIRST <= len(each.folds) < FOLDS for each in pruned)
    assert all(len(each.folds) == FOLDS for each in complete)
    assert len(pruned) > 5
    median = np.median([each.mean for each in complete])
    assert max(height(each.candidate, 0) for each in pruned) - 0.15 < median
    assert all(each.state == "complete" for each in trials[: tune.COMPLETED_FIRST])


def test_what_the_parameters_say_is_measured_to_the_end_however_bad_it_is() -> None:
    begun = study()
    good = search(study=begun)
    for _ in range(15):
        good.advance()
    assert {each.state for each in good.trials} == {"complete", "pruned"}
    trial = search(study=begun, target=replace(TARGET, present=COLD)).advance()
    assert (trial.candidate, trial.state) == (COLD, "complete")


def test_a_dropped_setting_that_the_parameters_now_say_is_measured_to_the_end() -> None:
    begun = study()
    before = search(study=begun)
    while not any(each.state == "pruned" for each in before.trials):
        before.advance()
    dropped = before.trials[-1].candidate
    trial = search(study=begun, target=replace(TARGET, present=dropped)).advance()
    assert (trial.candidate, trial.state) == (dropped, "complete")


def test_the_fold_that_is_easiest_saves_no_setting() -> None:
    """Each fold here is harder, so that every setting is at its best on the first."""
    states = [each.state for each in run(count=30, target=replace(TARGET, present=COLD))]
    easier = run(
        lambda candidate, place: height(candidate, FOLDS - place),
        count=30,
        target=replace(TARGET, present=COLD),
    )
    assert [each.state for each in easier] == states


@pytest.mark.parametrize("refuse", [ParamsError, TrainingError])
def test_a_setting_that_cannot_be_fitted_is_passed_over(refuse: type[Exception]) -> None:
    def judge(candidate: Candidate, place: int) -> float:
        if candidate.estimator.get("class_weight") is None:
            raise refuse("what, where, what to do")
        return height(candidate, place)

    trials = run(judge, count=12)
    refused = [each for each in trials if each.state == "refused"]
    assert refused
    assert {each.refusal for each in refused} == {"what, where, what to do"}
    assert [each.number for each in trials] == list(range(12))


def test_a_candidate_none_of_whose_settings_can_be_fitted_is_given_up() -> None:
    def judge(candidate: Candidate, place: int) -> float:
        raise ParamsError("never")

    made = search(judge)
    hopeless = []
    for _ in range(tune.REFUSED_FIRST):
        made.advance()
        hopeless.append(made.is_hopeless)
    assert hopeless == [False] * (tune.REFUSED_FIRST - 1) + [True]


def test_a_better_setting_in_the_parameters_is_one_more_trial() -> None:
    begun = study()
    before = search(study=begun)
    for _ in range(3):
        before.advance()
    better = Candidate(estimator={**PRESENT.estimator, "C": 0.001, "class_weight": None})
    after = search(study=begun, target=replace(TARGET, present=better))
    assert after.advance().candidate == better
    assert len(after.trials) == 4
    assert after.advance().candidate != better
    found = before.trials[2].candidate
    known = search(study=begun, target=replace(TARGET, present=found))
    assert known.advance().candidate != found


def test_time_counts_from_the_last_conclusion_and_what_was_measured_once_is_known() -> None:
    ticks = iter(range(1000))
    made = search(clock=lambda: float(next(ticks)))
    made.advance()
    assert made.seconds == FOLDS  # each fold took one tick
    made.conclude()
    assert made.seconds == 0
    made.advance()
    assert made.seconds == FOLDS
    assert made.once("validation of it", lambda: 0.5) == 0.5
    assert made.once("validation of it", lambda: 0.7) == 0.5


def named(target: Target = TARGET, **circumstances: str) -> str:
    return tune.study_name(target, card(), {"data": "one"} | circumstances)


def test_trials_are_never_mixed_with_those_of_other_circumstances(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base = named()
    assert named() == base
    assert base.startswith("none-logistic_regression ")
    tried = replace(TARGET, present=Candidate(estimator={**PRESENT.estimator, "C": 5.0}))
    assert named(tried) == base  # within the space: a trial of the same study
    slower = replace(TARGET, present=Candidate(estimator={**PRESENT.estimator, "max_iter": 9}))
    wider = replace(TARGET, space={**TARGET.space, "estimator.C": Number(1e-9, 1.0, log=True)})
    others = [named(slower), named(wider), named(data="two"), named(seed="2")]
    entry = replace(candidates.ESTIMATORS["logistic_regression"], defaults={"C": 3.0})
    monkeypatch.setitem(candidates.ESTIMATORS, "logistic_regression", entry)
    others.append(named())
    assert len({base, *others}) == 6


def test_a_tables_digest_follows_its_values_and_their_order() -> None:
    some = table().head(50)
    digest = tune.rows_digest(some)
    assert tune.rows_digest(some.copy()) == digest
    changed = some.copy()
    changed[card().time] += 1e-9
    assert tune.rows_digest(changed) != digest
    assert tune.rows_digest(some.iloc[::-1]) != digest


def test_what_is_in_force_is_what_is_said_or_else_the_default() -> None:
    said = Candidate(sampler={"k_neighbors": 3}, estimator={"max_depth": 2})
    target = Target("smote", "boosted_trees", said, spaces.space("smote", "boosted_trees"))
    values = tune.in_force(target, card())
    assert values["sampler.k_neighbors"] == 3
    assert values["estimator.max_depth"] == 2
    assert values["estimator.n_estimators"] == 120
    assert values["estimator.reg_lambda"] is None


@pytest.mark.parametrize(
    ("dimension", "value", "near"),
    [
        (Number(1.0, 100.0, log=True), 500, 100.0),
        (Number(1.0, 100.0, log=True), "sqrt", 10.0),
        (Number(1.0, 5.0), None, 3.0),
        (Number(2, 9, whole=True), 1, 2),
        (Number(1, 4, whole=True, log=True), None, 2),
        (Choice(("balanced", None)), None, None),
        (Choice(("balanced", None)), "other", "balanced"),
    ],
)
def test_a_setting_outside_the_space_counts_as_the_nearest_within(
    dimension: Any, value: Any, near: Any
) -> None:
    assert tune._nearest(dimension, value) == near


def test_average_precision_is_that_of_the_fitted_candidate() -> None:
    found = tune.average_precision(
        TARGET, PRESENT, table(), table(), card(), seed=PARAMS.seed, threads=2
    )
    expected = average_precision_score(labels(), scores("logistic_regression"))
    assert found == round(expected, 6)
