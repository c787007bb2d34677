"""Distributions as SVG: a kilobyte or two each, inside the page, with nothing to load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

WIDE, HIGH = 320, 150
LEFT, RIGHT, TOP, BOTTOM = 8, 8, 8, 22
LONGEST = 9  # letters of a label under a bar


def distribution(shape: Mapping[str, Any], name: str) -> str:
    """The picture of a column's `distribution` in a report: reference beside current."""
    before, now = shape["reference"], shape["current"]
    top = max([*before, *now, 1e-9])
    says = escape(f"How {name} is distributed, in the reference and now", quote=True)
    inside = (
        _steps(shape["edges"], before, now, top)
        if "edges" in shape
        else _bars(shape["categories"], before, now, top)
    )
    return (
        f'<svg viewBox="0 0 {WIDE} {HIGH}" role="img" aria-label="{says}">'
        f'<path class="axis" d="M{LEFT} {HIGH - BOTTOM}H{WIDE - RIGHT}"/>{inside}</svg>'
    )


def line(points: Sequence[Mapping[str, Any]], name: str, promised: float | None) -> str:
    """A figure week by week, with its interval as a stroke, and what was promised as a line."""
    known = [each for each in points if each["value"] is not None]
    reach = [value for each in known for value in (each["low"], each["high"], each["value"])]
    reach += [0.0] if promised is None else [0.0, promised]
    top = max([each for each in reach if each is not None], default=1.0) or 1.0
    says = escape(f"{name}, week by week", quote=True)
    made = [f'<path class="axis" d="M{LEFT} {HIGH - BOTTOM}H{WIDE - RIGHT}"/>']
    if promised is not None:
        made.append(f'<path class="promised" d="M{LEFT} {_y(promised / top)}H{WIDE - RIGHT}"/>')
    wide = (WIDE - LEFT - RIGHT) / max(len(points), 1)
    for place, each in enumerate(points):
        x = _short(LEFT + wide * (place + 0.5))
        if len(points) <= 8 or place % (len(points) // 8 + 1) == 0:
            made.append(_text(float(x), escape(each["label"]), "middle"))
        if each["value"] is None:
            continue
        if each["low"] is not None and each["high"] is not None:
            stroke = f"M{x} {_y(each['low'] / top)}V{_y(each['high'] / top)}"
            made.append(f'<path class="interval" d="{stroke}"/>')
        made.append(f'<circle class="point" cx="{x}" cy="{_y(each["value"] / top)}" r="4"/>')
    return f'<svg viewBox="0 0 {WIDE} {HIGH}" role="img" aria-label="{says}">{"".join(made)}</svg>'


def _steps(
    edges: Sequence[float], before: Sequence[float], now: Sequence[float], top: float
) -> str:
    wide = (WIDE - LEFT - RIGHT) / len(before)

    def stairs(shares: Sequence[float]) -> str:
        parts = [f"M{LEFT} {HIGH - BOTTOM}"]
        for place, share in enumerate(shares):
            parts.append(f"V{_y(share / top)}H{_short(LEFT + wide * (place + 1))}")
        return "".join(parts) + f"V{HIGH - BOTTOM}"

    return (
        f'<path class="before" d="{stairs(before)}Z"/><path class="now" d="{stairs(now)}"/>'
        + _text(LEFT, f"{edges[0]:.4g}", "start")
        + _text(WIDE - RIGHT, f"{edges[-1]:.4g}", "end")
    )


def _bars(labels: Sequence[str], before: Sequence[float], now: Sequence[float], top: float) -> str:
    wide = (WIDE - LEFT - RIGHT) / max(len(labels), 1)
    letters = max(2, min(LONGEST, int(wide / 6)))
    made = []
    for place, (label, first, second) in enumerate(zip(labels, before, now, strict=True)):
        left = LEFT + wide * place
        short = label if len(label) <= letters else f"{label[: letters - 1]}…"
        made.append(
            _bar("before", left + wide * 0.1, wide * 0.4, first / top)
            + _bar("now", left + wide * 0.5, wide * 0.4, second / top)
            + _text(left + wide / 2, escape(short), "middle", escape(label))
        )
    return "".join(made)


def _bar(kind: str, left: float, wide: float, share: float) -> str:
    y = _y(share)
    high = _short(HIGH - BOTTOM - float(y))
    return (
        f'<rect class="{kind}" x="{_short(left)}" y="{y}" width="{_short(wide)}" height="{high}"/>'
    )


def _text(x: float, text: str, anchor: str, title: str = "") -> str:
    whole = f"<title>{title}</title>" if title and title != text else ""
    return f'<text x="{_short(x)}" y="{HIGH - 7}" text-anchor="{anchor}">{text}{whole}</text>'


def _y(share: float) -> str:
    return _short(HIGH - BOTTOM - share * (HIGH - BOTTOM - TOP))


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
