"""Clients that measure a server: how many requests a second, and how long each took.

How many: `wrk`, where it is installed; else a client in Python, which may itself be what is
measured. How long: requests at a constant rate, each timed from the moment it was due, so that a
server that stalls cannot hide the requests that would have come meanwhile.
"""

from __future__ import annotations

import gc
import re
import select
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

WRK_SCRIPT = Path(__file__).with_name("serving_load.lua")
PATIENCE = 30.0  # seconds without an answer after which the server is given up
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
HOST = "127.0.0.1"


class LoadError(Exception):
    """A server did not do what is measured; a figure of it would say nothing."""


@dataclass
class Connection:
    """One keep-alive connection, with at most one request on its way."""

    socket: socket.socket
    due: float = 0.0
    _read: bytearray = field(default_factory=bytearray)
    _whole: int | None = None

    def fileno(self) -> int:
        """What `select` asks for."""
        return self.socket.fileno()

    def send(self, request: bytes, due: float) -> None:
        """Send a request that was due at a time."""
        self.due = due
        self.socket.sendall(request)

    def receive(self) -> bytes | None:
        """Read on; gives the whole answer, head and body, once it is here."""
        part = self.socket.recv(1 << 20)
        if not part:
            raise LoadError("the server hung up in the middle of an answer")
        self._read += part
        if self._whole is None:
            self._whole = _length(self._read)
        if self._whole is None or len(self._read) < self._whole:
            return None
        answer = bytes(self._read)
        self._read.clear()
        self._whole = None
        return answer


def post(path: str, body: bytes) -> bytes:
    """The bytes of a POST of JSON."""
    return (
        f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def get(path: str) -> bytes:
    """The bytes of a GET."""
    return f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()


@contextmanager
def connected(port: int) -> Iterator[Connection]:
    """A connection to a port of this machine."""
    with socket.create_connection((HOST, port), timeout=PATIENCE) as opened:
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield Connection(opened)


def exchange(connection: Connection, request: bytes) -> tuple[float, bytes]:
    """How many seconds a request took, from its first byte to the answer's last, and the body."""
    start = time.perf_counter()
    connection.send(request, start)
    while (answer := connection.receive()) is None:
        pass
    seconds = time.perf_counter() - start
    return seconds, answer.partition(b"\r\n\r\n")[2]


def latencies(
    port: int, request: bytes, *, rate: float, seconds: float, connections: int
) -> list[float]:
    """The seconds each request took, from when it was due, at so many requests a second."""
    taken: list[float] = []
    wanted = int(rate * seconds)
    sent = 0
    with _many(port, connections) as idle, _no_collector():
        busy: list[Connection] = []
        start = time.perf_counter()
        while len(taken) < wanted:
            now = time.perf_counter()
            while sent < wanted and idle and start + sent / rate <= now:
                connection = idle.pop(0)
                connection.send(request, start + sent / rate)
                busy.append(connection)
                sent += 1
            # With no connection left, those that are due wait, and their time runs.
            pause = start + sent / rate - now if sent < wanted and idle else PATIENCE
            for connection in _answered(busy, max(pause, 0.0)):
                taken.append(time.perf_counter() - connection.due)
                busy.remove(connection)
                idle.append(connection)
            if busy and time.perf_counter() - min(each.due for each in busy) > PATIENCE:
                raise LoadError(f"no answer within {PATIENCE:.0f} s")
    return taken


def throughput(port: int, path: str, body: bytes, *, seconds: float, connections: int) -> float:
    """Requests answered a second when each connection asks again as soon as it is answered."""
    if shutil.which("wrk"):
        return _by_wrk(port, path, body, seconds=seconds, connections=connections)
    return _by_python(port, post(path, body), seconds=seconds, connections=connections)


def percentile(values: list[float], share: float) -> float:
    """The smallest value that at least this share of all values does not exceed.

    >>> percentile([4.0, 1.0, 3.0, 2.0], 0.5), percentile([4.0, 1.0, 3.0, 2.0], 0.99)
    (2.0, 4.0)
    """
    ordered = sorted(values)
    return ordered[max(0, -(-int(share * 1_000_000) * len(ordered) // 1_000_000) - 1)]


def wrk_figure(output: str) -> float:
    """Requests a second from what serving_load.lua printed, if every request was answered well."""
    found = re.search(r"^RESULT (\d+) (\d+) (\d+) (\d+)$", output, re.MULTILINE)
    if found is None:
        raise LoadError(f"wrk said nothing of its requests: {output.strip()[-300:]}")
    requests, microseconds, refused, broken = map(int, found.groups())
    if refused or broken or not requests:
        raise LoadError(f"of {requests} requests {refused} were refused and {broken} broke")
    return requests / microseconds * 1e6


def _by_wrk(port: int, path: str, body: bytes, *, seconds: float, connections: int) -> float:
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        file.write(body)
        file.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:.0f}s", "-s", str(WRK_SCRIPT)]
        done = subprocess.run(
            [*command, f"http://{HOST}:{port}{path}", "--", file.name],
            capture_output=True,
            text=True,
            check=False,
        )
    return wrk_figure(done.stdout or done.stderr)


def _by_python(port: int, request: bytes, *, seconds: float, connections: int) -> float:
    answered = 0
    with _many(port, connections) as busy, _no_collector():
        start = time.perf_counter()
        for connection in busy:
            connection.send(request, start)
        while (now := time.perf_counter()) < start + seconds:
            for connection in _answered(busy, PATIENCE):
                answered += 1
                connection.send(request, now)
    return answered / (now - start)


def _answered(busy: list[Connection], pause: float) -> list[Connection]:
    """Which requests were answered, waiting for at most `pause` seconds until one is."""
    # `select` waits to the microsecond; `poll` and the event loops built on it to the millisecond.
    readable, _, _ = select.select(busy, (), (), pause)
    return [connection for connection in readable if connection.receive() is not None]


def _length(read: bytearray) -> int | None:
    """How many bytes an answer has, its head included, once its head is here."""
    head_ends = read.find(b"\r\n\r\n")
    if head_ends < 0:
        return None
    status, found = read.split(b" ", 2)[1], LENGTH.search(read, 0, head_ends)
    if status != b"200" or found is None:
        raise LoadError(f"instead of a 200 with its length: {bytes(read[:300])!r}")
    return head_ends + 4 + int(found[1])


@contextmanager
def _many(port: int, connections: int) -> Iterator[list[Connection]]:
    with ExitStack() as opened:
        yield [opened.enter_context(connected(port)) for _ in range(connections)]


@contextmanager
def _no_collector() -> Iterator[None]:
    """No pause of our own among the server's."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
