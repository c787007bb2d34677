"""The ledger: its tables, verdicts, and what was learned from them."""

from __future__ import annotations

from typing import Annotated

import typer

from fraudloop.commands.shared import say

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
    where = place.shown(place.parsed(url))
    say(
        f"{where}: at revision {after} already"
        if before == after
        else f"{where}: {before} → {after}"
    )
