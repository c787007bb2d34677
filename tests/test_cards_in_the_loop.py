"""What comes after the score, on every card: verdicts that become training data, and drift."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from fraudloop.dataset.checks import validate
from fraudloop.dataset.reading import read_csv
from fraudloop.ledger.export import export_validated
from fraudloop.ledger.ledger import Ledger
from fraudloop.ledger.migrate import migrate
from fraudloop.model import bundle as bundles
from fraudloop.monitoring import comparing, tables
from fraudloop.progress import Silent
from fraudloop.training.fit import score
from tests.every_card import EVERY_CARD, Small, small
from tests.ledger.given import NOON, decision


@pytest.fixture(scope="module", params=EVERY_CARD)
def its(request: pytest.FixtureRequest) -> Small:
    return small(request.param)


def test_confirmed_decisions_are_read_back_as_they_were_decided(its: Small, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    migrate(url)
    card = its.card
    given = dict(zip(its.ids[:40], its.records, strict=False))
    with Ledger.open(url) as ledger:
        ledger.keep([decision(id, transaction=each) for id, each in given.items()], card=card.id)
        for place, id in enumerate(given):
            ledger.judge(id, place % 2, "ana", "seen", NOON)
        path = tmp_path / "validated.csv"
        done = export_validated(ledger, card, str(path))
    assert (done.rows, done.frauds, done.left_out) == (40, 20, 0)
    table = validate(read_csv(path, card), card, path)
    back = sorted(score(its.pipeline, table, card))
    assert back == pytest.approx(sorted(its.scores[:40]), abs=1e-6)


def test_drift_with_the_models_scores(its: Small, tmp_path: Path) -> None:
    bundles.save(tmp_path / "bundle", its.bundle)
    shuffled = its.rows.sample(frac=1, random_state=1)
    half = len(shuffled) // 2
    shuffled.head(half).to_csv(tmp_path / "then.csv", index=False)
    current = shuffled.tail(len(shuffled) - half)
    pd.DataFrame(current).drop(columns="", errors="ignore").to_parquet(tmp_path / "now.parquet")
    asked = comparing.Asked(
        tmp_path / "then.csv", tmp_path / "now.parquet", None, tmp_path / "bundle", None, True
    )
    _, report = comparing.compare_files(asked, its.params, Silent())
    assert not report["drift"]
    assert [*report["columns"]] == [*tables.tested(its.card)]
    assert [*report["scores"]] == ["score", "prediction"]
    assert "cannot be scored" not in str(report)
