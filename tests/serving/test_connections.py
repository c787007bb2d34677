"""The server against single connections: odd, slow, too many, too large, or no HTTP at all."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving.running import (
    JSON,
    Answer,
    Client,
    HungUpError,
    Running,
    as_body,
    request,
    running,
    transactions,
    until,
)

BODY = as_body(transactions(1)[0])
POST = request("POST", "/predict", BODY)
CHUNKED = f"{JSON}Transfer-Encoding: chunked\r\n"
LIMIT = 10_000_000
IMPATIENT = "from fraudloop.serving import connections\nconnections.STALLED = 1.0"


@pytest.fixture(scope="module")
def bundle(ran: Path) -> Path:
    return ran / "output"


@pytest.fixture(scope="module")
def server(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("server") / "log", bundle) as server:
        yield server


@pytest.fixture(scope="module")
def impatient(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that waits for nobody longer than a second."""
    environment = {"FRAUDLOOP_BODY_SECONDS": "1"}
    log = tmp_path_factory.mktemp("impatient") / "log"
    with running(log, bundle, before=IMPATIENT, environment=environment) as server:
        yield server


@pytest.fixture
def client(server: Running) -> Iterator[Client]:
    with Client(server.port) as client:
        yield client
    assert server.ask("POST", "/predict", BODY).status == 200


def assert_refusal(answer: Answer, status: int, says: str) -> None:
    assert (answer.status, answer.headers["content-type"]) == (status, "application/json")
    assert says in answer.json["error"]
    assert set(answer.json) == {"error", "detail"}


def chunks(body: bytes, size: int) -> bytes:
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in [*parts, b""])


def without_head(method: str, path: str, head: str) -> bytes:
    """A request whose body is not told by its length."""
    return request(method, path, b"", head).replace(b"Content-Length: 0\r\n", b"")


@pytest.mark.parametrize(
    "said",
    [
        b"hello\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),  # TLS
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /caf\xe9 HTTP/1.1\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\n\r\n",
        b"CONNECT here:443 HTTP/1.1\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_no_http_is_refused_as_everything_else(client: Client, said: bytes) -> None:
    client.send(said)
    assert_refusal(client.answer(), 400, "this is not HTTP")
    assert client.hung_up()


def test_requests_in_a_row_are_answered_in_their_order(client: Client) -> None:
    bodies = [as_body([{**each, "id": place}]) for place, each in enumerate(transactions(50))]
    client.send(b"".join(request("POST", "/predict", body) for body in bodies))
    assert [client.answer().json["ids"] for _ in bodies] == [[place] for place in range(50)]


def test_an_old_client_is_answered_and_let_go(client: Client) -> None:
    client.send(POST.replace(b"HTTP/1.1", b"HTTP/1.0"))
    answer = client.answer()
    assert (answer.status, answer.closes) == (200, True)
    assert client.hung_up()


def test_what_came_before_the_nonsense_is_answered(client: Client) -> None:
    client.send(POST + b"nonsense\r\n\r\n")
    assert client.answer().json["predictions"] == [0]
    assert client.hung_up()


@pytest.mark.parametrize("rows", [1, 2000])
def test_one_who_says_no_more_is_still_answered(client: Client, rows: int) -> None:
    many = as_body({"features": [list(transactions(1)[0].values())] * rows})
    client.send(request("POST", "/predict", many))
    client.socket.shutdown(socket.SHUT_WR)
    assert len(client.answer().json["predictions"]) == rows
    assert client.hung_up()


def test_a_client_that_would_rather_speak_http_2_is_answered_in_http_1(client: Client) -> None:
    upgrade = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAQ\r\n"
    for head in (JSON + upgrade, JSON, JSON + upgrade):
        assert client.ask("POST", "/predict", BODY, head).status == 200


@pytest.mark.parametrize("size", [1, 100, len(BODY)])
def test_a_body_may_come_in_chunks(client: Client, size: int) -> None:
    client.send(without_head("POST", "/predict", CHUNKED) + chunks(BODY, size))
    assert client.answer().json["predictions"] == [0]
    assert client.ask("GET", "/ping").status == 200


def test_a_client_that_asks_first_is_told_to_go_on(client: Client) -> None:
    head, _, body = request("POST", "/predict", BODY, f"{JSON}Expect: 100-continue\r\n").partition(
        b"\r\n\r\n"
    )
    client.send(head + b"\r\n\r\n")
    assert client.answer().status == 100
    client.send(body)
    assert client.answer().status == 200
    too_large = b"Content-Length: %d" % (LIMIT + 1)
    client.send(head.replace(b"Content-Length: %d" % len(BODY), too_large) + b"\r\n\r\n")
    assert_refusal(client.answer(), 413, "10,000,000 bytes")


@pytest.mark.parametrize("in_chunks", [False, True])
def test_a_body_of_11_mb_is_refused(client: Client, in_chunks: bool) -> None:
    body = b"[" + b" " * 11_000_000 + b"]"
    if in_chunks:
        client.send(without_head("POST", "/predict", CHUNKED) + chunks(body, 100_000))
    else:
        client.send(request("POST", "/predict", body))
    assert_refusal(client.answer(), 413, "10,000,000 bytes")
    assert client.ask("POST", "/predict", BODY).status == 200


@pytest.mark.parametrize(
    "begun",
    [
        b"GET /",
        b"GET /ping HTTP/1.1\r\nOne: ",
        b"GET /ping HTTP/1.1\r\n",
        without_head("POST", "/predict", CHUNKED) + chunks(BODY, 100)[:-2],
        without_head("POST", "/ping", CHUNKED) + chunks(b"{}", 1)[:-2],
    ],
    ids=["url", "header", "headers", "trailers", "trailers after the answer"],
)
def test_a_head_without_an_end_is_not_kept(server: Running, begun: bytes) -> None:
    block = (b"x" * 50_000 if begun[-2:] != b"\r\n" else b"x: y\r\n" * 9_000) * 10
    before = server.measured("process_resident_memory_bytes")
    with Client(server.port) as endless:
        endless.send(begun)
        with pytest.raises(ConnectionError):
            endless.send(block * 100)
    assert server.measured("process_resident_memory_bytes") - before < 20_000_000


def test_a_refusal_is_no_larger_than_what_it_refuses(client: Client) -> None:
    answer = client.ask("POST", "/predict", as_body({"a" * 1_000_000: {}}))
    assert_refusal(answer, 422, "has no")
    assert len(answer.content) < 100_000


@pytest.mark.parametrize("row", [b"{}", b"1", b"[]"])
def test_too_many_transactions_are_refused_before_each_is_looked_at(
    client: Client, row: bytes
) -> None:
    began = time.monotonic()
    answer = client.ask("POST", "/predict", b"[" + b",".join([row] * 1_000_000) + b"]")
    assert_refusal(answer, 413, "1,000,000 transactions")
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("path", ["/invocations", "/predict_fraud", "/ping", "/model", "/docs"])
@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "PROPFIND"])
def test_other_methods_are_refused(client: Client, method: str, path: str) -> None:
    answer = client.ask(method, path)
    assert (answer.status, answer.headers["content-type"]) == (405, "application/json")
    if method != "HEAD":
        assert_refusal(answer, 405, f"{path} does not take {method}")


@pytest.mark.parametrize("host", ["[", "a b", "x/y", "a:b:c", "[::1", "\xe9", "", "h" * 9000])
def test_a_strange_host_is_no_matter(client: Client, host: str) -> None:
    client.send(b"GET /nothing%0Ahere HTTP/1.1\r\nHost: " + host.encode("latin-1") + b"\r\n\r\n")
    answer = client.answer()
    assert_refusal(answer, 404, "there is no /nothing")
    assert "\n" not in answer.json["error"]


def test_beyond_the_rate_the_server_says_when_to_come_again(bundle: Path, tmp_path: Path) -> None:
    rate = {"FRAUDLOOP_RATE_LIMIT": "5"}
    with (
        running(tmp_path / "log", bundle, environment=rate) as server,
        Client(server.port) as client,
    ):
        answers = [client.ask("POST", "/predict", BODY) for _ in range(40)]
        accepted = [answer for answer in answers if answer.status == 200]
        refused = [answer for answer in answers if answer.status != 200]
        assert len(accepted) >= 5
        assert all(answer.json["predictions"] == [0] for answer in accepted)
        for answer in refused:
            assert_refusal(answer, 503, "5 requests a second")
        assert [client.ask("GET", "/ping").status for _ in range(20)] == [200] * 20
        time.sleep(int(refused[-1].headers["retry-after"]))
        assert client.ask("POST", "/predict", BODY).status == 200


def test_beyond_the_number_at_once_others_wait_and_those_at_work_are_answered(
    bundle: Path, tmp_path: Path
) -> None:
    at_once = {"FRAUDLOOP_CONCURRENCY": "2"}
    with (
        running(tmp_path / "log", bundle, environment=at_once) as server,
        Client(server.port) as first,
        Client(server.port) as second,
        Client(server.port) as third,
    ):
        for client in (first, second):
            client.send(POST[:-9])
        time.sleep(0.3)
        answer = third.ask("POST", "/predict", BODY)
        assert_refusal(answer, 503, "at work on 2 requests")
        assert int(answer.headers["retry-after"]) > 0
        assert third.ask("GET", "/ready").status == 200
        for client in (first, second):
            client.send(POST[-9:])
            assert client.answer().status == 200
        assert third.ask("POST", "/predict", BODY).status == 200
        with Client(server.port) as fourth, Client(server.port) as fifth:
            fourth.send(POST[:-9])
            fifth.send(POST[:-9])
            time.sleep(0.3)
        until(lambda: third.ask("POST", "/predict", BODY).status == 200, "who left is forgotten")


@pytest.mark.parametrize(
    "started", [b"", b"G", POST[:60], b"\r\n", request("GET", "/ping")[:-2]], ids=repr
)
def test_one_who_does_not_end_what_he_asks_is_cut_off(impatient: Running, started: bytes) -> None:
    with Client(impatient.port, timeout=10) as slow:
        slow.send(started)
        assert impatient.ask("POST", "/predict", BODY).status == 200
        assert slow.hung_up()


def test_one_who_says_nothing_between_two_requests_is_let_go(impatient: Running) -> None:
    with Client(impatient.port, timeout=10) as quiet:
        assert quiet.ask("GET", "/ping").status == 200
        quiet.send(b"\r\n")
        assert quiet.hung_up()


@pytest.mark.parametrize("path", ["/ping", "/predict"])
@pytest.mark.parametrize("pause", [0.1, 5.0])
def test_one_whose_body_never_ends_is_cut_off(impatient: Running, path: str, pause: float) -> None:
    with Client(impatient.port, timeout=20) as slow:
        slow.send(request("POST", path, b"{" + b" " * 1000)[:-900])
        assert impatient.ask("POST", "/predict", BODY).status == 200
        status = slow.answer().status
        assert status == (408 if path == "/predict" else 405)
        sent, end = 0, time.monotonic() + 8
        slow.socket.settimeout(pause)
        while time.monotonic() < end:
            try:
                if slow.hung_up():
                    break
            except TimeoutError:
                if sent < 899:
                    slow.send(b" ")
                    sent += 1
        else:
            pytest.fail("it is still connected")


def test_one_who_does_not_read_is_dropped_and_one_who_reads_slowly_is_served(
    impatient: Running,
) -> None:
    # Names come back: an answer of 8.9 MB, more than the kernel keeps for who does not read.
    row = transactions(1)[0]
    named = as_body([{**row, "id": f"{place}{'x' * 5_900}"} for place in range(1_500)])
    with (
        Client(impatient.port, buffer=4096) as deaf,
        Client(impatient.port, buffer=65536) as slow,
    ):
        for client in (deaf, slow):
            client.send(request("POST", "/predict", named))
        assert impatient.ask("POST", "/predict", BODY).status == 200
        parts: list[bytes] = []
        while not parts or sum(map(len, parts)) < 8_800_000:
            time.sleep(0.03)
            part = slow.socket.recv(100_000)
            assert part, f"hung up after {sum(map(len, parts)):,} bytes"
            parts.append(part)
        with pytest.raises(HungUpError):
            deaf.answer()
