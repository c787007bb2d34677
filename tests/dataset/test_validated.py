"""Decisions with verdicts join the training part, and never what a model is judged on."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from fraudloop import artifacts, stages
from fraudloop.dataset import validated
from fraudloop.errors import DataError
from fraudloop.progress import Silent
from fraudloop.settings import Settings
from tests.fitted import card, table, unseen
from tests.small_run import params_in

LABEL = card().label.column


def test_new_rows_are_added_and_their_own_columns_are_those_of_training() -> None:
    joined = validated.join(table().head(100), unseen().head(20), table().tail(100), card())
    assert (joined.added, joined.replaced, joined.left_out) == (20, 0, 0)
    pd.testing.assert_frame_equal(joined.table.tail(20).reset_index(drop=True), unseen().head(20))
    assert list(joined.table.columns) == list(table().columns)


def test_a_verdict_on_a_training_row_replaces_it() -> None:
    training = table().head(100)
    corrected = training.iloc[[7]].assign(**{LABEL: 1 - training[LABEL].iloc[7]})
    joined = validated.join(training, corrected, table().tail(100), card())
    assert (joined.added, joined.replaced, len(joined.table)) == (1, 1, 100)
    assert joined.table[LABEL].iloc[-1] == 1 - training[LABEL].iloc[7]


def test_what_is_judged_on_is_left_out_whatever_its_verdict() -> None:
    judged_on = table().tail(100)
    again = judged_on.head(10).assign(**{LABEL: 1})
    joined = validated.join(table().head(100), again, judged_on, card())
    assert (joined.added, joined.left_out, len(joined.table)) == (0, 10, 100)


def test_an_empty_file_is_begun_once_and_what_lies_there_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "validated.csv"
    validated.begin(path, card())
    assert validated.read(path, card()) is None
    unseen().head(3).to_csv(path, index=False)
    validated.begin(path, card())
    found = validated.read(path, card())
    assert found is not None
    like_it = unseen().head(3).astype(found.dtypes.to_dict())
    pd.testing.assert_frame_equal(found[list(like_it.columns)], like_it)


def test_a_file_of_other_columns_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "validated.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="no column"):
        validated.read(path, card())


def test_preprocess_leaves_validation_and_test_as_they_were(tmp_path: Path) -> None:
    params = params_in(tmp_path)
    stages.get_data(params, Settings.read({}), lambda _: None, Silent())
    report = stages.preprocess(params)
    assert "validated" not in report
    before = {part: artifacts.read_table(params, part) for part in ("train", "validation", "test")}
    assert params.paths.validated is not None
    pd.concat([unseen().head(50), before["test"].head(5)]).to_csv(
        params.paths.validated, index=False
    )
    report = stages.preprocess(params)
    assert report["validated"] == {"added": 50, "replaced": 0, "left_out": 5}
    for part in ("validation", "test"):
        pd.testing.assert_frame_equal(artifacts.read_table(params, part), before[part])
    assert len(artifacts.read_table(params, "train")) == len(before["train"]) + 50
