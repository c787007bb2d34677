"""`fraudloop drift` without tables: what the ledger has that is new, against the training rows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fraudloop.ledger import migrate
from fraudloop.ledger.ledger import Ledger
from fraudloop.ledger.records import Decision
from tests.fitted import PARAMS, ROOT, bundle_of, card, table
from tests.ledger.given import decision
from tests.lifecycle.stores import saved
from tests.test_cli import exit_code, refusal


def decided(first: int, many: int, shift: float = 0.0) -> list[Decision]:
    rows = table()[list(card().columns)].iloc[first : first + many] + shift
    made = decision(decided_at=datetime.now(UTC) - timedelta(seconds=1))
    return [
        replace(made, id=f"d-{first + number}", transaction={str(name): row[name] for name in row})
        for number, row in enumerate(rows.to_dict("records"))
    ]


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The ledger of a project that has no model yet; the project is the current folder."""
    for name in ("params.yaml", str(PARAMS.paths.card)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    monkeypatch.chdir(tmp_path)
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    monkeypatch.setenv("LEDGER_URL", url)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    migrate.migrate(url, migrate.NEWEST)
    return url


def test_each_look_takes_what_is_new_and_exit_code_3_is_drift(
    ledger: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    looking = ("drift", "--out", "report")
    assert exit_code(monkeypatch, *looking) == 1
    assert "no model decides yet" in refusal(capsys.readouterr())
    saved(PARAMS.paths.output, bundle_of("logistic_regression"))
    assert exit_code(monkeypatch, *looking) == 1
    assert "was trained on are not here" in refusal(capsys.readouterr())
    train = PARAMS.paths.prepared / PARAMS.split.use / "train.parquet"
    train.parent.mkdir(parents=True)
    table().to_parquet(train)

    with Ledger.open(ledger) as opened:
        opened.keep(decided(0, 49), card=card().id)
    assert exit_code(monkeypatch, *looking) == 0
    assert "fewer than 50 decisions are new" in capsys.readouterr().err
    assert not Path("report").exists()
    with Ledger.open(ledger) as opened:
        opened.keep(decided(49, 150, shift=3.0), card=card().id)
    assert exit_code(monkeypatch, *looking) == 3
    assert capsys.readouterr().out.startswith("Drift: ")
    assert Path("report/drift.html").is_file()
    # What was looked at is not looked at again, however soon somebody asks.
    assert exit_code(monkeypatch, *looking) == 0
    with Ledger.open(ledger) as opened:
        assert [each.found for each in opened.drift.newest(10, card=card().id)] == [True]


def test_one_table_alone_is_refused(
    ledger: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(monkeypatch, "drift", "--out", "report", "--current", "now.csv") == 2
    assert "wants both --reference and --current" in refusal(capsys.readouterr())
