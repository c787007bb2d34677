"""Real servers on loopback for the tests: a scriptable web server, Kaggle's API, S3.

A test module takes their fixtures with `pytest_plugins = ("tests.servers",)`, and may import its
classes before pytest does; so, for pytest: PYTEST_DONT_REWRITE.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NoReturn

import pytest

KAGGLE_PORT = 7777  # where Kaggle's client looks with KAGGLE_API_ENVIRONMENT=TEST


@dataclass
class Answer:
    """What a path answers. Lists are used up one per GET; when empty, nothing goes wrong."""

    content: bytes = b""
    status: int = 200
    etag: str | None = '"one"'
    ranges: bool = True
    heeds_if_range: bool = True
    length: bool = True  # False: no Content-Length, the end is when the connection closes
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: list[int] = field(default_factory=list)  # close after so many bytes of the body
    statuses: list[int] = field(default_factory=list)  # answer with these first
    silent_for: float = 0.0  # before answering
    trickle: float = 0.0  # between bytes


@dataclass(frozen=True)
class Request:
    """What the server was asked."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Web:
    """A web server: `answers` by path, `requests` as they came."""

    port: int
    host: str = "127.0.0.1"
    answers: dict[str, Answer] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    on_request: list[Any] = field(default_factory=list)  # called, one per request, before it

    def url(self, path: str, login: str = "") -> str:
        """The address of a path."""
        return f"http://{login}{self.host}:{self.port}{path}"

    def asked(self, method: str, path: str) -> list[Request]:
        """The requests of one kind."""
        return [
            request
            for request in self.requests
            if request.method == method and request.path.partition("?")[0] == path
        ]


class Handler(BaseHTTPRequestHandler):
    """Answers as `Web` says; Kaggle's one route is built on the same."""

    protocol_version = "HTTP/1.1"
    web: Web
    stopping: threading.Event

    def do_GET(self) -> None:
        self._note()
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._note()
        self._answer(body=False)

    def do_POST(self) -> None:
        self._note()
        self._answer(body=True)

    def log_message(self, *_: Any) -> None:
        """Say nothing: pytest's output is for tests."""

    def _note(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.web.requests.append(Request(self.command, self.path, dict(self.headers), body))
        if self.web.on_request:
            self.web.on_request.pop(0)()

    def _answer(self, body: bool) -> None:
        answer = self.web.answers.get(self.path.partition("?")[0], Answer(status=404))
        self.stopping.wait(answer.silent_for)
        status = answer.statuses.pop(0) if body and answer.statuses else answer.status
        content = answer.content if status == 200 else b""
        part = self._part(answer) if status == 200 else None
        if status == 200 and self.headers.get("If-Match", answer.etag) != answer.etag:
            status, content, part = 412, b"", None
        self.send_response(206 if part else status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.etag:
            self.send_header("ETag", answer.etag)
        if part:
            self.send_header("Content-Range", f"bytes {part.start}-{part.stop - 1}/{len(content)}")
            content = content[part.start : part.stop]
        if answer.length:
            self.send_header("Content-Length", str(len(content)))
        else:
            self.close_connection = True
        self.end_headers()
        if body:
            self._send(answer, content)

    def _part(self, answer: Answer) -> range | None:
        """The range that is asked for, if this server gives it and it is still the same object."""
        asked = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        changed = self.headers.get("If-Range", answer.etag) != answer.etag
        if asked is None or not answer.ranges or (changed and answer.heeds_if_range):
            return None
        stop = min(int(asked[2] or len(answer.content)) + 1, len(answer.content))
        return range(int(asked[1]), stop)

    def _send(self, answer: Answer, content: bytes) -> None:
        cut = answer.cut_after.pop(0) if answer.cut_after else None
        with suppress(ConnectionError):  # the client may have had enough
            if answer.trickle:
                for byte in content:
                    self.wfile.write(bytes([byte]))
                    if self.stopping.wait(answer.trickle):
                        break
                self.close_connection = True
                return
            self.wfile.write(content[:cut])
        if cut is not None:
            self.close_connection = True


class KaggleHandler(Handler):
    """Kaggle's DownloadDataset as its client calls it: a redirect to storage on another host."""

    route = "/api/v1/datasets.DatasetApiService/DownloadDataset"

    def do_POST(self) -> None:
        if self.path != self.route:
            super().do_POST()
            return
        self._note()
        kaggle = self.web
        assert isinstance(kaggle, Kaggle)
        self.stopping.wait(kaggle.silent_for)
        asked = json.loads(kaggle.requests[-1].body)
        status = kaggle.refusals.pop(0) if kaggle.refusals else kaggle.status
        if status == 200 and self.headers.get("Authorization") not in kaggle.accepts:
            status = 401
        known = (asked.get("ownerSlug"), asked.get("datasetSlug"), asked.get("fileName"))
        if status == 200 and known != kaggle.has:
            status = 404
        if status == 200:
            self.send_response(302)
            # Kaggle is at `localhost`, its storage at 127.0.0.1: credentials must not go there.
            storage = f"http://127.0.0.1:{kaggle.port}/storage/{known[2]}.zip?signature=secret"
            self.send_header("Location", storage)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        message = json.dumps({"code": status, "message": "secret details"}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(message)))
        self.end_headers()
        self.wfile.write(message)


@dataclass
class Kaggle(Web):
    """Kaggle with one dataset of one file; put its zip into `stored`."""

    host: str = "localhost"
    has: tuple[str, str, str] = ("owner", "cups", "cups.csv")
    accepts: tuple[str, ...] = ("Bearer right", "Basic dTpr")  # u:k
    status: int = 200
    refusals: list[int] = field(default_factory=list)
    silent_for: float = 0.0

    @property
    def stored(self) -> Answer:
        """What the storage has."""
        return self.answers.setdefault(f"/storage/{self.has[2]}.zip", Answer())

    @property
    def downloads(self) -> list[Request]:
        """The requests that reached the storage."""
        return self.asked("GET", f"/storage/{self.has[2]}.zip")


@contextmanager
def serving(handler: type[Handler], web: Web) -> Iterator[Web]:
    """Serve on `web.port` (0: any free one) of 127.0.0.1 until the block ends."""
    stopping = threading.Event()
    bound = type(handler.__name__, (handler,), {"web": web, "stopping": stopping})
    with ThreadingHTTPServer(("127.0.0.1", web.port), bound) as server:
        server.daemon_threads = True
        web.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield web
        finally:
            stopping.set()
            server.shutdown()
            thread.join()


@pytest.fixture
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No credentials, no proxy, an empty home (which is returned)."""
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_CONFIG_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "PROFILE", "ENDPOINT_URL"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    return home


@pytest.fixture
def web(bare_environment: Path) -> Iterator[Web]:
    """A web server that has nothing yet."""
    with serving(Handler, Web(0)) as server:
        yield server


def written(path: Path) -> tuple[int, int]:
    """Which file it is and when it was written last: both stay as they are if it is kept."""
    about = path.stat()
    return about.st_ino, about.st_mtime_ns


def unavailable(part: str, reason: str) -> NoReturn:
    """Skip for want of a real part; fail where REQUIRE_REAL names it: there it can be had."""
    required = os.environ.get("REQUIRE_REAL", "").split(",")
    if part in required:
        pytest.fail(f"{part} is required here (REQUIRE_REAL), but: {reason}", pytrace=False)
    pytest.skip(f"{part}: {reason}")


@pytest.fixture
def kaggle(bare_environment: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kaggle]:
    """Kaggle, and an environment with a right token for it."""
    reached = {entry[4][0] for entry in socket.getaddrinfo("localhost", KAGGLE_PORT)}
    if "127.0.0.1" not in reached:
        unavailable("kaggle", f"localhost is {', '.join(map(str, reached))}, not 127.0.0.1")
    server = Kaggle(KAGGLE_PORT)
    try:
        running = serving(KaggleHandler, server)
        running.__enter__()
    except OSError as error:
        unavailable(
            "kaggle", f"port {KAGGLE_PORT}, the only one Kaggle's client can be sent to: {error}"
        )
    monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "TEST")
    monkeypatch.setenv("KAGGLE_API_TOKEN", "right")
    yield server
    running.__exit__(None, None, None)


@dataclass(frozen=True)
class S3:
    """An S3 server on loopback that keeps its objects in memory."""

    endpoint: str
    client: Any

    def put(self, bucket: str, key: str, content: bytes) -> str:
        """Store an object, in a bucket made for it; gives its address."""
        self.client.create_bucket(Bucket=bucket)
        self.client.put_object(Bucket=bucket, Key=key, Body=content)
        return f"s3://{bucket}/{key}"


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """The S3 server, started once; other tests' buckets are in it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("s3") / "log"
    with log.open("w") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdout=output,
            stderr=output,
        )
    try:
        _wait_for(port, server, log)
        yield S3(f"http://127.0.0.1:{port}", _s3_client(port))
    finally:
        server.terminate()
        server.wait(10)


@pytest.fixture
def s3(s3_server: S3, bare_environment: Path, monkeypatch: pytest.MonkeyPatch) -> S3:
    """The S3 server, and an environment with credentials for it and its address."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_server.endpoint)
    return s3_server


def _wait_for(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(300):
        if server.poll() is not None:
            break
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise RuntimeError(f"the S3 server did not start: {log.read_text()[-1000:]}")


def _s3_client(port: int) -> Any:
    import botocore.session

    return botocore.session.get_session().create_client(
        "s3",
        region_name="us-east-1",
        endpoint_url=f"http://127.0.0.1:{port}",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
