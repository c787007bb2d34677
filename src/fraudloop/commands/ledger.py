"""The ledger: its tables, verdicts, and what was learned from them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fraudloop.commands.shared import read_params, say

if TYPE_CHECKING:
    from fraudloop.ledger.ledger import Ledger

app = typer.Typer(help="The database of decisions and verdicts.", no_args_is_help=True)


@app.command()
def migrate(
    to: Annotated[
        str | None, typer.Option(help="A revision, up or down; base takes everything away.")
    ] = None,
) -> None:
    """Make the tables, or bring those of an older version up to date."""
    from fraudloop.ledger import migrate as migrations
    from fraudloop.ledger import place
    from fraudloop.settings import Keeping

    url = Keeping.read().url
    before, after = migrations.migrate(url, to or migrations.NEWEST)
    went = f"at revision {after} already" if before == after else f"revision {before} → {after}"
    say(f"{place.shown(place.parsed(url))}: {went}")


@app.command()
def verdict(
    id: Annotated[str, typer.Argument(help="Of the decision.")],
    true_value: Annotated[int, typer.Option(min=0, max=1, help="0 legitimate, 1 fraud.")],
    by: Annotated[str, typer.Option(help="Who says so.")],
    why: Annotated[str, typer.Option(help="What shows it.")],
) -> None:
    """Say what a decision should have been; verdicts before this one stay in its history."""
    from datetime import UTC, datetime

    with opened() as ledger:
        given = ledger.judge(id, true_value, by, why, datetime.now(UTC))
    say(f"{given.decision_id}: true value {given.true_value}, by {given.by}")


@app.command("import-verdicts")
def import_verdicts(
    file: Annotated[Path, typer.Argument(help="CSV or JSON lines: id, true_value, by, why, at.")],
    by: Annotated[str | None, typer.Option(help="Where a line does not say who.")] = None,
    why: Annotated[str | None, typer.Option(help="Where a line does not say why.")] = None,
) -> None:
    """Add the verdicts of a file; lines that are wrong are counted and told, the others added."""
    from datetime import UTC, datetime

    from fraudloop.errors import DataError
    from fraudloop.ledger import verdict_files

    with opened() as ledger:
        done = verdict_files.import_verdicts(ledger, file, by, why, datetime.now(UTC))
    say(f"{file}: {done.added:,} verdicts added, {done.known:,} were there already")
    for fault in done.faults:
        say(fault)
    if done.refused:
        raise DataError(f"{done.refused:,} lines of {file} were refused: correct and import them")


@app.command("export-validated")
def export_validated(
    destination: Annotated[str, typer.Argument(help="A path, or s3://bucket/path/to/file.")],
    card: Annotated[
        Path | None, typer.Option(help="A dataset card; that of params.yaml if left out.")
    ] = None,
    if_any: Annotated[
        bool, typer.Option("--if-any", help="Where nothing has a verdict yet, just say so.")
    ] = False,
) -> None:
    """Write the decisions that have a verdict as training data: the card's columns and label."""
    from fraudloop import progress
    from fraudloop.dataset import card as cards
    from fraudloop.ledger import export
    from fraudloop.settings import Settings

    of = cards.load(card or read_params().paths.card)
    with opened() as ledger:
        if if_any and next(ledger.confirmed(of.id), None) is None:
            say(f"no decision of {of.id} has a verdict yet: nothing was written")
            return
        done = export.export_validated(
            ledger, of, destination, Settings.read().s3_endpoint, progress.on_terminal()
        )
    say(f"{destination}: {done.rows:,} rows, {done.frauds:,} frauds")
    if done.left_out:
        say(f"{done.left_out:,} were left out, as they do not fit the card: {done.first_fault}")


def opened() -> Ledger:
    """The ledger that the environment names."""
    from fraudloop.ledger.ledger import Ledger
    from fraudloop.settings import Keeping

    return Ledger.open(Keeping.read().url)
