"""The S3 remote: pushed from one clone, pulled into another, nothing trained twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.servers import S3
from tests.system.projects import OUTPUT, Project

pytest_plugins = ("tests.servers",)

LOGIN = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
BUCKET = "fraudloop-dvc"


@pytest.fixture
def pushed(made: Project, s3_server: S3) -> Project:
    """The made project after `dvc push` to the default remote, whose endpoint is on loopback."""
    _point_to(made, s3_server)
    if BUCKET not in str(s3_server.client.list_buckets()["Buckets"]):
        s3_server.client.create_bucket(Bucket=BUCKET)
    made.dvc("push", environment=LOGIN)
    return made


def test_a_pull_in_another_clone_brings_every_output(
    pushed: Project, s3_server: S3, tmp_path: Path
) -> None:
    clone = pushed.clone(tmp_path / "clone")
    _point_to(clone, s3_server)
    clone.dvc("pull", environment=LOGIN)
    assert clone.outputs() == pushed.outputs()
    assert clone.ran("repro") == []


def test_repro_with_pull_trains_nothing_and_needs_no_kaggle(
    pushed: Project, s3_server: S3, tmp_path: Path
) -> None:
    clone = pushed.clone(tmp_path / "clone")
    _point_to(clone, s3_server)
    assert clone.ran("repro", "--pull", environment=LOGIN) == []
    assert (clone.folder / OUTPUT / "model.joblib").is_file()


def test_no_secret_is_written_to_the_committed_configuration(pushed: Project) -> None:
    committed = pushed.run("git", "show", "HEAD:.dvc/config").stdout
    assert "s3://" in committed
    assert "secret" not in committed
    assert "access_key" not in committed


def _point_to(project: Project, server: S3) -> None:
    project.dvc("remote", "modify", "--local", "s3", "endpointurl", server.endpoint)
