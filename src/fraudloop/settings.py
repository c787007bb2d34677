"""Deployment settings: the one place that reads environment variables."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast

from fraudloop.errors import SettingsError


@dataclass(frozen=True)
class Settings:
    """What the environment says, read once.

    >>> Settings.read({"KAGGLE_USERNAME": "u", "KAGGLE_KEY": "k"}).kaggle_credentials
    True
    >>> Settings.read({"KAGGLE_USERNAME": "u"}).kaggle_credentials
    False
    """

    kaggle_credentials: bool
    s3_endpoint: str | None

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Read the settings; secrets are noticed, never kept: their own client reads them."""
        has = {name for name, value in environment.items() if value.strip()}
        return cls(
            kaggle_credentials="KAGGLE_API_TOKEN" in has
            or {"KAGGLE_USERNAME", "KAGGLE_KEY"} <= has,
            s3_endpoint=environment.get("AWS_ENDPOINT_URL_S3")
            or environment.get("AWS_ENDPOINT_URL")
            or None,
        )


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
        if auth == "basic" and users is None:
            raise SettingsError(
                "FRAUDLOOP_AUTH=basic needs to know who may: set FRAUDLOOP_USERS to a file of "
                "users (`fraudloop users add` makes one)"
            )
        return cls(
            auth=cast("Literal['basic', 'none'] | None", auth),
            users=None if users is None else Path(users),
            rate_limit=_number(said, "FRAUDLOOP_RATE_LIMIT", cls.rate_limit, least=0),
            concurrency=int(_number(said, "FRAUDLOOP_CONCURRENCY", cls.concurrency)),
            max_body_bytes=int(_number(said, "FRAUDLOOP_MAX_BODY_BYTES", cls.max_body_bytes)),
            max_rows=int(_number(said, "FRAUDLOOP_MAX_ROWS", cls.max_rows)),
            max_explained=int(_number(said, "FRAUDLOOP_MAX_EXPLAINED", cls.max_explained)),
            body_seconds=_number(said, "FRAUDLOOP_BODY_SECONDS", cls.body_seconds, least=0.1),
            threads=int(_number(said, "FRAUDLOOP_THREADS", cls.threads)),
        )


def _number(said: Mapping[str, str], name: str, default: float, *, least: float = 1) -> float:
    try:
        number = float(said.get(name, default))
    except ValueError:
        number = math.nan
    if not least <= number < math.inf:
        raise SettingsError(f"{name} is {said[name]!r}: give a number of at least {least:g}")
    return number


def share_metrics(folder: str) -> None:
    """Let all workers count into `folder`; it must be said before Prometheus's client is loaded."""
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder


def kaggle_login(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What Kaggle's client logs in with, as its arguments; for the moment it logs in, not to keep.

    >>> kaggle_login({"KAGGLE_API_TOKEN": " t ", "KAGGLE_USERNAME": "u", "KAGGLE_KEY": "k"})
    {'api_token': 't'}
    >>> kaggle_login({"KAGGLE_USERNAME": "u", "KAGGLE_KEY": " "})
    {}
    """
    token, user, key = (
        environment.get(name, "").strip()
        for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY")
    )
    # Kaggle's client takes a path too, but fails on a long token, as Path.is_file does.
    if os.path.isfile(token):  # noqa: PTH113
        token = Path(token).read_text(encoding="utf-8").strip()
    if token:
        return {"api_token": token}
    return {"username": user, "password": key} if user and key else {}


@contextmanager
def without_home(stand_in: Path) -> Iterator[None]:
    """Let `stand_in` be the home folder: what runs inside finds no credentials of the user's."""
    names = ("HOME", "USERPROFILE", "KAGGLE_CONFIG_DIR")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, str(stand_in)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def let_mlflow_tell_nobody() -> None:
    """Turn MLflow's reports of its own use off; it must be said before MLflow is loaded."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"  # stdout is not its own


def let_idle_threads_sleep() -> None:
    """Ask OpenMP's threads to sleep while they wait, unless the environment says otherwise.

    By default they spin: with anything else running on the machine, boosting with two threads then
    takes four times as long (18 s instead of 4.7 s on two cores, one of them busy). It must be said
    before the first library that uses OpenMP is loaded.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


@dataclass(frozen=True)
class RegistrySettings:
    """What the environment says of the registry; the address may hold a password.

    >>> RegistrySettings.read({"MLFLOW_TRACKING_URI": "http://mlflow:5000/"}).uri
    'http://mlflow:5000'
    """

    uri: str = field(default="sqlite:///ml/registry/mlflow.db", repr=False)
    model: str | None = None  # where the project's card says no other
    cache: Path = Path(".cache/bundles")

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> RegistrySettings:
        """Read the settings; what is empty counts as not said."""
        said = {name: value.strip() for name, value in environment.items() if value.strip()}
        caches = Path(said.get("XDG_CACHE_HOME") or Path(said.get("HOME", "/tmp")) / ".cache")  # noqa: S108  # a user without a home
        return cls(
            uri=said.get("MLFLOW_TRACKING_URI", cls().uri).rstrip("/"),
            model=said.get("FRAUDLOOP_MODEL"),
            cache=Path(said.get("FRAUDLOOP_CACHE") or caches / "fraudloop" / "bundles"),
        )


@dataclass(frozen=True)
class MlflowLogin:
    """What MLflow's own client logs in with."""

    username: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    certificates: str | None = None


def mlflow_login(environment: Mapping[str, str] = os.environ) -> MlflowLogin:
    """MLflow's login, by MLflow's own variables; for the moment it is used, not to keep.

    >>> mlflow_login({"MLFLOW_TRACKING_USERNAME": "ana", "MLFLOW_TRACKING_PASSWORD": "x"}).username
    'ana'
    """
    said = {name: value for name, value in environment.items() if value}
    return MlflowLogin(
        said.get("MLFLOW_TRACKING_USERNAME"),
        said.get("MLFLOW_TRACKING_PASSWORD"),
        said.get("MLFLOW_TRACKING_TOKEN"),
        said.get("MLFLOW_TRACKING_SERVER_CERT_PATH"),
    )


@dataclass(frozen=True)
class Keeping:
    """What the environment says of the ledger; its address may hold a password: it is not shown.

    >>> Keeping.read({}).url
    'sqlite:///ledger.db'
    >>> Keeping.read({"LEDGER_URL": "postgresql://f:secret@db/f"})
    Keeping()
    """

    url: str = field(default="sqlite:///ledger.db", repr=False)

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> Keeping:
        """Read the settings; what is empty counts as not said."""
        return cls(url=environment.get("LEDGER_URL", "").strip() or cls.url)


# What a pipeline needs none of: where decisions, versions and alerts go, and who may go there.
_OF_THE_LOOP = ("LEDGER_", "MLFLOW_", "FRAUDLOOP_", "SMTP_", "KAFKA_")


def for_a_pipeline(
    programs: Path, source: Path, environment: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """The environment of `dvc repro` elsewhere: with these programs and this code first.

    >>> made = for_a_pipeline(Path("/p"), Path("/s"), {"PATH": "/bin", "LEDGER_URL": "secret"})
    >>> (made["PATH"], made["PYTHONPATH"], "LEDGER_URL" in made)
    ('/p:/bin', '/s', False)
    """
    kept = {each: said for each, said in environment.items() if not each.startswith(_OF_THE_LOOP)}
    path = os.pathsep.join([str(programs), *filter(None, [environment.get("PATH")])])
    return {**kept, "PATH": path, "PYTHONPATH": str(source), "DVC_NO_ANALYTICS": "1"}


@dataclass(frozen=True)
class Spark:
    """What the environment says of Spark: all else Spark reads there itself.

    >>> Spark.read({"JAVA_HOME": "/opt/java", "PATH": ""}).java
    '/opt/java/bin/java'
    """

    java: str | None
    python: str | None

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> Spark:
        """Find the Java that Spark would start, and the Python that its workers would run."""
        home = environment.get("JAVA_HOME", "").strip()
        java = str(Path(home, "bin", "java")) if home else None
        return cls(
            java=java or shutil.which("java", path=environment.get("PATH", "")),
            python=environment.get("PYSPARK_PYTHON", "").strip() or None,
        )


@contextmanager
def for_spark(python: str, *, local: bool) -> Iterator[None]:
    """Let Spark start with `python` for its workers, and all of it on loopback if it is local.

    On a cluster a PYSPARK_PYTHON of the environment's own stays: the path may be another there.
    """
    wished = {"PYSPARK_DRIVER_PYTHON": python, "PYTHONWARNINGS": "ignore"}
    if local:
        wished |= {"SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": python}
    elif not os.environ.get("PYSPARK_PYTHON"):
        wished["PYSPARK_PYTHON"] = python
    before = {name: os.environ.get(name) for name in wished}
    os.environ.update(wished)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


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
            raise _none_of("KAFKA_SECURITY_PROTOCOL", protocol, KAFKA_PROTOCOLS)
        if mechanism not in KAFKA_MECHANISMS:
            raise _none_of("KAFKA_SASL_MECHANISM", mechanism, KAFKA_MECHANISMS)
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


def _none_of(name: str, value: str, known: Iterable[str]) -> SettingsError:
    return SettingsError(f"{name} is {value!r}: set it to one of {', '.join(known)}")
