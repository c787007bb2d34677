"""Alerts to a real HTTP endpoint, signed."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import timedelta
from typing import Any

import pytest

from fraudloop.errors import AlertError
from fraudloop.settings import Webhook
from fraudloop.streaming.notice import Notice
from fraudloop.streaming.webhook import Hook
from tests.alerts.receivers import Posts, endpoint
from tests.fitted import ROOT
from tests.ledger.given import NOON, decision

SECRET = "quite-a-secret-for-hooks"


def notice() -> Notice:
    fraud = decision("t-1", score=0.75, prediction=1, reasons=[{"feature": "a", "contribution": 1}])
    return Notice("webhook-1", NOON + timedelta(hours=1), (fraud,), 3, 1, 1, 2)


def test_a_post_is_signed_so_that_the_receiver_can_check_it() -> None:
    posts = Posts()
    with endpoint(posts) as url:
        Hook(Webhook(url, SECRET), lambda: NOON).send(notice())
    [(headers, body)] = posts.got
    timestamp = headers["X-Fraudloop-Timestamp"]
    assert int(timestamp) == NOON.timestamp()
    signature = hmac.new(SECRET.encode(), f"{timestamp}.".encode() + body, hashlib.sha256)
    assert headers["X-Fraudloop-Signature"] == f"v1={signature.hexdigest()}"
    assert headers["Content-Type"] == "application/json"
    said = json.loads(body)
    assert (said["count"], said["beyond_capacity"]) == (3, 2)
    assert said["today"] == {"capacity": 1, "listed": 1, "beyond_capacity": 2}
    [fraud] = said["frauds"]
    assert (fraud["id"], fraud["score"], fraud["transaction"]) == (
        "t-1",
        0.75,
        {"price": 2.5, "stall": "fish"},
    )
    assert fraud["reasons"] == [{"feature": "a", "contribution": 1}]


@pytest.mark.parametrize("status", [301, 302, 307, 404, 500])
def test_an_answer_other_than_2xx_is_a_failure_and_nobody_else_gets_it(status: int) -> None:
    posts = Posts(status)
    with (
        endpoint(posts) as url,
        pytest.raises(AlertError, match=rf"http://127\.0\.0\.1 answers {status}") as told,
    ):
        Hook(Webhook(url, SECRET)).send(notice())
    assert len(posts.got) == 1
    assert "secret" not in str(told.value)


def test_an_endpoint_that_is_away_is_told_without_its_path() -> None:
    with endpoint(Posts()) as url:
        pass
    with pytest.raises(AlertError, match="does not answer") as told:
        Hook(Webhook(url, SECRET)).send(notice())
    assert "secret" not in str(told.value)


def test_settings_show_neither_address_nor_secret() -> None:
    assert repr(Webhook("https://h/quite-a-secret-path", SECRET)) == "Webhook()"


def test_the_documented_check_takes_ours_and_nobody_elses() -> None:
    page = (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8")
    documented: dict[str, Any] = {}
    exec(page.partition("```python\n")[2].partition("```")[0], documented)  # our own page
    is_ours = documented["is_ours"]
    posts = Posts()
    with endpoint(posts) as url:
        Hook(Webhook(url, SECRET)).send(notice())
        Hook(Webhook(url, SECRET), lambda: NOON).send(notice())
    (headers, body), (old, same) = posts.got
    assert is_ours(SECRET, headers, body)
    assert not is_ours(SECRET, headers, body + b" ")
    assert not is_ours("another-secret-of-theirs", headers, body)
    assert not is_ours(SECRET, old, same)
