"""What the environment says of the registry and the ledger, and what a pipeline is told."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


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
