"""What is kept is really better, or what there was: noise moves nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from fraudloop import params
from fraudloop.params import Candidate
from fraudloop.training import spaces
from fraudloop.training.keep import Conclusion, Lead, Standing, choose, conclude, finalists, lines
from fraudloop.training.spaces import Number
from fraudloop.training.tune import Target, Trial
from tests.fitted import PARAMS, ROOT

SPACE = {"estimator.C": Number(0.1, 9.0, costly=True)}


def setting(value: float) -> Candidate:
    return Candidate(estimator={"C": value})


PRESENT = setting(1.0)
TARGET = Target("none", "linear_svm", PRESENT, SPACE)
NOW = Standing(PRESENT, (0.70, 0.72, 0.80, 0.74), 0.80)


def standing(value: float, *leads: float) -> Standing:
    """A setting that is so far ahead of the present one on each stretch."""
    ahead = NOW.periods + np.array(leads)
    return Standing(setting(value), tuple(ahead[:-1]), float(ahead[-1]))


def trial(number: int, value: float, mean: float, state: str = "complete") -> Trial:
    return Trial(number, setting(value), (mean, mean), state, 1.0)  # type: ignore[arg-type]  # a state is one of a few words


@pytest.mark.parametrize(
    ("leads", "kept"),
    [
        ((0.010, 0.012, 0.008, 0.011, 0.009), "found"),  # 0.0100 ± 0.0007
        ((0.020, 0.001, 0.012, 0.000, 0.004), "now"),  # 0.0074 ± 0.0038: less than two errors
        ((0.020, 0.003, 0.012, 0.001, 0.006), "found"),  # 0.0084 ± 0.0034: more than two
        ((0.010, 0.012, 0.008, 0.011, -0.001), "now"),  # behind on the rows not searched on
        ((0.010, 0.012, 0.008, 0.011, 0.0), "found"),
        ((0.0, 0.0, 0.0, 0.0, 0.0), "now"),
        ((-0.01, -0.01, -0.01, -0.01, 0.01), "now"),
    ],
)
def test_a_found_setting_is_kept_where_its_lead_is_more_than_noise(
    leads: tuple[float, ...], kept: str
) -> None:
    found = standing(2.0, *leads)
    assert choose(NOW, [found], SPACE) == (found if kept == "found" else NOW)


def test_a_lead_has_the_standard_error_of_paired_differences() -> None:
    ahead = (0.02, 0.003, 0.012, 0.001, 0.006)
    lead = Lead.of(standing(2.0, *ahead), NOW)
    assert lead.mean == pytest.approx(np.mean(ahead))
    assert lead.error == pytest.approx(np.std(ahead, ddof=1) / np.sqrt(5))


def test_of_settings_that_noise_could_order_the_least_work_is_kept() -> None:
    steady = (0.030, 0.032, 0.031, 0.033, 0.030)
    heavy, light = standing(8.0, *steady), standing(2.0, 0.031, 0.030, 0.034, 0.028, 0.030)
    weak = standing(0.5, 0.020, 0.021, 0.020, 0.022, 0.020)  # the least work, but really behind
    for found in ([heavy, light, weak], [weak, light, heavy]):
        assert choose(NOW, found, SPACE) == light


def test_finalists_are_the_best_complete_trials_ahead_of_the_present_one() -> None:
    trials = [
        trial(0, 1.0, 0.70),
        trial(1, 2.0, 0.71),
        trial(2, 3.0, 0.69),
        trial(3, 4.0, 0.99, "pruned"),
        trial(4, 5.0, 0.73),
        trial(5, 5.0, 0.73),  # the same once more
        trial(6, 6.0, 0.72),
        trial(7, 7.0, 0.705),
    ]
    assert [each.number for each in finalists(trials, trials[0])] == [4, 6, 1]
    assert [each.number for each in finalists(trials[:3], None)] == [1, 0, 2]
    assert finalists(trials[:1], trials[0]) == []


def concluded(
    trials: list[Trial], validation: dict[float, float], again: dict[float, float]
) -> tuple[Conclusion, list[float]]:
    """The conclusion, and which settings were looked at again."""
    looked: list[float] = []

    def value(candidate: Candidate) -> float:
        found = candidate.estimator["C"]
        assert isinstance(found, float)
        return found

    def once_more(candidate: Candidate) -> tuple[float, ...]:
        looked.append(value(candidate))
        level = again[value(candidate)]
        return (level, level + 0.001)

    made = conclude(TARGET, trials, lambda candidate: validation[value(candidate)], once_more)
    return made, looked


TRIALS = [trial(0, 1.0, 0.70), trial(1, 2.0, 0.75), trial(2, 3.0, 0.74), trial(3, 4.0, 0.60)]


def test_luck_that_does_not_come_twice_is_not_kept() -> None:
    made, looked = concluded(TRIALS, {1: 0.8, 2: 0.81, 3: 0.79}, {1: 0.70, 2: 0.70})
    assert looked == [2.0, 1.0]  # what is behind on validation is not looked at again
    assert made.kept == PRESENT
    assert (made.present, made.best) == (TRIALS[0], TRIALS[1])
    assert made.validation == {"present": 0.8, "best": 0.81}
    assert made.lead is not None
    assert (made.lead.mean, made.lead.error) == pytest.approx((0.01 / 3, 0.01 / 3))


def test_what_holds_a_second_time_is_kept() -> None:
    made, _ = concluded(TRIALS, {1: 0.8, 2: 0.805, 3: 0.85}, {1: 0.70, 2: 0.74, 3: 0.79})
    assert made.kept == setting(3.0)
    assert made.best == TRIALS[2]
    assert made.validation == {"present": 0.8, "best": 0.85}
    assert made.lead is not None
    assert (made.lead.mean, made.lead.error) == pytest.approx((0.23 / 3, 0.04 / 3))


def test_where_nothing_is_ahead_what_there_was_is_kept() -> None:
    made, looked = concluded(TRIALS[:1], {1: 0.8}, {})
    assert (made.kept, made.best, made.lead, looked) == (PRESENT, None, None, [])
    nothing, looked = concluded([], {}, {})
    assert (nothing.kept, nothing.present, nothing.validation, looked) == (PRESENT, None, {}, [])


def test_where_there_was_no_time_for_the_present_setting_it_is_kept_unjudged() -> None:
    made, looked = concluded(TRIALS[1:], {}, {})
    assert (made.kept, made.present, made.best) == (PRESENT, None, None)
    assert (made.trials, looked) == (3, [])


def test_where_the_present_setting_cannot_be_fitted_validation_decides() -> None:
    refused = Trial(0, PRESENT, (), "refused", 0.0, "never")
    made, _ = concluded([refused, *TRIALS[1:]], {2: 0.8, 3: 0.9, 4: 0.7}, {})
    assert (made.kept, made.best) == (setting(3.0), TRIALS[2])


def test_the_committed_parameters_come_back_from_their_lines(tmp_path: Path) -> None:
    every = {
        (sampler, estimator): candidate
        for sampler, estimators in PARAMS.candidates.items()
        for estimator, candidate in estimators.items()
    }
    content = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    path = tmp_path / "params.yaml"
    path.write_text(
        yaml.safe_dump(content | yaml.safe_load(lines(every)), sort_keys=False), encoding="utf-8"
    )
    assert params.load(path) == PARAMS
    assert repr(params.load(path)) == repr(PARAMS)


def test_lines_are_short_enough_to_be_pasted() -> None:
    settings = spaces.candidate(
        {
            place: 0.000123456 if not getattr(each, "whole", False) else 100
            for place, each in spaces.space("smote", "boosted_trees").items()
        },
        Candidate(estimator={"n_estimators": 120}),
    )
    told = lines({("smote", "boosted_trees"): settings, ("none", "decision_tree"): Candidate()})
    assert told.startswith("candidates:\n  smote:\n    boosted_trees:\n      sampler: {")
    assert told.endswith("  none:\n    decision_tree: {}\n")
    assert max(map(len, told.splitlines())) <= 120
