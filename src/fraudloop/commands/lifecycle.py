"""The loop: training anew, once or on schedule."""

from __future__ import annotations

import getpass
import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from fraudloop.commands.ledger import opened
from fraudloop.commands.shared import LOOP, read_params, say

if TYPE_CHECKING:
    import threading

    from fraudloop.ledger.ledger import Ledger
    from fraudloop.ledger.records import Job
    from fraudloop.lifecycle.retrain import Site

app = typer.Typer()
FAILED = 1


@app.command(rich_help_panel=LOOP)
def retrain(
    if_needed: Annotated[
        bool, typer.Option("--if-needed", help="Only where a trigger of params.yaml fires.")
    ] = False,
    reason: Annotated[str | None, typer.Option(help="For those who ask later.")] = None,
    by: Annotated[str | None, typer.Option(help="Who wants it; who you are if left out.")] = None,
    initial: Annotated[
        bool, typer.Option("--initial", help="The first training: it decides if nothing does yet.")
    ] = False,
) -> None:
    """Train on what people have judged, and let the result challenge the champion."""
    import threading

    from fraudloop.lifecycle import asking, watching

    stop = threading.Event()
    site = site_here(stop)
    with opened() as ledger, _ended_by_sigterm(stop):
        open_job = ledger.jobs.open_in(asking.training_lane(site.card.id))
        if open_job is not None:
            say(f"job {open_job.id} ({open_job.kind}) is {open_job.state} already: {open_job.why}")
        elif if_needed:
            said = watching.look(site, ledger, by or getpass.getuser())
            say(said)
            if ledger.jobs.open_in(asking.training_lane(site.card.id)) is None:
                return
        else:
            kind = asking.INITIAL if initial else asking.RETRAIN
            why = reason or "asked for by hand"
            asking.ask(
                ledger, site.card.id, kind, by=by or getpass.getuser(), why=why, at=site.clock()
            )
        _run(site, ledger)


@app.command(rich_help_panel=LOOP)
def watch(
    every: Annotated[
        float, typer.Option(min=1, help="Seconds between two looks at the triggers.")
    ] = 300.0,
    once: Annotated[
        bool, typer.Option("--once", help="Look and run once, then end: for another scheduler.")
    ] = False,
) -> None:
    """Run what was asked for, and train when drift, outcomes, verdicts or the month want it."""
    import threading

    from fraudloop.lifecycle.watching import Watcher

    stop = threading.Event()
    site = site_here(stop)
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: stop.set())
    watcher = Watcher(site, every)
    if once:
        with opened() as ledger:
            if watcher.tick(ledger) is None:
                watcher.tick(ledger)
        return
    watcher.run()
    say("watched until told to end")


@app.command(rich_help_panel=LOOP)
def jobs(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="So many, the newest first.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """List the trainings that were asked for, and what became of them."""
    from datetime import UTC, datetime

    from fraudloop.commands.shared import card_of_the_project
    from fraudloop.lifecycle import asking

    card = card_of_the_project()
    with opened() as ledger:
        found = asking.trainings(ledger, card, limit)
        watched = asking.is_watched(ledger, card, datetime.now(UTC))
    if as_json:
        typer.echo(json.dumps([asking.as_json(job) for job in found], indent=2))
    for job in () if as_json else found:
        asked = f"{job.created_at:%Y-%m-%d %H:%M} by {job.asked_by}"
        typer.echo(f"{job.id}  {job.kind}  {job.state}  {asked} ({job.why}): {job.message or '-'}")
    if not watched:
        say("no `fraudloop watch` is there: jobs wait for one, or for `fraudloop retrain`")


@contextmanager
def _ended_by_sigterm(stop: threading.Event) -> Iterator[None]:
    """Take what a training has started with it, when a scheduler ends it; the next run goes on."""
    before = signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(site: Site, ledger: Ledger) -> None:
    from fraudloop.errors import OpenJobError
    from fraudloop.lifecycle import asking
    from fraudloop.lifecycle import retrain as training

    try:
        done: Job | None = training.run_next(site, ledger)
    except KeyboardInterrupt:
        training.give_up(site, ledger, "interrupted by whoever ran it")
        raise
    if done is None:
        found = ledger.jobs.open_in(asking.training_lane(site.card.id))
        if found is None:
            say("another process has just done it: see `fraudloop jobs`")
            return
        raise OpenJobError(
            f"job {found.id} ({found.kind}) is run by another process ({found.message or 'begun'})"
            ": wait for it, see `fraudloop jobs`",
            found.id,
        )
    say(f"job {done.id}: {done.state}: {done.message}")
    typer.echo(done.id)


def site_here(stop: object = None) -> Site:
    """The project in this folder, with the ledger and registry that the environment names."""
    import threading
    from pathlib import Path

    from fraudloop.lifecycle.retrain import Site
    from fraudloop.settings import Keeping, RegistrySettings

    given = stop if isinstance(stop, threading.Event) else threading.Event()
    return Site(
        Path(), read_params(), Keeping.read().url, RegistrySettings.read(), say=say, stop=given
    )
