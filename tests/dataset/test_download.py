"""A download ends as the whole file or as one sentence, whatever the server does."""

from __future__ import annotations

import gzip
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fraudloop.dataset import download
from fraudloop.dataset.download import Body, Patience, SpoiltError, fetch, from_url, shown
from fraudloop.errors import SourceError
from fraudloop.progress import Silent
from tests.servers import S3, Answer, Web

pytest_plugins = ("tests.servers",)

CONTENT = b"price,fraud\n" + b"".join(b"%d,0\n" % price for price in range(2000))


class Clock:
    """Sleeps at once, and remembers how long it was asked to."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


class Seen(Silent):
    """Remembers what the bar would show."""

    def __init__(self) -> None:
        self.totals: list[int | None] = []
        self.done = 0

    def start(self, total: int | None, what: str) -> None:
        self.totals.append(total)
        self.done = 0

    def advance(self, count: int) -> None:
        self.done += count


def quick(clock: Clock | None = None, *, tries: int = 3, read: float = 5.0) -> Patience:
    return Patience(tries=tries, connect=2.0, read=read, sleep=(clock or Clock()).sleep)


def download_to(
    path: Path, url: str, patience: Patience | None = None, endpoint: str | None = None
) -> bytes:
    patience = patience or quick()
    opener = from_url(url, endpoint, patience)
    fetch(opener, path, shown(url), patience, Silent(), lambda _: None)
    return path.read_bytes()


def refusal(
    path: Path, url: str, patience: Patience | None = None, endpoint: str | None = None
) -> str:
    with pytest.raises(SourceError) as caught:
        download_to(path, url, patience, endpoint)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_download_is_the_servers_bytes(web: Web, tmp_path: Path) -> None:
    web.answers["/a.csv"] = Answer(CONTENT)
    seen = Seen()
    fetch(from_url(web.url("/a.csv"), None, quick()), tmp_path / "a", "a", quick(), seen, print)
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert (seen.totals, seen.done) == ([len(CONTENT)], len(CONTENT))


def test_a_dropped_connection_is_resumed_where_it_broke(web: Web, tmp_path: Path) -> None:
    web.answers["/a.csv"] = Answer(CONTENT, cut_after=[5000, 1000])
    assert download_to(tmp_path / "a", web.url("/a.csv")) == CONTENT
    asked = [request.headers.get("Range") for request in web.requests]
    assert asked == [None, "bytes=5000-", "bytes=6000-"]
    assert web.requests[1].headers["If-Range"] == '"one"'


def test_a_server_without_ranges_is_asked_for_all_of_it_again(web: Web, tmp_path: Path) -> None:
    web.answers["/a.csv"] = Answer(CONTENT, ranges=False, cut_after=[5000])
    assert download_to(tmp_path / "a", web.url("/a.csv")) == CONTENT


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_without_a_strong_etag_nothing_is_appended(
    web: Web, tmp_path: Path, etag: str | None
) -> None:
    web.answers["/a.csv"] = Answer(CONTENT, etag=etag, cut_after=[5000])
    assert download_to(tmp_path / "a", web.url("/a.csv")) == CONTENT
    assert "Range" not in web.requests[1].headers


def test_an_object_replaced_in_between_is_not_mixed_with_the_old(web: Web, tmp_path: Path) -> None:
    answer = web.answers["/a.csv"] = Answer(CONTENT, cut_after=[5000])
    new = b"new" * 4000

    def replace() -> None:
        answer.etag, answer.content = '"two"', new

    web.on_request = [lambda: None, replace]
    assert download_to(tmp_path / "a", web.url("/a.csv")) == new


def test_a_continuation_of_another_object_is_not_appended(web: Web, tmp_path: Path) -> None:
    answer = web.answers["/a.csv"] = Answer(CONTENT, heeds_if_range=False, cut_after=[5000])
    new = bytes(reversed(CONTENT))

    def replace() -> None:
        answer.etag, answer.content = '"two"', new

    web.on_request = [lambda: None, replace]
    assert download_to(tmp_path / "a", web.url("/a.csv")) == new
    assert [request.headers.get("Range") for request in web.requests] == [None, "bytes=5000-", None]


def test_a_file_without_a_length_is_whole_when_the_connection_closes(
    web: Web, tmp_path: Path
) -> None:
    web.answers["/a.csv"] = Answer(CONTENT, length=False)
    assert download_to(tmp_path / "a", web.url("/a.csv")) == CONTENT


def test_a_connection_that_always_breaks_is_an_error_after_the_tries(
    web: Web, tmp_path: Path
) -> None:
    web.answers["/a.csv"] = Answer(CONTENT, ranges=False, cut_after=[100] * 9)
    clock = Clock()
    message = refusal(tmp_path / "a", web.url("/a.csv"), quick(clock))
    assert "3 tries" in message
    assert len(web.requests) == 3
    assert clock.slept == [1.0, 2.0]  # twice as long each time


def test_a_body_that_ends_before_its_length_is_not_whole(tmp_path: Path) -> None:
    @contextmanager
    def opener(offset: int, version: str | None) -> Iterator[Body]:
        whole = version is not None
        yield Body(iter([CONTENT[offset:] if whole else CONTENT[:10]]), offset, len(CONTENT), "one")

    fetch(opener, tmp_path / "a", "a", quick(), Silent(), lambda _: None)
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_a_try_that_made_headway_is_not_counted(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "HEADWAY", 1000)
    web.answers["/a.csv"] = Answer(CONTENT, cut_after=[1000] * 6)
    assert download_to(tmp_path / "a", web.url("/a.csv"), quick(tries=2)) == CONTENT


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_server_in_trouble_is_asked_again(web: Web, tmp_path: Path, status: int) -> None:
    web.answers["/a.csv"] = Answer(CONTENT, statuses=[status], headers={"Retry-After": "7"})
    clock = Clock()
    assert download_to(tmp_path / "a", web.url("/a.csv"), quick(clock)) == CONTENT
    assert clock.slept == [7.0]  # as long as it asked


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_refusal_is_final_and_tells_no_secret(web: Web, tmp_path: Path, status: int) -> None:
    web.answers["/a.csv"] = Answer(status=status)
    url = web.url("/a.csv?signature=hidden#hidden", login="me:hidden@")
    message = refusal(tmp_path / "a", url)
    assert str(status) in message
    assert web.url("/a.csv") in message
    assert "hidden" not in message
    assert len(web.requests) == 1


def test_an_error_after_every_try_tells_no_secret(web: Web, tmp_path: Path) -> None:
    web.answers["/a.csv"] = Answer(status=500)
    assert "hidden" not in refusal(tmp_path / "a", web.url("/a.csv?x=hidden", login="me:hidden@"))


def test_the_login_in_an_address_is_used(web: Web, tmp_path: Path) -> None:
    web.answers["/a.csv"] = Answer(CONTENT)
    assert download_to(tmp_path / "a", web.url("/a.csv", login="u:k@")) == CONTENT
    assert web.requests[0].headers["Authorization"] == "Basic dTpr"


def test_a_silent_server_is_given_up(web: Web, tmp_path: Path) -> None:
    web.answers["/a.csv"] = Answer(CONTENT, silent_for=30)
    message = refusal(tmp_path / "a", web.url("/a.csv"), quick(tries=2, read=0.2))
    assert "nothing came in time" in message


def test_a_trickle_is_given_up_too(web: Web, tmp_path: Path) -> None:
    web.answers["/a.csv"] = Answer(CONTENT, trickle=0.05)
    message = refusal(tmp_path / "a", web.url("/a.csv"), quick(tries=2, read=0.4))
    assert "it sent" in message


def test_an_absent_server_is_one_sentence(tmp_path: Path, web: Web) -> None:
    url = f"http://127.0.0.1:{_closed_port()}/a.csv"
    assert "the connection failed" in refusal(tmp_path / "a", url)


def _closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.mark.parametrize("url", ["http://me:pa/ss@host/x", "http://[::1/x", "https://"])
def test_what_is_no_address_is_said_so(tmp_path: Path, url: str) -> None:
    message = refusal(tmp_path / "a", url)
    assert "correct" in message
    assert "pa/ss" not in message


def test_what_was_found_unusable_comes_again_from_the_start(web: Web, tmp_path: Path) -> None:
    web.answers["/a.csv"] = Answer(CONTENT)
    looked: list[bytes] = []

    def complete(path: Path) -> None:
        looked.append(path.read_bytes())
        if len(looked) == 1:
            raise SpoiltError("wrong")

    fetch(
        from_url(web.url("/a.csv"), None, quick()), tmp_path / "a", "a", quick(), Silent(), complete
    )
    assert looked == [CONTENT, CONTENT]
    assert "Range" not in web.requests[1].headers


def test_a_compressed_answer_is_the_file_that_was_compressed(web: Web, tmp_path: Path) -> None:
    web.answers["/a.csv"] = Answer(gzip.compress(CONTENT), headers={"Content-Encoding": "gzip"})
    assert download_to(tmp_path / "a", web.url("/a.csv")) == CONTENT
    assert web.requests[0].headers["Accept-Encoding"] == "identity"


def test_s3_is_read_in_blocks_with_the_environments_credentials(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "S3_BLOCK", 4000)
    url = s3.put("cups", "some folder/a.csv", CONTENT)
    assert download_to(tmp_path / "a", url, endpoint=s3.endpoint) == CONTENT


@pytest.mark.parametrize("key", ["b.csv", "folder"])
def test_s3_without_such_an_object_is_one_sentence(s3: S3, tmp_path: Path, key: str) -> None:
    s3.put("cups", "folder/a.csv", CONTENT)
    message = refusal(tmp_path / "a", f"s3://cups/{key}", endpoint=s3.endpoint)
    assert f"there is no s3://cups/{key} (404)" in message


@pytest.mark.parametrize("url", ["s3://cups", "s3://cups/", "s3://cups/folder/"])
def test_s3_wants_a_files_address(tmp_path: Path, url: str) -> None:
    assert "names no file" in refusal(tmp_path / "a", url)


@pytest.fixture
def bucket(web: Web, monkeypatch: pytest.MonkeyPatch) -> Web:
    """A web server that answers as S3 does for one object, so that it can be made to fail."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    monkeypatch.setattr(download, "S3_BLOCK", 4000)
    web.answers["/cups/a.csv"] = Answer(CONTENT)
    return web


def from_bucket(bucket: Web, path: Path) -> bytes:
    return download_to(path, "s3://cups/a.csv", endpoint=bucket.url(""))


def test_s3_is_asked_with_the_credentials_if_there_are_some(bucket: Web, tmp_path: Path) -> None:
    assert from_bucket(bucket, tmp_path / "a") == CONTENT
    assert all("key/" in request.headers["Authorization"] for request in bucket.requests)


def test_s3_is_anonymous_only_without_credentials(
    bucket: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert from_bucket(bucket, tmp_path / "a") == CONTENT
    assert not any("Authorization" in request.headers for request in bucket.requests)


def test_half_of_the_s3_credentials_is_said_so(
    bucket: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    message = refusal(tmp_path / "a", "s3://cups/a.csv", endpoint=bucket.url(""))
    assert "incomplete" in message


def test_refused_s3_credentials_do_not_turn_into_an_anonymous_read(
    bucket: Web, tmp_path: Path
) -> None:
    bucket.answers["/cups/a.csv"].status = 403
    message = refusal(tmp_path / "a", "s3://cups/a.csv", endpoint=bucket.url(""))
    assert "s3://cups/a.csv may not be read" in message
    assert len(bucket.requests) == 1


def test_a_dropped_s3_connection_is_resumed_at_its_block(bucket: Web, tmp_path: Path) -> None:
    bucket.answers["/cups/a.csv"].cut_after = [9999, 100]  # the second block breaks
    assert from_bucket(bucket, tmp_path / "a") == CONTENT
    asked = [request.headers["Range"] for request in bucket.asked("GET", "/cups/a.csv")]
    assert [part.split("-")[0].removeprefix("bytes=") for part in asked] == [
        *("0", "4000", "4000", "8000", "12000")
    ]


def test_an_s3_object_replaced_in_between_is_not_mixed_with_the_old(
    bucket: Web, tmp_path: Path
) -> None:
    answer, new = bucket.answers["/cups/a.csv"], b"new" * 3000

    def replace() -> None:
        answer.etag, answer.content = '"two"', new

    bucket.on_request = [lambda: None, lambda: None, replace]  # HEAD, a block, then
    assert from_bucket(bucket, tmp_path / "a") == new


def test_an_s3_object_replaced_after_a_drop_begins_anew(bucket: Web, tmp_path: Path) -> None:
    answer, new = bucket.answers["/cups/a.csv"], b"new" * 3000
    answer.cut_after = [9999, 100]

    def replace() -> None:
        answer.etag, answer.content = '"two"', new

    bucket.on_request = [lambda: None] * 3 + [replace]  # before the HEAD of the second try
    assert from_bucket(bucket, tmp_path / "a") == new
    assert [request.method for request in bucket.requests].count("HEAD") == 2


def test_a_broken_s3_server_is_one_sentence(bucket: Web, tmp_path: Path) -> None:
    bucket.answers["/cups/a.csv"].statuses = [500] * 9
    message = refusal(tmp_path / "a", "s3://cups/a.csv", endpoint=bucket.url(""))
    assert "3 tries (the server answered 500)" in message


def test_a_silent_s3_server_is_given_up(bucket: Web, tmp_path: Path) -> None:
    bucket.answers["/cups/a.csv"].silent_for = 30
    patience, began = quick(tries=2, read=0.2), time.monotonic()
    message = refusal(tmp_path / "a", "s3://cups/a.csv", patience, endpoint=bucket.url(""))
    assert "nothing came in time" in message
    assert time.monotonic() - began < 10  # the clients' own limit is 15 s a try


def test_an_absent_s3_server_is_one_sentence(bucket: Web, tmp_path: Path) -> None:
    endpoint = f"http://127.0.0.1:{_closed_port()}"
    message = refusal(tmp_path / "a", "s3://cups/a.csv", endpoint=endpoint)
    assert "the connection failed" in message
