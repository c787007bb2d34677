"""The server's log: one JSON object a line, never a transaction's values."""

from __future__ import annotations

import logging
import sys
import threading
import time
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from typing import IO, Any

import msgspec

# As much as a pipe takes in one piece: lines of several workers never run into each other.
AT_ONCE = 4096


class Log:
    """Writes events as lines of JSON.

    A request's line may wait for others, until `flush`: a write of its own would cost the request
    a tenth of its time. All other events are written at once, and with them what waited.
    """

    def __init__(self, stream: IO[bytes] | None = None) -> None:
        self._stream = sys.stderr.buffer if stream is None else stream
        self._encode = msgspec.json.Encoder().encode
        self._waiting = bytearray()
        self._lock = threading.Lock()
        self._second = 0, ""

    def __call__(self, event: str, *, level: str = "info", **fields: Any) -> None:
        """Write one event."""
        self._add(event, level, fields)
        self.flush()

    def later(self, event: str, **fields: Any) -> None:
        """Write one event, at the next `flush` or with the next other event."""
        self._add(event, "info", fields)

    def flush(self) -> None:
        """Write what waits; a log that cannot be written stops nothing."""
        with self._lock:
            self._write()

    def _add(self, event: str, level: str, fields: dict[str, Any]) -> None:
        line = self._encode({"at": self._now(), "level": level, "event": event, **fields})
        with self._lock:
            if len(self._waiting) + len(line) >= AT_ONCE:
                self._write()
            self._waiting += line
            self._waiting += b"\n"

    def _now(self) -> str:
        """The time as ISO 8601 has it; most of it stays the same for a second."""
        now = time.time()
        second = int(now)
        if second != self._second[0]:
            self._second = second, datetime.fromtimestamp(second, UTC).isoformat()[:-6]
        return f"{self._second[1]}.{int((now - second) * 1000):03d}+00:00"

    def _write(self) -> None:
        if self._waiting:
            with suppress(OSError, ValueError):
                self._stream.write(self._waiting)
                self._stream.flush()
            self._waiting = bytearray()


class OthersToo(logging.Handler):
    """Brings what libraries log into the same log."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.INFO)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write a library's record."""
        fields = {"logger": record.name, "message": record.getMessage()}
        if record.exc_info and record.exc_info[1] is not None:
            # Where it happened and what kind it was; its message may hold what a client sent.
            kind = type(record.exc_info[1]).__name__
            frames = traceback.extract_tb(record.exc_info[2])
            fields["error"] = kind
            fields["where"] = "; ".join(f"{f.filename}:{f.lineno} {f.name}" for f in frames[-8:])
        self._log("library", level=record.levelname.lower(), **fields)


def catch_others(log: Log) -> None:
    """Send what uvicorn and asyncio log through `log`, from warnings of any library on."""
    handler = OthersToo(log)
    for name in ("uvicorn", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
    logging.getLogger("uvicorn").setLevel(logging.INFO)
