"""The process: a socket, one worker or several, and an end in which nobody is left unanswered."""

from __future__ import annotations

import asyncio
import ipaddress
import signal
import socket
import sys
import tempfile
from functools import partial
from typing import Any

from uvicorn import Config, Server
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.supervisors import Multiprocess

from fraudloop.errors import FraudloopError, SettingsError
from fraudloop.model import bundle as bundles
from fraudloop.serving.bodies import WHOLE
from fraudloop.serving.log import Log, catch_others
from fraudloop.serving.options import Options
from fraudloop.settings import share_metrics

# What is on its way when the server is told to end still comes, and is answered.
GRACE = 0.3
BACKLOG = 2048
# Nobody needs so long to say what is asked, or to read on in an answer.
STALLED = 10.0
NOT_HTTP = b'{"error":"this is not HTTP: send an HTTP request","detail":[]}'


class Connection(HttpToolsProtocol):
    """One client: uvicorn's own protocol, with an end to stalling and to keeping alive."""

    ending = False
    _head_since: float | None = None
    _was_paused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as its base
        """Begin to watch for a client that stalls."""
        super().connection_made(transport)
        self._head_since = self.loop.time()
        self.loop.call_later(STALLED, self._look)

    def on_message_begin(self) -> None:
        """A request's head has begun."""
        self._head_since = self.loop.time()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """A request's head is whole."""
        self._head_since = None
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """A request is whole: if it is so before it is read, reading it needs no time limit."""
        super().on_message_complete()
        scope: Any = self.scope
        scope[WHOLE] = True

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if self.ending:
            cycle.keep_alive = False
        super()._start_asgi_task(cycle, app)

    def shutdown(self) -> None:
        """Answer what is here or on its way, then close."""
        self.ending = True
        if self.cycle is None or self.cycle.response_complete:
            self.loop.call_later(GRACE, self._close_if_idle)
        else:
            super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP in the shape of every other refusal."""
        self.transport.write(
            b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\nconnection: close\r\n\r\n%s" % (len(NOT_HTTP), NOT_HTTP)
        )
        self.transport.close()

    def _close_if_idle(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()

    def _look(self) -> None:
        """Hang up on a client that neither ends its request's head nor reads its answer."""
        if self.transport.is_closing():
            return
        paused = self.flow.write_paused
        slow_to_ask = self._head_since is not None and (
            self.loop.time() - self._head_since >= STALLED
        )
        if slow_to_ask or (paused and self._was_paused):
            self.transport.abort()
            return
        self._was_paused = paused
        self.loop.call_later(STALLED, self._look)


class Workers(Multiprocess):
    """Several processes at one socket; one that dies is replaced."""

    def keep_subprocess_alive(self) -> None:
        """Replace who died, and let the metrics forget what only the living can say."""
        from prometheus_client.multiprocess import mark_process_dead

        before = {process.pid for process in self.processes}
        super().keep_subprocess_alive()
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
        loop="uvloop",
        http=Connection,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
    version = bundles.load(options.bundle, sha256=options.sha256).version
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
    try:
        return create(options)
    except FraudloopError as error:  # in a worker nobody is above to say it
        Log()("worker failed", level="error", message=str(error))
        sys.exit(1)


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
