"""What `make bench-serving` measures with: a ruler that is bent measures nothing."""

from __future__ import annotations

import importlib
import sys
import time
from pathlib import Path
from types import ModuleType

import psutil
import pytest

from tests.fitted import ROOT
from tests.servers import Answer, Handler, Web, serving

# A server with a child that leaves its process group, as BentoML's worker does.
SERVER = """
import subprocess, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
sleeping = [sys.executable, "-c", "import time; time.sleep(600)"]
child = subprocess.Popen(sleeping, start_new_session=True)
HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    return importlib.import_module("serving_load")


@pytest.fixture
def servers(load: ModuleType) -> ModuleType:
    return importlib.import_module("serving_servers")


def test_a_server_that_stalls_cannot_hide_the_requests_that_were_due_meanwhile(
    load: ModuleType,
) -> None:
    web = Web(0, answers={"/predict": Answer(b"{}")}, on_request=[lambda: time.sleep(0.5)])
    with serving(Handler, web):
        request = load.post("/predict", b"{}")
        taken = load.latencies(web.port, request, rate=100, seconds=1, connections=1)
    assert len(taken) == len(web.requests) == 100
    # Only one request met the stall; those due in its first 0.3 s waited for at least the rest.
    assert sum(seconds > 0.2 for seconds in taken) >= 25
    assert max(taken) >= 0.5


def test_requests_come_at_the_rate_that_is_offered(load: ModuleType) -> None:
    web = Web(0, answers={"/predict": Answer(b"{}")})
    with serving(Handler, web):
        start = time.perf_counter()
        request = load.post("/predict", b'{"a": 1}')
        load.latencies(web.port, request, rate=100, seconds=0.5, connections=4)
        assert time.perf_counter() - start >= 0.49
    assert {each.body for each in web.requests} == {b'{"a": 1}'}


def test_a_refusal_is_no_fast_answer(load: ModuleType) -> None:
    web = Web(0, answers={"/predict": Answer(statuses=[200, 200, 503])})
    with serving(Handler, web), pytest.raises(load.LoadError, match="503"):
        load.latencies(web.port, load.post("/predict", b"{}"), rate=100, seconds=1, connections=2)


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("RESULT 100 1000000 1 0\n", "1 were refused"),
        ("RESULT 100 1000000 0 2\n", "2 broke"),
        ("RESULT 0 1000000 0 0\n", "of 0 requests"),
        ("unable to connect", "unable to connect"),
    ],
)
def test_what_wrk_counted_counts_only_if_all_was_answered_well(
    load: ModuleType, output: str, said: str
) -> None:
    assert load.wrk_figure("Running 2s test\nRESULT 200 500000 0 0\n") == 400
    with pytest.raises(load.LoadError, match=said):
        load.wrk_figure(output)


def test_without_wrk_requests_are_counted_all_the_same(
    load: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    web = Web(0, answers={"/predict": Answer(b"{}")})
    with serving(Handler, web):
        figure = load.throughput(web.port, "/predict", b"{}", seconds=0.5, connections=3)
    # What was on its way at the end was asked, and is not counted.
    assert 0.4 * len(web.requests) <= figure * 0.5 <= len(web.requests)


def test_a_percentile_is_one_of_the_values(load: ModuleType) -> None:
    hundred = [float(value) for value in range(100, 0, -1)]
    assert [load.percentile(hundred, share) for share in (0.5, 0.99, 0.999)] == [50, 99, 100]


def test_every_process_is_ended_when_measuring_fails(servers: ModuleType, tmp_path: Path) -> None:
    server = servers.Server(
        name="family",
        command=lambda port: [sys.executable, "-c", SERVER, str(port)],
        path="/predict",
        body=b"{}",
        ready="/ready",
    )
    family: list[psutil.Process] = []

    def fail() -> None:
        with servers.running(server, None, tmp_path) as running:
            parent = psutil.Process(running.pid)
            family.extend([parent, *parent.children(recursive=True)])
            assert running.seconds_to_ready > 0
            assert servers.resident_megabytes(running) > 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert len(family) == 2
    assert not any(process.is_running() for process in family)


def test_a_server_that_does_not_start_is_said_with_what_it_said(
    load: ModuleType, servers: ModuleType, tmp_path: Path
) -> None:
    server = servers.Server(
        name="broken",
        command=lambda port: ["sh", "-c", "echo no model here >&2; exit 3"],
        path="/predict",
        body=b"{}",
        ready="/ready",
    )
    with (
        pytest.raises(load.LoadError, match="no model here"),
        servers.running(server, None, tmp_path),
    ):
        pytest.fail("it never ran")


def test_a_target_is_missed_on_the_wrong_side_only(load: ModuleType) -> None:
    target = importlib.import_module("serving").Target
    at_least, below = target("a", 0.9, "≥", 0.9), target("b", 5.0, "<", 5.0)
    assert at_least.reached
    assert not below.reached
    assert not target("a", 0.89, "≥", 0.9).reached
    assert target("b", 4.99, "<", 5.0).reached
