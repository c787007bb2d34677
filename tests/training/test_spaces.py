"""Every candidate has a space, and all that lies in it can be fitted and written down."""

from __future__ import annotations

import math
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fraudloop.errors import ParamsError
from fraudloop.params import Candidate, Setting
from fraudloop.training import candidates, spaces
from fraudloop.training.fit import fit, log_odds
from fraudloop.training.keep import lines
from fraudloop.training.spaces import Choice, Dimension, Number, space, to_digits
from tests.fitted import card, table

PAIRS = [(sampler, estimator) for sampler in spaces.SAMPLERS for estimator in spaces.ESTIMATORS]


def corner(dimensions: dict[str, Dimension], end: str) -> Candidate:
    """The candidate at one end of every dimension."""
    settings: dict[str, Setting] = {}
    for place, each in dimensions.items():
        if isinstance(each, Choice):
            settings[place] = each.options[0 if end == "low" else -1]
        else:
            settings[place] = int(getattr(each, end)) if each.whole else float(getattr(each, end))
    return spaces.candidate(settings, Candidate())


def drawn(dimension: Dimension) -> st.SearchStrategy[Any]:
    if isinstance(dimension, Choice):
        return st.sampled_from(dimension.options)
    if dimension.whole:
        return st.integers(int(dimension.low), int(dimension.high))
    return st.floats(dimension.low, dimension.high)


IN_SOME_SPACE = st.sampled_from(PAIRS).flatmap(
    lambda pair: st.tuples(
        st.just(pair), st.fixed_dictionaries({at: drawn(each) for at, each in space(*pair).items()})
    )
)


def test_the_spaces_are_those_of_the_catalogue() -> None:
    assert set(spaces.SAMPLERS) == set(candidates.SAMPLERS)
    assert set(spaces.ESTIMATORS) == set(candidates.ESTIMATORS)


def test_a_candidate_without_a_space_is_named() -> None:
    with pytest.raises(ParamsError, match="no space is described for estimator 'perceptron'"):
        space("none", "perceptron")
    with pytest.raises(ParamsError, match="no space is described for sampler 'oversample'"):
        space("oversample", "decision_tree")


@pytest.mark.parametrize(
    ("sampler", "estimator"),
    [
        *(("none", estimator) for estimator in spaces.ESTIMATORS),
        *((sampler, "decision_tree") for sampler in spaces.SAMPLERS if sampler != "none"),
        ("smote", "random_forest"),
        ("undersample", "random_forest"),
    ],
)
@pytest.mark.parametrize("end", ["low", "high"])
def test_the_ends_of_every_space_can_be_fitted(sampler: str, estimator: str, end: str) -> None:
    found = corner(space(sampler, estimator), end)
    pipeline = fit(table(), card(), sampler, estimator, found, seed=1, threads=1)
    assert log_odds(pipeline, table().head(5), card()).shape == (5,)


def test_what_makes_a_fit_long_is_left_as_it_is() -> None:
    for sampler, estimator in PAIRS:
        searched = {place.partition(".")[2] for place in space(sampler, estimator)}
        assert not searched & {"n_estimators", "max_iter", "n_jobs", "random_state"}


@given(IN_SOME_SPACE)
def test_rounding_leaves_no_space(drawn: tuple[tuple[str, str], dict[str, Setting]]) -> None:
    pair, settings = drawn
    found = spaces.candidate(settings, Candidate())
    for place, each in space(*pair).items():
        part, _, name = place.partition(".")
        value = getattr(found, part)[name]
        if isinstance(each, Number):
            assert each.low <= value <= each.high
            assert math.isclose(value, settings[place], rel_tol=0.006)  # type: ignore[arg-type]  # a Number takes numbers
        else:
            assert value == settings[place]


@given(IN_SOME_SPACE)
def test_the_lines_say_exactly_what_was_tried(
    drawn: tuple[tuple[str, str], dict[str, Setting]],
) -> None:
    (sampler, estimator), settings = drawn
    tried = spaces.candidate(settings, Candidate(estimator={"max_iter": 500}))
    told = yaml.safe_load(lines({(sampler, estimator): tried}))
    read = Candidate.model_validate(told["candidates"][sampler][estimator])
    assert read == tried
    assert repr(read) == repr(tried)  # 1 and 1.0 are equal, and not the same to every library


def test_what_is_not_searched_is_kept() -> None:
    kept = Candidate(sampler={"k_neighbors": 5}, estimator={"max_iter": 500, "C": 0.01})
    found = spaces.candidate({"sampler.sampling_strategy": 0.123456, "estimator.C": 2}, kept)
    assert found.sampler == {"k_neighbors": 5, "sampling_strategy": 0.123}
    assert found.estimator == {"max_iter": 500, "C": 2}


@given(st.floats(1e-12, 1e12))
def test_three_digits_are_as_they_are_printed(value: float) -> None:
    assert to_digits(value) == float(f"{value:.2e}")


def test_an_estimators_space_follows_from_what_its_sampler_leaves() -> None:
    assert "estimator.scale_pos_weight" in space("none", "boosted_trees")
    assert "estimator.scale_pos_weight" not in space("smote", "boosted_trees")
    after = {sampler: space(sampler, "random_forest") for sampler in ("none", "undersample")}
    most = {name: after[name]["estimator.max_samples"] for name in after}
    assert most["none"] == Number(0.02, 0.1, log=True, costly=True)
    assert most["undersample"] == Number(0.2, 1.0, log=True, costly=True)
