"""The stream: transactions from Kafka, decided, and kept in the ledger."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Annotated

import typer

from fraudloop.commands.shared import BUNDLE, SHA256, read_params, say

SEED = 20_260_101  # of what is sent where no file is: nothing that was trained on

app = typer.Typer(help="Kafka in, Kafka out, ledger (docs/streaming.md).", no_args_is_help=True)

MetricsPort = Annotated[
    int | None,
    typer.Option(min=0, max=65535, help="Answer GET /metrics there; 0 takes a free port."),
]
MetricsHost = Annotated[str, typer.Option(help="Where /metrics listens.")]
Batch = Annotated[int, typer.Option(min=1, max=50_000, help="Messages taken at once, at most.")]
Wait = Annotated[
    float, typer.Option(min=0.0, max=10_000.0, help="Milliseconds that a message waits for more.")
]
Instance = Annotated[
    str | None,
    typer.Option(help="A name of its own, kept over restarts: it goes on at once after a crash."),
]


@app.command()
def produce(
    source: Annotated[
        str | None,
        typer.Option(
            help="A .csv, .parquet or .json, or the http(s):// of a source that is asked again and "
            "again; the card's synthetic data if left out."
        ),
    ] = None,
    every: Annotated[
        float, typer.Option(min=0.01, help="Seconds between two questions to an HTTP source.")
    ] = 1.0,
    rate: Annotated[float, typer.Option(min=0.0, help="Transactions a second; 0: no limit.")] = 0,
    speed: Annotated[
        float, typer.Option(min=0.0, help="Follow the time column, so many times as fast.")
    ] = 0,
    count: Annotated[int | None, typer.Option(min=1, help="End after so many.")] = None,
    forever: Annotated[bool, typer.Option("--forever", help="Begin again at the end.")] = False,
    rows: Annotated[int | None, typer.Option(min=1, help="Of the synthetic table.")] = None,
    prefix: Annotated[
        str | None, typer.Option(help="What ids begin with; the time of the start if left out.")
    ] = None,
    card: Annotated[Path | None, typer.Option(help="A dataset card; the pipeline's own.")] = None,
) -> None:
    """Send the transactions of a dataset to Kafka, one message each."""
    from fraudloop.dataset import card as cards
    from fraudloop.settings import Kafka
    from fraudloop.streaming.run import Replay, produce

    replay = Replay(source, every, rows, rate, speed, count, forever, prefix)
    here = cards.load(card or read_params().paths.card)
    sent = produce(Kafka.read(), here, SEED, replay)
    say(f"{sent:,} transactions sent")


@app.command()
def score(
    batch: Batch = 5_000,
    wait_ms: Wait = 5.0,
    instance: Instance = None,
    bundle: Annotated[Path | None, BUNDLE] = None,
    sha256: Annotated[str | None, SHA256] = None,
    metrics_port: MetricsPort = None,
    metrics_host: MetricsHost = "127.0.0.1",
) -> None:
    """Decide every transaction once: topic to topic in Kafka's transactions."""
    from fraudloop.settings import Kafka
    from fraudloop.streaming.run import Options, score

    directory = bundle or read_params().paths.output
    options = Options(batch, wait_ms / 1000, instance, metrics_host, metrics_port)
    score(Kafka.read(), directory, sha256, options)


@app.command()
def store(
    batch: Batch = 5_000,
    wait_ms: Wait = 20.0,
    instance: Instance = None,
    bundle: Annotated[Path | None, BUNDLE] = None,
    metrics_port: MetricsPort = None,
    metrics_host: MetricsHost = "127.0.0.1",
) -> None:
    """Take decisions into the ledger: each once, and no verdict is ever touched."""
    from fraudloop.settings import Kafka, Keeping
    from fraudloop.streaming.run import Options, store

    directory = bundle or read_params().paths.output
    options = Options(batch, wait_ms / 1000, instance, metrics_host, metrics_port)
    store(Kafka.read(), Keeping.read().url, directory, options)


@app.command()
def redrive(
    reason: Annotated[str, typer.Option(help="Only those whose reason holds this text.")] = "",
    times: Annotated[
        int, typer.Option(min=1, help="What came back so often already, stays where it is.")
    ] = 3,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count what would be sent back.")
    ] = False,
) -> None:
    """Send dead letters back to where they came from, once what was wrong is mended."""
    from fraudloop.settings import Kafka
    from fraudloop.streaming.redrive import Wish
    from fraudloop.streaming.run import redrive

    done = redrive(Kafka.read(), Wish(reason, times, dry_run))
    for why, letters in done.stay.most_common():
        say(f"{letters:,} stay ({why})")
    say(f"{done.sent:,} dead letters {'would be' if dry_run else 'were'} sent back")


@app.command()
def demo(
    count: Annotated[int | None, typer.Option(min=1, help="End after so many.")] = None,
    rate: Annotated[
        float, typer.Option(min=0.0, help="Transactions a second; 0: as fast as it goes.")
    ] = 200.0,
    ledger: Annotated[
        Path | None, typer.Option(help="A SQLite file; one that is deleted if left out.")
    ] = None,
    bundle: Annotated[Path | None, BUNDLE] = None,
) -> None:
    """Show the whole stream on this machine alone: no Kafka, no database server."""
    import tempfile

    from fraudloop.errors import StreamError
    from fraudloop.serving.log import Log
    from fraudloop.streaming import view
    from fraudloop.streaming.demo import Demo, run
    from fraudloop.streaming.stopping import asked_to_stop

    directory = bundle or read_params().paths.output
    with (
        tempfile.TemporaryDirectory() as folder,
        asked_to_stop() as stop,
        view.on_terminal(say) as show,
    ):
        file = ledger or Path(folder) / "ledger.db"
        wished = Demo(directory, file, SEED, count, rate)
        seen = run(wished, show, stop, Log(stream=io.BytesIO()))
    say(view.line(seen))
    if count is not None and seen.kept != count:
        raise StreamError(f"{seen.kept:,} of {count:,} decisions are in the ledger: run it again")
