"""The log: one JSON object a line, whatever happens to it."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from datetime import datetime

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
