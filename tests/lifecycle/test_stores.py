"""Both stores against MLflow itself: what one writes the other reads, and nothing decides twice."""

from __future__ import annotations

import json
import threading
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fraudloop.errors import BundleError, RegistryAwayError, RegistryConflictError, RegistryError
from fraudloop.lifecycle import listing, steering
from fraudloop.lifecycle.following import FromRegistry, RegistrySource
from fraudloop.lifecycle.local import LocalStore
from fraudloop.lifecycle.register import Origin, register
from fraudloop.lifecycle.registry import Registry
from fraudloop.lifecycle.rest import RestStore
from fraudloop.lifecycle.store import DATA_VERSION, SHA256, opened
from fraudloop.model import bundle as bundles
from fraudloop.settings import MlflowLogin, RegistrySettings, let_mlflow_tell_nobody
from tests.fitted import bundle_of
from tests.lifecycle.stores import changed, saved, settings_in
from tests.mlflow_server import MlflowServer
from tests.servers import Answer, Web

if TYPE_CHECKING:
    from mlflow import MlflowClient

pytest_plugins = ("tests.mlflow_server", "tests.servers")
# MLflow's tables use what SQLAlchemy 2.1 would rather they did not.
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")

ORIGIN = Origin("data 7", "code 8", {"seed": "1"}, {"test.recall": 0.5})
NUMBERS = count(1)  # of models: each test has its own, all share one server


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store in a file: MLflow takes seconds to make its tables."""
    return f"sqlite:///{tmp_path_factory.mktemp('local') / 'registry' / 'mlflow.db'}"


@pytest.fixture(params=["local", "server"])
def settings(request: pytest.FixtureRequest, tmp_path: Path, local: str) -> RegistrySettings:
    """A registry, once in a file and once behind MLflow's server."""
    if request.param == "local":
        return settings_in(tmp_path, local)
    server: MlflowServer = request.getfixturevalue("mlflow_server")
    return settings_in(tmp_path, server.uri)


@pytest.fixture
def two() -> list[bundles.Bundle]:
    """Two bundles of a model that no other test has."""
    name = f"cards-{next(NUMBERS)}"
    good = bundle_of("logistic_regression")
    return [changed(good, card=name), changed(good, card=name, threshold=0.7)]


def name_of(two: list[bundles.Bundle]) -> str:
    return two[0].manifest.card.id


def registered(settings: RegistrySettings, tmp_path: Path, two: list[bundles.Bundle]) -> None:
    for number, bundle in enumerate(two, start=1):
        made = register(settings, saved(tmp_path / f"bundle {number}", bundle), ORIGIN)
        assert (made.version.number, made.new) == (number, True)


def mlflow_of(settings: RegistrySettings) -> MlflowClient:
    let_mlflow_tell_nobody()
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=settings.uri, registry_uri=settings.uri)


def test_what_is_registered_is_in_mlflow_with_its_run_and_comes_back_byte_by_byte(
    settings: RegistrySettings, tmp_path: Path, two: list[bundles.Bundle]
) -> None:
    papers = tmp_path / "plots"
    papers.mkdir()
    (papers / "roc.csv").write_text("a,b\n")
    origin = Origin("data 7", "code 8", {"seed": "1"}, {"test.recall": 0.5}, (papers,))
    folder = saved(tmp_path / "bundle", two[0])
    (folder / "beside.txt").write_text("no part of it")
    made = register(settings, folder, origin)
    assert register(settings, folder, ORIGIN).new is False
    with closing(opened(settings)) as store:
        assert store.versions(name_of(two)) == [made.version]
        for file, content in two[0].files.items():
            assert store.fetch(made.version, file) == content
        with pytest.raises(RegistryError):
            store.fetch(made.version, "beside.txt")
    client = mlflow_of(settings)
    run = client.get_run(made.version.run)
    assert run.info.status == "FINISHED"
    assert {"seed": "1", "candidate": "none-logistic_regression"}.items() <= run.data.params.items()
    assert run.data.metrics["test.recall"] == 0.5
    assert run.data.metrics["threshold"] == two[0].manifest.threshold
    assert [each.path for each in client.list_artifacts(made.version.run)] == ["bundle", "plots"]
    tags = client.get_model_version(name_of(two), "1").tags
    assert (tags[SHA256], tags[DATA_VERSION]) == (two[0].sha256, "data 7")


def test_a_registration_that_was_stopped_goes_on_to_the_same_end(
    settings: RegistrySettings,
    tmp_path: Path,
    two: list[bundles.Bundle],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from mlflow import MlflowClient

    folder = saved(tmp_path / "bundle", two[0])
    for step in ("log_artifacts", "set_terminated", "create_model_version"):
        with monkeypatch.context() as patch:
            patch.setattr(MlflowClient, step, _interrupted(step))
            with pytest.raises(KeyboardInterrupt):
                register(settings, folder, ORIGIN)
    assert register(settings, folder, ORIGIN).version.number == 1
    client = mlflow_of(settings)
    experiment = client.get_experiment_by_name(name_of(two))
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert sum(SHA256 in run.data.tags for run in runs) == 1
    assert len(client.search_model_versions(f"name='{name_of(two)}'")) == 1


def _interrupted(step: str) -> Any:
    """A step of MLflow's client at which Ctrl-C comes; making the model itself goes on."""
    from mlflow import MlflowClient

    right = getattr(MlflowClient, step)

    def interrupted(self: Any, *arguments: Any, **named: Any) -> Any:
        if step == "set_terminated" and SHA256 not in self.get_run(arguments[0]).data.tags:
            return right(self, *arguments, **named)
        raise KeyboardInterrupt

    return interrupted


def test_mlflow_sees_every_write_and_is_seen(
    settings: RegistrySettings, tmp_path: Path, two: list[bundles.Bundle]
) -> None:
    registered(settings, tmp_path, two)
    name, client = name_of(two), mlflow_of(settings)
    with closing(opened(settings)) as store:
        store.set_alias(name, "champion", 1)
        store.set_alias(name, "champion", 2)
        store.tag(name, 1, "note", "a")
        store.tag(name, 1, "note", "b")
        assert client.get_model_version_by_alias(name, "champion").version in (2, "2")
        assert client.get_model_version(name, "1").tags["note"] == "b"
        client.set_registered_model_alias(name, "challenger", "1")
        found = store.alias(name, "challenger")
        assert found is not None
        assert found.number == 1
        store.drop_alias(name, "challenger")
        store.drop_alias(name, "challenger")
        assert store.alias(name, "challenger") is None
        model = store.model(name)
        assert model is not None
        assert model.aliases == {"champion": 2}
        assert {
            alias: int(at) for alias, at in client.get_registered_model(name).aliases.items()
        } == {"champion": 2}
        assert model.steps is not None
        assert store.write_once(model.steps, "k", "first") is True
        assert store.write_once(model.steps, "k", "first") is True
        assert store.write_once(model.steps, "k", "second") is False
        client.log_param(model.steps, "m", "by MLflow")
        assert store.write_once(model.steps, "m", "by us") is False
        assert store.params(model.steps) == {"k": "first", "m": "by MLflow"}
        with pytest.raises(RegistryError):
            store.set_alias(name, "champion", 9)
        assert store.model("nobody") is None
        assert store.version(name, 9) is None
        assert store.versions("nobody") == []


def test_of_promoters_at_once_one_wins_and_the_rest_are_told(
    settings: RegistrySettings, tmp_path: Path, two: list[bundles.Bundle]
) -> None:
    registered(settings, tmp_path, two)
    name = name_of(two)
    with closing(opened(settings)) as store:
        Registry(store, name).promote("1", by="ana", why="the first")
    together, ends = threading.Barrier(4, timeout=120), []

    def promote(by: str) -> None:
        with closing(opened(settings)) as store:
            known = Registry(store, name)
            known.version("2")
            together.wait()
            try:
                known.promote("2", by=by, why="mine is better")
                ends.append("won")
            except RegistryConflictError:
                ends.append("told")

    threads = [threading.Thread(target=promote, args=(f"user {each}",)) for each in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ends) == ["told", "told", "told", "won"]
    with closing(opened(settings)) as store:
        assert [step.after for step in Registry(store, name).steps()] == [1, 2]
        model = store.model(name)
        assert model is not None
        assert model.aliases == {"champion": 2, "previous": 1}
        rows = listing.rows(Registry(store, name))
        assert [row["aliases"] for row in rows] == [["champion"], ["previous"]]


def test_a_file_that_was_changed_in_the_registry_is_refused_and_promotes_nobody(
    settings: RegistrySettings, tmp_path: Path, two: list[bundles.Bundle]
) -> None:
    registered(settings, tmp_path, two)
    client, name = mlflow_of(settings), name_of(two)
    with closing(opened(settings)) as store:
        source = RegistrySource(FromRegistry(name, "champion", settings), store)
        steering.promote(source, "1", by="ana", why="the first", record=None)
        other = tmp_path / "other" / "model.joblib"
        other.parent.mkdir()
        other.write_bytes(b"something else that would be run")
        version = store.version(name, 2)
        assert version is not None
        client.log_artifact(version.run, str(other), "bundle")
        with pytest.raises(BundleError, match=r"model\.joblib in the registry is not the file"):
            steering.promote(source, "2", by="ana", why="it is better", record=None)
        assert source.load().sha256 == two[0].sha256
        assert [step.after for step in Registry(store, name).steps()] == [1]
    cached = {each.name for each in settings.cache.iterdir()}
    assert two[1].sha256 not in cached
    assert not any(each.startswith(".part") for each in cached)


def test_a_registry_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RegistryAwayError, match="there is no registry at"):
        LocalStore(tmp_path / "mlflow.db").model("cards")
    (tmp_path / "other.db").write_bytes(b"no database" * 100)
    with pytest.raises(RegistryAwayError, match="cannot be used"):
        LocalStore(tmp_path / "other.db").model("cards")
    with (
        closing(RestStore("http://127.0.0.1:9", MlflowLogin())) as store,
        pytest.raises(RegistryAwayError, match="does not answer"),
    ):
        store.model("cards")


def test_a_login_goes_into_the_header_and_into_no_sentence(web: Web) -> None:
    login = MlflowLogin(username="ana", password="open sesame")
    where = web.url("/mlflow", login="ben:secret@")
    with closing(RestStore(where, login)) as store:
        path = "/mlflow/api/2.0/mlflow/registered-models/get"
        web.answers[path] = Answer(json.dumps({"registered_model": {"name": "cards"}}).encode())
        assert store.model("cards") is not None
        assert web.requests[0].headers["Authorization"] == "Basic YW5hOm9wZW4gc2VzYW1l"
        for status, says in ((401, "MLFLOW_TRACKING_USERNAME"), (500, "fails with 500")):
            web.answers[path] = Answer(status=status)
            with pytest.raises(RegistryError, match=says) as refused:
                store.model("cards")
            for secret in ("sesame", "secret", "YW5h"):
                assert secret not in str(refused.value) + repr(login) + store.address


def test_a_connection_that_was_closed_meanwhile_is_opened_again(web: Web) -> None:
    path = "/api/2.0/mlflow/registered-models/get"
    content = json.dumps({"registered_model": {"name": "cards"}}).encode()
    web.answers[path] = Answer(content, length=False)  # its end is when the connection closes
    with closing(RestStore(web.url(""), MlflowLogin())) as store:
        for _ in range(3):
            assert store.model("cards") is not None


def test_what_is_no_mlflow_server_is_one_sentence(web: Web) -> None:
    web.answers["/api/2.0/mlflow/registered-models/get"] = Answer(b"<html>")
    with (
        closing(RestStore(web.url(""), MlflowLogin())) as store,
        pytest.raises(RegistryError, match="answers as no MLflow server does"),
    ):
        store.model("cards")
