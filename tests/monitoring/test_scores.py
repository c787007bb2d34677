"""Drift as the model sees it: of its scores, and of how many alerts it raises."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fraudloop.dataset.card import Column, Kind
from fraudloop.dataset.times import Written
from fraudloop.errors import DataError
from fraudloop.model.scorer import Scorer
from fraudloop.monitoring import scores
from fraudloop.monitoring.scores import compared, different, judged
from fraudloop.monitoring.tables import of_frame
from tests import fitted

SETTINGS = fitted.PARAMS.drift


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer(fitted.bundle_of("logistic_regression"))


def test_scores_are_those_of_the_scorer(scorer: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scores, "AT_ONCE", 1000)
    rows = fitted.unseen()
    found = judged(scorer, of_frame(rows))
    wanted = scorer.log_odds(fitted.features_of(rows))
    assert np.allclose(found.log_odds, wanted, atol=1e-6)
    assert found.left_out == 0
    alerts = scorer.predictions(scorer.score_features(fitted.features_of(rows)))
    assert found.alerts == alerts.sum()


def test_rows_that_cannot_be_scored_are_left_out_and_counted(scorer: Scorer) -> None:
    rows = fitted.unseen().head(100).copy()
    first, second = list(fitted.card().columns)[:2]
    rows.loc[rows.index[:7], second] = np.nan
    rows[first] = rows[first].astype(str)
    rows.loc[rows.index[7], first] = "yesterday"
    found = judged(scorer, of_frame(rows))
    assert found.left_out == 8
    assert len(found.log_odds) == 92
    made = compared(found, found, SETTINGS)
    assert made[0].notes == (
        "rows that cannot be scored, with a missing or unknown value: 8 before, 8 now",
    )


def test_a_table_of_which_no_row_can_be_scored_has_no_scores(scorer: Scorer) -> None:
    rows = fitted.unseen().head(60).assign(**{list(fitted.card().columns)[1]: np.nan})
    nothing = judged(scorer, of_frame(rows))
    assert (len(nothing.log_odds), nothing.alerts, nothing.left_out) == (0, 0, 60)
    score, prediction = compared(nothing, nothing, SETTINGS)
    assert score.checks[0].note == prediction.checks[0].note
    assert "nothing can be compared" in score.checks[0].note


def test_a_table_without_a_column_that_the_model_needs_is_refused(scorer: Scorer) -> None:
    rows = fitted.unseen().drop(columns=str(fitted.card().time))
    with pytest.raises(DataError, match="which the model needs"):
        judged(scorer, of_frame(rows))


def test_more_frauds_are_seen_as_more_alerts(scorer: Scorer) -> None:
    rows = fitted.unseen()
    frauds = rows[rows[fitted.card().label.column] == 1]
    usual = judged(scorer, of_frame(rows))
    attacked = judged(scorer, of_frame(pd.concat([rows, *[frauds] * 30])))
    score, prediction = compared(usual, attacked, SETTINGS)
    for each in (score, prediction):
        assert each.checks[0].found is not None
        assert each.checks[0].found.p < 1e-6
    assert prediction.shape.current[0] > prediction.shape.reference[0]


def test_dates_and_words_are_taken_as_features_take_them() -> None:
    dated = Column(kind=Kind.TIME, written=Written.DATETIME)
    seconds, fits = different(["1970-01-02 00:00:01", "soon", None], dated)
    assert seconds[0] == 86401.0
    assert fits.tolist() == [True, False, False]
    listed = Column(kind=Kind.NOMINAL, categories=("tea", 7))
    words, fits = different(["tea", 7.0, "mate", None], listed)
    assert words.tolist() == ["tea", "7", "mate", ""]
    assert fits.tolist() == [True, True, False, False]
    words, fits = different(["any shop", "", None], Column(kind=Kind.NOMINAL, buckets=4))
    assert fits.tolist() == [True, False, False]
