"""`fraudloop ledger` and `fraudloop users --ledger`, as they are typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from fraudloop.ledger.ledger import Ledger
from fraudloop.ledger.migrate import NEWEST
from fraudloop.ledger.records import Decision
from tests.dataset.tables import MARKET
from tests.ledger.given import decision
from tests.test_cli import exit_code, refusal
from tests.test_cli_users import send

PURCHASE = {"at": 0, "price": 2, "abroad": "no", "stall": "7", "size": 1, "buyer": "ann"}


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address that the environment names; there is no ledger yet."""
    address = f"sqlite:///{tmp_path}/kept/ledger.db"
    monkeypatch.setenv("LEDGER_URL", address)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    return address


def keep(url: str, *decisions: Decision) -> None:
    with Ledger.open(url) as ledger:
        ledger.keep(decisions, card="market")


def test_from_no_ledger_to_a_training_file(
    url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    verdict = ("ledger", "verdict", "t-1", "--true-value", "1", "--by", "ana", "--why", "called")
    assert exit_code(monkeypatch, *verdict) == 1
    assert "run `fraudloop ledger migrate`" in refusal(capsys.readouterr())
    assert exit_code(monkeypatch, "ledger", "migrate") == 0
    assert f"revision base → {NEWEST}" in capsys.readouterr().err
    assert exit_code(monkeypatch, "ledger", "migrate") == 0
    assert f"at revision {NEWEST} already" in capsys.readouterr().err
    assert exit_code(monkeypatch, *verdict) == 1
    assert "there is no decision 't-1'" in refusal(capsys.readouterr())
    keep(url, *(decision(f"t-{n}", transaction=PURCHASE) for n in range(4)))
    assert exit_code(monkeypatch, *verdict) == 0
    assert capsys.readouterr() == ("", "t-1: true value 1, by ana\n")
    file = tmp_path / "verdicts.csv"
    file.write_text("id,true_value\nt-0,0\nt-2,0\nnone,1\n", encoding="utf-8")
    importing = ("ledger", "import-verdicts", file, "--by", "bo", "--why", "list")
    assert exit_code(monkeypatch, *importing) == 1
    err = capsys.readouterr().err
    assert "2 verdicts added, 0 were there already" in err
    assert "line 4: there is no decision 'none'" in err
    assert "1 lines of" in err
    (tmp_path / "market.yaml").write_text(MARKET, encoding="utf-8")
    out = tmp_path / "validated.csv"
    exporting = ("ledger", "export-validated", out, "--card", tmp_path / "market.yaml", "--if-any")
    assert exit_code(monkeypatch, *exporting) == 0
    assert "3 rows, 1 frauds" in capsys.readouterr().err
    assert out.read_text(encoding="utf-8") == (
        "at,price,abroad,stall,size,buyer,verdict\n"
        "0,2,no,7,1,ann,honest\n0,2,no,7,1,ann,stolen\n0,2,no,7,1,ann,honest\n"
    )


def test_a_scheduler_may_export_before_anything_is_judged(
    url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert exit_code(monkeypatch, "ledger", "migrate") == 0
    capsys.readouterr()
    keep(url, decision("t-1", transaction=PURCHASE))
    (tmp_path / "market.yaml").write_text(MARKET, encoding="utf-8")
    out = tmp_path / "validated.csv"
    exporting = ("ledger", "export-validated", out, "--card", tmp_path / "market.yaml")
    assert exit_code(monkeypatch, *exporting) == 1
    assert "has a verdict yet" in refusal(capsys.readouterr())
    assert exit_code(monkeypatch, *exporting, "--if-any") == 0
    assert "has a verdict yet: nothing was written" in capsys.readouterr().err
    assert not out.exists()


def test_a_revision_may_be_named(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(monkeypatch, "ledger", "migrate", "--to", "0001") == 0
    assert exit_code(monkeypatch, "ledger", "migrate", "--to", "base") == 0
    assert "revision 0001 → base" in capsys.readouterr().err
    assert exit_code(monkeypatch, "ledger", "migrate", "--to", "9") == 1
    assert "take one of base, 0001, 0002" in refusal(capsys.readouterr())


def test_a_true_value_is_0_or_1(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    verdict = ("ledger", "verdict", "t-1", "--true-value", "2", "--by", "ana", "--why", "called")
    assert exit_code(monkeypatch, *verdict) == 2


def test_the_password_in_an_address_is_said_nowhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LEDGER_URL", "mysql://u:s3cr3t@h/d")
    assert exit_code(monkeypatch, "ledger", "migrate") == 2
    assert "s3cr3t" not in refusal(capsys.readouterr())


def test_users_may_be_in_the_ledger(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    exit_code(monkeypatch, "ledger", "migrate")
    send(monkeypatch, b"correct horse\n")
    add = ("users", "add", "till", "--role", "scorer", "--role", "analyst", "--ledger")
    assert exit_code(monkeypatch, *add) == 0
    with Ledger.open(url) as ledger:
        assert "correct horse" not in ledger.users.all()["till"].password_hash
    capsys.readouterr()
    assert exit_code(monkeypatch, "users", "list", "--ledger") == 0
    assert capsys.readouterr().out == "till\tanalyst, scorer\n"
    assert exit_code(monkeypatch, "users", "remove", "till", "--ledger") == 0
    capsys.readouterr()
    assert exit_code(monkeypatch, "users", "remove", "till", "--ledger") == 1
    assert "no user 'till'" in refusal(capsys.readouterr())
    assert exit_code(monkeypatch, "users", "list", "--ledger", "--file", "u.yaml") == 1
    assert "leave one of --file and --ledger" in refusal(capsys.readouterr())
