"""Plots: the same bytes for the same figures, small, nothing cut, and honest about their data."""

from __future__ import annotations

import hashlib
import io
import math
from dataclasses import replace
from functools import cache
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from fraudloop.training import canvas, plots
from fraudloop.training.canvas import BLUE, GREY, PALETTE, VERMILION
from fraudloop.training.curves import Measured
from fraudloop.training.importance import Importance, Importances
from fraudloop.training.plots import draw_all
from fraudloop.training.scored import Policy, Scored
from tests.fitted import start_python, told

NAMES = {
    "calibration",
    "candidates",
    "capacity",
    "confusion-matrix",
    "cost",
    "gain",
    "importance",
    "learning-curve",
    "precision-at-k",
    "precision-recall",
    "roc",
    "score-distribution",
    "slices",
}
DATA = "synthetic data"


def figure_of(value: float, real: bool | None) -> dict[str, Any]:
    return {
        "average_precision": value,
        "low": max(0.0, value - 0.1),
        "high": min(1.0, value + 0.05),
        "real": real,
    }


def sliced(labels: list[str]) -> list[dict[str, Any]]:
    names = ("recall", "average_precision")
    return [
        {
            "label": label,
            "rows": 100,
            "frauds": 3 + place,
            **dict.fromkeys(names, 0.6),
            "interval": {name: {"low": 0.3, "high": 0.9} for name in names},
        }
        for place, label in enumerate(labels)
    ]


def features(count: int, name: str = "V", contribution: float | None = 1.0) -> Importances:
    return Importances(
        0.9,
        None if contribution is None else "log-odds",
        tuple(
            Importance(
                f"{name}{place}",
                0.1 * 0.9**place - 0.01,
                0.01,
                contribution and contribution * 0.95**place,
            )
            for place in range(count)
        ),
    )


@cache
def usual() -> Measured:
    rng = np.random.default_rng(0)
    labels = (rng.random(20_000) < 0.005).astype(np.int8)
    labels[:2] = (0, 1)
    odds = rng.normal(7.0 * labels - 7, 1.5)
    rows = Scored(labels, 1 / (1 + np.exp(-odds)), np.round(rng.lognormal(3, 1, len(labels)), 2))
    return Measured(
        rows=rows,
        uncalibrated=1 / (1 + np.exp(-2 - odds / 2)),
        thresholds={"cost": 0.1, "capacity": 0.02},
        decided_by="cost",
        policy=Policy(review_cost=5.0, lost_share=1.0, alert_share=0.01),
        transactions_per_day=40_000.0,
        candidates={
            "none-boosted_trees": figure_of(0.9, None),
            "smote-random_forest": figure_of(0.88, False),
            "undersample-logistic_regression": figure_of(0.7, True),
        },
        slices={
            "amount": sliced(["below 6.99", "6.99 to 21.77", "66.605 and more"]),
            "hour": sliced(["00 to 06 h", "18 to 24 h"]),
            "day": sliced(["day 1", "day 2"]),
        },
        importances=features(28),
        learning_curve=[
            {"share": 0.1, "rows": 10, "frauds": 1, "training": 0.99, "validation": 0.7},
            {"share": 1.0, "rows": 100, "frauds": 9, "training": 0.95, "validation": 0.85},
        ],
    )


def of(**changes: Any) -> Measured:
    return replace(usual(), **changes)


def scored(**changes: Any) -> Measured:
    rows = replace(usual().rows, **changes)
    return of(rows=rows, uncalibrated=rows.scores)


@cache
def cases() -> dict[str, Measured]:
    """What is usual, and all that is not, some of it together."""
    rows = usual().rows
    many = {
        f"borderline_smote-nearest_neighbours_{place}": figure_of(0.9 - place / 100, place > 5)
        for place in range(76)
    }
    return {
        "usual": usual(),
        "all scores equal, one candidate, two features": replace(
            scored(scores=np.full(len(rows), 0.5)),
            candidates={"none-a": figure_of(0.4, None)},
            importances=features(2),
        ),
        "only zeros and ones, 77 candidates, many slices": replace(
            scored(scores=rows.labels.astype(np.float64)),
            candidates={"none-a": figure_of(0.95, None), **many},
            slices={"day": sliced([f"day {day}" for day in range(1, 15)])},
        ),
        "one fraud, only alerts, equal amounts, 500 features": replace(
            scored(
                labels=(np.arange(len(rows)) == 7).astype(np.int8), amounts=np.full(len(rows), 9.0)
            ),
            thresholds={"cost": 0.0, "capacity": 0.0},
            importances=features(500, "a_rather_long_name_of_a_feature="),
        ),
        "no alerts, no losses, no contributions": replace(
            scored(amounts=np.zeros(len(rows))),
            thresholds={"cost": math.inf, "capacity": 1.0000001},
            importances=features(20, contribution=None),
        ),
        "four rows, decided by capacity": of(
            rows=rows.only(np.arange(4)),
            uncalibrated=usual().uncalibrated[:4],
            decided_by="capacity",
            slices={},
        ),
    }


@cache
def figures(case: str = "usual") -> dict[str, Figure]:
    """What is drawn, before it becomes pictures, by title."""
    seen: dict[str, Figure] = {}

    def keep(figure: Figure) -> bytes:
        canvas: Any = FigureCanvasAgg(figure)
        canvas.draw()
        seen[figure.get_suptitle().strip()] = figure
        return b""

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "as_png", keep)
        draw_all(cases()[case], DATA)
    return seen


@cache
def drawn(data: str = DATA) -> dict[str, bytes]:
    return draw_all(usual(), data)


def picture(name: str) -> Image.Image:
    return Image.open(io.BytesIO(drawn()[f"{name}.png"]))


def test_every_plot_is_a_picture_and_a_table() -> None:
    assert set(drawn()) == {f"{name}{kind}" for name in NAMES for kind in (".png", ".csv")}
    for name in NAMES:
        assert drawn()[f"{name}.png"].startswith(b"\x89PNG\r\n")
        assert drawn()[f"{name}.csv"].count(b"\n") >= 2


def test_what_was_not_measured_is_not_drawn() -> None:
    found = draw_all(of(importances=None, learning_curve=(), slices={}), DATA)
    left_out = {"importance", "learning-curve", "slices"}
    assert {name.partition(".")[0] for name in found} == NAMES - left_out


def test_the_same_figures_give_the_same_bytes() -> None:
    assert draw_all(usual(), DATA) == drawn()
    for name in NAMES:
        for leak in (b"tIME", b"Matplotlib", b"Creation", b"tEXt"):
            assert leak not in drawn()[f"{name}.png"]


def test_another_process_gives_the_same_bytes() -> None:
    code = (
        "import hashlib\n"
        "from tests.training.test_plots import drawn\n"
        "whole = b''.join(content for _, content in sorted(drawn().items()))\n"
        "print(hashlib.sha256(whole).hexdigest())"
    )
    whole = b"".join(content for _, content in sorted(drawn().items()))
    there = told(start_python(code, PYTHONHASHSEED="1", OMP_NUM_THREADS="1"))
    assert there.strip() == hashlib.sha256(whole).hexdigest()


def test_pictures_are_small_enough_for_one_page() -> None:
    sizes = {name: len(drawn()[f"{name}.png"]) for name in NAMES}
    assert {name: size for name, size in sizes.items() if size > 30_000} == {}
    assert {name for name in NAMES if picture(name).width != 768} == set()


def test_every_picture_says_what_it_was_measured_on() -> None:
    for title, figure in figures().items():
        assert figure.texts[-1].get_text() == DATA, title


def test_a_picture_of_other_data_is_another_picture_of_the_same_numbers() -> None:
    other = drawn("another")
    for name in NAMES:
        assert other[f"{name}.png"] != drawn()[f"{name}.png"]
        assert other[f"{name}.csv"] == drawn()[f"{name}.csv"]


def test_every_picture_has_a_title_of_its_own() -> None:
    assert len(figures()) == len(NAMES)
    assert "" not in figures()


def test_every_axis_says_what_it_shows() -> None:
    for title, figure in figures().items():
        assert all(axes.get_xlabel() for axes in figure.axes), title
        named = figure.axes[0].get_ylabel(), figure.axes[0].get_yticklabels()[0].get_text()
        assert any(each and not each[0].isdigit() for each in named), title


@pytest.mark.parametrize("case", cases())
def test_nothing_is_cut_and_no_legend_lies_over_data(case: str) -> None:
    assert len(figures(case)) >= len(NAMES) - 1
    for title, figure in figures(case).items():
        canvas: Any = figure.canvas
        renderer = canvas.get_renderer()
        boxes: list[Any] = [axes.get_tightbbox(renderer) for axes in figure.axes]
        legends = [legend.get_window_extent(renderer) for legend in figure.legends]
        texts = [text.get_window_extent(renderer) for text in figure.texts]
        for box in (*boxes, *legends, *texts):
            assert min(box.x0, box.y0) >= -1, title
            assert box.x1 <= figure.bbox.x1 + 1, title
            assert box.y1 <= figure.bbox.y1 + 1, title
        for box in boxes:
            assert not any(legend.overlaps(box) for legend in legends), title
        assert not any(one.overlaps(other) for one, other in combinations(boxes, 2)), title


def colours(name: str) -> dict[tuple[int, ...], int]:
    found = picture(name).convert("RGB").getcolors()
    assert found is not None
    return {colour: count for count, colour in found if isinstance(colour, tuple)}


def rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5))


def test_pictures_keep_to_one_palette() -> None:
    flat = canvas.shades()
    shades = {tuple(flat[at : at + 3]) for at in range(0, len(flat), 3)}
    assert {rgb(colour) for colour in PALETTE} <= shades
    for name in NAMES:
        assert set(colours(name)) <= shades


def test_a_colour_that_one_small_mark_has_is_kept() -> None:
    assert colours("candidates")[rgb(VERMILION)] > 100
    assert colours("precision-recall")[rgb(VERMILION)] > 100
    assert colours("cost")[rgb(VERMILION)] > 100


def luminance(colour: str) -> float:
    parts = [part / 255 for part in rgb(colour)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


@pytest.mark.parametrize("colour", [BLUE, VERMILION, GREY])
def test_colours_stand_out_from_white_paper(colour: str) -> None:
    assert 1.05 / (luminance(colour) + 0.05) >= 3.5


def test_lines_of_one_picture_differ_in_more_than_colour() -> None:
    for title, figure in figures().items():
        for axes in figure.axes:
            lines = [line for line in axes.get_lines() if not str(line.get_label()).startswith("_")]
            looks = [
                (line.get_linestyle(), line.get_marker(), line.get_markerfacecolor() == "white")
                for line in lines
            ]
            assert len(set(looks)) == len(looks), title


def test_the_real_differences_are_filled_and_the_others_hollow() -> None:
    (axes,) = figures()["Candidates compared"].axes
    shown: list[Any] = axes.containers
    inside = {each.get_label(): each.lines[0].get_markerfacecolor() for each in shown}
    assert inside == {
        "champion": VERMILION,
        "worse than the champion": BLUE,
        "no real difference": "white",
    }


@pytest.mark.parametrize("case", ["usual", "four rows, decided by capacity"])
def test_the_threshold_in_force_is_marked_as_such(case: str) -> None:
    (axes,) = figures(case)["Cost by threshold on test"].axes
    marks = {
        str(line.get_label()): line.get_markerfacecolor()
        for line in axes.get_lines()
        if line.get_marker() in ("s", "D")
    }
    assert sorted(marks.values()) == sorted([VERMILION, "white"])
    (in_force,) = [label for label in marks if label.endswith("in force")]
    assert marks[in_force] == VERMILION
    assert ("capacity" in in_force) == (cases()[case].decided_by == "capacity")


def test_no_more_is_shown_than_can_be_read_and_what_is_left_out_is_said() -> None:
    (candidates,) = figures("only zeros and ones, 77 candidates, many slices")[
        "Candidates compared"
    ].axes
    assert len(candidates.get_yticks()) == 15
    assert "62 more" in candidates.get_xlabel()
    important = figures("one fraud, only alerts, equal amounts, 500 features")
    assert len(important["Features by importance on validation"].axes[0].get_yticks()) == 15
