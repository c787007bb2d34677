"""The server as a process: how it starts, who it lets in, and how it ends."""

from __future__ import annotations

import base64
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fraudloop import users
from tests.serving.running import (
    JSON,
    Answer,
    Client,
    HungUpError,
    Running,
    as_body,
    request,
    running,
    start,
    stop,
    transactions,
    until,
)

CLIENTS = 16
BODY = as_body(transactions(1)[0])
POST = request("POST", "/predict", BODY)
LAST = request("POST", "/predict", BODY, f"{JSON}Connection: close\r\n")
IN_ITS_TERMINAL = """
import fcntl, termios
fcntl.ioctl(2, termios.TIOCSCTTY, 0)
"""
SLOW_WITH_MANY = """
import time
from fraudloop.serving import scoring
made = scoring.answer
def answer(scorer, asked, **options):
    time.sleep(1.5 if len(asked.ids) > 1 else 0)
    return made(scorer, asked, **options)
scoring.answer = answer
"""


@pytest.fixture(scope="module")
def bundle(ran: Path) -> Path:
    return ran / "output"


@dataclass
class Load:
    """What clients that post without a pause have met with."""

    port: int
    answered: int = 0
    refusals: list[Answer] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def post(self, content: bytes) -> None:
        """Post until it is over, or until nobody listens any more."""
        while not self.over.is_set():
            try:
                client = Client(self.port)
            except ConnectionRefusedError:
                return
            with client:
                self._post_over(client, content)

    def _post_over(self, client: Client, content: bytes) -> None:
        while not self.over.is_set():
            try:
                client.send(content)
                answer = client.answer()
            except (HungUpError, OSError) as error:
                with self.lock:
                    self.unanswered.append(repr(error))
                return
            with self.lock:
                self.answered += 1
                if answer.status != 200:
                    self.refusals.append(answer)
            if answer.closes:
                return


@contextmanager
def loaded(server: Running, clients: int = CLIENTS, newcomers: int = 0) -> Iterator[Load]:
    """Clients at work on a server; newcomers make a new connection for every request."""
    load = Load(server.port)
    contents = [POST] * clients + [LAST] * newcomers
    threads = [threading.Thread(target=load.post, args=(each,)) for each in contents]
    for thread in threads:
        thread.start()
    try:
        until(lambda: load.answered > 20 * clients, "all clients at work")
        yield load
    finally:
        load.over.set()
        for thread in threads:
            thread.join()


def test_a_server_on_a_free_port_says_where_it_is_and_is_ready(
    bundle: Path, tmp_path: Path
) -> None:
    with running(tmp_path / "log", bundle) as server:
        (serving,) = server.events("serving")
        assert serving["url"] == f"http://127.0.0.1:{server.port}"
        ready = server.ask("GET", "/ready")
        assert ready.status == 200
        assert ready.json == {
            "status": "ready",
            "model_version": serving["model_version"],
            "detail": [],
        }


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT], ids=lambda told: told.name)
def test_a_server_told_to_end_answers_every_request_that_came(
    told: signal.Signals, bundle: Path, tmp_path: Path
) -> None:
    many = as_body({"features": [list(transactions(1)[0].values())] * 1_500})
    with (
        running(tmp_path / "log", bundle, before=SLOW_WITH_MANY) as server,
        Client(server.port) as slow,
        Client(server.port) as in_a_row,
        Client(server.port) as idle,
    ):
        slow.send(POST[:300])
        assert idle.ask("GET", "/ping").status == 200
        with loaded(server, newcomers=4) as load:
            in_a_row.send(request("POST", "/predict", many) + POST + POST)
            time.sleep(0.5)  # all three are there, the first is at work
            server.process.send_signal(told)
            assert idle.hung_up()  # the end has begun
            assert [in_a_row.answer().status for _ in range(3)] == [200, 200, 200]
            slow.send(POST[300:])
            last = slow.answer()
            assert (last.status, last.closes) == (200, True)
            asked = time.monotonic()
            assert server.ended() == 0
            assert time.monotonic() - asked < 5
        assert (load.unanswered, load.refusals) == ([], [])
        assert len(server.events("stopped")) == 1
        assert not server.has_processes()


def test_when_a_worker_is_killed_the_other_serves_and_it_comes_back(
    bundle: Path, tmp_path: Path
) -> None:
    with running(tmp_path / "log", bundle, workers=2) as server:
        with loaded(server, 8) as load:
            pass
        assert (load.unanswered, load.refusals) == ([], [])
        assert server.measured("fraudloop_rows_total") == load.answered
        assert server.measured("fraudloop_model") == 2
        with loaded(server, 8) as through:
            before = through.answered
            first, _ = (event["process"] for event in server.events("ready"))
            os.kill(first, signal.SIGKILL)
            until(lambda: through.answered > before + 200, "the other serves")
            until(lambda: len(server.events("ready")) == 3, "another has come")
            until(lambda: server.measured("fraudloop_model") == 2, "both of them decide")
        # What was on its way to the killed one is lost, and nothing else.
        assert len(through.unanswered) <= 8
        assert through.refusals == []
        alive = {event["process"] for event in server.events("ready")[1:]}
        for process in alive:
            os.kill(process, 0)
        with pytest.raises(ProcessLookupError):
            os.kill(first, 0)
        answered = load.answered + through.answered
        counted = server.measured("fraudloop_rows_total")
        assert answered <= counted <= answered + len(through.unanswered)
        with loaded(server, 8, newcomers=4) as last:
            server.process.terminate()
            assert server.ended(15) == 0
        assert (last.unanswered, last.refusals) == ([], [])
        until(lambda: not server.has_processes(), "nothing of it is left")


def test_interrupting_a_server_of_two_workers_in_its_terminal_ends_it_well(
    bundle: Path, tmp_path: Path
) -> None:
    with running(tmp_path / "log", bundle, workers=2) as server:
        with loaded(server, 8) as load:
            os.killpg(server.process.pid, signal.SIGINT)
            assert server.ended(15) == 0
        assert (load.unanswered, load.refusals) == ([], [])
        until(lambda: not server.has_processes(), "nothing of it is left")


def test_workers_end_well_when_their_parent_is_killed(bundle: Path, tmp_path: Path) -> None:
    with running(tmp_path / "log", bundle, workers=2) as server, loaded(server, 8) as load:
        os.kill(server.process.pid, signal.SIGKILL)
        until(lambda: len(server.events("stopped")) == 2, "both have ended")
    assert (load.unanswered, load.refusals) == ([], [])


@pytest.mark.parametrize("workers", [1, 2])
def test_a_server_whose_terminal_is_closed_ends(bundle: Path, tmp_path: Path, workers: int) -> None:
    ours, its = os.openpty()
    options = ("--bundle", bundle, "--workers", str(workers))
    server = start(tmp_path / "log", *options, before=IN_ITS_TERMINAL, stderr=its)
    try:
        said = b""
        while said.count(b'"event":"ready"') < workers:
            said += os.read(ours, 10_000)
        os.close(its)
        os.close(ours)  # as a window is closed: everybody in it is told by SIGHUP
        assert server.ended(10) == 0
        until(lambda: not server.has_processes(), "nothing of it is left")
    finally:
        stop(server)


@dataclass(frozen=True)
class Refused:
    """A server that was not to start."""

    options: tuple[str | Path, ...]
    code: int
    says: str


def refused(bundle: Path, folder: Path, taken: int) -> dict[str, Refused]:
    """Each way in which a server does not start. It must be refused before it listens."""
    torn = folder / "torn"
    torn.mkdir()
    (torn / "manifest.json").write_bytes((bundle / "manifest.json").read_bytes()[:900])
    nowhere = folder / "nowhere"
    protection = "is not this machine alone: set FRAUDLOOP_AUTH=basic and FRAUDLOOP_USERS, or "
    here = ("--bundle", bundle)
    return {
        "anywhere": Refused(("--host", "0.0.0.0", *here), 2, f"0.0.0.0 {protection}"),
        "public": Refused(("--host", "192.0.2.1", *here), 2, f"192.0.2.1 {protection}"),
        "named": Refused(("--host", "a.invalid", *here), 2, f"a.invalid {protection}"),
        "port in use": Refused(
            ("--port", str(taken), *here), 2, f"127.0.0.1:{taken} cannot be listened at"
        ),
        "no bundle": Refused(("--bundle", nowhere), 1, f"no manifest.json in {nowhere}"),
        "torn bundle": Refused(("--bundle", torn), 1, "is no manifest of this kind"),
        "another bundle": Refused(
            ("--sha256", "0" * 64, *here), 1, "is not the file that was vouched for"
        ),
        "two workers": Refused(
            ("--bundle", nowhere, "--workers", "2"), 1, f"no manifest.json in {nowhere}"
        ),
    }


def test_what_a_server_cannot_start_with_is_one_sentence(bundle: Path, tmp_path: Path) -> None:
    with socket.socket() as other, ExitStack() as after:
        other.bind(("127.0.0.1", 0))
        other.listen()
        expected = refused(bundle, tmp_path, other.getsockname()[1])
        servers = {}
        for name, case in expected.items():
            servers[name] = start(tmp_path / f"{name}.log", *case.options)
            after.callback(stop, servers[name])
        for name, case in expected.items():
            code = servers[name].ended()
            said = servers[name].log.read_text()
            assert (name, code, said.count("\n")) == (name, case.code, 1), said
            assert said.startswith("fraudloop: "), name
            assert case.says in said, name


def basic(name: str, password: str) -> str:
    token = base64.b64encode(f"{name}:{password}".encode()).decode()
    return f"{JSON}Authorization: Basic {token}\r\n"


def test_with_users_each_may_do_what_his_role_says(bundle: Path, tmp_path: Path) -> None:
    file = tmp_path / "users.yaml"
    users.add(file, "scorer", "open sesame", ["scorer"])
    users.add(file, "analyst", "open barley", ["analyst"])
    environment = {"FRAUDLOOP_AUTH": "basic", "FRAUDLOOP_USERS": str(file)}
    with running(tmp_path / "log", bundle, environment=environment) as server:

        def status(head: str, method: str = "POST", path: str = "/predict") -> int:
            body = BODY if method == "POST" else b""
            return server.ask(method, path, body, head).status

        nobody = server.ask("POST", "/predict", BODY)
        assert nobody.status == 401
        assert nobody.headers["www-authenticate"].startswith("Basic ")
        assert nobody.json["detail"] == []
        assert status(basic("scorer", "open sesame")) == 200
        assert status(basic("scorer", "open barley")) == 401
        assert status(basic("analyst", "open barley")) == 403
        assert status(basic("analyst", "open barley"), "GET", "/hello") == 200
        assert [status(JSON, "GET", path) for path in ("/ping", "/health", "/ready")] == [200] * 3
        assert [status(JSON, "GET", path) for path in ("/model", "/metrics", "/docs")] == [401] * 3
        for _ in range(5):
            assert status(basic("analyst", "open rye bread")) == 401
        braked = server.ask("GET", "/hello", head=basic("analyst", "open rye wheat"))
        assert braked.status == 429
        assert int(braked.headers["retry-after"]) > 0
        assert status(basic("scorer", "open sesame")) == 200
        users.add(file, "newcomer", "open cornfield", ["scorer"])
        until(lambda: status(basic("newcomer", "open cornfield")) == 200, "a new user gets in")
    for secret in ("open sesame", "open barley", basic("scorer", "open sesame")[-20:-2]):
        assert secret not in (tmp_path / "log").read_text()
