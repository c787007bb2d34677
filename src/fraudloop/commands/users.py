"""Users of the server: add, list, remove."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fraudloop.commands.shared import say
from fraudloop.errors import UsersError

if TYPE_CHECKING:
    from fraudloop.ledger.ledger import Ledger

app = typer.Typer(help="Who may do what on the server.", no_args_is_help=True)
UsersPath = Annotated[
    Path | None, typer.Option("--file", help="The users file; FRAUDLOOP_USERS if left out.")
]
InLedger = Annotated[bool, typer.Option("--ledger", help="In the ledger, not in a file.")]


@app.command("add")
def add_user(
    name: Annotated[str, typer.Argument(help="Letters, digits, and . _ @ - inside.")],
    role: Annotated[list[str], typer.Option(help="scorer, analyst, operator, admin; repeatable.")],
    file: UsersPath = None,
    ledger: InLedger = False,
) -> None:
    """Add a user; the password is asked for, or read from stdin when that is no terminal."""
    from fraudloop import users

    if ledger:
        with _ledger(file) as kept:
            kept.users.add(name, _new_password(), role)
        say(f"{kept.where}: added {name}")
        return
    path = _users_path(file)
    users.add(path, name, _new_password(), role)
    say(f"{path}: added {name}")


@app.command("list")
def list_users(file: UsersPath = None, ledger: InLedger = False) -> None:
    """Print every user with the roles it has."""
    from fraudloop import users

    if ledger:
        with _ledger(file) as kept:
            found = kept.users.all()
    else:
        found = users.load(_users_path(file))
    for name, user in sorted(found.items()):
        typer.echo(f"{name}\t{', '.join(sorted(user.roles))}")


@app.command("remove")
def remove_user(
    name: Annotated[str, typer.Argument(help="As `fraudloop users list` prints it.")],
    file: UsersPath = None,
    ledger: InLedger = False,
) -> None:
    """Remove a user, who is refused from then on."""
    from fraudloop import users

    if ledger:
        with _ledger(file) as kept:
            kept.users.remove(name)
        say(f"{kept.where}: removed {name}")
        return
    path = _users_path(file)
    users.remove(path, name)
    say(f"{path}: removed {name}")


def _users_path(file: Path | None) -> Path:
    from fraudloop.settings import Serving

    path = file or Serving.read().users
    if path is None:
        raise UsersError("no users file is named: give --file, or set FRAUDLOOP_USERS")
    return path


def _ledger(file: Path | None) -> Ledger:
    from fraudloop.commands.ledger import opened

    if file is not None:
        raise UsersError("users are in a file or in the ledger: leave one of --file and --ledger")
    return opened()


def _new_password() -> str:
    """Ask twice on a terminal; take the line that a program sends."""
    if sys.stdin.isatty():
        try:
            return str(
                typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
            )
        except typer.Abort:  # Ctrl-C at the prompt
            raise KeyboardInterrupt from None
    with suppress(UnicodeDecodeError):
        return sys.stdin.buffer.readline().decode().rstrip("\r\n")
    raise UsersError("the password on stdin is not text: send it in UTF-8")
