"""Batches of files, scored in one go."""

from __future__ import annotations

import os
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fraudloop.batch.formats import Format
from fraudloop.commands.shared import (
    BUNDLE,
    DECISIONS,
    EXPERIMENTS,
    SHA256,
    bundle_at,
    read_params,
    say,
)

if TYPE_CHECKING:
    from fraudloop.batch.run import Done

app = typer.Typer()

LOCAL_MASTER = "local[*]"


class Engine(StrEnum):
    """What decides."""

    LOCAL = "local"
    SPARK = "spark"


Explain = Annotated[
    bool, typer.Option("--explain", help="With what each feature contributed to each score.")
]
Top = Annotated[
    int | None,
    typer.Option(min=1, help="So many reasons of each row, the largest; all if left out."),
]
OutputFormat = Annotated[
    Format | None, typer.Option(help="Of the output, if its name does not say; the input's.")
]
InputFormat = Annotated[Format | None, typer.Option(help="Of the input, if its name does not say.")]
Rejected = Annotated[
    str | None,
    typer.Option(help="Where rows that do not fit go; OUTPUT.rejected.jsonl if left out."),
]
MostRejected = Annotated[
    int | None,
    typer.Option("--max-rejected", min=0, help="With more it fails; any number if left out."),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on where an interrupted run ended.")]
Threads = Annotated[
    int | None, typer.Option(min=1, help="That decide; as many as there are cores if left out.")
]
Where = Annotated[
    Engine, typer.Option("--engine", help="This process, or Spark (docs/scaling.md).")
]
Master = Annotated[
    str, typer.Option(help="Spark's: local[N] is this machine, spark://, yarn or k8s:// a cluster.")
]


@app.command(rich_help_panel=DECISIONS)
def batch(
    input: Annotated[
        str, typer.Argument(help="A file, a folder, a pattern, s3://…, or - for stdin.")
    ],
    output: Annotated[
        str, typer.Argument(help="A file, a folder (of as many files), s3://…, or - for stdout.")
    ],
    bundle: Annotated[str | None, BUNDLE] = None,
    sha256: Annotated[str | None, SHA256] = None,
    explain: Explain = False,
    top: Top = None,
    format: OutputFormat = None,
    input_format: InputFormat = None,
    rejected: Rejected = None,
    max_rejected: MostRejected = None,
    resume: Resume = False,
    threads: Threads = None,
    engine: Where = Engine.LOCAL,
    master: Master = LOCAL_MASTER,
) -> None:
    """Score files of transactions: JSON, JSON Lines, CSV, Parquet (docs/batch.md)."""
    from fraudloop import progress
    from fraudloop.batch.decided import Judge
    from fraudloop.batch.run import Wish, run, this_process
    from fraudloop.batch.spark import on_spark
    from fraudloop.lifecycle import following
    from fraudloop.model.scorer import Scorer
    from fraudloop.serving.live import import_alone
    from fraudloop.settings import Settings

    import_alone("xgboost", without=("pandas", "sklearn"))
    scorer = Scorer(following.loaded(bundle_at(bundle), sha256=sha256))
    wish = Wish(
        format, input_format, rejected, max_rejected, resume, threads or os.cpu_count() or 1
    )
    done = run(
        input,
        output,
        Judge(scorer, explain=explain, top=top),
        wish,
        progress.rows_on_terminal(),
        endpoint=Settings.read().s3_endpoint,
        engine=partial(on_spark, master) if engine is Engine.SPARK else this_process,
    )
    _tell(output, done, scorer.bundle.version)


def _tell(output: str, done: Done, version: str) -> None:
    state = done.state
    say(
        f"{output}: {state.scored:,} rows scored by model {version}, "
        f"{state.frauds:,} of them predicted to be fraud"
    )
    if state.rejected:
        say(f"{done.rejected}: {state.rejected:,} rejected, each with its reason")


@app.command("train-spark", rich_help_panel=EXPERIMENTS)
def train_spark(
    data: Annotated[
        str, typer.Argument(help="A folder of Parquet with labels, or whatever Spark reads.")
    ],
    output: Annotated[Path, typer.Argument(help="The folder of the bundle.")],
    sampler: Annotated[
        str, typer.Option(help="none, or undersample to train on fewer legitimate rows.")
    ] = "none",
    most_rows: Annotated[
        int, typer.Option(min=1000, help="What the workers hold between them; the rest is sampled.")
    ] = 50_000_000,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Tasks that train together; all slots if left out.")
    ] = None,
    synthetic: Annotated[
        bool, typer.Option("--synthetic", help="The data are made up: the bundle will say so.")
    ] = False,
    master: Master = LOCAL_MASTER,
) -> None:
    """Train boosted trees on Spark, on more rows than a machine holds (docs/scaling.md)."""
    from fraudloop.batch.spark_session import spark_session
    from fraudloop.batch.spark_training import SETTINGS, Wish, train

    wish = Wish(sampler, most_rows, workers, synthetic)
    params = read_params()
    with spark_session(master, SETTINGS) as session:
        made, metrics = train(session, params, data, output, wish, say)
    test = metrics["test"]
    span = test["interval"]["average_precision"]
    say(
        f"{output}: model {made.version} ({made.manifest.candidate}), manifest sha256 {made.sha256}"
    )
    say(
        f"average precision {test['average_precision']:.3f} ({span['low']:.3f} to "
        f"{span['high']:.3f}) on {metrics['parts']['test']['judged']:,} test rows"
    )
