"""What a database can answer instead → one sentence, in one place."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from fraudloop.errors import LedgerAwayError, LedgerError

LOGIN = "check the user and the password in LEDGER_URL"
SHOWN = 200

# How a code of PostgreSQL begins, what it means, and whether it passes; the first that fits.
_BY_CODE: tuple[tuple[str, str, bool], ...] = (
    ("28", f"refuses the login: {LOGIN}", False),
    ("3D000", "does not exist: create that database, or correct LEDGER_URL", False),
    ("42501", "does not let this user do that: grant it the right", False),
    ("42P01", "lacks a table: run `fraudloop ledger migrate`", False),
    ("42703", "lacks a column: run `fraudloop ledger migrate`", False),
    ("57014", "did not answer in time: try again, or ask for less", True),
    ("55P03", "is locked by another transaction: try again", True),
    ("40", "had two transactions in each other's way: try again", True),
    ("53", "has no room for it (disk, memory or connections): make room", True),
    ("57", "is shutting down or starting: try again", True),
    ("08", "was lost: is it running?", True),
    ("25006", "can only be read there: name the primary server in LEDGER_URL", True),
)
# Of a refused connection psycopg knows no code, only the server's words.
_BY_WORDS: tuple[tuple[str, str, bool], ...] = (
    ("authentication failed", f"refuses the login: {LOGIN}", False),
    ("no password supplied", f"refuses the login: {LOGIN}", False),
    ("pg_hba.conf", "lets nobody in from here: allow this host in its pg_hba.conf", False),
    ("does not exist", "has no such user or database: create it, or correct LEDGER_URL", False),
    ("not a database", "is no SQLite file: name another in LEDGER_URL", False),
    ("malformed", "is damaged: restore it from a copy", False),
    ("no such table", "lacks a table: run `fraudloop ledger migrate`", False),
    ("no such column", "lacks a column: run `fraudloop ledger migrate`", False),
    ("unable to open", "cannot be opened: check its folder and who may write there", False),
    ("readonly", "may not be written to: check who may", False),
    ("interrupted", "did not answer in time: try again, or ask for less", True),
    ("locked", "is locked by another process: try again", True),
    ("is full", "has no room left on its disk: make room", True),
    ("starting up", "is starting: try again", True),
    ("shutting down", "is shutting down: try again", True),
)


@contextmanager
def told(where: str) -> Iterator[None]:
    """Turn what the database raises into a LedgerError that names the ledger at `where`."""
    try:
        yield
    except PoolTimeout as error:
        raise LedgerAwayError(f"the ledger at {where} has no connection free: try again") from error
    except Exception as error:
        if not _is_the_drivers(error):
            raise
        raise _as_ledger_error(error, where) from error


def is_known_already(error: Exception) -> bool:
    """Whether something was refused for being there already."""
    found = _cause(error)
    if isinstance(found, sqlite3.Error):
        return "UNIQUE" in str(found)
    return _code_of(found) == "23505"


def _is_the_drivers(error: Exception) -> bool:
    """Whether it came from the database, by SQLAlchemy or, in a COPY, from psycopg itself."""
    return isinstance(error, DBAPIError | sqlite3.Error) or hasattr(error, "sqlstate")


def _cause(error: Exception) -> BaseException:
    return (error.orig or error) if isinstance(error, DBAPIError) else error


def _code_of(error: BaseException) -> str:
    """The SQLSTATE; empty where there is none."""
    return str(getattr(error, "sqlstate", None) or "")


def _as_ledger_error(error: Exception, where: str) -> LedgerError:
    found = _cause(error)
    code, words = _code_of(found), " ".join(str(found).split())
    lost = isinstance(error, DBAPIError) and error.connection_invalidated
    for start, what, passes in _BY_CODE:
        if code.startswith(start):
            return _error(f"the ledger at {where} {what}", passes)
    for part, what, passes in _BY_WORDS:
        if not code and part in words:
            return _error(f"the ledger at {where} {what}", passes)
    if lost or (not code and not isinstance(found, sqlite3.Error)):
        return _error(f"the ledger at {where} cannot be reached: is it running?", True)
    return _error(f"the ledger at {where} refuses this ({words[:SHOWN]}): report it", False)


def _error(sentence: str, passes: bool) -> LedgerError:
    return LedgerAwayError(sentence) if passes else LedgerError(sentence)
