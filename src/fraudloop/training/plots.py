"""Plots: each figure once as a picture for people and once as rows for `dvc plots`."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from fraudloop.training.evaluate import Judgement, confusion

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Labels = NDArray[np.int8]
Scores = NDArray[np.float64]
Corner = Literal["lower left", "lower right"]
Row = dict[str, float | int | str]

# Okabe and Ito's colours, told apart by every kind of colour vision.
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#767676"
CURVE_POINTS = 400
STYLE: dict[str, Any] = {
    "font.size": 12,
    "axes.titlesize": 13,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#E5E5E5",
    "axes.axisbelow": True,
    "lines.linewidth": 2.2,
    "legend.frameon": False,
}


def draw_all(
    labels: Labels,
    scores: Scores,
    threshold: float,
    candidates: Mapping[str, Judgement],
    data: str,
) -> dict[str, bytes]:
    """Every plot's two files by name; `data` says on each what it was measured on."""
    from matplotlib import style

    curve = precision_recall_rows(labels, scores)
    roc = roc_rows(labels, scores)
    matrix = confusion_rows(confusion(labels, scores, threshold))
    ranked = candidate_rows(candidates)
    rows = {
        "precision-recall": curve,
        "roc": roc,
        "confusion-matrix": matrix,
        "candidates": ranked,
    }
    with style.context(STYLE):
        pictures = {
            "precision-recall": draw_precision_recall(curve, float(labels.mean())),
            "roc": draw_roc(roc),
            "confusion-matrix": draw_confusion(matrix, threshold),
            "candidates": draw_candidates(ranked),
        }
        for figure in pictures.values():
            figure.suptitle(data, x=0.99, ha="right", fontsize=11, color=GREY)
        drawn = {f"{name}.png": _png(figure) for name, figure in pictures.items()}
    return drawn | {f"{name}.csv": to_csv(each) for name, each in rows.items()}


def precision_recall_rows(labels: Labels, scores: Scores) -> list[Row]:
    """The precision-recall curve, thinned to what can be seen."""
    caught, alerts, ranked = _curve(labels, scores)
    rows = _thinned(np.flatnonzero(caught > 0))
    curve: list[Row] = [
        {
            "recall": _rounded(caught[row] / caught[-1]),
            "precision": _rounded(caught[row] / alerts[row]),
            "threshold": _rounded(ranked[row]),
        }
        for row in rows
    ]
    # From the axis on: where the surest scores are equal, the first point lies far from it.
    return [curve[0] | {"recall": 0.0}, *curve]


def roc_rows(labels: Labels, scores: Scores) -> list[Row]:
    """The receiver operating characteristic, thinned to what can be seen."""
    caught, alerts, _ = _curve(labels, scores)
    false_alarms = alerts - caught
    start: list[Row] = [{"false_positive_rate": 0.0, "true_positive_rate": 0.0}]
    return start + [
        {
            "false_positive_rate": _rounded(false_alarms[row] / max(false_alarms[-1], 1)),
            "true_positive_rate": _rounded(caught[row] / caught[-1]),
        }
        for row in _thinned(np.arange(len(caught)))
    ]


def confusion_rows(counts: Mapping[tuple[int, int], int]) -> list[Row]:
    """The confusion matrix, with each count also as a share of its label."""
    names = ("legitimate", "fraud")
    return [
        {
            "actual": names[label],
            "predicted": names[prediction],
            "count": count,
            "share": _rounded(count / max(counts[label, 0] + counts[label, 1], 1)),
        }
        for (label, prediction), count in counts.items()
    ]


def candidate_rows(judgements: Mapping[str, Judgement]) -> list[Row]:
    """The candidates by average precision, best first."""
    name = "average_precision"
    ranked = sorted(judgements.items(), key=lambda item: -item[1].figures[name])
    return [
        {
            "candidate": candidate,
            name: _rounded(judgement.figures[name]),
            "low": _rounded(judgement.intervals[name].low),
            "high": _rounded(judgement.intervals[name].high),
        }
        for candidate, judgement in ranked
    ]


def to_csv(rows: Sequence[Row]) -> bytes:
    """Rows as CSV, for `dvc plots`."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def draw_precision_recall(rows: Sequence[Row], base_rate: float) -> Figure:
    """Precision over recall, with what a model that knows nothing would reach."""
    figure, axes = _figure("Precision and recall on test")
    axes.step(_column(rows, "recall"), _column(rows, "precision"), where="post", color=BLUE)
    axes.axhline(base_rate, color=GREY, linestyle="--", label="no skill")
    axes.set(
        xlabel="Recall: share of frauds caught", ylabel="Precision: share of alerts that are right"
    )
    return _unit_square(figure, axes, "lower left")


def draw_roc(rows: Sequence[Row]) -> Figure:
    """Frauds caught over legitimate transactions stopped."""
    figure, axes = _figure("Receiver operating characteristic on test")
    axes.plot(_column(rows, "false_positive_rate"), _column(rows, "true_positive_rate"), color=BLUE)
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", label="no skill")
    axes.set(xlabel="Share of legitimate transactions flagged", ylabel="Share of frauds caught")
    return _unit_square(figure, axes, "lower right")


def draw_confusion(rows: Sequence[Row], threshold: float) -> Figure:
    """The four outcomes, coloured by their share of the label so that the rare one is seen."""
    figure, axes = _figure(f"Decisions on test at threshold {threshold:.3f}")
    shares = np.array([float(row["share"]) for row in rows]).reshape(2, 2)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.grid(visible=False)
    for place, row in enumerate(rows):
        dark = float(row["share"]) > 0.5
        axes.text(
            place % 2,
            place // 2,
            f"{row['count']:,}\n{float(row['share']):.2%}",
            ha="center",
            va="center",
            fontsize=17,
            color="white" if dark else "black",
        )
    names = ["legitimate", "fraud"]
    axes.set(xticks=[0, 1], yticks=[0, 1], xticklabels=names, yticklabels=names)
    axes.set(xlabel="Predicted", ylabel="Actual")
    return figure


def draw_candidates(rows: Sequence[Row]) -> Figure:
    """The candidates' average precision with its interval; the champion stands out."""
    figure, axes = _figure("Candidates compared")
    values = _column(rows, "average_precision")
    places = np.arange(len(rows))[::-1]
    reach = np.abs(np.array([_column(rows, "low") - values, _column(rows, "high") - values]))
    for row, place in enumerate(places):
        axes.errorbar(
            values[row],
            place,
            xerr=reach[:, [row]],
            fmt="o",
            markersize=8,
            capsize=4,
            color=ORANGE if row == 0 else BLUE,
            label={0: "champion", 1: "other candidates"}.get(row),
        )
    axes.set_yticks(
        places, [str(row["candidate"]).replace("-", " · ").replace("_", " ") for row in rows]
    )
    axes.set(xlabel="Average precision on validation, with its interval")
    axes.set_xlim(max(0.0, float(_column(rows, "low").min()) - 0.05), 1.01)
    figure.legend(loc="outside lower right", ncols=2)
    return figure


def _curve(labels: Labels, scores: Scores) -> tuple[NDArray[np.int64], NDArray[np.int64], Scores]:
    """Frauds caught and alerts raised at every distinct score, from the highest down."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    return np.cumsum(labels[order], dtype=np.int64)[last], last + 1, ranked[last]


def _thinned(rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """At most `CURVE_POINTS` rows, dense at the start, where a fraud curve bends."""
    if len(rows) <= CURVE_POINTS:
        return rows
    places = np.geomspace(1, len(rows), CURVE_POINTS) - 1
    return rows[np.unique(np.rint(places).astype(np.intp))]


def _column(rows: Sequence[Row], name: str) -> NDArray[np.float64]:
    return np.array([row[name] for row in rows], dtype=np.float64)


def _rounded(value: float) -> float:
    return round(float(value), 6)


def _figure(title: str) -> tuple[Figure, Axes]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 5.2), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(title, loc="left")
    return figure, axes


def _unit_square(figure: Figure, axes: Axes, legend: Corner) -> Figure:
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.03))
    axes.legend(loc=legend)
    return figure


def _png(figure: Figure) -> bytes:
    picture = io.BytesIO()
    # No software name and no date: the same figure is the same bytes.
    figure.savefig(picture, format="png", metadata={"Software": None})
    return picture.getvalue()
