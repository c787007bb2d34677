"""The stages of dvc.yaml, and the search for better parameters."""

from __future__ import annotations

from typing import Annotated

import typer

from fraudloop.commands.shared import EXPERIMENTS, STAGES, read_params, say

app = typer.Typer()


@app.command("get-data", rich_help_panel=STAGES)
def get_data() -> None:
    """Fetch the raw file from where params.yaml says: synthetic, kaggle, file or url."""
    from fraudloop import progress, stages
    from fraudloop.settings import Settings

    fetched = stages.get_data(read_params(), Settings.read(), say, progress.on_terminal())
    say(f"{fetched.path}: {fetched.bytes:,} bytes, md5 {fetched.md5}")


@app.command(rich_help_panel=STAGES)
def preprocess() -> None:
    """Check the raw file against its dataset card, and divide it in two ways."""
    from fraudloop import stages

    report = stages.preprocess(read_params())
    say(
        f"{report['rows']:,} rows, {report['frauds']:,} frauds, {report['duplicates']:,} duplicates"
    )


@app.command(rich_help_panel=STAGES)
def train(
    sampler: Annotated[str, typer.Option(help="A sampler of params.yaml.")],
    estimator: Annotated[str, typer.Option(help="An estimator of params.yaml.")],
) -> None:
    """Fit one candidate, sampler × estimator, on the training rows."""
    from fraudloop import stages

    say(f"fitted {stages.train(read_params(), sampler, estimator)}")


@app.command(rich_help_panel=STAGES)
def evaluate() -> None:
    """Choose champion and threshold on validation rows, and judge them on the test rows."""
    from fraudloop import evaluation

    metrics = evaluation.evaluate(read_params())
    test = metrics["test"]
    span = test["interval"]["average_precision"]
    on = "synthetic data" if metrics["dataset"]["synthetic"] else metrics["dataset"]["id"]
    say(
        f"champion {metrics['champion']}: average precision {test['average_precision']:.3f} "
        f"({span['low']:.3f} to {span['high']:.3f}) on the test rows of {on}"
    )


@app.command(rich_help_panel=STAGES)
def package() -> None:
    """Compile the champion, hold it against the original, and write the bundle."""
    from fraudloop import stages

    bundle = stages.package(read_params())
    say(f"model {bundle.version} ({bundle.manifest.candidate}), manifest sha256 {bundle.sha256}")


@app.command(rich_help_panel=EXPERIMENTS)
def use(
    card: Annotated[str, typer.Argument(help="A dataset card with parameters in ml/params/.")],
) -> None:
    """Have a folder ready in which the pipeline runs on another dataset card: runs/CARD."""
    from pathlib import Path

    from fraudloop import projects

    folder = projects.prepare(Path(), card)
    say(f"{folder} is ready: `make run CARD={card}`, or run dvc and fraudloop in it")
    typer.echo(folder)


@app.command(rich_help_panel=EXPERIMENTS)
def tune(
    candidate: Annotated[
        list[str] | None,
        typer.Option(
            help="<sampler>-<estimator>, may be repeated; all of params.yaml if left out."
        ),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help="For all candidates together; 10 if left out.")
    ] = None,
    trials: Annotated[
        int | None, typer.Option(help="Of each candidate, instead: the same ones every time.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget the trials made before.")] = False,
) -> None:
    """Search better parameters of candidates, and print the lines of params.yaml to keep."""
    from fraudloop import tuning

    kept = tuning.tune(
        read_params(), candidate or [], minutes=minutes, trials=trials, fresh=fresh, say=say
    )
    typer.echo(kept, nl=False)
