"""The environment is read in one place, and secrets are noticed, not kept."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from fraudloop.errors import SettingsError
from fraudloop.settings import (
    Serving,
    Settings,
    kaggle_login,
    let_idle_threads_sleep,
    without_home,
)


@pytest.mark.parametrize(
    ("environment", "there"),
    [
        ({}, False),
        ({"KAGGLE_API_TOKEN": "t"}, True),
        ({"KAGGLE_API_TOKEN": "  "}, False),
        ({"KAGGLE_USERNAME": "u", "KAGGLE_KEY": "k"}, True),
        ({"KAGGLE_USERNAME": "u"}, False),
        ({"KAGGLE_KEY": "k"}, False),
        ({"KAGGLE_USERNAME": "u", "KAGGLE_KEY": ""}, False),
    ],
)
def test_credentials_are_there_or_not(environment: dict[str, str], there: bool) -> None:
    assert Settings.read(environment).kaggle_credentials is there
    assert bool(kaggle_login(environment)) is there


def test_a_secret_is_not_kept() -> None:
    settings = Settings.read({"KAGGLE_API_TOKEN": "s3cret", "KAGGLE_KEY": "s3cret"})
    assert "s3cret" not in repr(settings)
    assert "s3cret" not in str(dataclasses.asdict(settings))


@pytest.mark.parametrize(
    ("environment", "endpoint"),
    [
        ({}, None),
        ({"AWS_ENDPOINT_URL": ""}, None),
        ({"AWS_ENDPOINT_URL": "http://a"}, "http://a"),
        ({"AWS_ENDPOINT_URL": "http://a", "AWS_ENDPOINT_URL_S3": "http://b"}, "http://b"),
        ({"AWS_ENDPOINT_URL": "http://a", "AWS_ENDPOINT_URL_S3": ""}, "http://a"),
    ],
)
def test_the_endpoint_of_s3_itself_comes_first(
    environment: dict[str, str], endpoint: str | None
) -> None:
    assert Settings.read(environment).s3_endpoint == endpoint


def test_settings_do_not_change_once_read() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(Settings.read({}), "s3_endpoint", "http://c")  # noqa: B010


def test_the_environment_is_read_when_asked_not_when_imported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://now")
    assert Settings.read().s3_endpoint == "http://now"


def test_a_token_may_stand_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("of the file\n", encoding="utf-8")
    assert kaggle_login({"KAGGLE_API_TOKEN": str(path)}) == {"api_token": "of the file"}
    assert kaggle_login({"KAGGLE_API_TOKEN": "x" * 10_000}) == {"api_token": "x" * 10_000}


def test_a_token_comes_before_a_user_and_a_key() -> None:
    environment = {"KAGGLE_API_TOKEN": "t", "KAGGLE_USERNAME": "u", "KAGGLE_KEY": "k"}
    assert kaggle_login(environment) == {"api_token": "t"}
    del environment["KAGGLE_API_TOKEN"]
    assert kaggle_login(environment) == {"username": "u", "password": "k"}


def test_the_home_folder_comes_back_even_after_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "before")
    monkeypatch.delenv("KAGGLE_CONFIG_DIR", raising=False)

    def end_inside() -> None:
        with without_home(tmp_path):
            assert os.environ["HOME"] == os.environ["KAGGLE_CONFIG_DIR"] == str(tmp_path)
            raise SystemExit

    with pytest.raises(SystemExit):
        end_inside()
    assert os.environ["HOME"] == "before"
    assert "KAGGLE_CONFIG_DIR" not in os.environ


@pytest.mark.parametrize(("before", "after"), [(None, "passive"), ("active", "active")])
def test_idle_threads_sleep_unless_told_otherwise(
    before: str | None, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", before or "")
    if before is None:
        monkeypatch.delenv("OMP_WAIT_POLICY")
    let_idle_threads_sleep()
    assert os.environ["OMP_WAIT_POLICY"] == after


def test_a_server_is_set_by_its_environment_and_has_a_default_for_all_of_it() -> None:
    assert Serving.read({}) == Serving()
    said = Serving.read(
        {
            "FRAUDLOOP_AUTH": "basic",
            "FRAUDLOOP_USERS": "some/users.yaml",
            "FRAUDLOOP_RATE_LIMIT": "12.5",
            "FRAUDLOOP_CONCURRENCY": "3",
            "FRAUDLOOP_MAX_BODY_BYTES": "1e6",
            "FRAUDLOOP_MAX_ROWS": "10",
            "FRAUDLOOP_MAX_EXPLAINED": "5",
            "FRAUDLOOP_BODY_SECONDS": "0.5",
            "FRAUDLOOP_THREADS": "2",
        }
    )
    assert said == Serving("basic", Path("some/users.yaml"), 12.5, 3, 1_000_000, 10, 5, 0.5, 2)
    assert Serving.read({"FRAUDLOOP_AUTH": " ", "FRAUDLOOP_MAX_ROWS": ""}) == Serving()


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"FRAUDLOOP_AUTH": "digest"}, "FRAUDLOOP_AUTH is 'digest': set it to basic or none"),
        ({"FRAUDLOOP_AUTH": "basic"}, "set FRAUDLOOP_USERS"),
        ({"FRAUDLOOP_CONCURRENCY": "0"}, "FRAUDLOOP_CONCURRENCY is '0': give a number of at least"),
        ({"FRAUDLOOP_RATE_LIMIT": "-1"}, "FRAUDLOOP_RATE_LIMIT is '-1'"),
        ({"FRAUDLOOP_RATE_LIMIT": "nan"}, "FRAUDLOOP_RATE_LIMIT is 'nan'"),
        ({"FRAUDLOOP_MAX_ROWS": "inf"}, "FRAUDLOOP_MAX_ROWS is 'inf'"),
        ({"FRAUDLOOP_THREADS": "two"}, "FRAUDLOOP_THREADS is 'two'"),
    ],
)
def test_a_wrong_setting_of_a_server_is_named(environment: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Serving.read(environment)
    assert said in str(caught.value)
