"""What is counted is counted right, for many at once and for many workers."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.parser import text_string_to_metric_families

from fraudloop.serving.metrics import SCORES, Metrics, ScoreHistogram
from tests.dataset.tables import quick
from tests.fitted import start_python, told


def samples(text: bytes) -> dict[str, float]:
    """Every value, by its name and labels."""
    return {
        sample.name + json.dumps(sample.labels, sort_keys=True): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def buckets(of: Histogram) -> list[tuple[str, dict[str, str], float]]:
    return [
        (sample.name, sample.labels, round(sample.value, 9))
        for family in of.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    ]


@quick
@given(st.lists(st.one_of(st.floats(0, 1), st.sampled_from(SCORES)), min_size=1))
def test_many_at_once_are_counted_as_one_by_one(scores: list[float]) -> None:
    together, alone = (
        ScoreHistogram("a", "a", buckets=SCORES, registry=CollectorRegistry()) for _ in range(2)
    )
    together.observe_many(np.array(scores))
    for score in scores:
        alone.observe(score)
    assert buckets(together) == buckets(alone)


def test_rows_scores_and_predictions_agree() -> None:
    metrics = Metrics()
    metrics.scored([0.2], 0)
    metrics.scored([0.9], 1)
    metrics.scored([0.1, 0.9, 0.95], 2)
    found = samples(metrics.text())
    assert found["fraudloop_rows_total{}"] == 5
    assert found['fraudloop_predictions_total{"prediction": "0"}'] == 2
    assert found['fraudloop_predictions_total{"prediction": "1"}'] == 3
    assert found["fraudloop_score_count{}"] == 5
    assert found['fraudloop_score_bucket{"le": "0.5"}'] == 2


def test_the_version_that_decides_is_told_and_the_one_before_no_more() -> None:
    metrics = Metrics()
    metrics.decides("one", "forest")
    metrics.decides("two", "trees", before=("one", "forest"))
    metrics.reloaded("taken")
    found = samples(metrics.text())
    assert found['fraudloop_model{"candidate": "forest", "version": "one"}'] == 0
    assert found['fraudloop_model{"candidate": "trees", "version": "two"}'] == 1
    assert found['fraudloop_reloads_total{"outcome": "taken"}'] == 1
    assert found['fraudloop_reloads_total{"outcome": "refused"}'] == 0


WORKER = """
import sys
from fraudloop.settings import share_metrics
share_metrics(sys.argv[1])
from fraudloop.serving.metrics import Metrics
metrics = Metrics(together=True)
metrics.decides("one", "forest")
metrics.answered("/predict", "POST", 200, 0.001)
metrics.scored([0.5, 0.75], 1)
if sys.argv[2] == "tell":
    print(metrics.text().decode())
"""


def test_workers_count_together(tmp_path: Path) -> None:
    told(start_python(WORKER, str(tmp_path), "leave"))
    found = samples(told(start_python(WORKER, str(tmp_path), "tell")).encode())
    assert found["fraudloop_rows_total{}"] == 4
    assert found["fraudloop_score_sum{}"] == pytest.approx(2.5)
    labels = '{"method": "POST", "route": "/predict", "status": "200"}'
    assert found[f"fraudloop_http_requests_total{labels}"] == 2
    assert found['fraudloop_model{"candidate": "forest", "version": "one"}'] == 2
    assert "PROMETHEUS_MULTIPROC_DIR" not in os.environ
