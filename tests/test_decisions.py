"""The answer: what was decided, by which model, for which transaction."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fraudloop.decisions import answer, read_transactions
from fraudloop.errors import DataError
from fraudloop.model.scorer import Scorer
from tests.fitted import bundle_of, card, repackaged, scores, table


def transactions(rows: list[int]) -> dict[str, Any]:
    """Rows of the table as they would come in, named by their number."""
    return {f"row {row}": table().iloc[row][list(card().columns)].to_dict() for row in rows}


def unsure() -> list[int]:
    """A few rows about the threshold, and the surest of either kind."""
    order = np.argsort(np.abs(scores("boosted_trees") - 0.5))
    return [*map(int, order[:5]), int(scores("boosted_trees").argmin())]


def test_every_transaction_gets_its_score_and_its_prediction() -> None:
    rows = unsure()
    made = answer(Scorer(bundle_of("boosted_trees")), transactions(rows))
    expected = scores("boosted_trees")[rows]
    np.testing.assert_allclose(made["scores"], expected, rtol=0, atol=1e-6)
    assert made["predictions"] == [int(score >= 0.5) for score in expected]
    assert set(made["predictions"]) == {0, 1}
    assert made["ids"] == [f"row {row}" for row in rows]


def test_the_answer_says_which_model_and_which_threshold() -> None:
    bundle = bundle_of("boosted_trees")
    made = answer(Scorer(bundle), transactions([1]))
    assert made["model_version"] == bundle.version
    assert made["threshold"] == bundle.manifest.threshold


def test_the_answer_says_what_the_model_was_trained_on() -> None:
    real = repackaged("boosted_trees", synthetic=False)
    of_synthetic = answer(Scorer(bundle_of("boosted_trees")), transactions([1, 2]))
    of_real = answer(Scorer(real), transactions([1, 2]))
    assert of_synthetic["message"] == (
        "0 of 2 transactions are predicted to be fraud, by a model trained on synthetic data"
    )
    assert of_real["message"].endswith(f"by a model trained on {card().id}")


def test_a_score_at_the_threshold_is_predicted_to_be_fraud() -> None:
    bundle = bundle_of("boosted_trees")
    asked = transactions([unsure()[0]])
    (score,) = answer(Scorer(bundle), asked)["scores"]
    for threshold, prediction in ((score, 1), (float(np.nextafter(score, 1)), 0)):
        manifest = bundle.manifest.model_copy(update={"threshold": threshold})
        scorer = Scorer(dataclasses.replace(bundle, manifest=manifest))
        assert answer(scorer, asked)["predictions"] == [prediction]


def test_the_answer_is_plain_json() -> None:
    made = answer(Scorer(bundle_of("random_forest")), transactions([0, 1]))
    assert json.loads(json.dumps(made, allow_nan=False)) == made


def test_label_and_order_of_fields_change_nothing() -> None:
    scorer, asked = Scorer(bundle_of("boosted_trees")), transactions([5])
    labelled = {
        key: {card().label.column: 1, **dict(reversed(fields.items()))}
        for key, fields in asked.items()
    }
    assert answer(scorer, labelled) == answer(scorer, asked)


def test_a_transaction_that_does_not_fit_is_named() -> None:
    asked = transactions([1, 2])
    del asked["row 2"][card().time]
    with pytest.raises(DataError, match=f"transaction 'row 2' has no '{card().time}': add it"):
        answer(Scorer(bundle_of("boosted_trees")), asked)


def test_a_file_of_transactions_is_read_by_id(tmp_path: Path) -> None:
    path = tmp_path / "payload.json"
    path.write_text('{"b": {"x": 1}, "a": {"x": 2.5}}', encoding="utf-8")
    assert list(read_transactions(path)) == ["b", "a"]


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "is not JSON .*: correct it"),
        (b"{", "is not JSON"),
        (b"\xff\xfe\x00", "is not JSON"),
        (b"[" * 200_000, "is not JSON"),
        (b"[1]", 'is not {"<id>"'),
        (b'"text"', 'is not {"<id>"'),
        (b"null", 'is not {"<id>"'),
    ],
)
def test_what_is_no_file_of_transactions_is_one_sentence(
    content: bytes, named: str, tmp_path: Path
) -> None:
    path = tmp_path / "payload.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=named) as caught:
        read_transactions(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_of_transactions_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no transactions at .*none.json .*: name a JSON file"):
        read_transactions(tmp_path / "none.json")


def test_an_id_or_a_field_given_twice_is_named(tmp_path: Path) -> None:
    path = tmp_path / "twice.json"
    for text in ('{"a": {}, "b": {}, "a": {}}', '{"b": {"a": 1, "a": 2}}'):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(DataError, match="'a' stands twice in one object"):
            read_transactions(path)
