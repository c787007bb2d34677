"""Transactions of a file: decided here or by a server, or one sentence on why not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fraudloop import decisions
from fraudloop.errors import DataError, FraudloopError
from fraudloop.model import bundle as bundles
from tests.fitted import bundle_of, card, scores, table
from tests.servers import Answer, Web

pytest_plugins = ("tests.servers",)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    bundles.save(tmp_path / "bundle", bundle_of("boosted_trees"))
    return tmp_path / "bundle"


def transactions(folder: Path, rows: list[int]) -> Path:
    found = {f"row {row}": table().iloc[row][list(card().columns)].to_dict() for row in rows}
    (folder / "payload.json").write_text(json.dumps(found), encoding="utf-8")
    return folder / "payload.json"


def test_a_file_is_decided_by_a_bundle(tmp_path: Path, bundle: Path) -> None:
    made = decisions.made_here(transactions(tmp_path, [4, 7]), bundle, None)
    assert made["ids"] == ["row 4", "row 7"]
    assert made["scores"] == pytest.approx(list(scores("boosted_trees")[[4, 7]]), abs=1e-6)


def test_a_transaction_that_does_not_fit_is_named(tmp_path: Path, bundle: Path) -> None:
    (tmp_path / "wrong.json").write_text('{"row 2": {}}', encoding="utf-8")
    with pytest.raises(DataError, match=f"transaction 'row 2' has no '{card().time}': add it"):
        decisions.made_here(tmp_path / "wrong.json", bundle, None)


def test_a_missing_file_of_transactions_is_named(tmp_path: Path, bundle: Path) -> None:
    with pytest.raises(DataError, match=r"no transactions at .*none.json .*: name a JSON file"):
        decisions.made_here(tmp_path / "none.json", bundle, None)


def test_a_server_is_asked_and_its_answer_given(tmp_path: Path, web: Web) -> None:
    web.answers["/predict"] = Answer(content=b'{"predictions": [1]}')
    path = transactions(tmp_path, [1])
    assert decisions.asked_of(web.url("/"), path) == {"predictions": [1]}
    (asked,) = web.asked("POST", "/predict")
    assert asked.body == path.read_bytes()
    assert asked.headers["Content-Type"] == "application/json"


def test_what_a_server_refuses_is_said_in_its_words(tmp_path: Path, web: Web) -> None:
    web.answers["/predict"] = Answer(status=422)
    with pytest.raises(FraudloopError, match="refused it with 422"):
        decisions.asked_of(web.url(""), transactions(tmp_path, [1]))


def test_a_server_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(FraudloopError, match=r"does not answer .*make serve"):
        decisions.asked_of("http://127.0.0.1:9", transactions(tmp_path, [1]))
    with pytest.raises(FraudloopError, match="is no server's address"):
        decisions.asked_of("file:///etc", transactions(tmp_path, [1]))
