"""`fraudloop users`: who may do what is said by commands, and a password by no argument."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
import typer

from fraudloop import users
from tests.test_cli import exit_code, refusal


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The users file that the environment names; there is none yet."""
    monkeypatch.setenv("FRAUDLOOP_USERS", str(tmp_path / "users.yaml"))
    return tmp_path / "users.yaml"


def send(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """Let this come in on stdin, from a program."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def test_a_user_is_added_listed_and_removed(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    send(monkeypatch, b"correct horse\n")
    added = exit_code(monkeypatch, "users", "add", "till", "--role", "scorer", "--role", "analyst")
    assert added == 0
    assert "correct horse" not in file.read_text(encoding="utf-8")
    assert users.matches(users.load(file)["till"].password_hash, "correct horse")
    capsys.readouterr()
    assert exit_code(monkeypatch, "users", "list") == 0
    assert capsys.readouterr().out == "till\tanalyst, scorer\n"
    assert exit_code(monkeypatch, "users", "remove", "till") == 0
    assert users.load(file) == {}


def test_on_a_terminal_the_password_is_asked_for_and_not_shown(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        """Somebody sits there."""

        def isatty(self) -> bool:
            return True

    asked: list[dict[str, object]] = []

    def prompt(text: str, **options: object) -> str:
        asked.append(options)
        return "battery staple"

    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(typer, "prompt", prompt)
    assert exit_code(monkeypatch, "users", "add", "ana", "--role", "analyst") == 0
    assert asked == [{"hide_input": True, "confirmation_prompt": True, "err": True}]
    assert users.matches(users.load(file)["ana"].password_hash, "battery staple")


@pytest.mark.parametrize(
    ("arguments", "content", "said"),
    [
        (["add", "till", "--role", "scorer"], b"short\n", "the password is too short"),
        (["add", "till", "--role", "boss"], b"correct horse\n", "there is no role 'boss'"),
        (["add", "a:b", "--role", "scorer"], b"correct horse\n", "'a:b' cannot be a user's name"),
        (["add", "till", "--role", "scorer"], b"\xff\xfe\n", "is not text: send it in UTF-8"),
        (["list"], b"", "no users file"),
        (["remove", "till"], b"", "no users file"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    arguments: list[str],
    content: bytes,
    said: str,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    send(monkeypatch, content)
    assert exit_code(monkeypatch, "users", *arguments) == 1
    assert said in refusal(capsys.readouterr())
    assert not file.exists()


def test_a_file_must_be_named_somewhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("FRAUDLOOP_USERS", raising=False)
    assert exit_code(monkeypatch, "users", "list") == 1
    assert "give --file, or set FRAUDLOOP_USERS" in refusal(capsys.readouterr())
