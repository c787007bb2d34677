"""What the environment says of the HTTP server."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from fraudloop.errors import SettingsError
from fraudloop.settings.numbers import number


@dataclass(frozen=True)
class Serving:
    """What the environment says of the HTTP server; every limit is for one worker, but the rate.

    >>> Serving.read({}).max_rows
    100000
    >>> Serving.read({"FRAUDLOOP_CONCURRENCY": "many"})
    Traceback (most recent call last):
    fraudloop.errors.SettingsError: FRAUDLOOP_CONCURRENCY is 'many': give a number of at least 1
    """

    auth: Literal["basic", "none"] | None = None
    users: Path | None = None
    rate_limit: float = 0.0  # scoring requests a second, all workers together; 0: as many as come
    concurrency: int = 256
    max_body_bytes: int = 10_000_000
    max_rows: int = 100_000
    max_explained: int = 1_000
    body_seconds: float = 10.0
    threads: int = 1

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> Serving:
        """Read the settings; what is empty counts as not said."""
        said = {name: value.strip() for name, value in environment.items() if value.strip()}
        auth = said.get("FRAUDLOOP_AUTH")
        if auth not in (None, "basic", "none"):
            raise SettingsError(f"FRAUDLOOP_AUTH is {auth!r}: set it to basic or none")
        users = said.get("FRAUDLOOP_USERS")
        if auth == "basic" and users is None and "LEDGER_URL" not in said:
            raise SettingsError(
                "FRAUDLOOP_AUTH=basic needs to know who may: set FRAUDLOOP_USERS to a file of "
                "users (`fraudloop users add` makes one), or LEDGER_URL to a ledger with users"
            )
        return cls(
            auth=cast("Literal['basic', 'none'] | None", auth),
            users=None if users is None else Path(users),
            rate_limit=number(said, "FRAUDLOOP_RATE_LIMIT", cls.rate_limit, least=0),
            concurrency=int(number(said, "FRAUDLOOP_CONCURRENCY", cls.concurrency)),
            max_body_bytes=int(number(said, "FRAUDLOOP_MAX_BODY_BYTES", cls.max_body_bytes)),
            max_rows=int(number(said, "FRAUDLOOP_MAX_ROWS", cls.max_rows)),
            max_explained=int(number(said, "FRAUDLOOP_MAX_EXPLAINED", cls.max_explained)),
            body_seconds=number(said, "FRAUDLOOP_BODY_SECONDS", cls.body_seconds, least=0.1),
            threads=int(number(said, "FRAUDLOOP_THREADS", cls.threads)),
        )
