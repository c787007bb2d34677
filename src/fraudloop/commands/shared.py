"""What every command shares: the panels of the help, options, and how something is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from fraudloop.lifecycle.following import Place
    from fraudloop.params import Params

# Heavy imports stand inside the commands: `fraudloop --help` answers before they would be loaded.

STAGES = "Stages, in the order of dvc.yaml"
EXPERIMENTS = "Experiments"
DECISIONS = "Decisions"
LOOP = "The loop"
USERS = "Users"
BUNDLE = typer.Option(
    help="A bundle's folder, or registry:champion; the pipeline's own folder if left out."
)
SHA256 = typer.Option(help="What the bundle's manifest must be.")


def read_params() -> Params:
    """The parameters of the project this runs in."""
    from fraudloop import params

    return params.load()


def card_of_the_project() -> str:
    """The id of the card that the project's parameters name: its model's name in the registry."""
    from fraudloop.dataset import card

    return card.load(read_params().paths.card).id


def bundle_at(text: str | None) -> Place:
    """What `--bundle` names: a folder, or a bundle of the registry."""
    from fraudloop.lifecycle.following import place
    from fraudloop.settings import RegistrySettings

    if text is None:
        return read_params().paths.output
    return place(text, RegistrySettings.read(), card_of_the_project)


def say(sentence: str) -> None:
    """Say how it went on stderr: stdout is for what a command was asked to print."""
    typer.echo(sentence, err=True)
