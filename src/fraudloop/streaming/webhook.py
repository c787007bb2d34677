"""Alerts to an HTTP endpoint: one signed POST each, as docs/alerts.md describes it."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec

from fraudloop.errors import AlertError
from fraudloop.settings import Webhook
from fraudloop.streaming.notice import Notice

PATIENCE = 20.0  # seconds
TIMESTAMP = "X-Fraudloop-Timestamp"
SIGNATURE = "X-Fraudloop-Signature"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Who is named gets it, and nobody that they name."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Hook:
    """A channel: whatever goes wrong is one sentence without the address's path in it."""

    name = "webhook"

    def __init__(
        self, settings: Webhook, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._settings = settings
        self._now = now
        parts = urlsplit(settings.url)
        self._where = f"the webhook at {parts.scheme}://{parts.hostname}"
        self._open = urllib.request.build_opener(_NoRedirect()).open

    def send(self, notice: Notice) -> str:
        """Post it; whatever answers with a 2xx has it."""
        body = msgspec.json.encode(notice.document())
        timestamp = str(int(self._now().timestamp()))
        asking = urllib.request.Request(  # noqa: S310  # the settings take http and https alone
            self._settings.url,
            data=body,
            headers={
                "Content-Type": "application/json",
                "User-Agent": "fraudloop",
                TIMESTAMP: timestamp,
                SIGNATURE: f"v1={signed(self._settings.secret, timestamp, body)}",
            },
        )
        try:
            self._open(asking, timeout=PATIENCE).close()
        except urllib.error.HTTPError as error:
            with error:
                raise AlertError(
                    f"{self._where} answers {error.code}: ask who runs it"
                ) from None  # the error names the address
        except (OSError, http.client.HTTPException, ValueError) as error:
            cause = getattr(error, "reason", error)
            if isinstance(cause, ssl.SSLCertVerificationError):
                why = f"cannot prove who it is ({cause.verify_message}): correct ALERT_WEBHOOK_URL"
            else:
                reason = getattr(cause, "strerror", None) or type(cause).__name__
                why = f"does not answer ({reason}): is it running?"
            raise AlertError(f"{self._where} {why}") from None
        return ""


def signed(secret: str, timestamp: str, body: bytes) -> str:
    """HMAC-SHA256 over the timestamp, a point and the body, in hexadecimal.

    >>> signed("a secret of the two", "1764500000", b"{}")[:16]
    '88699897f8e815ab'
    """
    return hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
