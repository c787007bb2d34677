"""A client's connection, and the door it came by: nobody stalls, nobody is left unanswered."""

from __future__ import annotations

import asyncio
import re
import socket
from contextlib import suppress
from typing import Any

import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from fraudloop.serving.bodies import WHOLE

# What is on its way when the server is told to end still comes, and is answered.
GRACE = 0.3
# Nobody needs so long to say what is asked, or to read on in an answer.
STALLED = 10.0
UPGRADE = re.compile(rb"(?i)(\r\n)upgrade:")  # to HTTP/2: Java's client asks for it by itself
LONGEST_HEAD = 65_536
TOO_LONG = b'{"error":"the request has a head of more than 64 KB: send a shorter one","detail":[]}'
NOT_HTTP = b'{"error":"this is not HTTP: send an HTTP request","detail":[]}'


class Connection(HttpToolsProtocol):
    """One client: uvicorn's own protocol, with an end to stalling and to keeping alive."""

    ending = False
    _head_since: float | None = None
    _unsent = 0
    _looked_at: RequestResponseCycle | None = None
    _unused = 0  # bytes since anything was made of what comes

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as its base
        """Begin to watch for a client that stalls."""
        super().connection_made(transport)
        self._head_since = self.loop.time()
        self.loop.call_later(STALLED, self._look)

    def data_received(self, data: bytes) -> None:
        """Take what comes, but no head, and nothing after a body, without an end."""
        self._unused += len(data)
        if b"pgrade" in data:  # a parser told of it would read no body
            head, end, rest = data.partition(b"\r\n\r\n")
            data = UPGRADE.sub(b"\\1x-upgrade:", head) + end + rest
        super().data_received(data)
        if self._unused > LONGEST_HEAD and not self.transport.is_closing():
            self._refuse(b"431 Request Header Fields Too Large", TOO_LONG)

    def on_message_begin(self) -> None:
        """A request's head has begun."""
        self._head_since = self.loop.time()
        self._unused = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """A request's head is whole."""
        self._head_since = None
        self._unused = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of a request's body is here."""
        self._unused = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """A request is whole: if it is so before it is read, reading it needs no time limit."""
        super().on_message_complete()
        scope: Any = self.scope
        scope[WHOLE] = True

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if self.ending and not self.pipeline:  # who came before is answered, and the last told
            cycle.keep_alive = False
        super()._start_asgi_task(cycle, app)

    def shutdown(self) -> None:
        """Answer what is here or on its way, then close."""
        self.ending = True
        if self.cycle is None or self.cycle.response_complete:
            self.loop.call_later(GRACE, self._close_if_idle)
        else:
            super().shutdown()

    def eof_received(self) -> bool:  # type: ignore[override]  # its base has nothing to say
        """Who has said all may still listen."""
        if self.cycle is None or self.cycle.response_complete or self.cycle.more_body:
            return False
        self.ending = True
        self.cycle.keep_alive = False
        return True

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP in the shape of every other refusal."""
        self._refuse(b"400 Bad Request", NOT_HTTP)

    def _refuse(self, status: bytes, content: bytes) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            if not self.cycle.more_body:  # that request was whole: it is answered, as the last one
                self.ending = True
                self.cycle.keep_alive = False
                return
            if self.cycle.response_started:
                self.transport.abort()
                return
        self.transport.write(
            b"HTTP/1.1 %s\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\nconnection: close\r\n\r\n%s" % (status, len(content), content)
        )
        self.transport.close()

    def _close_if_idle(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()

    def _look(self) -> None:
        """Hang up on a client that neither ends what it says nor reads its answer."""
        if self.transport.is_closing():
            return
        unsent = self.transport.get_write_buffer_size()
        reads_nothing = self.flow.write_paused and 0 < self._unsent <= unsent
        slow_to_ask = self._head_since is not None and (
            self.loop.time() - self._head_since >= STALLED
        )
        # It was answered, and goes on with the same body: else it would be in its head, or idle.
        says_more = (
            self.cycle is not None
            and self.cycle.response_complete
            and self._head_since is None
            and self.timeout_keep_alive_task is None
        )
        if slow_to_ask or reads_nothing or (says_more and self._looked_at is self.cycle):
            self.transport.abort()
            return
        self._unsent = unsent
        self._looked_at = self.cycle
        self.loop.call_later(STALLED, self._look)


class Loop(uvloop.Loop):
    """uvloop's own, whose servers take in who has come before they listen no more."""

    async def create_server(  # type: ignore[override]  # as uvicorn calls it, and no other way
        self, factory: Any, *args: Any, **options: Any
    ) -> Any:
        """As uvloop's, but with a door that nobody is left waiting at."""
        server = await super().create_server(factory, *args, **options)
        return Door(self, server, factory, options["sock"])


class Door:
    """A listening socket: whom the kernel has let in already is served when it closes."""

    def __init__(self, loop: Loop, server: Any, factory: Any, listening: socket.socket) -> None:
        self._loop = loop
        self._server = server
        self._factory = factory
        self._listening = listening
        self._last: list[asyncio.Task[None]] = []

    def close(self) -> None:
        """Take in who waits, then listen no more."""
        waiting = self._accepted()
        self._server.close()
        waiting += self._accepted()  # uvloop may close it a moment later
        self._listening.close()
        self._last = [self._loop.create_task(self._take_in(each)) for each in waiting]

    def _accepted(self) -> list[socket.socket]:
        found = []
        with suppress(OSError):  # nobody waits any more
            while True:
                found.append(self._listening.accept()[0])
        return found

    async def wait_closed(self) -> None:
        """Wait until it has."""
        await self._server.wait_closed()

    async def _take_in(self, client: socket.socket) -> None:
        client.setblocking(False)
        _, protocol = await self._loop.connect_accepted_socket(self._factory, client)
        protocol.shutdown()
