"""Batches of files, scored in one go."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from fraudloop.batch.formats import Format
from fraudloop.commands.shared import BUNDLE, DECISIONS, SHA256, read_params, say

app = typer.Typer()


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


@app.command(rich_help_panel=DECISIONS)
def batch(
    input: Annotated[
        str, typer.Argument(help="A file, a folder, a pattern, s3://…, or - for stdin.")
    ],
    output: Annotated[
        str, typer.Argument(help="A file, a folder (of as many files), s3://…, or - for stdout.")
    ],
    bundle: Annotated[Path | None, BUNDLE] = None,
    sha256: Annotated[str | None, SHA256] = None,
    explain: Explain = False,
    top: Top = None,
    format: OutputFormat = None,
    input_format: InputFormat = None,
    rejected: Rejected = None,
    max_rejected: MostRejected = None,
    resume: Resume = False,
    threads: Threads = None,
) -> None:
    """Score files of transactions: JSON, JSON Lines, CSV, Parquet (docs/batch.md)."""
    from fraudloop import progress
    from fraudloop.batch.decided import Judge
    from fraudloop.batch.run import Wish, run
    from fraudloop.model import bundle as bundles
    from fraudloop.model.scorer import Scorer
    from fraudloop.serving.live import import_alone
    from fraudloop.settings import Settings

    import_alone("xgboost", without=("pandas", "sklearn"))
    scorer = Scorer(bundles.load(bundle or read_params().paths.output, sha256=sha256))
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
    )
    state = done.state
    say(
        f"{output}: {state.scored:,} rows scored by model {scorer.bundle.version}, "
        f"{state.frauds:,} of them predicted to be fraud"
    )
    if state.rejected:
        say(f"{done.rejected}: {state.rejected:,} rejected, each with its reason")
