"""The commands: what they print, what they leave, and the exit code that scripts go by."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from fraudloop import cli
from fraudloop.ledger import migrate
from fraudloop.ledger.ledger import Ledger
from fraudloop.ledger.records import Decision
from fraudloop.model import bundle as bundles
from tests import fitted

Run = Callable[..., int]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in a project of its own, and give its exit code."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text((fitted.ROOT / "params.yaml").read_text("utf-8"), "utf-8")
    cards = tmp_path / "ml" / "datasets"
    cards.mkdir(parents=True, exist_ok=True)
    for card in (fitted.ROOT / "ml" / "datasets").glob("*.yaml"):
        (cards / card.name).write_text(card.read_text("utf-8"), "utf-8")
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    migrate.migrate(url, migrate.NEWEST)
    monkeypatch.setenv("LEDGER_URL", url)

    def run(*arguments: str | Path) -> int:
        monkeypatch.setattr(sys, "argv", ["fraudloop", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(ended.value.code or 0)

    return run


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """The same rows, dealt in two files."""
    rows = fitted.table().sample(frac=1, random_state=1)
    paths = tmp_path / "then.csv", tmp_path / "now.parquet"
    rows.head(2000).to_csv(paths[0], index=False)
    rows.tail(2000).to_parquet(paths[1])
    return paths


def test_no_drift_is_exit_code_0_and_a_report(
    run: Run, two: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("drift", "--reference", two[0], "--current", two[1], "--out", "out") == 0
    out, err = capsys.readouterr()
    assert out.startswith("No drift: none of 29 tests")
    assert "out/drift.html" in err
    assert json.loads(Path("out/drift.json").read_text("utf-8"))["drift"] is False
    assert Path("out/drift.html").stat().st_size < 1_000_000


def test_drift_is_exit_code_3_and_the_json_is_the_report(
    run: Run, two: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    amount = str(fitted.card().amount)
    rows = pd.read_csv(two[0])
    rows[amount] = rows[amount] * 3 + 50
    rows.to_csv("raised.csv", index=False)
    asked = ("drift", "--card", "credit-card-fraud", "--reference", two[1], "--out", "out")
    assert run(*asked, "--current", "raised.csv", "--json") == 3
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads(Path("out/drift.json").read_text("utf-8"))
    assert printed["drifted"] == [amount]


def test_with_a_bundle_its_card_counts_and_its_scores_are_compared(
    run: Run, two: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = fitted.bundle_of("logistic_regression")
    bundles.save(tmp_path / "bundle", bundle)
    asked = ("drift", "--bundle", "bundle", "--reference", two[0], "--current", two[1])
    assert run(*asked, "--out", "out") == 0
    report = json.loads(Path("out/drift.json").read_text("utf-8"))
    assert set(report["scores"]) == {"score", "prediction"}
    assert report["family"]["tests"] == 31
    assert report["model_version"] == bundle.version
    assert report["synthetic"] is True
    capsys.readouterr()
    assert run(*asked, "--out", "out", "--card", "german-credit") == 1
    assert "the bundle's card is credit-card-fraud, not german-credit" in capsys.readouterr().err


def test_a_report_is_kept_and_listed_by_day(
    run: Run, two: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("drift", "--reference", two[0], "--current", two[1], "--out", "out", "--keep")
    assert run(*asked) == 0
    kept = capsys.readouterr().err.split("kept as ")[1].split()[0]
    assert run("drift-reports") == 0
    listed = capsys.readouterr().out.splitlines()
    assert listed[1].startswith(f"  {kept}  credit-card-fraud  No drift")
    assert run("drift-reports", "--day", listed[0], "--card", "sparkov") == 0
    assert capsys.readouterr().out == ""
    assert run("drift-reports", "--day", "tomorrow") == 1
    assert "'tomorrow' is no day: give YYYY-MM-DD" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--card", "nothing"), 2, "no card 'nothing' in ml/datasets (there: credit-card-fraud,"),
        (("--card", "german-credit"), 1, "then.csv: no column 'Account Balance' (nor 19 more"),
        (("--bundle", "nowhere"), 1, "no manifest.json in nowhere"),
    ],
)
def test_what_cannot_be_compared_is_refused_and_nothing_written(
    run: Run,
    two: tuple[Path, Path],
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    code: int,
    says: str,
) -> None:
    asked = ("drift", "--reference", two[0], "--current", two[1], "--out", "out")
    assert run(*asked, *arguments) == code
    assert says in capsys.readouterr().err
    assert not Path("out").exists()


def test_what_is_inserted_is_what_drift_finds(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("insert", "made", "--card", "german-credit", "--seed", "7") == 0
    said = capsys.readouterr().out.splitlines()
    asked = ("drift", "--card", "german-credit", "--reference", "made/reference.csv")
    assert run(*asked, "--current", "made/current.csv", "--out", "out") == 3
    report = json.loads(Path("out/drift.json").read_text("utf-8"))
    changed = json.loads(Path("made/inserted.json").read_text("utf-8"))
    assert set(report["drifted"]) == set(changed["shifted_columns"])
    assert said == [f"{name}: {how}" for name, how in changed["shifted_columns"].items()]
    assert report["synthetic"] is True
    assert changed["synthetic"] is True
    assert len(pd.read_csv("made/inserted.csv")) == 12_000
    assert len(pd.read_csv("made/current.csv")) == 2_000


def test_rows_are_inserted_into_a_table_as_it_is_written(run: Run) -> None:
    assert run("insert", "first", "--card", "sparkov", "--columns", "3") == 0
    asked = ("insert", "made", "--card", "sparkov", "--source", "first/reference.csv")
    assert run(*asked, "--columns", "5", "--rows", "900", "--shifted", "200") == 0
    source = pd.read_csv("first/reference.csv", dtype=str, keep_default_na=False)
    usual = pd.read_csv("made/reference.csv", dtype=str, keep_default_na=False)
    assert list(usual.columns) == list(source.columns)
    assert set(map(tuple, usual.to_numpy())) <= set(map(tuple, source.to_numpy()))
    changed = json.loads(Path("made/inserted.json").read_text("utf-8"))
    assert changed["synthetic"] is False


def test_outcomes_raise_an_alert_where_a_bound_is_broken(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = fitted.bundle_of("logistic_regression")
    bundles.save(tmp_path / "bundle", bundle)
    assert run("outcomes", "--bundle", "bundle", "--alert") == 0
    assert capsys.readouterr().out == "Nothing can be said: there are no decisions.\n"
    now = datetime.now(UTC)
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}") as ledger:
        made = [
            Decision(f"t{place}", {}, 0.9, 1, bundle.version, now, "online") for place in range(120)
        ]
        ledger.keep(made, card=fitted.card().id)
        for place in range(120):
            ledger.judge(f"t{place}", int(place < 15), "ann", "seen", now)
    assert run("outcomes", "--bundle", "bundle", "--out", "out") == 0
    assert run("outcomes", "--bundle", "bundle", "--alert", "--weighted", "--json") == 3
    out, _ = capsys.readouterr()
    assert "precision 0.125" in out
    assert json.loads(Path("out/outcomes.json").read_text("utf-8"))["alert"] is True
    assert "Synthetic data" in Path("out/outcomes.html").read_text("utf-8")


def test_without_a_ledger_outcomes_say_what_to_do(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LEDGER_URL", "sqlite:///elsewhere.db")
    assert run("outcomes") == 1
    assert "run `fraudloop ledger migrate`" in capsys.readouterr().err
