"""What the environment says of Kafka."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast

from fraudloop.errors import SettingsError
from fraudloop.settings.numbers import none_of

KafkaProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
KAFKA_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
KAFKA_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


@dataclass(frozen=True)
class Kafka:
    """What the environment says of Kafka; the password is in no representation of it.

    >>> Kafka.read({"KAFKA_SASL_USERNAME": "u", "KAFKA_SASL_PASSWORD": "secret"}).protocol
    'SASL_SSL'
    >>> Kafka.read({"KAFKA_SASL_USERNAME": "u"})
    Traceback (most recent call last):
    fraudloop.errors.SettingsError: KAFKA_SASL_PASSWORD is empty: SASL_SSL needs user and password
    """

    servers: str = "127.0.0.1:9092"
    protocol: KafkaProtocol = "PLAINTEXT"
    mechanism: str = "PLAIN"
    username: str = ""
    password: str = field(default="", repr=False)
    ca: Path | None = None
    transactions: str = "transactions"
    decisions: str = "decisions"
    dead: str = "transactions.dead"

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> Kafka:
        """Read the settings; what is empty counts as not said."""
        said = {name: value.strip() for name, value in environment.items() if value.strip()}
        username = said.get("KAFKA_SASL_USERNAME", "")
        protocol = said.get("KAFKA_SECURITY_PROTOCOL", "SASL_SSL" if username else cls.protocol)
        mechanism = said.get("KAFKA_SASL_MECHANISM", cls.mechanism)
        if protocol not in KAFKA_PROTOCOLS:
            raise none_of("KAFKA_SECURITY_PROTOCOL", protocol, KAFKA_PROTOCOLS)
        if mechanism not in KAFKA_MECHANISMS:
            raise none_of("KAFKA_SASL_MECHANISM", mechanism, KAFKA_MECHANISMS)
        if protocol.startswith("SASL"):
            for name in ("KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD"):
                if name not in said:
                    raise SettingsError(f"{name} is empty: {protocol} needs user and password")
        ca = said.get("KAFKA_SSL_CA_LOCATION")
        return cls(
            servers=said.get("KAFKA_BOOTSTRAP_SERVERS", cls.servers),
            protocol=cast("KafkaProtocol", protocol),
            mechanism=mechanism,
            username=username,
            password=said.get("KAFKA_SASL_PASSWORD", ""),
            ca=None if ca is None else Path(ca),
            transactions=said.get("KAFKA_TOPIC_TRANSACTIONS", cls.transactions),
            decisions=said.get("KAFKA_TOPIC_DECISIONS", cls.decisions),
            dead=said.get("KAFKA_TOPIC_DEAD", cls.dead),
        )
