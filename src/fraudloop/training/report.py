"""The model card and the report: templates, filled from measured values only."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fraudloop import __version__
from fraudloop.dataset.card import Card
from fraudloop.model.package import LIBRARIES
from fraudloop.training.figures import ABOUT
from fraudloop.training.findings import Evaluated, findings, span

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"
UNKNOWN = "–"


def model_card(evaluated: Evaluated, report: Mapping[str, Any], card: Card) -> str:
    """`model-card.md`: what the champion is for, on what it was measured, where it fails."""
    return _filled("model-card.md.j2", evaluated, report, card)


def report_page(
    evaluated: Evaluated, report: Mapping[str, Any], card: Card, plots: Mapping[str, bytes]
) -> str:
    """`report.html`: one page that needs no other file; `plots` are PNGs by file name."""
    pictures = {
        name.removesuffix(".png"): base64.b64encode(content).decode()
        for name, content in plots.items()
        if name.endswith(".png")
    }
    return _filled("report.html.j2", evaluated, report, card, pictures=pictures)


def number(value: float | None, digits: int = 3) -> str:
    """A number as people read it; a dash where there is none.

    >>> number(0.84666), number(1234567.0, 0), number(None)
    ('0.847', '1,234,567', '–')
    """
    return UNKNOWN if value is None else f"{value:,.{digits}f}"


def percent(value: float | None, digits: int = 0) -> str:
    """A share in hundredths.

    >>> percent(0.6923), percent(0.0016, 2), percent(None)
    ('69%', '0.16%', '–')
    """
    return UNKNOWN if value is None else f"{value:.{digits}%}"


def _filled(
    template: str, evaluated: Evaluated, report: Mapping[str, Any], card: Card, **more: Any
) -> str:
    said = findings(evaluated, report, card)
    return (
        _environment()
        .get_template(template)
        .render(
            about=ABOUT,
            card=card,
            cautions=[finding.text for finding in said if finding.caution],
            evaluated=evaluated,
            facts=[finding.text for finding in said if not finding.caution],
            report=report,
            versions={"fraudloop": __version__} | {name: version(name) for name in LIBRARIES},
            **more,
        )
    )


def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(("html.j2",), default=False),
        undefined=StrictUndefined,  # a value that was not measured is an error, not a blank
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"number": number, "percent": percent, "span": span}
    return environment
