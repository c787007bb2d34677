"""What every command shares: the panels of the help, options, and how something is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from fraudloop.params import Params

# Heavy imports stand inside the commands: `fraudloop --help` answers before they would be loaded.

STAGES = "Stages, in the order of dvc.yaml"
EXPERIMENTS = "Experiments"
DECISIONS = "Decisions"
LOOP = "The loop"
USERS = "Users"
BUNDLE = typer.Option(help="A bundle; the pipeline's own if left out.")
SHA256 = typer.Option(help="What the bundle's manifest must be.")


def read_params() -> Params:
    """The parameters of the project this runs in."""
    from fraudloop import params

    return params.load()


def say(sentence: str) -> None:
    """Say how it went on stderr: stdout is for what a command was asked to print."""
    typer.echo(sentence, err=True)
