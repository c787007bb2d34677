"""The server's log: one JSON object a line, never a transaction's values."""

from __future__ import annotations

import logging
import sys
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from typing import IO, Any

import msgspec


class Log:
    """Writes events as lines of JSON."""

    def __init__(self, stream: IO[bytes] | None = None) -> None:
        self._stream = sys.stderr.buffer if stream is None else stream
        self._encode = msgspec.json.Encoder().encode

    def __call__(self, event: str, *, level: str = "info", **fields: Any) -> None:
        """Write one event; a log that cannot be written stops nothing."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = self._encode({"at": at, "level": level, "event": event, **fields})
        with suppress(OSError, ValueError):
            self._stream.write(line + b"\n")
            self._stream.flush()


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
