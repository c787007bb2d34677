"""Watching: drift between two tables, outcomes of decisions, and rows that drift on purpose."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

from fraudloop.commands.shared import BUNDLE, LOOP, SHA256, read_params, say
from fraudloop.errors import DataError

app = typer.Typer()

FOUND = (
    3  # drift, or a broken bound: the command has done what it was asked, and that is the answer
)


@app.command(rich_help_panel=LOOP)
def drift(
    out: Annotated[Path, typer.Option(help="A folder for drift.json and drift.html.")],
    reference: Annotated[
        Path | None, typer.Option(help="The table as it was: CSV or Parquet.")
    ] = None,
    current: Annotated[Path | None, typer.Option(help="The table as it is now.")] = None,
    card: Annotated[
        str | None, typer.Option(help="A dataset card's id; the bundle's own if left out.")
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option(help="Compare its scores and predictions, too.")
    ] = None,
    sha256: Annotated[str | None, SHA256] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    synthetic: Annotated[
        bool, typer.Option("--synthetic", help="Say in the report that the data are made.")
    ] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the report in the ledger (LEDGER_URL), too.")
    ] = False,
) -> None:
    """Compare two tables column by column: exit code 0 without drift, 3 with it.

    Without tables: the ledger's new decisions with what the champion was trained on; this is kept.
    """
    from fraudloop import progress
    from fraudloop.monitoring import comparing, report

    if reference is None and current is None and not (card or bundle or sha256):
        _look(out, as_json)
        return
    if reference is None or current is None:
        raise typer.BadParameter("a comparison of tables wants both --reference and --current")
    asked = comparing.Asked(reference, current, card, bundle, sha256, synthetic)
    comparison, made = comparing.compare_files(asked, read_params(), progress.on_terminal())
    comparing.write(out, made)
    if keep:
        say(f"kept as {_kept(made)}")
    if as_json:
        typer.echo(json.dumps(made, indent=2))
    else:
        for line in (made["verdict"], *report.lines(comparison)):
            typer.echo(line)
        say(f"{out / comparing.PAGE}, {out / comparing.JSON}")
    if made["drift"]:
        raise typer.Exit(FOUND)


@app.command("drift-reports", rich_help_panel=LOOP)
def drift_reports(
    day: Annotated[
        str | None, typer.Option(help="YYYY-MM-DD (UTC); the newest if left out.")
    ] = None,
    card: Annotated[str | None, typer.Option(help="Only of this dataset card.")] = None,
) -> None:
    """List the drift reports that the ledger keeps, by day."""
    from fraudloop.ledger.ledger import Ledger
    from fraudloop.monitoring import kept
    from fraudloop.settings import Keeping

    wanted = _day(day)
    with Ledger.open(Keeping.read().url) as ledger:
        found = kept.listed(ledger, day=wanted, card=card)
    for each in found["days"]:
        typer.echo(each["day"])
        for report in each["reports"]:
            typer.echo(f"  {report['id']}  {report['card']}  {report['verdict']}")


@app.command(rich_help_panel=LOOP)
def outcomes(
    out: Annotated[
        Path | None, typer.Option(help="A folder for outcomes.json and outcomes.html.")
    ] = None,
    weeks: Annotated[int, typer.Option(min=1, help="This one and those before it.")] = 8,
    alert: Annotated[
        bool, typer.Option("--alert", help="End with exit code 3 where a bound is broken.")
    ] = False,
    weighted: Annotated[
        bool,
        typer.Option(
            "--weighted", help="Let judged decisions count for those like them that are not."
        ),
    ] = False,
    bundle: Annotated[Path | None, BUNDLE] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Hold what verdicts say of decisions, week by week, against what the model promised."""
    from datetime import UTC, datetime

    from fraudloop.ledger.ledger import Ledger
    from fraudloop.monitoring import judging
    from fraudloop.settings import Keeping

    params = read_params()
    with Ledger.open(Keeping.read().url) as ledger:
        made = judging.outcomes(
            ledger, params, bundle, now=datetime.now(UTC), weeks=weeks, weighted=weighted
        )
    if out is not None:
        judging.write(out, made)
        say(f"{out / judging.PAGE}, {out / judging.JSON}")
    if as_json:
        typer.echo(json.dumps(made, indent=2))
    else:
        for line in judging.lines(made):
            typer.echo(line)
    if alert and made["alert"]:
        raise typer.Exit(FOUND)


@app.command(rich_help_panel=LOOP)
def insert(
    out: Annotated[Path, typer.Argument(help="A folder for the rows, and what was done to them.")],
    card: Annotated[
        str | None, typer.Option(help="A dataset card's id; the bundle's own if left out.")
    ] = None,
    source: Annotated[
        Path | None, typer.Option(help="A CSV to draw from; the card's stand-in if left out.")
    ] = None,
    rows: Annotated[int, typer.Option(min=2, help="How many to draw.")] = 12_000,
    shifted: Annotated[int, typer.Option(min=1, help="How many of them to shift.")] = 2_000,
    columns: Annotated[int, typer.Option(min=1, help="In how many columns.")] = 6,
    seed: Annotated[int, typer.Option(min=0, help="The same seed shifts the same.")] = 0,
) -> None:
    """Make rows of which the last are significantly shifted, and say in which columns."""
    from fraudloop.monitoring import comparing, inserter, inserting

    chosen = comparing.card_of(card, None, read_params())
    table = inserting.rows_of(chosen, source, seed)
    made = inserter.insert(chosen, table, rows=rows, shifted=shifted, columns=columns, seed=seed)
    inserting.write(out, made, chosen, {"seed": seed, "synthetic": source is None})
    for name, change in made.changes.items():
        typer.echo(f"{name}: {change}")
    say(f"{out / inserting.ALL}: {rows:,} rows, the last {shifted:,} shifted")


def _look(out: Path, as_json: bool) -> None:
    """Compare what the ledger has that is new with what the champion was trained on."""
    from fraudloop.commands.ledger import opened
    from fraudloop.commands.lifecycle import site_here
    from fraudloop.lifecycle import facts
    from fraudloop.monitoring import comparing

    site = site_here()
    with opened() as ledger:
        made = facts.drift_now(site, ledger)
    if made is None:
        fewest = comparing.fewest(site.params)
        say(f"nothing was compared: fewer than {fewest} decisions are new since the last look")
        return
    comparing.write(out, made)
    typer.echo(json.dumps(made, indent=2) if as_json else made["verdict"])
    say(f"kept in the ledger; {out / comparing.PAGE}, {out / comparing.JSON}")
    if made["drift"]:
        raise typer.Exit(FOUND)


def _kept(report: Mapping[str, Any]) -> str:
    from fraudloop.ledger.ledger import Ledger
    from fraudloop.monitoring import kept
    from fraudloop.settings import Keeping

    with Ledger.open(Keeping.read().url) as ledger:
        return kept.keep(ledger, report)


def _day(text: str | None) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        raise DataError(f"{text!r} is no day: give YYYY-MM-DD") from None
