"""The command line: the commands put together; errors become one sentence, here."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from fraudloop import __version__
from fraudloop.commands import (
    batch,
    decisions,
    ledger,
    lifecycle,
    monitoring,
    registry,
    stages,
    stream,
    users,
)
from fraudloop.commands.shared import DECISIONS, LOOP, USERS, say
from fraudloop.errors import CardError, FraudloopError, ParamsError, SettingsError
from fraudloop.settings import let_idle_threads_sleep

EXIT_CODES: dict[type[FraudloopError], int] = {
    ParamsError: 2,
    SettingsError: 2,
    CardError: 2,
    FraudloopError: 1,
}
USAGE = 2
INTERRUPTED = 130

app = typer.Typer(
    name="fraudloop",
    help="Card fraud, from a table of transactions to decisions. `dvc repro` runs the stages.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.add_typer(stages.app)
app.add_typer(decisions.app)
app.add_typer(monitoring.app)
app.add_typer(lifecycle.app)
app.add_typer(stream.app, name="stream", rich_help_panel=DECISIONS)
app.add_typer(ledger.app, name="ledger", rich_help_panel=LOOP)
app.add_typer(registry.app, name="registry", rich_help_panel=LOOP)
app.add_typer(batch.app)
app.add_typer(users.app, name="users", rich_help_panel=USERS)


def main() -> None:
    """Run a command; what it refuses is one sentence on stderr and an exit code."""
    let_idle_threads_sleep()
    try:
        code = app(standalone_mode=False)
    except FraudloopError as error:
        say(f"fraudloop: {error}")
        code = next(code for kind, code in EXIT_CODES.items() if isinstance(error, kind))
    except typer.TyperException as error:  # an option or an argument
        reason = " ".join(error.format_message().split()).rstrip(".")
        say(f"fraudloop: {reason}: see `fraudloop --help`")
        code = error.exit_code
    except OSError as error:  # a full disk, a folder that may not be written to
        say(f"fraudloop: {error.filename or 'a file'} cannot be used ({error.strerror})")
        code = EXIT_CODES[FraudloopError]
    except KeyboardInterrupt:
        code = INTERRUPTED
    if code == INTERRUPTED:  # typer tells of it by the code alone
        say("fraudloop: interrupted; what stood before still stands")
    sys.exit(code)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False,
) -> None:
    """Say the version, or go on to the command."""
    if version:
        typer.echo(f"fraudloop {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(USAGE)
