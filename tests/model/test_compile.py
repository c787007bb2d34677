"""The compiled form of every family gives the pipeline's own log-odds."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier

from fraudloop.errors import TrainingError
from fraudloop.model import graph
from fraudloop.model.graph import NUMBERS_AT_ONCE, ROWS_AT_ONCE
from fraudloop.training import candidates
from fraudloop.training.steps import Calibrated
from tests.fitted import (
    EVERY,
    FAMILIES,
    SMALL,
    card,
    features,
    features_of,
    fitted,
    refit,
    table,
    unseen,
)
from tests.model.compiled import by_graph, compiled, fitted_as, require_agreement, rows_far_out


def test_every_family_of_the_catalogue_is_compiled() -> None:
    assert set(EVERY) == set(candidates.ESTIMATORS)
    assert len(EVERY) == len(set(EVERY))


@pytest.mark.parametrize("family", EVERY)
def test_unseen_rows_get_the_log_odds_that_the_pipeline_gives(family: str) -> None:
    pipeline = fitted(family)
    assert (pipeline[-1].slope, pipeline[-1].offset) != (1.0, 0.0)
    require_agreement(pipeline, features_of(unseen()))


@pytest.mark.parametrize("family", sorted({*EVERY} - {"nearest_neighbours"}))
def test_so_do_the_rows_that_it_was_fitted_on(family: str) -> None:
    require_agreement(fitted(family), features())


@pytest.mark.parametrize("sampler", ["smote", "undersample"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_resampled_pipeline_is_compiled_without_its_sampler(family: str, sampler: str) -> None:
    require_agreement(fitted(family, sampler), features_of(unseen()))


@pytest.mark.parametrize("family", SMALL)
def test_so_are_the_others(family: str) -> None:
    pipeline = fitted_as(family, table().head(5000), "smote", **SMALL[family])
    require_agreement(pipeline, features_of(unseen().head(1500)))


# Among neighbours, scikit-learn's own distances are noise beyond what doubles tell apart.
@pytest.mark.parametrize("family", sorted({*EVERY} - {"nearest_neighbours"}))
def test_tiny_and_huge_values_get_the_same_log_odds(family: str) -> None:
    require_agreement(fitted(family), rows_far_out(features()))


@pytest.mark.parametrize("family", EVERY)
def test_columns_that_never_vary_change_nothing(family: str) -> None:
    still = [name for name in card().columns if name != card().time][::2]
    constant = dict.fromkeys(still, 0.1)  # 0.1: no float32 holds it
    pipeline = fitted_as(family, table().head(4000).assign(**constant), **SMALL.get(family, {}))
    rows = unseen().head(2000)
    require_agreement(pipeline, features_of(rows.assign(**constant)))
    if family != "nearest_neighbours":  # a column as large as that hides all others
        require_agreement(pipeline, features_of(rows), of_log_odds=1e-6)


@pytest.mark.parametrize("family", EVERY)
def test_no_rows_and_one_row_and_all_rows_alike(family: str) -> None:
    rows = features_of(unseen().head(40))
    together = by_graph(fitted(family), rows)
    assert by_graph(fitted(family), rows[:0]).shape == (0,)
    alone = [by_graph(fitted(family), rows[place : place + 1])[0] for place in range(3)]
    np.testing.assert_allclose(alone, together[:3], rtol=1e-11)


@pytest.mark.parametrize("family", EVERY)
def test_the_same_pipeline_compiles_to_the_same_bytes(family: str) -> None:
    assert compiled(fitted(family)) == compiled(refit(family))


def test_only_boosters_and_linear_models_have_a_native_form() -> None:
    natives = {family: compiled(fitted(family)).native for family in EVERY}
    assert {family: native.kind for family, native in natives.items() if native} == {
        "logistic_regression": "linear",
        "linear_svm": "linear",
        "boosted_trees": "booster",
    }


def test_a_graph_that_holds_many_numbers_of_each_row_takes_fewer_rows_at_once() -> None:
    at_once = {family: compiled(fitted(family)).rows_at_once for family in EVERY}
    known = len(table())
    assert at_once.pop("nearest_neighbours") == NUMBERS_AT_ONCE // known
    assert set(at_once.values()) == {ROWS_AT_ONCE}
    assert graph.rows_at_once(10 * NUMBERS_AT_ONCE) == 1


def test_an_estimator_without_compiled_form_is_named() -> None:
    pipeline = fitted("random_forest")
    dummy = Calibrated(DummyClassifier()).fit(features()[:9], np.arange(9) % 2)
    with pytest.raises(TrainingError, match="DummyClassifier has no compiled form: leave it out"):
        compiled(type(pipeline)([pipeline.steps[0], ("estimator", dummy)]))
