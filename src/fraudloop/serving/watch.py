"""While the server runs: watch for another bundle, take it up or say why not."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

from fastapi import FastAPI

from fraudloop.serving.live import Live
from fraudloop.serving.log import Log
from fraudloop.serving.metrics import Metrics
from fraudloop.serving.terminal import Terminal

WRITTEN_EVERY = 0.1


def lifespan(
    watched: Watch, log: Log, at_the_end: Sequence[Callable[[], None]] = ()
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """What goes on beside the requests, from the first to the last."""

    @asynccontextmanager
    async def running(app: FastAPI) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        with suppress(NotImplementedError, RuntimeError, ValueError):  # not in the main thread
            loop.add_signal_handler(signal.SIGHUP, watched.hung_up)
        loop.run_in_executor(None, watched.warm_up)
        # What is loaded stays: the collector need not look through it again and again.
        gc.collect()
        gc.freeze()
        watching = asyncio.create_task(watched.go_on())
        writing = asyncio.create_task(_flush_now_and_then(log))
        log("ready", model_version=watched.version, process=os.getpid())
        yield
        watching.cancel()
        writing.cancel()
        for end in at_the_end:
            end()
        log("stopped", process=os.getpid())

    return running


async def _flush_now_and_then(log: Log) -> None:
    while True:
        await asyncio.sleep(WRITTEN_EVERY)
        log.flush()


def identity(live: Live) -> tuple[str, str]:
    """Version and candidate of the model that decides."""
    bundle = live.snapshot.bundle
    return bundle.version, bundle.manifest.candidate


class Watch:
    """Takes up a bundle when it changes, or when asked to."""

    def __init__(self, live: Live, metrics: Metrics, log: Log) -> None:
        self._live = live
        self._metrics = metrics
        self._log = log
        self._terminal = Terminal()
        self._noted: str | None = None

    @property
    def version(self) -> str:
        """The version that decides."""
        return identity(self._live)[0]

    async def go_on(self) -> None:
        """Look now and then, for as long as the server runs."""
        while True:
            await asyncio.sleep(self._live.source.every)
            # In a thread: the registry may take its time.
            if await asyncio.to_thread(self._live.changed):
                await asyncio.to_thread(self.reload)
            self._tell_of_notes()

    def reload(self) -> None:
        """Let the bundle that lies there decide, or go on with the one that does."""
        before, fault = identity(self._live), self._live.fault
        try:
            taken = self._live.reload()
        except Exception as error:  # whatever it is, the old model goes on deciding
            if self._live.fault != fault:
                self._refused(error)
            return
        if taken is not None:
            self._metrics.decides(*identity(self._live), before=before)
            self._metrics.reloaded("taken")
            self._log("bundle taken", model_version=taken.bundle.version, before=before[0])

    def _tell_of_notes(self) -> None:
        """Log once what the source has to say, and once that it is over."""
        note = self._live.source.note
        if note != self._noted:
            level = "info" if note is None else "warning"
            self._log("bundle's source", level=level, message=note or "it answers again")
            self._noted = note

    def warm_up(self) -> None:
        """Prove, just after the start, what was left out to be ready soon."""
        try:
            self._live.warm_up()
        except Exception as error:
            self._refused(error)

    def hung_up(self) -> None:
        """SIGHUP asks for a reload; or the terminal is gone, and with it who started the server."""
        if self._terminal.is_gone():
            signal.raise_signal(signal.SIGTERM)
        else:
            asyncio.get_running_loop().run_in_executor(None, self.reload)

    def _refused(self, error: Exception) -> None:
        self._metrics.reloaded("refused")
        self._log(
            "bundle refused",
            level="error",
            message=self._live.fault,
            kind=type(error).__name__,
            model_version=identity(self._live)[0],
        )
