"""While a scorer works: look for another bundle, take it up or say why not."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from fraudloop.serving.live import Live
from fraudloop.serving.log import Log
from fraudloop.streaming.metrics import Metrics

LOOKED_AT_EVERY = 1.0  # seconds


@contextmanager
def kept_current(live: Live, log: Log, metrics: Metrics) -> Iterator[None]:
    """Take up whatever bundle comes to lie where the first one lay; a batch has one model."""
    over = threading.Event()

    def watch() -> None:
        _warm_up(live, log, metrics)
        while not over.wait(LOOKED_AT_EVERY):
            if live.changed():
                take(live, log, metrics)

    watching = threading.Thread(target=watch, name="reload", daemon=True)
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join()


def _warm_up(live: Live, log: Log, metrics: Metrics) -> None:
    """Prove, just after the start, what was left out to be ready soon."""
    try:
        live.warm_up()
    except Exception as error:
        _refused(live, log, metrics, error)


def take(live: Live, log: Log, metrics: Metrics) -> None:
    """Let the bundle that lies there decide, or go on with the one that does."""
    before, fault = live.snapshot.bundle.version, live.fault
    try:
        taken = live.reload()
    except Exception as error:  # whatever it is, the old model goes on deciding
        if live.fault != fault:
            _refused(live, log, metrics, error)
        return
    if taken is not None:
        metrics.reloaded("taken")
        log("bundle taken", model_version=taken.bundle.version, before=before)


def _refused(live: Live, log: Log, metrics: Metrics, error: Exception) -> None:
    metrics.reloaded("refused")
    log(
        "bundle refused",
        level="error",
        message=live.fault,
        kind=type(error).__name__,
        model_version=live.snapshot.bundle.version,
    )
