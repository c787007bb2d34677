"""Decisions, made here or served."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from fraudloop.commands.shared import BUNDLE, DECISIONS, SHA256, bundle_at, read_params, say

app = typer.Typer()


@app.command(rich_help_panel=DECISIONS)
def predict(
    transactions: Annotated[Path, typer.Argument(help="JSON, in any dialect of POST /predict.")],
    bundle: Annotated[str | None, BUNDLE] = None,
    sha256: Annotated[str | None, SHA256] = None,
    server: Annotated[
        str | None, typer.Option(help="Ask this server instead: http://127.0.0.1:8080.")
    ] = None,
) -> None:
    """Score a few transactions of a file, and print the answer as JSON."""
    from fraudloop import decisions

    if server is not None:
        answer = decisions.asked_of(server, transactions)
    else:
        answer = decisions.made_here(transactions, bundle_at(bundle), sha256)
    typer.echo(json.dumps(answer, indent=2))


@app.command(rich_help_panel=DECISIONS)
def payload(
    output: Annotated[Path, typer.Argument(help="Where to write it: a JSON file.")],
) -> None:
    """Write a handful of the test rows, frauds among them, as transactions to try a server with."""
    from fraudloop import decisions, files

    made = decisions.payload(read_params())
    files.write_json(output, made)
    say(f"{output}: {len(made)} transactions of the test rows")


@app.command(rich_help_panel=DECISIONS)
def serve(
    host: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8080,
    workers: Annotated[int, typer.Option(min=1, help="Processes that share the port.")] = 1,
    bundle: Annotated[str | None, BUNDLE] = None,
    sha256: Annotated[str | None, SHA256] = None,
    shadow: Annotated[
        str | None,
        typer.Option(help="A bundle that scores beside and decides nothing: registry:challenger."),
    ] = None,
) -> None:
    """Answer over HTTP: /predict and its dialects, /docs, /metrics (docs/api.md)."""
    from fraudloop.serving.options import Options
    from fraudloop.serving.server import serve
    from fraudloop.settings import Keeping, Serving

    watching = None if shadow is None else bundle_at(shadow)
    ledger = Keeping.read().url
    serve(host, port, Options(bundle_at(bundle), sha256, workers, watching, ledger, Serving.read()))
