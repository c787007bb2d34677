"""Registering with MLflow's server by Python alone, as an image does that has no MLflow."""

from __future__ import annotations

import secrets
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from fraudloop.lifecycle import register as registering
from fraudloop.lifecycle.register import Origin, register
from fraudloop.lifecycle.registrar import Registrar
from fraudloop.lifecycle.registry import Registry
from fraudloop.model.bundle import Bundle
from fraudloop.settings import RegistrySettings, let_mlflow_tell_nobody
from tests.fitted import bundle_of
from tests.lifecycle.stores import changed, saved, settings_in
from tests.mlflow_server import MlflowServer

pytest_plugins = ("tests.mlflow_server",)
# MLflow's tables use what SQLAlchemy 2.1 would rather they did not.
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")


@pytest.fixture
def settings(
    tmp_path: Path, mlflow_server: MlflowServer, monkeypatch: pytest.MonkeyPatch
) -> RegistrySettings:
    """A server, and a Python that finds no MLflow."""
    monkeypatch.setattr(registering, "find_spec", lambda _: None)
    return settings_in(tmp_path, mlflow_server.uri)


@pytest.fixture
def bundle() -> Bundle:
    """A bundle of a model that no other test has."""
    return changed(bundle_of("logistic_regression"), card=f"cards-{secrets.token_hex(4)}")


def test_mlflow_itself_finds_all_of_it_and_would_register_nothing_twice(
    settings: RegistrySettings, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    papers = tmp_path / "plots"
    papers.mkdir()
    (papers / "roc.csv").write_text("a,b\n")
    origin = Origin("data 7", "code 8", {"long": "x" * 900}, {"test.recall": 0.5}, (papers,))
    folder = saved(tmp_path / "bundle", bundle)
    made = register(settings, folder, origin)
    assert (made.version.number, made.new) == (1, True)
    assert register(settings, folder, origin).new is False
    monkeypatch.undo()
    by_mlflow = register(settings, folder, origin)
    assert (by_mlflow.version, by_mlflow.new) == (made.version, False)
    let_mlflow_tell_nobody()
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=settings.uri, registry_uri=settings.uri)
    run = client.get_run(made.version.run)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["test.recall"] == 0.5
    assert run.data.params["long"] == "x" * 500
    assert [each.path for each in client.list_artifacts(run.info.run_id)] == ["bundle", "plots"]
    with closing(Registrar(settings.uri)) as store:
        for file, content in bundle.files.items():
            assert store.fetch(made.version, file) == content
        changes = Registry(store, made.model)
        assert changes.promote("1", by="ana", why="the first").version.number == 1


@pytest.mark.parametrize("step", ["_write_down", "_send_files", "_end", "version"])
def test_what_was_stopped_goes_on_to_the_same_end(
    settings: RegistrySettings,
    bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    folder = saved(tmp_path / "bundle", bundle)
    origin = Origin("data 7", "code 8")

    def stopped(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Registrar, step, stopped)
        with pytest.raises(KeyboardInterrupt):
            register(settings, folder, origin)
    assert register(settings, folder, origin).version.number == 1
    with closing(Registrar(settings.uri)) as store:
        assert len(store.versions(bundle.manifest.card.id)) == 1
