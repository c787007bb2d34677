"""The ledger's verdicts beside the bundle's promises → a report in a folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fraudloop import files
from fraudloop.model import bundle as bundles
from fraudloop.model.bundle import Bundle
from fraudloop.monitoring import kept
from fraudloop.monitoring.outcomes import Rules
from fraudloop.monitoring.pages import outcomes_page, percent
from fraudloop.params import Params
from fraudloop.training.figures import ABOUT

if TYPE_CHECKING:
    from fraudloop.ledger.ledger import Ledger

JSON, PAGE = "outcomes.json", "outcomes.html"


def rules_of(params: Params, *, weighted: bool = False) -> Rules:
    """What params.yaml says of outcomes."""
    return Rules(params.outcomes, params.evaluation, params.operating_point, params.seed, weighted)


def promised(bundle: Bundle) -> dict[str, dict[str, float]]:
    """What a bundle's model was measured to do, by its version."""
    return {bundle.version: dict(bundle.manifest.metrics)}


def outcomes(
    ledger: Ledger,
    params: Params,
    directory: Path | None,
    *,
    now: datetime,
    weeks: int,
    weighted: bool,
) -> dict[str, Any]:
    """The outcomes of decisions on the bundle's card, against what the bundle promised."""
    bundle = bundles.load(directory or params.paths.output)
    rules = rules_of(params, weighted=weighted)
    card = bundle.manifest.card
    made = kept.outcomes(ledger, card, promised(bundle), rules, now=now, weeks=weeks)
    return {"synthetic": bundle.manifest.synthetic, **made}


def write(folder: Path, made: dict[str, Any]) -> None:
    """Write a report as JSON and as a page, each in one step."""
    files.write_json(folder / JSON, made)
    files.write_bytes(folder / PAGE, outcomes_page(made).encode())


def lines(made: Mapping[str, Any]) -> Iterator[str]:
    """The report for a terminal."""
    yield made["verdict"]
    if made["weeks"]:
        yield made["bias"]
    for week in made["weeks"]:
        judged = week["alerts"]["judged"] + week["others"]["judged"]
        said = [
            f"{ABOUT[name].title.lower()} {value:.3f} "
            f"({week['interval'][name]['low']:.3f} to {week['interval'][name]['high']:.3f})"
            for name, value in week["figures"].items()
            if value is not None and None not in week["interval"][name].values()
        ]
        few = "" if week["enough"] else " (too few verdicts to raise an alert)"
        yield (
            f"  {week['week']}  model {week['model_version']}: {judged:,} judged "
            f"({percent(week['alerts']['judged_share'])} of alerts, "
            f"{percent(week['others']['judged_share'], 2)} of others){few}"
        )
        if said:
            yield f"    {', '.join(said)}"
