"""Versions of the model: list, register, promote, roll back."""

from __future__ import annotations

import getpass
import json
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fraudloop.commands.shared import card_of_the_project, read_params, say

if TYPE_CHECKING:
    from fraudloop.lifecycle.following import RegistrySource
    from fraudloop.lifecycle.registry import Changed

app = typer.Typer(
    help="Versions of the model, and which of them decides (docs/registry.md).",
    no_args_is_help=True,
)
Model = Annotated[
    str | None, typer.Option(help="A model of the registry; the project's card if left out.")
]
Why = Annotated[str, typer.Option(help="The reason, for those who ask later.")]
By = Annotated[str | None, typer.Option(help="Who decided it; who you are here if left out.")]


@app.command("list")
def list_versions(
    model: Model = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Print every version with its aliases, what it was made of, and how a shadow agreed."""
    from fraudloop.lifecycle import listing

    with closing(_source(model)) as source:
        rows = listing.rows(source.registry)
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    else:
        typer.echo(listing.table(rows), nl=False)


@app.command()
def register(
    bundle: Annotated[
        Path | None, typer.Option(help="A bundle's folder; the pipeline's own if left out.")
    ] = None,
    data_version: Annotated[
        str | None, typer.Option(help="What it was trained on; dvc.lock's raw file if left out.")
    ] = None,
    code_version: Annotated[
        str | None, typer.Option(help="What trained it; git's commit if left out.")
    ] = None,
) -> None:
    """Register a bundle as the challenger, with its parameters, figures and plots."""
    from fraudloop.lifecycle import register as registering
    from fraudloop.lifecycle.registry import Registry
    from fraudloop.lifecycle.store import opened
    from fraudloop.settings import RegistrySettings

    params, settings = read_params(), RegistrySettings.read()
    directory = bundle or params.paths.output
    origin = registering.origin_of(
        params, directory, data_version=data_version, code_version=code_version
    )
    made = registering.register(settings, directory, origin)
    number = made.version.number
    if made.new:
        with closing(opened(settings)) as store:
            Registry(store, made.model).challenge(number)
        say(f"registered {made.model} version {number} ({made.version.name}): the challenger now")
    else:
        say(f"{made.model} version {number} is this bundle already ({made.version.name})")
    typer.echo(number)


@app.command()
def promote(
    why: Why,
    version: Annotated[
        str, typer.Argument(help="A version's number or name, or an alias.")
    ] = "challenger",
    by: By = None,
    model: Model = None,
) -> None:
    """Let a version decide, on every server and scorer that follows the registry."""
    from fraudloop.lifecycle import steering
    from fraudloop.settings import Keeping

    record = steering.in_ledger(Keeping.read().url)
    by = by or getpass.getuser()
    with closing(_source(model)) as source:
        _say_changed(steering.promote(source, version, by=by, why=why, record=record))


@app.command()
def rollback(why: Why, by: By = None, model: Model = None) -> None:
    """Let the version that decided before decide again."""
    from fraudloop.lifecycle import steering
    from fraudloop.settings import Keeping

    record = steering.in_ledger(Keeping.read().url)
    by = by or getpass.getuser()
    with closing(_source(model)) as source:
        _say_changed(steering.rollback(source, by=by, why=why, record=record))


def _source(model: str | None) -> RegistrySource:
    from fraudloop.lifecycle.following import FromRegistry, RegistrySource
    from fraudloop.lifecycle.registry import CHAMPION
    from fraudloop.lifecycle.store import opened
    from fraudloop.settings import RegistrySettings

    settings = RegistrySettings.read()
    name = model or settings.model or card_of_the_project()
    return RegistrySource(FromRegistry(name, CHAMPION, settings), opened(settings))


def _say_changed(changed: Changed) -> None:
    for sentence in changed.said:
        say(sentence)
    step, version = changed.step, changed.version
    before = "nothing" if step.before is None else f"version {step.before}"
    say(f"{step.model}: version {version.number} ({version.name}) decides now, {before} before")
