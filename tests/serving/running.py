"""A real `fraudloop serve` on loopback, its log, and a client that sends just what it is told."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.fitted import ROOT, card, table

START = "from fraudloop.cli import main\nmain()"
SOON = 120.0  # a machine that is shared may take its time
JSON = "Content-Type: application/json\r\n"


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)

    @property
    def closes(self) -> bool:
        return self.headers.get("connection") == "close"


class HungUpError(Exception):
    """The server closed the connection instead of answering, or within its answer."""


class Client:
    """One connection, over which bytes go as they are."""

    def __init__(self, port: int, *, timeout: float = SOON, buffer: int | None = None) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(timeout)
        if buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        try:
            self.socket.connect(("127.0.0.1", port))
        except OSError:
            self.socket.close()
            raise
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()
        self.socket.close()

    def send(self, content: bytes) -> None:
        self.socket.sendall(content)

    def answer(self, *, of_head: bool = False) -> Answer:
        """The next answer on this connection; one to HEAD has no body."""
        try:
            line = self._file.readline()
            headers = {}
            while (field := self._file.readline()) not in (b"\r\n", b""):
                name, _, value = field.decode("latin-1").partition(":")
                headers[name.lower()] = value.strip()
            size = 0 if of_head else int(headers.get("content-length", 0))
            content = self._file.read(size)
        except ConnectionError as error:
            raise HungUpError(repr(error)) from error
        if not line.startswith(b"HTTP/1.1 ") or len(content) != size:
            raise HungUpError(f"{line!r}, then {len(content)} bytes")
        return Answer(int(line[9:12]), headers, content)

    def ask(self, method: str, path: str, body: bytes = b"", head: str = JSON) -> Answer:
        self.send(request(method, path, body, head))
        return self.answer(of_head=method == "HEAD")

    def hung_up(self) -> bool:
        """Wait for the server to close the connection; False if it sends something instead."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True


def request(method: str, path: str, body: bytes = b"", head: str = JSON) -> bytes:
    """A request as it goes over the wire."""
    length = f"Content-Length: {len(body)}\r\n" if body or method in ("POST", "PUT") else ""
    first = f"{method} {path} HTTP/1.1\r\nHost: here\r\n{head}{length}\r\n"
    return first.encode("latin-1") + body


@dataclass(frozen=True)
class Running:
    """A server process, the head of a process group of its own."""

    process: subprocess.Popen[bytes]
    log: Path
    port: int = 0

    def events(self, event: str) -> list[dict[str, Any]]:
        """The log's lines about one kind of event."""
        lines = self.log.read_bytes().split(b"\n")[:-1]
        found = [json.loads(line) for line in lines if line.startswith(b"{")]
        return [line for line in found if line["event"] == event]

    def ask(self, method: str, path: str, body: bytes = b"", head: str = JSON) -> Answer:
        """Ask by a new connection."""
        with Client(self.port) as client:
            return client.ask(method, path, body, head)

    def measured(self, name: str) -> float:
        """A metric; of those that differ by labels, the sum."""
        text = self.ask("GET", "/metrics").content.decode()
        values = re.findall(rf"^{re.escape(name)}(?:\{{.*\}})? (\S+)$", text, re.MULTILINE)
        assert values, f"no {name} in /metrics"
        return sum(map(float, values))

    def ended(self, within: float = SOON) -> int:
        """Wait until it ends; its exit code."""
        return self.process.wait(within)

    def has_processes(self) -> bool:
        """Whether anything of it is left."""
        try:
            os.killpg(self.process.pid, 0)
        except ProcessLookupError:
            return False
        return True


def until(holds: Callable[[], bool], what: str, within: float = SOON) -> None:
    """Wait until something holds."""
    end = time.monotonic() + within
    while not holds():
        assert time.monotonic() < end, f"after {within:g} s still not: {what}"
        time.sleep(0.01)


def start(
    log: Path,
    *options: str | Path,
    before: str = "",
    environment: Mapping[str, str] | None = None,
    stderr: int | None = None,
) -> Running:
    """Start a server, on a free port unless the options say another; `before` runs first in it."""
    code = ["-c", f"{before}\n{START}"] if before else ["-m", "fraudloop"]
    inherited = {name: value for name, value in os.environ.items() if name[:9] != "FRAUDLOOP"}
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, *code, "serve", "--port", "0", *map(str, options)],
            env={**inherited, "PYTHONPATH": str(ROOT / "src"), **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=file if stderr is None else stderr,
            start_new_session=True,
        )
    return Running(process, log)


def stop(server: Running) -> None:
    """End what is still there of a server."""
    if server.process.poll() is None:
        server.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            server.process.wait(10)
    with suppress(ProcessLookupError):
        os.killpg(server.process.pid, signal.SIGKILL)
    server.process.wait(10)


@contextmanager
def running(
    log: Path,
    bundle: Path,
    *options: str,
    workers: int = 1,
    before: str = "",
    environment: Mapping[str, str] | None = None,
) -> Iterator[Running]:
    """A server that is ready, with all its workers."""
    options = ("--workers", str(workers), *options)
    server = start(log, "--bundle", bundle, *options, before=before, environment=environment)

    def ready() -> bool:
        assert server.process.poll() is None, log.read_text()
        return len(server.events("ready")) == workers

    try:
        until(ready, f"ready; its log: {log}")
        url = server.events("serving")[0]["url"]
        yield Running(server.process, log, int(url.rpartition(":")[2]))
    finally:
        stop(server)


def transactions(many: int) -> list[dict[str, float]]:
    """Some transactions of the default card."""
    columns = list(card().columns)
    rows = table().head(many)[columns].to_numpy().tolist()
    return [dict(zip(columns, row, strict=True)) for row in rows]


def as_body(content: Any) -> bytes:
    return json.dumps(content).encode()
