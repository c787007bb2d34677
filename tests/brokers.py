"""A real Kafka broker on loopback, from Maven Central, started once for all tests of a process.

A test module takes its fixtures with `pytest_plugins = ("tests.brokers",)`. The broker is one
process in KRaft mode; its second listener wants TLS and a login (SCRAM-SHA-256 or PLAIN). Its
classes may be imported before pytest does; so, for pytest: PYTEST_DONT_REWRITE.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from fraudloop.settings import Kafka
from tests.fitted import ROOT
from tests.servers import unavailable

VERSION = "4.1.1"
JARS = ROOT / ".cache" / "kafka" / VERSION
DOWNLOADED_WITHIN = 600.0  # seconds
STARTED_WITHIN = 120.0
USER, PASSWORD = "stream", "right"
POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>tests</groupId><artifactId>broker</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
"""
PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=OPEN://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller},CLOSED://127.0.0.1:{closed}
advertised.listeners=OPEN://127.0.0.1:{port},CLOSED://127.0.0.1:{closed}
listener.security.protocol.map=OPEN:PLAINTEXT,CONTROLLER:PLAINTEXT,CLOSED:SASL_SSL
controller.listener.names=CONTROLLER
inter.broker.listener.name=OPEN
log.dirs={folder}/logs
listener.name.closed.ssl.keystore.type=PEM
listener.name.closed.ssl.keystore.location={folder}/server.pem
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256
listener.name.closed.plain.sasl.jaas.config=\
org.apache.kafka.common.security.plain.PlainLoginModule required user_{user}="{password}";
listener.name.closed.scram-sha-256.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
log.segment.bytes=67108864
"""


class NoBrokerError(Exception):
    """This machine cannot have a broker, for this reason."""


@dataclass
class Broker:
    """A broker process; it may be stopped and started again on the same ports and files."""

    folder: Path
    port: int
    closed: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def servers(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                _java(
                    "-Xms256m", "-Xmx512m", "kafka.Kafka", str(self.folder / "server.properties")
                ),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for pytest, which then stops it
            )
        admin = AdminClient({"bootstrap.servers": self.servers, "log_level": 0})
        end = time.monotonic() + STARTED_WITHIN
        while True:
            try:
                admin.list_topics(timeout=1.0)
                return
            except KafkaException:
                if self.process.poll() is None and time.monotonic() < end:
                    continue
                told = (self.folder / "log").read_text(errors="replace")[-1500:]
                self.stop()
                raise NoBrokerError(f"the broker did not start: {told}") from None

    def stop(self) -> None:
        """Stop it, if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(30)


def jars() -> Path:
    """The broker's jars, fetched once; another process may do the same meanwhile."""
    if JARS.is_dir():
        return JARS
    if shutil.which("mvn") is None:
        raise NoBrokerError("Maven, which fetches the broker, is not installed")
    JARS.parent.mkdir(parents=True, exist_ok=True)
    aside = JARS.parent / f".{secrets.token_hex(4)}.part"
    aside.mkdir()
    try:
        (aside / "pom.xml").write_text(POM)
        fetched = subprocess.run(
            ["mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=jars"],
            cwd=aside,
            capture_output=True,
            text=True,
            timeout=DOWNLOADED_WITHIN,
            check=False,
        )
        if fetched.returncode != 0:
            raise NoBrokerError(f"Maven does not get the broker: {fetched.stdout[-500:].strip()}")
        try:
            (aside / "jars").rename(JARS)
        except OSError:
            if not JARS.is_dir():  # else another process was faster
                raise
    except subprocess.TimeoutExpired as error:
        raise NoBrokerError(f"Maven takes longer than {DOWNLOADED_WITHIN:g} s") from error
    finally:
        shutil.rmtree(aside)
    return JARS


def started(folder: Path) -> Broker:
    """A broker that keeps its files in `folder`, an empty one."""
    if shutil.which("java") is None:
        raise NoBrokerError("Java is not installed")
    jars()
    port, closed, controller = free_ports(3)
    _write_certificates(folder)
    (folder / "server.properties").write_text(
        PROPERTIES.format(
            folder=folder,
            port=port,
            closed=closed,
            controller=controller,
            user=USER,
            password=PASSWORD,
        )
    )
    scram = f"SCRAM-SHA-256=[name={USER},password={PASSWORD}]"
    formatted = subprocess.run(
        [
            *_java("-Xmx256m", "kafka.tools.StorageTool", "format", "-t", "5L6g3nShT-eMCtK--X86sw"),
            *("-c", str(folder / "server.properties"), "--add-scram", scram),
        ],
        capture_output=True,
        text=True,
        timeout=STARTED_WITHIN,
        check=False,
    )
    if formatted.returncode != 0:
        raise NoBrokerError(f"its storage cannot be formatted: {formatted.stderr[-800:]}")
    broker = Broker(folder, port, closed)
    broker.start()
    return broker


def free_ports(many: int) -> list[int]:
    """Ports that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(many)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@dataclass(frozen=True)
class Topics:
    """Topics of one test on the broker."""

    broker: Broker
    settings: Kafka
    made: list[str] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to find them."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.settings.servers,
            "KAFKA_TOPIC_TRANSACTIONS": self.settings.transactions,
            "KAFKA_TOPIC_DECISIONS": self.settings.decisions,
            "KAFKA_TOPIC_DEAD": self.settings.dead,
        }

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        return self.settings.transactions, self.settings.decisions, self.settings.dead

    def create(self, *names: str, partitions: int = 1) -> None:
        """Make topics."""
        admin = AdminClient({"bootstrap.servers": self.settings.servers, "log_level": 0})
        for made in admin.create_topics([NewTopic(name, partitions) for name in names]).values():
            made.result(60)

    def send_keyed(self, topic: str, messages: Iterable[tuple[str, bytes]]) -> None:
        """Send messages with keys, and wait until they are there."""
        producer = Producer({"bootstrap.servers": self.settings.servers, "log_level": 0})
        for key, value in messages:
            producer.produce(topic, value, key)
        assert producer.flush(120) == 0
        producer.close()

    def send(self, topic: str, *values: bytes | None, **more: Any) -> None:
        """Send messages, and wait until they are there."""
        producer = Producer({"bootstrap.servers": self.settings.servers, "log_level": 0})
        for value in values:
            producer.produce(topic, value, **more)
        assert producer.flush(60) == 0
        producer.close()

    def read(self, topic: str, many: int, within: float = 90.0) -> list[Message]:
        """So many committed messages of a topic, from its beginning; fewer if no more come."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.settings.servers,
                "group.id": secrets.token_hex(4),
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "log_level": 0,
                "topic.metadata.refresh.interval.ms": 500,
            }
        )
        consumer.subscribe([topic])
        found: list[Message] = []
        end = time.monotonic() + within
        try:
            while len(found) < many and time.monotonic() < end:
                taken = consumer.consume(many - len(found), 0.2)
                found += [message for message in taken if message.error() is None]
        finally:
            consumer.close()
        return found


@pytest.fixture(scope="session")
def kafka_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """The broker, started once; other tests' topics are in it."""
    try:
        broker = started(tmp_path_factory.mktemp("kafka"))
    except NoBrokerError as error:
        unavailable("kafka", str(error))
    yield broker
    broker.stop()


@pytest.fixture
def kafka(kafka_server: Broker) -> Topics:
    """Topics that no other test has."""
    name = secrets.token_hex(4)
    settings = Kafka(
        servers=kafka_server.servers,
        transactions=f"transactions-{name}",
        decisions=f"decisions-{name}",
        dead=f"dead-{name}",
    )
    return Topics(kafka_server, settings)


def _java(*arguments: str) -> list[str]:
    log = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
    options = [each for each in arguments if each.startswith("-X")]
    rest = arguments[len(options) :]
    return ["java", "-cp", f"{JARS}{os.sep}*", "-XX:+UseSerialGC", log, *options, *rest]


def _write_certificates(folder: Path) -> None:
    import trustme
    from cryptography.hazmat.primitives import serialization as forms

    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    key = forms.load_pem_private_key(issued.private_key_pem.bytes(), None)
    parts = [
        key.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.PKCS8, forms.NoEncryption()),
        *(each.bytes() for each in issued.cert_chain_pems),
        authority.cert_pem.bytes(),
    ]
    (folder / "server.pem").write_bytes(b"".join(parts))
