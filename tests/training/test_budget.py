"""A budget is shared fairly, and some of it is left for judging what was found."""

from __future__ import annotations

from typing import Any

from fraudloop.params import Candidate
from fraudloop.training.budget import Budget
from fraudloop.training.tune import Trial


class Begun:
    """As much of a search as a budget looks at."""

    def __init__(
        self, seconds: float, trials: int, is_hopeless: bool = False, has_given: bool = False
    ) -> None:
        self.seconds = seconds
        self.trials = [
            Trial(place, Candidate(), (0.5,), "complete", seconds / trials)
            for place in range(trials)
        ]
        self.is_hopeless = is_hopeless
        self.has_given = has_given


def turn(searches: list[Begun], after: float, **budget: Any) -> Begun | None:
    given: dict[str, Any] = {"minutes": None, "trials": None} | budget
    faces: Any = searches
    found: Any = Budget.of(**given).next(faces, after)
    assert found is None or isinstance(found, Begun)
    return found


def test_of_minutes_each_candidate_gets_as_much_time_and_of_trials_as_many() -> None:
    slow, fast, hopeless = Begun(60, 3), Begun(50, 25), Begun(1, 5, is_hopeless=True)
    searches = [slow, fast, hopeless]
    assert turn(searches, 2.0) is fast  # ten minutes are usual
    assert turn(searches, 2.0, trials=20) is slow
    assert turn([slow], 2.0, trials=3) is None
    assert turn([hopeless], 0.0) is None
    assert turn(searches, 2.0, minutes=1.9) is None


def test_what_the_parameters_say_is_measured_though_all_trials_were_made() -> None:
    done, given = Begun(60, 3), Begun(60, 3, has_given=True)
    assert turn([done, given], 2.0, trials=3) is given
    assert turn([done], 2.0, trials=3) is None


def test_time_is_set_aside_for_judging_what_was_found_but_never_most_of_it() -> None:
    one = Begun(60, 3)  # 20 seconds a trial, and no more settings to judge than three
    assert turn([one], 8.9) is one
    assert turn([one], 9.1) is None
    assert turn([one], 0.65, minutes=1) is one
    assert turn([one], 0.67, minutes=1) is None
