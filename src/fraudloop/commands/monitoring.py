"""Watching: drift between two tables, outcomes of decisions, and rows that drift on purpose."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from fraudloop.commands.shared import LOOP, SHA256, read_params, say

app = typer.Typer()

FOUND = (
    3  # drift, or a broken bound: the command has done what it was asked, and that is the answer
)


@app.command(rich_help_panel=LOOP)
def drift(
    reference: Annotated[Path, typer.Option(help="The table as it was: CSV or Parquet.")],
    current: Annotated[Path, typer.Option(help="The table as it is now.")],
    out: Annotated[Path, typer.Option(help="A folder for drift.json and drift.html.")],
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
) -> None:
    """Compare two tables column by column: exit code 0 without drift, 3 with it."""
    from fraudloop import progress
    from fraudloop.monitoring import comparing, report

    asked = comparing.Asked(reference, current, card, bundle, sha256, synthetic)
    comparison, made = comparing.compare_files(asked, read_params(), progress.on_terminal())
    comparing.write(out, made)
    if as_json:
        typer.echo(json.dumps(made, indent=2))
    else:
        for line in (made["verdict"], *report.lines(comparison)):
            typer.echo(line)
        say(f"{out / comparing.PAGE}, {out / comparing.JSON}")
    if made["drift"]:
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
