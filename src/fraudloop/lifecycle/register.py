"""A bundle's folder → a version in the registry, with all that a person asks of it in its run."""

from __future__ import annotations

import json
import logging
import math
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from fraudloop import __version__, artifacts
from fraudloop.errors import RegistryAwayError, RegistryError
from fraudloop.lifecycle.store import (
    CANDIDATE,
    CODE_VERSION,
    DATA_VERSION,
    SHA256,
    STEPS,
    Version,
    opened,
)
from fraudloop.model import bundle as bundles
from fraudloop.model.bundle import Bundle
from fraudloop.params import Params
from fraudloop.settings import RegistrySettings, let_mlflow_tell_nobody

if TYPE_CHECKING:
    from mlflow import MlflowClient

FOLDER = "bundle"  # of a run's artifacts
PAPERS = (artifacts.METRICS, artifacts.MODEL_CARD, artifacts.REPORT)
AT_ONCE = 100  # parameters that MLflow takes in one piece
LONGEST_PARAMETER = 500
SQLITE = "sqlite:///"


@dataclass(frozen=True)
class Origin:
    """What a bundle was made of; `params` as they are logged, `papers` files and folders."""

    data_version: str
    code_version: str
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    papers: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Registered:
    """A version, and whether it was made just now: the same bundle is registered once."""

    version: Version
    model: str
    new: bool


def register(settings: RegistrySettings, directory: Path, origin: Origin) -> Registered:
    """Register the bundle of a folder under its card's id.

    Whatever stops it, the next call goes on with the run that was begun, to the same end.
    """
    bundle = bundles.load(directory)
    name = bundle.manifest.card.id
    if settings.uri.startswith(("http://", "https://")) and find_spec("mlflow") is None:
        from fraudloop.lifecycle.registrar import Registrar

        with closing(Registrar(settings.uri)) as registrar:
            version, new = registrar.register(name, bundle, origin)
            return Registered(version, name, new)
    with _spoken_to(settings) as client, closing(opened(settings)) as store:
        experiment = _experiment(client, name, settings)
        _require_model(client, name, experiment)
        for version in store.versions(name):
            if version.tags.get(SHA256) == bundle.sha256:
                return Registered(version, name, new=False)
        run = _logged(client, experiment, bundle, origin)
        made = client.create_model_version(
            name,
            f"{run.info.artifact_uri}/{FOLDER}",
            run.info.run_id,
            tags=tags_of(bundle, origin),
        )
        created = store.version(name, int(made.version))
        if created is None:
            raise RegistryError(f"{store.address} lost version {made.version}: look into its log")
        return Registered(created, name, new=True)


def origin_of(
    params: Params | None, directory: Path, *, data_version: str | None, code_version: str | None
) -> Origin:
    """What is known of a bundle: its figures, plots and versions, and its project's parameters."""
    papers = [directory / name for name in (*PAPERS, artifacts.PLOTS)]
    metrics: dict[str, Any] = {}
    with suppress(OSError, ValueError):
        metrics = json.loads((directory / artifacts.METRICS).read_bytes())
    return Origin(
        data_version or _data_version(Path("dvc.lock")),
        code_version or code_here(),
        {} if params is None else dict(_leaves(params.model_dump(mode="json"))),
        {key: value for key, value in _leaves(metrics) if _is_figure(value)},
        tuple(path for path in papers if path.exists()),
    )


def _logged(client: MlflowClient, experiment: str, bundle: Bundle, origin: Origin) -> Any:
    """The bundle's run, whole: a new one, or the one that a stopped registration began."""
    from mlflow.entities import Metric, Param

    begun = client.search_runs([experiment], f"tags.`{SHA256}` = '{bundle.sha256}'", max_results=1)
    run = (
        begun[0]
        if begun
        else client.create_run(experiment, run_name=bundle.version, tags=tags_of(bundle, origin))
    )
    if run.info.status == "FINISHED":
        return run
    at = run.info.run_id
    now = int(time.time() * 1000)
    figures = figures_of(bundle, origin)
    figured = [Metric(key, value, now, 0) for key, value in figures.items()]
    said = [Param(key, value) for key, value in params_of(bundle, origin).items()]
    for start in range(0, len(figured), AT_ONCE):
        client.log_batch(at, metrics=figured[start : start + AT_ONCE])
    for start in range(0, len(said), AT_ONCE):
        client.log_batch(at, params=said[start : start + AT_ONCE])
    with tempfile.TemporaryDirectory() as folder:
        bundles.save(Path(folder), bundle)  # what was verified, and nothing that lies beside it
        client.log_artifacts(at, folder, FOLDER)
    for path in origin.papers:
        if path.is_dir():
            client.log_artifacts(at, str(path), path.name)
        else:
            client.log_artifact(at, str(path))
    client.set_terminated(at)
    return client.get_run(at)


def figures_of(bundle: Bundle, origin: Origin) -> dict[str, float]:
    """The figures of a bundle's run."""
    own = {**bundle.manifest.metrics, "threshold": bundle.manifest.threshold}
    return {key: float(value) for key, value in {**own, **origin.metrics}.items()}


def params_of(bundle: Bundle, origin: Origin) -> dict[str, str]:
    """The parameters of a bundle's run, as long as MLflow takes them."""
    own = {"candidate": bundle.manifest.candidate, "synthetic": str(bundle.manifest.synthetic)}
    versions = {"data_version": origin.data_version, "code_version": origin.code_version}
    libraries = {f"library.{name}": each for name, each in bundle.manifest.versions.items()}
    everything = {**origin.params, **own, **versions, **libraries}
    return {key: str(value)[:LONGEST_PARAMETER] for key, value in everything.items()}


def tags_of(bundle: Bundle, origin: Origin) -> dict[str, str]:
    """The tags of a bundle's run and version."""
    return {
        SHA256: bundle.sha256,
        CANDIDATE: bundle.manifest.candidate,
        DATA_VERSION: origin.data_version,
        CODE_VERSION: origin.code_version,
    }


def _experiment(client: MlflowClient, name: str, settings: RegistrySettings) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        place = None  # a server knows where its artifacts go
        if settings.uri.startswith(SQLITE):
            beside = Path(settings.uri.removeprefix(SQLITE)).resolve().parent
            place = str(beside / "artifacts" / name)
        try:
            return str(client.create_experiment(name, artifact_location=place))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(name)
    if found is None:
        raise RegistryError(f"the registry's experiment {name} was deleted: restore it in MLflow")
    return str(found.experiment_id)


def _require_model(client: MlflowClient, name: str, experiment: str) -> None:
    """Make the model if there is none, with the run that will hold the steps of its champion."""
    from mlflow.exceptions import MlflowException

    with suppress(MlflowException):
        if STEPS in client.get_registered_model(name).tags:
            return
    run = client.create_run(experiment, run_name="steps of the champion").info.run_id
    client.set_terminated(run)
    try:
        client.create_registered_model(name, tags={STEPS: run})
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        if STEPS not in client.get_registered_model(name).tags:  # somebody made it by hand
            client.set_registered_model_tag(name, STEPS, run)
        else:
            client.delete_run(run)


@contextmanager
def _spoken_to(settings: RegistrySettings) -> Iterator[MlflowClient]:
    """MLflow's client, once it is known that somebody answers: it would try for minutes."""
    if settings.uri.startswith(SQLITE):
        Path(settings.uri.removeprefix(SQLITE)).parent.mkdir(parents=True, exist_ok=True)
    else:
        with closing(opened(settings)) as store:
            store.model("any")
    client = _client_of(settings.uri)
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield client
    except (MlflowException, SQLAlchemyError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise RegistryAwayError(
            f"the registry did not take the bundle ({reason}): register it again"
        ) from error


def _client_of(uri: str) -> MlflowClient:
    """MLflow's own client, silent and telling nobody."""
    let_mlflow_tell_nobody()
    try:
        from mlflow import MlflowClient
    except ImportError as error:  # an image that only serves has none
        raise RegistryError(
            "MLflow is not installed here, and keeps a registry in a file: do it where "
            "`make install` ran, or name a server in MLFLOW_TRACKING_URI"
        ) from error
    for chatty in ("mlflow", "alembic"):  # each tells of every table it makes
        logging.getLogger(chatty).setLevel(logging.WARNING)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _leaves(value: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """The dotted path of everything in a document that holds nothing more."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _leaves(each, f"{at}.{key}" if at else str(key))
    else:
        yield at, value


def _is_figure(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _data_version(lock: Path) -> str:
    """The raw file as DVC knows it."""
    with suppress(OSError, KeyError, IndexError, TypeError, yaml.YAMLError):
        outs = yaml.safe_load(lock.read_text(encoding="utf-8"))["stages"]["get-data"]["outs"]
        return f"md5:{outs[0]['md5']}"
    return "unknown"


def code_here() -> str:
    """The commit that is checked out, and whether anything differs from it."""
    with suppress(OSError, subprocess.SubprocessError):
        head = _git("rev-parse", "HEAD")
        return f"{head}+changes" if _git("status", "--porcelain", "-uno") else head
    return f"fraudloop {__version__}"


def _git(*arguments: str) -> str:
    done = subprocess.run(  # noqa: S603  # constants
        ["git", *arguments],  # noqa: S607  # the user's own
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    return done.stdout.strip()
