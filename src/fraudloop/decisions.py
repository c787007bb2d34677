"""Transactions in a file → the answer, made here or by a server."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from fraudloop.errors import DataError, FraudloopError
from fraudloop.lifecycle import following
from fraudloop.lifecycle.following import Place
from fraudloop.model.scorer import Scorer
from fraudloop.serving.answers import answer
from fraudloop.serving.dialects import Dialects

MOST_ROWS = 1_000_000
PATIENCE = 60.0  # seconds


def made_here(transactions: Path, bundle: Place, sha256: str | None) -> dict[str, Any]:
    """Decide the transactions of a file with a bundle."""
    scorer = Scorer(following.loaded(bundle, sha256=sha256))
    dialects = Dialects(scorer.bundle.manifest.card, most_rows=MOST_ROWS)
    return answer(scorer, dialects.read(_read(transactions)))


def asked_of(server: str, transactions: Path) -> dict[str, Any]:
    """Let a server decide the transactions of a file."""
    if not server.startswith(("http://", "https://")):
        raise FraudloopError(f"{server!r} is no server's address: give http://HOST:PORT")
    asking = urllib.request.Request(  # noqa: S310  # the scheme is one of two
        server.rstrip("/") + "/predict",
        data=_read(transactions),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(asking, timeout=PATIENCE) as answered:  # noqa: S310  # as above
            made: dict[str, Any] = json.load(answered)
            return made
    except urllib.error.HTTPError as error:
        raise FraudloopError(f"{server} refused it with {error.code}: {_reason(error)}") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise FraudloopError(
            f"{server} does not answer ({reason}): start one with `make serve`"
        ) from error


def _reason(error: urllib.error.HTTPError) -> str:
    text = error.read(2000).decode("utf-8", "replace")
    try:
        return str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        return text or str(error.reason)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"no transactions at {path} ({error.strerror}): name a JSON file"
        ) from error
