"""The log: one JSON object a line, whatever happens to it."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from fraudloop.serving.log import Log, catch_others


class Full(io.BytesIO):
    """A disk with no room left."""

    def write(self, content: object) -> int:
        raise OSError(28, "No space left on device")


@pytest.fixture
def untouched() -> Iterator[None]:
    """Leaves the loggers of the libraries as they were."""
    names = ("uvicorn", "asyncio")
    before = {
        name: (logger.handlers, logger.propagate, logger.level)
        for name in names
        if (logger := logging.getLogger(name))
    }
    yield
    for name, (handlers, propagate, level) in before.items():
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


def test_an_event_is_one_line_with_its_time() -> None:
    written = io.BytesIO()
    Log(written)("bundle taken", model_version="a\nb", rows=3)
    (line,) = written.getvalue().splitlines()
    event = json.loads(line)
    assert datetime.fromisoformat(event.pop("at")).tzinfo is not None
    assert event == {"level": "info", "event": "bundle taken", "model_version": "a\nb", "rows": 3}


def test_lines_that_may_wait_are_written_together_and_in_order() -> None:
    written = io.BytesIO()
    log = Log(written)
    log.later("request", rows=1)
    assert written.getvalue() == b""
    log("bundle taken")
    log.later("request", rows=2)
    log.flush()
    log.flush()
    events = [json.loads(line) for line in written.getvalue().splitlines()]
    assert [(each["event"], each.get("rows")) for each in events] == [
        ("request", 1),
        ("bundle taken", None),
        ("request", 2),
    ]


def test_no_piece_is_more_than_a_pipe_takes_at_once_and_none_ends_within_a_line() -> None:
    pieces: list[bytes] = []

    class Pipe(io.BytesIO):
        def write(self, content: Any) -> int:
            pieces.append(bytes(content))
            return len(content)

    log = Log(Pipe())
    for place in range(200):
        log.later("request", request_id="x" * (place % 90))
    log.flush()
    assert len(pieces) > 1
    assert all(len(piece) <= 4096 and piece.endswith(b"\n") for piece in pieces)
    assert len(b"".join(pieces).splitlines()) == 200


def test_a_log_that_cannot_be_written_stops_nothing() -> None:
    log = Log(Full())
    log("request")
    closed = io.BytesIO()
    closed.close()
    Log(closed)("request")


def test_what_libraries_log_comes_into_the_same_log(untouched: None) -> None:
    written = io.BytesIO()
    catch_others(Log(written))
    logging.getLogger("uvicorn.error").info("Started %s", "it")
    logging.getLogger("uvicorn.error").debug("no matter")
    logging.getLogger("asyncio").warning("slow")
    events = [json.loads(line) for line in written.getvalue().splitlines()]
    assert [(event["logger"], event["message"]) for event in events] == [
        ("uvicorn.error", "Started it"),
        ("asyncio", "slow"),
    ]
    assert events[1]["level"] == "warning"
