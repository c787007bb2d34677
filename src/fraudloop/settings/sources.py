"""What the environment says of where data come from: Kaggle, S3."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


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
