"""`params.yaml` becomes frozen objects, or one sentence that names the key."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from fraudloop import params
from fraudloop.errors import ParamsError
from tests.fitted import ROOT

TEXT = (ROOT / "params.yaml").read_text(encoding="utf-8")


def changed(at: str, value: Any) -> str:
    """The committed parameters with one of them changed; `at` is its path, with dots."""
    content = yaml.safe_load(TEXT)
    *folders, last = at.split(".")
    found = content
    for folder in folders:
        found = found[folder]
    found[last] = value
    return yaml.safe_dump(content, sort_keys=False)


def without(at: str) -> str:
    content = yaml.safe_load(TEXT)
    *folders, last = at.split(".")
    found = content
    for folder in folders:
        found = found[folder]
    del found[last]
    return yaml.safe_dump(content)


def refusal(text: str) -> str:
    with pytest.raises(ParamsError) as caught:
        params.parse(text, "the/params.yaml")
    message = str(caught.value)
    assert message.startswith("the/params.yaml")
    assert "\n" not in message
    return message


def test_the_committed_parameters_are_read_as_they_stand() -> None:
    made = params.load(ROOT / "params.yaml")
    content = yaml.safe_load(TEXT)
    assert made.seed == content["seed"]
    assert made.samplers == tuple(content["samplers"])
    assert made.paths.raw == Path(content["paths"]["raw"])
    assert made.data.source == "synthetic"
    for sampler, estimators in content["candidates"].items():
        for estimator, settings in estimators.items():
            candidate = made.candidates[sampler][estimator]
            assert candidate.estimator == settings.get("estimator", {})
            assert candidate.sampler == settings.get("sampler", {})
            for key, value in settings.get("estimator", {}).items():
                assert type(candidate.estimator[key]) is type(value)


def test_parameters_do_not_change_in_use() -> None:
    made = params.parse(TEXT)
    for target, name in ((made, "seed"), (made.data, "source"), (made.split, "test")):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(target, name, getattr(target, name))


@pytest.mark.parametrize(
    ("at", "value", "named"),
    [
        ("seed", -1, "seed: "),
        ("seed", "forty-two", "seed: "),
        ("threads", 0, "threads: "),
        ("sead", 42, "sead: "),
        ("data.source", "kagle", "data.source: .*'synthetic', 'kaggle', 'file' or 'url'"),
        ("data.rows", 10, "data.rows: "),
        ("data.sauce", "x", "data.sauce: "),
        ("split.use", "random", "split.use: "),
        ("split.test", 0, "split.test: "),
        ("split.test", 1.0, "split.test: "),
        ("split.test", 0.8, "split: validation and test leave nothing to train on"),
        ("samplers", [], "samplers: "),
        ("samplers", ["none", "new"], "no candidates.new.logistic_regression: add it"),
        ("estimators", ["forest"], "no candidates.none.forest: add it"),
        ("candidates.smote.random_forest.setimator", {}, "random_forest.setimator: "),
        ("candidates.smote.random_forest.estimator", {"a": {"b": 1}}, "random_forest.estimator.a"),
        ("evaluation.resamples", 10, "evaluation.resamples: "),
        ("evaluation.confidence", 95, "evaluation.confidence: "),
        ("operating_point.decide_by", "taste", "operating_point.decide_by: "),
        ("operating_point.review_cost", 0, "operating_point.review_cost: "),
        ("operating_point.review_cost", float("inf"), "operating_point.review_cost: "),
        ("operating_point.alerts_per_day", float("nan"), "operating_point.alerts_per_day: "),
        ("operating_point.lost_share", 1.1, "operating_point.lost_share: "),
        ("evaluation.learning_curve", [0.5, 2], "evaluation.learning_curve.1: "),
        ("paths.output", None, "paths.output: "),
    ],
)
def test_a_wrong_value_is_named_by_its_key(at: str, value: Any, named: str) -> None:
    assert re.search(named, refusal(changed(at, value)))


@pytest.mark.parametrize(
    "at", ["seed", "data", "paths.card", "split.use", "operating_point.review_cost"]
)
def test_a_missing_value_is_named_by_its_key(at: str) -> None:
    assert f"{at}: Field required" in refusal(without(at))


@pytest.mark.parametrize(
    ("data", "named"),
    [
        ({"source": "file"}, "source is file: set data.file to its path"),
        ({"source": "url"}, "source is url: set data.url to its s3:// or https:// address"),
        ({"source": "url", "url": "ftp://u:s3cret@host/a"}, "neither an s3:// nor an https://"),
    ],
)
def test_a_source_is_complete_or_refused(data: dict[str, Any], named: str) -> None:
    message = refusal(changed("data", data))
    assert named in message
    assert "s3cret" not in message


@pytest.mark.parametrize(
    "data",
    [
        {"source": "file", "file": "a.csv"},
        {"source": "url", "url": "s3://bucket/a.csv"},
        {"source": "url", "url": "https://host/a.csv"},
        {"source": "kaggle"},
    ],
)
def test_every_source_can_be_chosen(data: dict[str, Any]) -> None:
    assert params.parse(changed("data", data)).data.source == data["source"]


@pytest.mark.parametrize(
    "text", ["", "[1, 2]", "a: [", "seed: 42", "a: b: c", "\tseed: 1", "seed: 2026-13-45", "\0"]
)
def test_what_is_no_parameters_is_one_sentence(text: str) -> None:
    refusal(text)


def test_no_file_says_where_to_be(tmp_path: Path) -> None:
    with pytest.raises(
        ParamsError, match=r"no parameters at .*params.yaml .*: run this in the pro"
    ):
        params.load(tmp_path / "params.yaml")
    with pytest.raises(ParamsError, match="no parameters at"):
        params.load(tmp_path)


def test_a_file_in_another_encoding_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_bytes(TEXT.replace("#", "# ä").encode("utf-16"))
    with pytest.raises(ParamsError, match=r"params.yaml is not UTF-8 text"):
        params.load(tmp_path / "params.yaml")
