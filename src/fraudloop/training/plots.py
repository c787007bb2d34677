"""Plots: each figure once as a picture for people and once as rows for `dvc plots`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fraudloop.training.canvas import (
    BLUE,
    GREEN,
    GREY,
    HIGHEST,
    PALE_BLUE,
    SMALL,
    STYLE,
    VERMILION,
    as_png,
    at_log_odds,
    figure_of,
    log_axis,
    mark,
    percent_axis,
    score_axis,
    with_legend,
)
from fraudloop.training.curves import Measured, Outcome, Row, all_rows, column, to_csv

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

Rows = Sequence[Row]

MOST_SHOWN = 15
LONGEST_NAME = 18
WAYS = {"cost": ("s", "chosen by cost"), "capacity": ("D", "chosen by capacity")}
DIFFERENCES = {
    "champion": ("D", VERMILION, VERMILION),
    "worse than the champion": ("o", BLUE, BLUE),
    "no real difference": ("o", BLUE, "white"),
}


def draw_all(measured: Measured, data: str) -> dict[str, bytes]:
    """Every plot's two files by name; `data` says on each what it was measured on."""
    from matplotlib import style

    rows = all_rows(measured)
    pictures = {}
    with style.context(STYLE):
        for name, each in rows.items():
            figure = DRAWN[name](each, measured)
            mark(figure, data)
            pictures[f"{name}.png"] = as_png(figure)
    return pictures | {f"{name}.csv": to_csv(each) for name, each in rows.items()}


def draw_confusion(rows: Rows, measured: Measured) -> Figure:
    """The four outcomes, coloured by their share of the label so that the rare one is seen."""
    figure, (axes,) = figure_of(f"Decisions on {measured.part}, {_named(measured)}")
    shares = column(rows, "share").reshape(2, 2)
    axes.imshow(shares, cmap=_blues(), vmin=0, vmax=1, aspect="auto")
    axes.grid(visible=False)
    for place, share in enumerate(shares.ravel()):
        axes.text(
            place % 2,
            place // 2,
            f"{rows[place]['count']:,}\n{share:.2%}",
            ha="center",
            va="center",
            fontsize=26,
            color="white" if share > 0.5 else "black",
        )
    names = ["legitimate", "fraud"]
    axes.set(xticks=[0, 1], xticklabels=names, xlabel="Decided")
    axes.set_yticks([0, 1], names, rotation=90, va="center")
    axes.set_ylabel("Actual")
    return figure


def draw_precision_recall(rows: Rows, measured: Measured) -> Figure:
    """Precision over recall, with what a model that knows nothing would reach."""
    figure, (axes,) = figure_of(f"Precision and recall on {measured.part}")
    recall, precision = column(rows, "recall"), column(rows, "precision")
    axes.step(recall, precision, where="pre", color=BLUE, label="model")
    base_rate = measured.rows.frauds / len(measured.rows)
    axes.axhline(base_rate, color=GREY, linestyle="--", label="no skill")
    at = Outcome.at(measured.rows, measured.threshold)
    if at.alerts:
        _mark(axes, at.recall, at.precision, "at the threshold")
    axes.set(xlabel="Recall: share of frauds caught", ylabel="Precision: share of alerts right")
    return _unit_square(figure, axes)


def draw_roc(rows: Rows, measured: Measured) -> Figure:
    """Frauds caught over legitimate transactions stopped."""
    figure, (axes,) = figure_of(f"Receiver operating characteristic on {measured.part}")
    false, true = column(rows, "false_positive_rate"), column(rows, "true_positive_rate")
    axes.plot(false, true, color=BLUE, label="model")
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", label="no skill")
    at = Outcome.at(measured.rows, measured.threshold)
    _mark(axes, at.false_alarm_rate, at.recall, "at the threshold")
    axes.set(xlabel="Share of legitimate flagged", ylabel="Share of frauds caught")
    return _unit_square(figure, axes)


def draw_calibration(rows: Rows, measured: Measured) -> Figure:
    """How often a score comes true, before calibration and after."""
    figure, (axes,) = figure_of(f"Calibration on {measured.part}: do scores come true?")
    lowest = float(at_log_odds(np.array([3e-6]))[0])
    looks = {
        "before": ("s", GREY, "white", "before calibration"),
        "after": ("o", BLUE, BLUE, "after calibration"),
    }
    axes.plot([lowest, HIGHEST], [lowest, HIGHEST], color=GREEN, linestyle=":", label="perfect")
    for when, (marker, colour, inside, label) in looks.items():
        mine = [row for row in rows if row["calibration"] == when]
        mean, share, low, high = (
            np.maximum(at_log_odds(column(mine, name)), lowest)
            for name in ("mean_score", "fraud_share", "low", "high")
        )
        axes.errorbar(
            mean,
            share,
            yerr=np.abs([low - share, high - share]),
            fmt=marker,
            color=colour,
            markerfacecolor=inside,
            elinewidth=1.6,
            capsize=4,
            clip_on=False,
            label=f"{label}, 95 % interval",
        )
    axes.set(xlabel="Mean score", ylabel="Share that are frauds")
    for axis in (axes.xaxis, axes.yaxis):
        score_axis(axis, lowest, HIGHEST, ends=True)
    return with_legend(figure, 1)


def draw_score_distribution(rows: Rows, measured: Measured) -> Figure:
    """Where the scores of each class lie, each class as a whole of its own."""
    figure, (axes,) = figure_of(f"Scores by class on {measured.part}")
    looks = (("legitimate", BLUE, "-", ""), ("fraud", VERMILION, "--", "//"))
    at = _at(measured.threshold)
    seen = [at, *(float(row["log_odds"] or 0) for row in rows if row["rows"])]
    for name, colour, line, hatch in looks:
        mine = [row for row in rows if row["class"] == name]
        middles, shares = column(mine, "log_odds"), column(mine, "share")
        edges = np.append(middles - 0.25, middles[-1] + 0.25)
        axes.stairs(
            shares,
            edges,
            fill=True,
            facecolor=f"{colour}40",
            edgecolor=colour,
            linestyle=line,
            linewidth=2.2,
            hatch=hatch,
            label=name,
        )
    axes.axvline(at, color="black", linestyle="-.", label=_named(measured))
    axes.set(xlabel="Score", ylabel="Share of the class")
    percent_axis(axes.yaxis)
    score_axis(axes.xaxis, min(seen) - 1, max(seen) + 1)
    return with_legend(figure, 3)


def draw_candidates(rows: Rows, measured: Measured) -> Figure:
    """The candidates' average precision with its interval; the champion stands out."""
    shown, left_out = rows[:MOST_SHOWN], rows[MOST_SHOWN:]
    figure, (axes,) = figure_of("Candidates compared", height=max(5.2, 2.2 + 0.36 * len(shown)))
    values = column(shown, "average_precision")
    ends = np.array([column(shown, "low"), column(shown, "high")])
    places = np.arange(len(shown))[::-1]
    for difference, (marker, colour, inside) in DIFFERENCES.items():
        mine = np.array([row["difference"] == difference for row in shown])
        if mine.any():
            axes.errorbar(
                values[mine],
                places[mine],
                xerr=np.abs(ends - values)[:, mine],
                fmt=marker,
                color=colour,
                markerfacecolor=inside,
                markeredgewidth=2.2,
                capsize=4,
                label=difference,
            )
    names = [str(row["candidate"]).replace("-", " · ").replace("_", " ") for row in shown]
    axes.set_yticks(places, names, fontsize=SMALL)
    note = f"\n{len(left_out)} more, below, not shown" if left_out else ""
    axes.set_xlabel(f"Average precision on validation{note}", loc="right")
    axes.set_xlim(max(0.0, float(ends[0].min()) - 0.03), min(1.01, float(ends[1].max()) + 0.03))
    axes.locator_params(axis="x", nbins=4)
    return with_legend(figure, 1)


def draw_cost(rows: Rows, measured: Measured) -> Figure:
    """What each threshold costs, and what it costs to have none."""
    figure, (axes,) = figure_of(f"Cost by threshold on {measured.part}")
    at = column(rows, "log_odds")
    axes.step(at, column(rows, "cost"), where="post", color=BLUE, label="with the model")
    lines = {"no_model": ("--", "no review"), "review_everything": (":", "review everything")}
    for name, (line, label) in lines.items():
        axes.axhline(column(rows, name)[0], color=GREY, linestyle=line, label=label)
    for way, threshold in measured.thresholds.items():
        cost = Outcome.at(measured.rows, threshold).cost(measured.policy)
        _mark_way(axes, way, measured, _at(threshold), cost)
    if min(column(rows, name).min() for name in ("cost", *lines)) > 0:
        axes.set_yscale("log")
    axes.set(xlabel="Threshold", ylabel="Cost per 1,000 transactions,\nin the amounts' currency")
    seen = [at.min(), at.max(), *map(_at, measured.thresholds.values())]
    score_axis(axes.xaxis, min(seen) - 0.5, max(seen) + 0.5)
    return with_legend(figure, 2)


def draw_capacity(rows: Rows, measured: Measured) -> Figure:
    """What reviewers find, and what escapes them, by how many alerts they can look at."""
    figure, (axes,) = figure_of(f"What alerts a day find, on {measured.part}")
    alerts = column(rows, "alerts_per_day")
    axes.step(alerts, column(rows, "recall"), where="post", color=BLUE, label="frauds caught")
    precision = column(rows, "precision")
    axes.plot(alerts, precision, color=VERMILION, linestyle="--", label="alerts right")
    at = measured.policy.alert_share * measured.transactions_per_day
    axes.axvline(at, color=GREY, linestyle=":", label=f"capacity: {at:,.0f} a day")
    each = measured.transactions_per_day / len(measured.rows)
    now = Outcome.at(measured.rows, measured.threshold)
    if now.alerts:
        _mark(axes, now.alerts * each, now.recall, "at the threshold")
    axes.set(xlabel="Alerts a day", ylabel="Share", ylim=(-0.02, 1.04))
    log_axis(axes.xaxis)
    percent_axis(axes.yaxis)
    return with_legend(figure, 2)


def draw_gain(rows: Rows, measured: Measured) -> Figure:
    """How much of the fraud is found by reviewing the highest scores first."""
    figure, (axes,) = figure_of(f"Caught by reviewing the top, on {measured.part}")
    reviewed = column(rows, "reviewed")
    axes.step(reviewed, column(rows, "frauds"), where="post", color=BLUE, label="frauds")
    money = column(rows, "money")
    axes.step(reviewed, money, where="post", color=VERMILION, linestyle="--", label="their money")
    axes.plot(reviewed, reviewed, color=GREY, linestyle=":", label="at random")
    axes.set(xlabel="Share of transactions reviewed", ylabel="Share caught", ylim=(-0.02, 1.04))
    log_axis(axes.xaxis, shares=True)
    percent_axis(axes.yaxis)
    return with_legend(figure, 3)


def draw_precision_at_k(rows: Rows, measured: Measured) -> Figure:
    """How many of the highest scores are frauds."""
    figure, (axes,) = figure_of(f"Precision among the top k, on {measured.part}")
    k = column(rows, "k")
    ends = column(rows, "low"), column(rows, "high")
    axes.fill_between(k, *ends, color=PALE_BLUE, linewidth=0, label="95 % interval")
    axes.plot(k, column(rows, "precision"), color=BLUE, label="model")
    best = np.minimum(1.0, measured.rows.frauds / k)
    axes.plot(k, best, color=GREY, linestyle=":", label="best possible")
    axes.set(xlabel="k highest scores", ylabel="Share that are frauds", ylim=(-0.02, 1.04))
    log_axis(axes.xaxis)
    percent_axis(axes.yaxis)
    return with_legend(figure, 3)


def draw_importance(rows: Rows, measured: Measured) -> Figure:
    """What the model loses without each feature, and beside it how far each feature moves it."""
    shown = rows[:MOST_SHOWN]
    moved = "contribution" in rows[0]
    figure, panels = figure_of("Features by importance on validation", panels=1 + moved, height=6.6)
    places = np.arange(len(shown))[::-1]
    drops, spread = column(shown, "drop"), column(shown, "spread")
    panels[0].barh(places, drops, color=BLUE)
    panels[0].errorbar(
        drops, places, xerr=spread, fmt="none", ecolor="black", elinewidth=1.8, capsize=3
    )
    panels[0].set_yticks(places, [_short(row["feature"]) for row in shown], fontsize=SMALL)
    panels[0].set_xlabel("Drop in average\nprecision, shuffled")
    if moved and measured.importances is not None:
        panels[1].barh(places, column(shown, "contribution"), color=VERMILION, hatch="//")
        panels[1].set_xlabel(f"Mean contribution,\nin {measured.importances.unit}")
        panels[1].tick_params(labelleft=False)
    for axes in panels:
        axes.locator_params(axis="x", nbins=3)
    return figure


def draw_learning_curve(rows: Rows, measured: Measured) -> Figure:
    """What more training rows would bring."""
    figure, (axes,) = figure_of("Learning curve of the champion")
    share = column(rows, "share")
    validation, training = column(rows, "validation"), column(rows, "training")
    axes.plot(share, validation, "o-", color=BLUE, label="on validation")
    axes.plot(share, training, "s--", color=VERMILION, label="on training")
    axes.set(xlabel="Share of the training rows", ylabel="Average precision")
    axes.set_ylim(max(0.0, float(min(validation.min(), training.min())) - 0.05), 1.02)
    percent_axis(axes.xaxis)
    return with_legend(figure, 2)


def draw_slices(rows: Rows, measured: Measured) -> Figure:
    """How the model does on parts of the rows, with how little may be known of each."""
    figure, panels = figure_of(
        f"Slices of {measured.part} (number of frauds)",
        panels=2,
        height=max(5.2, 2.0 + 0.42 * len(rows)),
    )
    places = np.arange(len(rows))[::-1]
    looks = (
        ("recall", "Frauds\ncaught", "o", BLUE),
        ("average_precision", "Average\nprecision", "s", VERMILION),
    )
    for axes, (name, label, marker, colour) in zip(panels, looks, strict=True):
        values = column(rows, name)
        ends = np.array([column(rows, f"{name}_low"), column(rows, f"{name}_high")])
        axes.errorbar(
            values, places, xerr=np.abs(ends - values), fmt=marker, color=colour, capsize=4
        )
        axes.set(xlim=(-0.03, 1.03), xlabel=label)
        axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        axes.set_yticks(
            places, [f"{row['slice']} ({row['frauds']})" for row in rows], fontsize=SMALL
        )
    panels[1].tick_params(labelleft=False)
    return figure


DRAWN = {
    "calibration": draw_calibration,
    "candidates": draw_candidates,
    "capacity": draw_capacity,
    "confusion-matrix": draw_confusion,
    "cost": draw_cost,
    "gain": draw_gain,
    "importance": draw_importance,
    "learning-curve": draw_learning_curve,
    "precision-at-k": draw_precision_at_k,
    "precision-recall": draw_precision_recall,
    "roc": draw_roc,
    "score-distribution": draw_score_distribution,
    "slices": draw_slices,
}


def _unit_square(figure: Figure, axes: Axes) -> Figure:
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.04))
    return with_legend(figure, 3)


def _mark(axes: Axes, x: float, y: float, label: str) -> None:
    axes.plot([x], [y], "o", color=VERMILION, markersize=12, clip_on=False, label=label)


def _mark_way(axes: Axes, way: str, measured: Measured, x: float, y: float) -> None:
    """A threshold by how it was chosen: filled if it is in force."""
    marker, label = WAYS.get(way, ("o", way))
    decides = way == measured.decided_by
    axes.plot(
        [x],
        [y],
        marker,
        color=VERMILION,
        markerfacecolor=VERMILION if decides else "white",
        markeredgewidth=2.4,
        markersize=12,
        label=f"{label}, in force" if decides else label,
    )


def _blues() -> Colormap:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("blues", ["white", BLUE])


def _at(score: float) -> float:
    return float(at_log_odds(np.array([score]))[0])


def _named(measured: Measured) -> str:
    inside = measured.threshold <= 1
    return f"threshold {measured.threshold:.3g}" if inside else "no score is an alert"


def _short(name: object) -> str:
    text = str(name)
    return text if len(text) <= LONGEST_NAME else f"{text[: LONGEST_NAME - 1]}…"
