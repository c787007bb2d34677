"""The process: a socket, one worker or several, and an end in which nobody is left unanswered."""

from __future__ import annotations

import ipaddress
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from uvicorn import Config, Server
from uvicorn.supervisors import Multiprocess

from fraudloop.errors import FraudloopError, SettingsError
from fraudloop.lifecycle import following
from fraudloop.serving.connections import Connection
from fraudloop.serving.log import Log, catch_others
from fraudloop.serving.options import Options
from fraudloop.serving.terminal import Terminal
from fraudloop.settings import share_metrics

BACKLOG = 2048
# Seconds a new worker has before a hangup keeps the old one: on a busy machine 5 are too few.
STARTING = 20


class Workers(Multiprocess):
    """Several processes at one socket; one that dies is replaced."""

    def __init__(self, config: Config, sockets: list[socket.socket]) -> None:
        super().__init__(config, sockets)
        self._terminal = Terminal()

    def keep_subprocess_alive(self) -> None:
        """Replace who died."""
        with self._forgotten():
            super().keep_subprocess_alive()

    def restart_all(self) -> None:
        """Replace everyone, one after the other."""
        with self._forgotten():
            super().restart_all()

    def handle_hup(self) -> None:
        """Replace everyone; or end, if the terminal is gone."""
        if self._terminal.is_gone():
            self.handle_term()
        else:
            super().handle_hup()

    @contextmanager
    def _forgotten(self) -> Iterator[None]:
        """Let the metrics forget, of those who go, what only the living can say."""
        from prometheus_client.multiprocess import mark_process_dead

        before = {process.pid for process in self.processes}
        yield
        for pid in before - {process.pid for process in self.processes}:
            mark_process_dead(pid)  # type: ignore[no-untyped-call]  # the library has no types

    def terminate_all(self) -> None:
        """Take no more connections, then let each worker finish."""
        for each in self.sockets:
            each.close()
        super().terminate_all()


def serve(host: str, port: int, options: Options) -> None:
    """Serve until told to end."""
    _require_protection(host, options)
    listening = _bound(host, port)
    log = Log()
    catch_others(log)
    config = Config(
        partial(_application, options),
        factory=True,
        workers=options.workers,
        timeout_worker_healthcheck=STARTING,
        loop="fraudloop.serving.connections:Loop",
        http=Connection,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
    version = following.loaded(options.bundle, sha256=options.sha256).version
    shown = f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{listening.getsockname()[1]}"
    # uvicorn ends gracefully, then raises again what ended it: that is no failure.
    signal.signal(signal.SIGTERM, _nothing_more)
    signal.signal(signal.SIGINT, _nothing_more)
    if options.workers == 1:
        server = Server(config)
        config.load()
        log("serving", url=url, model_version=version, workers=1)
        server.run(sockets=[listening])
        return
    with tempfile.TemporaryDirectory(prefix="fraudloop-metrics-") as folder:
        share_metrics(folder)
        log("serving", url=url, model_version=version, workers=options.workers)
        Workers(config, sockets=[listening]).run()


def _application(options: Options) -> Any:
    from fraudloop.serving.api import create

    if options.workers == 1:
        return create(options)
    # A terminal interrupts everybody; the parent is who closes the door first, and tells them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    try:
        return create(options)
    except FraudloopError as error:  # in a worker nobody is above to say it
        Log()("worker failed", level="error", message=str(error))
        sys.exit(1)


def _end_with_the_parent() -> None:
    """Nobody could end a worker whose parent was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _require_protection(host: str, options: Options) -> None:
    """Nobody scores from elsewhere without a password, unless that is said in so many words."""
    if options.settings.auth is None and not _is_loopback(host):
        raise SettingsError(
            f"{host} is not this machine alone: set FRAUDLOOP_AUTH=basic and FRAUDLOOP_USERS, "
            "or FRAUDLOOP_AUTH=none if whoever reaches it may score"
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _bound(host: str, port: int) -> socket.socket:
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as error:
        raise SettingsError(
            f"{host}:{port} cannot be listened at ({error.strerror or error}): "
            "choose another --host or --port"
        ) from error
    listening.listen(BACKLOG)  # who comes from now on waits until the model is loaded
    return listening


def _nothing_more(*_: object) -> None:
    """A signal that has done its work already."""
