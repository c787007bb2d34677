"""What the environment says of telling people: by mail, by webhook, how often."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from fraudloop.errors import SettingsError
from fraudloop.settings.numbers import none_of, number


@dataclass(frozen=True)
class Smtp:
    """The mail server that alerts go through; the password is in no representation of it."""

    host: str
    port: int
    sender: str
    to: tuple[str, ...]
    user: str = ""
    password: str = field(default="", repr=False)
    starttls: bool = True
    ca: Path | None = None

    @classmethod
    def read(cls, said: Mapping[str, str]) -> Smtp | None:
        """Read the settings, of which SMTP_HOST says whether there is any mail."""
        if "SMTP_HOST" not in said:
            return None
        to = tuple(each.strip() for each in said.get("SMTP_TO", "").split(",") if each.strip())
        addresses = {"SMTP_FROM": (said.get("SMTP_FROM", ""),), "SMTP_TO": to or ("",)}
        for name, values in addresses.items():
            if not all("@" in each and each.isascii() and each.isprintable() for each in values):
                raise SettingsError(f"{name} names no mail address: alerts by mail need one")
        starttls = said.get("SMTP_STARTTLS", "yes")
        if starttls not in ("yes", "no"):
            raise none_of("SMTP_STARTTLS", starttls, ("yes", "no"))
        port = int(number(said, "SMTP_PORT", 587))
        if port > 65_535:
            raise SettingsError(f"SMTP_PORT is {port}: no port is above 65535")
        user, password = said.get("SMTP_USER", ""), said.get("SMTP_PASSWORD", "")
        if bool(user) != bool(password):
            raise SettingsError("of SMTP_USER and SMTP_PASSWORD only one is set: set both or none")
        if password and starttls == "no" and port != SMTP_OVER_TLS:
            raise SettingsError("SMTP_STARTTLS=no would send SMTP_PASSWORD in the clear: say yes")
        ca = Path(said["SMTP_CA"]) if "SMTP_CA" in said else None
        if ca is not None and not ca.is_file():
            raise SettingsError(f"no certificates at {ca}: set SMTP_CA to a PEM file")
        sender = said["SMTP_FROM"]
        return cls(said["SMTP_HOST"], port, sender, to, user, password, starttls == "yes", ca)


SMTP_OVER_TLS = 465  # the port on which TLS comes first


@dataclass(frozen=True)
class Webhook:
    """Where alerts are posted to; both may let somebody in, and are not shown."""

    url: str = field(repr=False)
    secret: str = field(repr=False)

    @classmethod
    def read(cls, said: Mapping[str, str]) -> Webhook | None:
        """Read the settings; what is not signed is not sent."""
        url, secret = said.get("ALERT_WEBHOOK_URL", ""), said.get("ALERT_WEBHOOK_SECRET", "")
        if not url:
            return None
        try:
            parts = urlsplit(url)
            fine = parts.scheme in ("http", "https") and parts.hostname and not parts.username
            fine = fine and url.isascii() and url.isprintable() and parts.port != 0
        except ValueError:
            fine = False
        if not fine:
            raise SettingsError("ALERT_WEBHOOK_URL is no https:// or http:// address: correct it")
        if len(secret) < LEAST_SECRET:
            raise SettingsError(
                f"ALERT_WEBHOOK_SECRET has fewer than {LEAST_SECRET} characters: set the one that "
                "the receiver checks signatures with"
            )
        return cls(url, secret)


LEAST_SECRET = 16


@dataclass(frozen=True)
class Alerting:
    """What the environment says of alerts: by which ways, how many a day, how often.

    >>> Alerting.read({}).capacity
    100
    >>> Alerting.read({"ALERT_WEBHOOK_URL": "https://h/x", "ALERT_WEBHOOK_SECRET": "s" * 16})
    Alerting(mail=None, webhook=Webhook(), capacity=100, group=10.0, every=300.0, amount=None)
    """

    mail: Smtp | None = None
    webhook: Webhook | None = None
    capacity: int = 100  # that reviewers can look at in a day
    group: float = 10.0  # seconds that the first of a group waits for others
    every: float = 300.0  # seconds between two messages of one channel, at least
    amount: str | None = None  # the field to rank by, with the score

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> Alerting:
        """Read the settings; what is empty counts as not said."""
        said = {name: value.strip() for name, value in environment.items() if value.strip()}
        capacity = number(said, "ALERT_CAPACITY_PER_DAY", cls.capacity)
        if capacity > MOST_ALERTS:
            raise SettingsError(f"ALERT_CAPACITY_PER_DAY is over {MOST_ALERTS:,}: nobody reads so")
        return cls(
            mail=Smtp.read(said),
            webhook=Webhook.read(said),
            capacity=int(capacity),
            group=number(said, "ALERT_GROUP_SECONDS", cls.group, least=0),
            every=number(said, "ALERT_EVERY_SECONDS", cls.every, least=0),
            amount=said.get("ALERT_AMOUNT_FIELD"),
        )


MOST_ALERTS = 10_000
