"""Reports as pages: each one file that loads nothing, filled from a report's own values only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fraudloop.monitoring import pictures

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"
TINIEST = 1e-300
UNKNOWN = "–"


def drift_page(report: Mapping[str, Any]) -> str:
    """The page of a drift report, as the report stands in JSON or in the ledger."""
    every = {**report["columns"], **report["scores"]}
    steady = [name for name in every if name not in report["drifted"]]
    return _filled("drift.html.j2", report=report, every=every, steady=steady)


def outcomes_page(report: Mapping[str, Any]) -> str:
    """The page of outcomes, as `outcomes` reports them."""
    from fraudloop.monitoring.outcomes import SHOWN, sentence
    from fraudloop.training.figures import ABOUT

    weeks = report["weeks"]
    last = weeks[-1]["model_version"] if weeks else None
    nothing = {"low": None, "high": None}
    points = {
        name: [
            {
                "label": week["week"].partition("-")[2],
                "value": week["figures"].get(name),
                **week["interval"].get(name, nothing),
            }
            for week in weeks
        ]
        for name in SHOWN
    }
    return _filled(
        "outcomes.html.j2",
        report=report,
        shown=SHOWN,
        about=ABOUT,
        points=points,
        promised=report["promised"].get(last, {}),
        worse={fault["figure"] for week in weeks for fault in week["broken"]},
        sentence=sentence,
    )


def small(p: float | None) -> str:
    """A p-value as people read it.

    >>> small(0.04217), small(3.2e-17), small(0.0), small(1.0)
    ('0.042', '3.2e-17', '< 1e-300', '1')
    """
    if p is None:
        return UNKNOWN
    return "< 1e-300" if p < TINIEST else f"{p:.2g}"


def short(value: float | None) -> str:
    """A number in few digits.

    >>> short(1234567.8), short(0.000123456), short(None)
    ('1.235e+06', '0.0001235', '–')
    """
    return UNKNOWN if value is None else f"{value:.4g}"


def effect(value: float | None) -> str:
    """An effect; a test's is None where it is beyond every number.

    >>> effect(-0.12345), effect(None)
    ('-0.12', '∞')
    """
    return "∞" if value is None else f"{value:.2f}"


def percent(value: float | None, digits: int = 0) -> str:
    """A share in hundredths.

    >>> percent(0.6923), percent(None)
    ('69%', '–')
    """
    return UNKNOWN if value is None else f"{value:.{digits}%}"


def _filled(template: str, **values: Any) -> str:
    return _environment().get_template(template).render(**values)


def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"small": small, "short": short, "effect": effect, "percent": percent}
    # Pictures escape the names that they hold.
    environment.globals |= {
        "distribution": lambda shape, name: Markup(pictures.distribution(shape, name)),  # noqa: S704
        "line": lambda points, name, promised: Markup(pictures.line(points, name, promised)),  # noqa: S704
    }
    return environment
