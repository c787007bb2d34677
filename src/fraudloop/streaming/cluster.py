"""The Kafka cluster of the settings: how it is reached, and in one sentence why it is not."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from fraudloop.errors import StreamError
from fraudloop.serving.log import Log
from fraudloop.settings import Kafka

PATIENCE = 10.0  # seconds, for a cluster to answer at the start
# What no waiting mends.
DENIED = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    KafkaError.SASL_AUTHENTICATION_FAILED,
}
LARGEST_DEAD = 4_000_000  # bytes: a dead letter is its message and some headers more


class Outage:
    """Something that others need is away, or back: each is said once."""

    def __init__(self, log: Log, what: str) -> None:
        self._log = log
        self._what = what
        self.since: float | None = None

    def begins(self, reason: str) -> None:
        """It is away; say so unless that is known."""
        if self.since is None:
            self.since = time.monotonic()
            self._log(f"{self._what} away", level="warning", message=reason)

    def ends(self) -> None:
        """It answers; say so if it was away."""
        if self.since is not None:
            seconds = round(time.monotonic() - self.since, 1)
            self.since = None
            self._log(f"{self._what} back", seconds=seconds)


class Cluster:
    """Where Kafka is and how one logs in there; makes the configuration of every client."""

    def __init__(self, settings: Kafka, log: Log) -> None:
        self.settings = settings
        self.log = log
        self.outage = Outage(log, "kafka")

    def config(
        self, heard: Callable[[KafkaError], None] | None = None, /, **more: Any
    ) -> dict[str, Any]:
        """The configuration of a client; names with underscores for points."""
        said = self.settings
        config: dict[str, Any] = {
            "bootstrap.servers": said.servers,
            "security.protocol": said.protocol,
            "client.id": "fraudloop",
            "log_level": 0,  # whatever matters comes as an error, too
            "error_cb": heard or self._heard,
            "reconnect.backoff.max.ms": 2_000,
            "topic.metadata.refresh.interval.ms": 30_000,
        }
        if said.protocol.startswith("SASL"):
            config |= {
                "sasl.mechanism": said.mechanism,
                "sasl.username": said.username,
                "sasl.password": said.password,
            }
        if said.ca is not None:
            config["ssl.ca.location"] = str(said.ca)
        return config | {name.replace("_", "."): value for name, value in more.items()}

    def require(self, *topics: str) -> None:
        """Have the cluster answer and hold these topics, or say in one sentence why not."""
        if self.settings.ca is not None and not self.settings.ca.is_file():
            raise StreamError(
                f"no certificates at {self.settings.ca}: set KAFKA_SSL_CA_LOCATION to a PEM file"
            )
        faults: list[KafkaError] = []
        admin = AdminClient(self.config(faults.append))
        end = time.monotonic() + PATIENCE
        while True:
            try:
                there = admin.list_topics(timeout=1.0).topics
                break
            except KafkaException as error:
                admin.poll(0)
                self._give_up(faults, last=time.monotonic() > end, error=error)
        self._create(admin, [name for name in topics if name not in there])

    def _give_up(self, faults: Sequence[KafkaError], *, last: bool, error: KafkaException) -> None:
        said = self.settings
        denied = next((each for each in faults if each.code() == KafkaError._AUTHENTICATION), None)
        if denied is not None:
            raise StreamError(
                f"Kafka at {said.servers} refuses the login of {said.username or 'nobody'} "
                f"({said.protocol} {said.mechanism}): correct KAFKA_SASL_USERNAME, "
                "KAFKA_SASL_PASSWORD and KAFKA_SASL_MECHANISM"
            ) from error
        tls = next((each for each in faults if each.code() == KafkaError._SSL), None)
        if tls is not None:
            raise StreamError(
                f"Kafka at {said.servers} cannot be reached by TLS ({reason_of(tls)}): correct "
                "KAFKA_SECURITY_PROTOCOL, or name its certificates in KAFKA_SSL_CA_LOCATION"
            ) from error
        if last:
            raise StreamError(
                f"no Kafka answers at {said.servers}: start one (`make up`), set "
                "KAFKA_BOOTSTRAP_SERVERS, or try `fraudloop stream demo`, which needs none"
            ) from error

    def _create(self, admin: AdminClient, names: Sequence[str]) -> None:
        """Make topics with as many partitions and copies as the cluster has by default."""
        wanted = [
            NewTopic(
                name,
                num_partitions=-1,
                replication_factor=-1,
                config={"max.message.bytes": str(LARGEST_DEAD)}
                if name == self.settings.dead
                else {},
            )
            for name in names
        ]
        for name, made in admin.create_topics(wanted).items() if wanted else ():
            try:
                made.result(PATIENCE)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise StreamError(
                        f"Kafka at {self.settings.servers} has no topic {name} and does not let "
                        f"us make it ({reason_of(error.args[0])}): create it"
                    ) from error

    def _heard(self, error: KafkaError) -> None:
        """What a client says beside its calls; librdkafka goes on trying by itself."""
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self.outage.begins(f"no broker of {self.settings.servers} answers: waiting for one")


def reason_of(error: KafkaError) -> str:
    """What Kafka says of an error, as part of a sentence: not by which connection, nor how soon."""
    said = " ".join(error.str().split())
    return re.sub(r"^\S+/\S+: | \(after \d+ms in state \w+.*\)$", "", said).rstrip(".")


def refused(error: KafkaError) -> StreamError | None:
    """The sentence about an error that no waiting mends; None of any other."""
    if error.code() in DENIED:
        return StreamError(
            f"Kafka refuses it ({reason_of(error)}): give this user the rights that "
            "docs/streaming.md lists"
        )
    return None
