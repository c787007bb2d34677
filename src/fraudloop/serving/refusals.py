"""What the server refuses, with its HTTP status; and which status the house's own errors have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fraudloop.errors import (
    BundleError,
    DataError,
    FraudloopError,
    LedgerAwayError,
    LedgerError,
    NoDecisionError,
    OpenJobError,
    RegistryAwayError,
    RegistryError,
)


class RequestError(FraudloopError):
    """A request that is not answered as it wished; the message is for who sent it."""

    def __init__(
        self,
        status: int,
        sentence: str,
        *,
        headers: Mapping[str, str] | None = None,
        detail: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__(sentence)
        self.status = status
        self.headers = dict(headers or {})
        self.detail = list(detail)


STATUSES: dict[type[FraudloopError], int] = {
    DataError: 422,
    BundleError: 503,
    RegistryAwayError: 503,
    RegistryError: 409,
    LedgerAwayError: 503,
    NoDecisionError: 404,
    LedgerError: 409,
    FraudloopError: 500,
}
AWAY_SECONDS = 5


def as_request_error(error: FraudloopError) -> RequestError:
    """Any of the house's errors as what the client is told."""
    if isinstance(error, RequestError):
        return error
    status = next(status for kind, status in STATUSES.items() if isinstance(error, kind))
    detail: Sequence[Mapping[str, Any]] = error.detail if isinstance(error, DataError) else ()
    if isinstance(error, OpenJobError):
        detail = [{"job": error.job}]
    headers = {"Retry-After": str(AWAY_SECONDS)} if isinstance(error, LedgerAwayError) else None
    return RequestError(status, str(error), headers=headers, detail=detail)
