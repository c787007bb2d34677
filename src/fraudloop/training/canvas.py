"""What all plots are drawn on: one style and palette, axes for scores, and pictures as bytes.

A picture must be readable in a report at full width, and still recognised at a third of it.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from fraudloop.training.scored import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by every kind of colour vision; line styles and markers differ
# with them. Blue is the model or the legitimate, vermilion fraud or what stands out.
BLUE, VERMILION, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#767676"
PALE_BLUE = "#B6D7E9"
PALETTE = ("#000000", BLUE, VERMILION, GREEN, GREY)
SHADES = 7  # of each colour towards white, where lines end: more make a picture larger, not clearer
SMALL = 13
STYLE: dict[str, Any] = {
    "font.size": 15,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#E5E5E5",
    "axes.axisbelow": True,
    "lines.linewidth": 2.8,
    "lines.markersize": 9,
    "legend.frameon": False,
    "legend.fontsize": 14,
    "figure.titlesize": 18,
}
# Scores are drawn by their log-odds, as nearly all of them are close to 0.
LOWEST, HIGHEST = -14.0, 10.0
SCORES = {1e-6: "10⁻⁶", 1e-4: "10⁻⁴", 0.01: "0.01", 0.5: "0.5", 0.99: "0.99", 0.9999: "0.9999"}


def figure_of(title: str, *, panels: int = 1, height: float = 5.2) -> tuple[Figure, list[Axes]]:
    """An empty figure, its title above and its panels side by side."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, height), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    # The line above the title is left free for `mark`.
    figure.suptitle(f"\n{title}", x=0.015, ha="left")
    return figure, list(figure.subplots(1, panels, squeeze=False)[0])


def mark(figure: Figure, data: str) -> None:
    """Say on a figure what it was measured on."""
    figure.text(0.985, 0.985, data, ha="right", va="top", fontsize=SMALL, color=GREY)


def with_legend(figure: Figure, columns: int) -> Figure:
    """Say below the axes, where no data are, what is what."""
    figure.legend(loc="outside lower center", ncols=columns, columnspacing=1.2, handlelength=1.8)
    return figure


def at_log_odds(scores: Floats) -> Floats:
    """Where scores are drawn; those at 0 and 1 at the ends of the axis."""
    inside = np.clip(scores, 1e-7, 1 - 1e-7)
    return np.asarray(np.clip(np.log(inside / (1 - inside)), LOWEST, HIGHEST))


def score_axis(axis: Axis, low: float, high: float, *, ends: bool = False) -> None:
    """An axis of log-odds, from `low` to `high`, that shows scores; with 0 and 1 at its `ends`."""
    ticks = {float(at_log_odds(np.array([score]))[0]): text for score, text in SCORES.items()}
    if ends:
        inside = {at: text for at, text in ticks.items() if low + 2 < at < high - 2}
        ticks = {low: "0", **inside, high: "1"}
    axis.set_ticks(list(ticks), list(ticks.values()))
    axis.set_view_interval(low, high, ignore=True)


def log_axis(axis: Axis, *, shares: bool = False) -> None:
    """A logarithmic axis of numbers, or of shares, with its powers of ten written out."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axis.axes.set_xscale("log")
    axis.set_major_locator(LogLocator(numticks=7))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(
        FuncFormatter(lambda at, _: f"{100 * at:g} %" if shares else f"{at:,g}")
    )


def percent_axis(axis: Axis) -> None:
    """A linear axis of shares."""
    axis.set_major_formatter("{x:.0%}")


def as_png(figure: Figure) -> bytes:
    """The picture in few colours and without date or software: small, the same bytes always."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())[:, :, :3])
    palette = Image.new("P", (1, 1))
    palette.putpalette(shades())
    # A palette of its own would leave out a colour that only one small mark has.
    few = picture.quantize(palette=palette, dither=Image.Dither.NONE)
    content = io.BytesIO()
    few.save(content, format="png", optimize=True)
    return content.getvalue()


def shades() -> list[int]:
    """Red, green and blue of all that a picture may hold: each colour, paler and darker."""
    colours = [[int(each[at : at + 2], 16) for at in (1, 3, 5)] for each in PALETTE]
    paler = [
        [round(255 + (part - 255) * step / SHADES) for part in colour]
        for colour in colours
        for step in range(SHADES + 1)
    ]
    darker = [[part // 2 for part in colour] for colour in colours]
    return [part for colour in paler + darker for part in colour]
