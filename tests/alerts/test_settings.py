"""What the environment says of alerts, and what it must not say."""

from __future__ import annotations

from pathlib import Path

import pytest

from fraudloop.errors import SettingsError
from fraudloop.settings import Alerting

MAIL = {"SMTP_HOST": "mail.example", "SMTP_FROM": "a@shop.example", "SMTP_TO": "b@shop.example"}
HOOK = {"ALERT_WEBHOOK_URL": "https://h.example/quite-a-secret", "ALERT_WEBHOOK_SECRET": "s" * 20}


def test_all_of_it_is_read(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text("")
    more = {
        "SMTP_PORT": "2525",
        "SMTP_TO": "b@shop.example, c@shop.example",
        "SMTP_USER": "u",
        "SMTP_PASSWORD": "quite-a-secret",
        "SMTP_CA": str(ca),
        "ALERT_CAPACITY_PER_DAY": "7",
        "ALERT_GROUP_SECONDS": "0",
        "ALERT_EVERY_SECONDS": "60",
        "ALERT_AMOUNT_FIELD": "price",
    }
    read = Alerting.read(MAIL | HOOK | more)
    assert read.mail is not None
    assert read.webhook is not None
    assert (read.mail.port, read.mail.to) == (2525, ("b@shop.example", "c@shop.example"))
    assert (read.mail.password, read.mail.ca, read.mail.starttls) == ("quite-a-secret", ca, True)
    assert (read.capacity, read.group, read.every, read.amount) == (7, 0.0, 60.0, "price")
    assert "quite-a-secret" not in repr(read)


def test_what_is_empty_counts_as_not_said() -> None:
    said = dict.fromkeys([*MAIL, *HOOK, "SMTP_PORT", "ALERT_CAPACITY_PER_DAY"], "")
    assert Alerting.read(said) == Alerting()
    port = Alerting.read(MAIL | {"SMTP_PORT": " "}).mail
    assert port is not None
    assert port.port == 587


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        (MAIL | {"SMTP_FROM": ""}, "SMTP_FROM names no mail address"),
        (MAIL | {"SMTP_TO": " , "}, "SMTP_TO names no mail address"),
        (MAIL | {"SMTP_TO": "b@x\nBcc: c@x"}, "SMTP_TO names no mail address"),
        (MAIL | {"SMTP_USER": "u"}, "only one is set"),
        (MAIL | {"SMTP_PASSWORD": "quite-a-secret"}, "only one is set"),
        (MAIL | {"SMTP_STARTTLS": "maybe"}, "SMTP_STARTTLS is 'maybe'"),
        (
            MAIL | {"SMTP_STARTTLS": "no", "SMTP_USER": "u", "SMTP_PASSWORD": "quite-a-secret"},
            "in the clear",
        ),
        (MAIL | {"SMTP_CA": "/none/ca.pem"}, "no certificates at /none/ca.pem"),
        (MAIL | {"SMTP_PORT": "99999"}, "SMTP_PORT"),
        (HOOK | {"ALERT_WEBHOOK_SECRET": ""}, "ALERT_WEBHOOK_SECRET has fewer than 16"),
        (HOOK | {"ALERT_WEBHOOK_URL": "ftp://h/quite-a-secret"}, "no https:// or http://"),
        (HOOK | {"ALERT_WEBHOOK_URL": "https://u:quite-a-secret@h/"}, "no https:// or http://"),
        (HOOK | {"ALERT_WEBHOOK_URL": "https://[quite-a-secret"}, "no https:// or http://"),
        (HOOK | {"ALERT_WEBHOOK_URL": "https://h:quite-a-secret/"}, "no https:// or http://"),
        ({"ALERT_CAPACITY_PER_DAY": "0"}, "ALERT_CAPACITY_PER_DAY is '0'"),
        ({"ALERT_CAPACITY_PER_DAY": "1e9"}, "ALERT_CAPACITY_PER_DAY is over 10,000"),
        ({"ALERT_GROUP_SECONDS": "-1"}, "ALERT_GROUP_SECONDS is '-1'"),
        ({"ALERT_EVERY_SECONDS": "soon"}, "ALERT_EVERY_SECONDS is 'soon'"),
    ],
)
def test_a_wrong_setting_is_named_and_no_secret_said(
    environment: dict[str, str], said: str
) -> None:
    with pytest.raises(SettingsError) as told:
        Alerting.read(environment)
    assert said in str(told.value)
    assert "quite-a-secret" not in str(told.value)
