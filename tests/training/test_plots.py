"""Plots: the same bytes for the same figures, small, and honest about what they were made on."""

from __future__ import annotations

import csv
import io
from functools import cache

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fraudloop.training import plots
from fraudloop.training.evaluate import Judgement, judge
from fraudloop.training.plots import CURVE_POINTS, draw_all

PICTURES = {"precision-recall.png", "roc.png", "confusion-matrix.png", "candidates.png"}
NUMBERS = {"precision-recall.csv", "roc.csv", "confusion-matrix.csv", "candidates.csv"}

Labels = NDArray[np.int8]
Scores = NDArray[np.float64]


@cache
def data(rows: int = 30_000) -> tuple[Labels, Scores]:
    rng = np.random.default_rng(0)
    labels = (rng.random(rows) < 0.01).astype(np.int8)
    labels[:2] = (0, 1)
    return labels, 1 / (1 + np.exp(-rng.normal(4.0 * labels - 3, 1.0)))


def judgements() -> dict[str, Judgement]:
    labels, scores = data()
    rng = np.random.default_rng(1)
    noisy = {"smote-a_b": 0.5, "none-c_d": 0.0, "undersample-e_f": 1.0}
    return {
        name: judge(
            labels,
            scores + rng.normal(0, noise, len(scores)),
            0.5,
            resamples=100,
            confidence=0.9,
            rng=rng,
        )
        for name, noise in noisy.items()
    }


@cache
def drawn(title: str = "synthetic data") -> dict[str, bytes]:
    return draw_all(*data(), 0.5, judgements(), title)


def rows_of(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(drawn()[name].decode())))


def column(name: str, field: str) -> list[float]:
    return [float(row[field]) for row in rows_of(name)]


def test_every_plot_is_a_picture_and_a_table() -> None:
    assert set(drawn()) == PICTURES | NUMBERS
    for name in PICTURES:
        assert drawn()[name].startswith(b"\x89PNG\r\n")


def test_the_same_figures_give_the_same_bytes() -> None:
    assert draw_all(*data(), 0.5, judgements(), "synthetic data") == drawn()
    for name in PICTURES:
        for leak in (b"tIME", b"Matplotlib", b"Creation"):
            assert leak not in drawn()[name]


def test_no_plot_is_larger_than_200_kilobytes() -> None:
    assert {name: len(content) for name, content in drawn().items() if len(content) > 200_000} == {}


@pytest.mark.parametrize("title", ["synthetic data", "credit-card-fraud"])
def test_every_picture_says_what_it_was_measured_on(
    title: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    titles: list[str] = []

    def seen(figure: Figure) -> bytes:
        titles.append(figure.get_suptitle())
        return b""

    monkeypatch.setattr(plots, "_png", seen)
    draw_all(*data(), 0.5, judgements(), title)
    assert titles == [title] * len(PICTURES)


def test_a_picture_of_other_data_is_another_picture() -> None:
    other = drawn("credit-card-fraud")
    assert all(other[name] != drawn()[name] for name in PICTURES)
    assert all(other[name] == drawn()[name] for name in NUMBERS)


def test_the_precision_recall_curve_runs_from_the_strictest_threshold_to_all_frauds() -> None:
    recall = column("precision-recall.csv", "recall")
    threshold = column("precision-recall.csv", "threshold")
    precision = column("precision-recall.csv", "precision")
    assert recall == sorted(recall)
    assert threshold == sorted(threshold, reverse=True)
    assert recall[-1] == 1
    assert 0 < min(precision) <= max(precision) <= 1
    assert precision[-1] == pytest.approx(data()[0].mean(), abs=0.05)


def test_the_roc_curve_runs_from_nothing_to_everything() -> None:
    false, true = column("roc.csv", "false_positive_rate"), column("roc.csv", "true_positive_rate")
    assert (false[0], true[0]) == (0, 0)
    assert (false[-1], true[-1]) == (1, 1)
    assert false == sorted(false)
    assert true == sorted(true)


def test_curves_are_thinned_to_what_can_be_seen() -> None:
    assert 100 < len(rows_of("precision-recall.csv")) <= CURVE_POINTS
    assert 100 < len(rows_of("roc.csv")) <= CURVE_POINTS + 1


def test_points_of_a_thinned_curve_are_points_of_the_curve() -> None:
    labels, scores = data()
    for row in rows_of("precision-recall.csv")[::25]:
        alerts = scores >= float(row["threshold"]) - 5e-7
        assert (labels[alerts].sum() / labels.sum()) == pytest.approx(
            float(row["recall"]), abs=0.01
        )


def test_a_short_curve_is_kept_whole_and_begins_at_the_axis() -> None:
    labels, scores = np.array([0, 1, 0, 1], np.int8), np.array([0.1, 0.9, 0.9, 0.4])
    assert plots.precision_recall_rows(labels, scores) == [
        {"recall": 0.0, "precision": 0.5, "threshold": 0.9},
        {"recall": 0.5, "precision": 0.5, "threshold": 0.9},
        {"recall": 1.0, "precision": 0.666667, "threshold": 0.4},
        {"recall": 1.0, "precision": 0.5, "threshold": 0.1},
    ]
    assert plots.roc_rows(labels, scores) == [
        {"false_positive_rate": 0.0, "true_positive_rate": 0.0},
        {"false_positive_rate": 0.5, "true_positive_rate": 0.5},
        {"false_positive_rate": 0.5, "true_positive_rate": 1.0},
        {"false_positive_rate": 1.0, "true_positive_rate": 1.0},
    ]


def test_the_confusion_matrix_counts_every_row_once() -> None:
    labels, scores = data()
    counts = {
        (row["actual"], row["predicted"]): int(row["count"])
        for row in rows_of("confusion-matrix.csv")
    }
    assert sum(counts.values()) == len(labels)
    assert counts["fraud", "fraud"] == int(labels[scores >= 0.5].sum())
    assert counts["fraud", "legitimate"] == int(labels[scores < 0.5].sum())
    shares = column("confusion-matrix.csv", "share")
    assert shares[0] + shares[1] == pytest.approx(1)
    assert shares[2] + shares[3] == pytest.approx(1)


def test_candidates_are_ranked_best_first_within_their_intervals() -> None:
    assert [row["candidate"] for row in rows_of("candidates.csv")] == [
        "none-c_d",
        "smote-a_b",
        "undersample-e_f",
    ]
    for row in rows_of("candidates.csv"):
        assert float(row["low"]) <= float(row["average_precision"]) <= float(row["high"])


def test_one_candidate_and_a_hopeless_one_can_be_drawn() -> None:
    labels, scores = np.array([0, 1, 0, 0], np.int8), np.zeros(4)
    rng = np.random.default_rng(2)
    one = {"only-one": judge(labels, scores, 0.5, resamples=100, confidence=0.9, rng=rng)}
    assert set(draw_all(labels, scores, 0.5, one, "synthetic data")) == PICTURES | NUMBERS
