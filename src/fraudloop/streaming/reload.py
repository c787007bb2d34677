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


def take(live: Live, log: Log, metrics: Metrics) -> None:
    """Let the bundle that lies there decide, or go on with the one that does."""
    before, fault = live.snapshot.bundle.version, live.fault
    try:
        taken = live.reload()
    except Exception as error:  # whatever it is, the old model goes on deciding
        if live.fault != fault:
            metrics.reloaded("refused")
            log(
                "bundle refused",
                level="error",
                message=live.fault,
                kind=type(error).__name__,
                model_version=before,
            )
        return
    if taken is not None:
        metrics.reloaded("taken")
        log("bundle taken", model_version=taken.bundle.version, before=before)
