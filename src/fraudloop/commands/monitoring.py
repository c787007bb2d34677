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
