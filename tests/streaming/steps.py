"""Steps of the stream as real processes, and what is sent to them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import msgspec
from confluent_kafka import Message

from fraudloop.model import bundle as bundles
from fraudloop.model.scorer import Scorer
from fraudloop.streaming.replay import Transaction, transactions
from fraudloop.streaming.store import Written
from tests.brokers import Topics
from tests.fitted import ROOT, bundle_of, card, features, table
from tests.serving.running import Running, stop

SOON = 60.0  # seconds; on a busy machine too
FAMILY = "logistic_regression"


@cache
def sent(many: int, prefix: str = "t") -> list[Transaction]:
    """Transactions of the default card, the first of them frauds."""
    rows = table().sort_values(card().label.column, ascending=False, kind="stable").head(many)
    return list(
        transactions(card(), {name: rows[name].tolist() for name in card().columns}, prefix)
    )


@cache
def scores(many: int, prefix: str = "t") -> dict[str, float]:
    """What the library says of them."""
    rows = table().sort_values(card().label.column, ascending=False, kind="stable").head(many)
    found = Scorer(bundle_of(FAMILY)).score_features(features()[rows.index.to_numpy()])
    keys = [each.key for each in sent(many, prefix)]
    return dict(zip(keys, found.tolist(), strict=True))


def require_scores(found: Mapping[str, Written], many: int) -> None:
    """Hold decisions against what the library says: all of them, and nothing else."""
    expected = scores(many)
    assert found.keys() == expected.keys()
    # A sum of other rows' neighbours may end in another last bit.
    assert max(abs(found[key].score - score) for key, score in expected.items()) < 1e-12


def key_of(message: Message) -> str:
    """A message's key, as text."""
    return (message.key() or b"").decode()


def bundle_in(folder: Path) -> Path:
    """A bundle in a folder of its own."""
    bundles.save(folder / "bundle", bundle_of(FAMILY))
    return folder / "bundle"


def send(kafka: Topics, due: list[Transaction]) -> None:
    """Send transactions."""
    kafka.send_keyed(kafka.settings.transactions, [(each.key, each.value) for each in due])


def decided(messages: list[Message]) -> dict[str, Written]:
    """Decisions by their ids, each there once."""
    found = [msgspec.json.decode(each.value() or b"", type=Written) for each in messages]
    by_id = {str(each.id): each for each in found}
    assert len(by_id) == len(found), "a transaction is decided twice"
    return by_id


def start(
    log: Path, *arguments: str | Path, environment: Mapping[str, str] | None = None
) -> Running:
    """Start `fraudloop stream …`; its log goes on where another one's ended."""
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith(("KAFKA_", "FRAUDLOOP", "LEDGER"))
    }
    with log.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "fraudloop", "stream", *map(str, arguments)],
            env={**kept, "PYTHONPATH": str(ROOT / "src"), **(environment or {})},
            cwd=log.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=file,
            start_new_session=True,
        )
    return Running(process, log)


@contextmanager
def running(
    log: Path, *arguments: str | Path, environment: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """A step that is stopped at the end, whatever happens."""
    step = start(log, *arguments, environment=environment)
    try:
        yield step
    finally:
        stop(step)
