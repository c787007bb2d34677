"""Kaggle's own client, sent to a server on loopback that speaks its API."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from fraudloop.dataset import kaggle_source
from fraudloop.dataset.card import Card, parse
from fraudloop.dataset.download import Patience
from fraudloop.dataset.sources import Fetched, get_data
from fraudloop.errors import SourceError
from fraudloop.params import Data
from fraudloop.progress import Silent
from fraudloop.settings import Settings
from tests.servers import Kaggle, written

pytest_plugins = ("tests.servers",)

PUBLISHED = b"price,fraud\n" + b"".join(b"%d,0\n" % price for price in range(3000)) + b"9,1\n"


@pytest.fixture
def card() -> Card:
    return parse(
        f"""
        id: cups
        title: Cups
        columns: {{price: {{kind: numeric}}}}
        label: {{column: fraud}}
        kaggle: {{dataset: owner/cups, file: cups.csv}}
        expected: {{bytes: {len(PUBLISHED)}, md5: {hashlib.md5(PUBLISHED).hexdigest()}}}
        """,
        "here",
    )


def zipped(content: bytes, name: str = "cups.csv") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(name, content)
    return file.getvalue()


def get(card: Card, destination: Path, read: float = 5.0) -> Fetched:
    return get_data(
        Data(source="kaggle"),
        card,
        destination,
        Settings.read(dict(os.environ)),
        generate=lambda _: pytest.fail("generated"),
        announce=lambda _: None,
        progress=Silent(),
        patience=Patience(tries=3, connect=2, read=read, sleep=lambda _: None),
    )


def refusal(card: Card, destination: Path, read: float = 5.0) -> str:
    """The one sentence of a failure, which leaves the old file and nothing else."""
    destination.parent.mkdir(exist_ok=True)
    destination.write_bytes(b"old")
    with pytest.raises(SourceError) as caught:
        get(card, destination, read)
    assert [path.name for path in destination.parent.iterdir()] == [destination.name]
    assert destination.read_bytes() == b"old"
    message = str(caught.value)
    assert "\n" not in message
    assert "secret" not in message
    return message


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return tmp_path / "raw" / "cups.csv"


def test_the_published_file_comes_out_of_kaggles_zip(
    kaggle: Kaggle, card: Card, raw: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    kaggle.stored.content = zipped(PUBLISHED)
    fetched = get(card, raw)
    assert raw.read_bytes() == PUBLISHED
    assert (fetched.path, fetched.bytes, fetched.md5) == (raw, len(PUBLISHED), card.expected.md5)
    assert (fetched.published, fetched.kept) == (True, False)
    assert capfd.readouterr() == ("", "")


def test_a_file_that_kaggle_did_not_zip_is_taken_as_it_is(
    kaggle: Kaggle, card: Card, raw: Path
) -> None:
    kaggle.stored.content = PUBLISHED
    assert get(card, raw).published


def test_the_file_is_asked_for_by_the_cards_names_and_the_token(
    kaggle: Kaggle, card: Card, raw: Path
) -> None:
    kaggle.stored.content = zipped(PUBLISHED)
    get(card, raw)
    asked = kaggle.requests[0]
    assert asked.headers["Authorization"] == "Bearer right"
    assert json.loads(asked.body)["fileName"] == "cups.csv"


def test_the_token_does_not_follow_the_redirect_to_another_host(
    kaggle: Kaggle, card: Card, raw: Path
) -> None:
    kaggle.stored.content = zipped(PUBLISHED)
    get(card, raw)
    assert len(kaggle.downloads) == 1
    assert "Authorization" not in kaggle.downloads[0].headers


def test_user_name_and_key_do_as_well(
    kaggle: Kaggle, card: Card, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KAGGLE_API_TOKEN")
    monkeypatch.setenv("KAGGLE_USERNAME", "u")
    monkeypatch.setenv("KAGGLE_KEY", "k")
    kaggle.stored.content = zipped(PUBLISHED)
    assert get(card, raw).published


@pytest.fixture
def users_folder(bare_environment: Path) -> Path:
    """A ~/.kaggle with credentials in every form the client knows."""
    folder = bare_environment / ".kaggle"
    folder.mkdir()
    (folder / "access_token").write_text("the user's")
    (folder / "kaggle.json").write_text('{"username": "the", "key": "user\'s"}')
    return folder


def test_the_users_kaggle_folder_is_not_looked_into(
    kaggle: Kaggle, card: Card, raw: Path, users_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KAGGLE_API_TOKEN")
    monkeypatch.setenv("KAGGLE_USERNAME", "u")
    monkeypatch.setenv("KAGGLE_KEY", "k")
    kaggle.stored.content = zipped(PUBLISHED)
    get(card, raw)
    assert kaggle.requests[0].headers["Authorization"] == "Basic dTpr"
    assert os.environ["HOME"] == str(users_folder.parent)
    assert "KAGGLE_CONFIG_DIR" not in os.environ


def test_no_kaggle_folder_is_made(
    kaggle: Kaggle, card: Card, raw: Path, bare_environment: Path
) -> None:
    kaggle.stored.content = zipped(PUBLISHED)
    get(card, raw)
    assert list(bare_environment.iterdir()) == []


@pytest.mark.usefixtures("users_folder")
def test_without_credentials_in_the_environment_nothing_is_asked(card: Card, raw: Path) -> None:
    assert refusal(card, raw) == kaggle_source.NO_CREDENTIALS


@pytest.mark.usefixtures("bare_environment")
def test_a_token_file_that_is_empty_is_no_credential(
    card: Card, raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("\n")
    monkeypatch.setenv("KAGGLE_API_TOKEN", str(tmp_path / "token"))
    assert refusal(card, raw) == kaggle_source.NO_CREDENTIALS


def test_a_token_may_be_long(
    kaggle: Kaggle, card: Card, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", "t" * 5000)
    kaggle.accepts = ("Bearer " + "t" * 5000,)
    kaggle.stored.content = zipped(PUBLISHED)
    assert get(card, raw).published


def test_a_wrong_token_is_one_sentence(
    kaggle: Kaggle, card: Card, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", "wrong")
    message = refusal(card, raw)
    assert "does not accept the credentials (401)" in message
    assert "KAGGLE_API_TOKEN" in message
    assert len(kaggle.requests) == 1


def test_rules_not_accepted_names_the_page_where_to_accept_them(
    kaggle: Kaggle, card: Card, raw: Path
) -> None:
    kaggle.status = 403
    message = refusal(card, raw)
    assert "(403)" in message
    assert "/datasets/owner/cups" in message
    assert "accept its rules" in message
    assert len(kaggle.requests) == 1


def test_a_dataset_that_is_not_there_is_one_sentence(kaggle: Kaggle, card: Card, raw: Path) -> None:
    kaggle.has = ("owner", "plates", "cups.csv")
    message = refusal(card, raw)
    assert "Kaggle has no owner/cups/cups.csv (404)" in message
    assert len(kaggle.requests) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_kaggle_in_trouble_is_asked_again(
    kaggle: Kaggle, card: Card, raw: Path, status: int
) -> None:
    kaggle.refusals = [status, status]
    kaggle.stored.content = zipped(PUBLISHED)
    assert get(card, raw).published


def test_kaggle_in_trouble_for_long_is_one_sentence(kaggle: Kaggle, card: Card, raw: Path) -> None:
    kaggle.status = 429
    assert "3 tries (the server answered 429)" in refusal(card, raw)


def test_a_dropped_download_is_resumed_with_a_new_link(
    kaggle: Kaggle, card: Card, raw: Path
) -> None:
    kaggle.stored.content = zipped(PUBLISHED)
    kaggle.stored.cut_after = [5000]
    assert get(card, raw).published
    assert [request.headers.get("Range") for request in kaggle.downloads] == [None, "bytes=5000-"]
    assert len(kaggle.requests) == 4  # each download after asking Kaggle anew


def test_a_link_that_expired_is_asked_for_anew(kaggle: Kaggle, card: Card, raw: Path) -> None:
    kaggle.stored.content = zipped(PUBLISHED)
    kaggle.stored.statuses = [403]
    assert get(card, raw).published


@pytest.mark.parametrize("kept", [100, 5000])
def test_a_truncated_zip_is_one_sentence(kaggle: Kaggle, card: Card, raw: Path, kept: int) -> None:
    kaggle.stored.content = zipped(PUBLISHED)[:kept]
    assert "its zip is broken or cut short" in refusal(card, raw)
    assert len(kaggle.downloads) == 3


def test_a_zip_truncated_once_is_downloaded_again(kaggle: Kaggle, card: Card, raw: Path) -> None:
    kaggle.stored.content = zipped(PUBLISHED)
    kaggle.stored.length = False  # so that only the zip itself tells that it is not whole
    kaggle.stored.cut_after = [5000]
    assert get(card, raw).published


def test_a_bit_that_flipped_in_the_zip_is_noticed(kaggle: Kaggle, card: Card, raw: Path) -> None:
    content = bytearray(zipped(PUBLISHED))
    content[1000] ^= 1
    kaggle.stored.content = bytes(content)
    assert "its zip is broken" in refusal(card, raw)


def test_another_file_than_the_published_one_is_refused(
    kaggle: Kaggle, card: Card, raw: Path
) -> None:
    kaggle.stored.content = zipped(PUBLISHED + b"1,0\n")
    assert "is not the published file" in refusal(card, raw)


def test_the_published_size_with_other_bytes_is_refused(
    kaggle: Kaggle, card: Card, raw: Path
) -> None:
    kaggle.stored.content = zipped(PUBLISHED.replace(b"7", b"8"))
    assert "is not the published file" in refusal(card, raw)


def test_a_login_page_in_place_of_the_file_is_said_so(
    kaggle: Kaggle, card: Card, raw: Path
) -> None:
    kaggle.stored.content = b"<!doctype html><html>Log in</html>"
    assert "is a web page" in refusal(card, raw)


def test_a_silent_kaggle_is_given_up(kaggle: Kaggle, card: Card, raw: Path) -> None:
    kaggle.silent_for = 30
    assert "nothing came in time" in refusal(card, raw, read=0.2)


def test_a_silent_storage_is_given_up(kaggle: Kaggle, card: Card, raw: Path) -> None:
    kaggle.stored.silent_for = 30
    assert "nothing came in time" in refusal(card, raw, read=0.2)


def test_the_right_file_is_kept_without_credentials_or_a_request(
    kaggle: Kaggle, card: Card, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KAGGLE_API_TOKEN")
    raw.parent.mkdir()
    raw.write_bytes(PUBLISHED)
    before = written(raw)
    fetched = get(card, raw)
    assert (fetched.kept, fetched.published) == (True, True)
    assert kaggle.requests == []
    assert written(raw) == before


def test_a_client_that_exits_is_one_sentence(
    kaggle: Kaggle,
    card: Card,
    raw: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    from kagglesdk.datasets.services.dataset_api_service import DatasetApiClient

    def leave(*_: object) -> None:
        print("a secret")
        sys.exit(1)

    monkeypatch.setattr(DatasetApiClient, "download_dataset", leave)
    assert "Kaggle's client failed (SystemExit)" in refusal(card, raw)
    assert capfd.readouterr() == ("", "")


def test_a_card_without_a_kaggle_dataset_is_one_sentence(card: Card, raw: Path) -> None:
    assert "names no Kaggle dataset" in refusal(card.model_copy(update={"kaggle": None}), raw)


def test_importing_the_sources_imports_no_client() -> None:
    clients = {"kaggle", "kagglesdk", "requests", "s3fs", "botocore", "rich"}
    code = f"import fraudloop.dataset.sources, sys; print(*({clients!r} & set(sys.modules)))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == []
