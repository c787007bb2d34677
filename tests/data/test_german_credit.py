"""German credit's contract: its columns, its codes, and its stand-in."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pyarrow import csv

from fraudloop.dataset import synthetic
from fraudloop.dataset.card import Card, Kind, load
from fraudloop.dataset.checks import validate
from fraudloop.dataset.features import encode
from fraudloop.dataset.reading import read_csv
from tests.fitted import ROOT

NAMES = (
    "Account Balance,Duration of Credit (month),Payment Status of Previous Credit,Purpose,"
    "Credit Amount,Value Savings/Stocks,Length of current employment,Instalment per cent,"
    "Sex & Marital Status,Guarantors,Duration in Current address,Most valuable available asset,"
    "Age (years),Concurrent Credits,Type of apartment,No of Credits at this Bank,Occupation,"
    "No of dependents,Telephone,Foreign Worker"
)
# Two rows in the published file's form, of nobody.
WRITTEN = f"""Creditability,{NAMES}
1,4,24,2,3,1500,1,3,2,3,1,2,2,40,3,2,1,3,1,1,1
0,1,48,0,10,9000,5,1,4,2,2,4,4,25,1,1,2,4,2,2,2
"""


@pytest.fixture(scope="module")
def card() -> Card:
    return load(ROOT / "ml/datasets/german-credit.yaml")


@pytest.fixture(scope="module")
def table(card: Card) -> pd.DataFrame:
    return pd.DataFrame(synthetic.draw(card, seed=42))


def test_the_card_names_the_published_columns_in_their_order(card: Card) -> None:
    assert card.id == "german-credit"
    assert list(card.columns) == NAMES.split(",")
    assert len(card.columns) == 20
    kinds = {column.kind for column in card.columns.values()}
    assert kinds == {Kind.NUMERIC, Kind.ORDINAL, Kind.NOMINAL, Kind.BINARY}


def test_nought_is_the_bad_credit(card: Card, tmp_path: Path) -> None:
    assert (card.label.column, card.label.legitimate, card.label.fraud) == ("Creditability", 1, 0)
    path = tmp_path / "german.csv"
    path.write_text(WRITTEN, encoding="utf-8")
    read = validate(read_csv(path, card), card, path)
    assert read["Creditability"].tolist() == [0, 1]
    matrix = encode(card, {name: read[name].to_numpy() for name in card.columns})
    row = dict(zip(card.feature_names, matrix[1].tolist(), strict=True))
    assert row["Credit Amount"] == 9000
    assert row["Purpose=10"] == row["Account Balance=1"] == row["Telephone"] == 1
    assert row["Length of current employment"] == 0
    assert row["log of the amount"] == pytest.approx(np.log1p(9000), abs=1e-4)


def test_the_stand_in_has_the_files_columns_rows_and_bad_credits(
    card: Card, table: pd.DataFrame
) -> None:
    assert list(table.columns) == ["Creditability", *card.columns]
    assert table["Creditability"].value_counts().to_dict() == {1: 700, 0: 300}


def test_the_stand_in_fits_its_card(card: Card, tmp_path: Path) -> None:
    path = tmp_path / "german.csv"
    csv.write_csv(synthetic.to_arrow(synthetic.draw(card, seed=42)), path)
    assert len(validate(read_csv(path, card), card, path)) == 1000


def test_bad_credits_are_longer_and_larger_and_of_emptier_accounts(table: pd.DataFrame) -> None:
    bad, good = table[table["Creditability"] == 0], table[table["Creditability"] == 1]
    assert bad["Duration of Credit (month)"].median() > good["Duration of Credit (month)"].median()
    assert bad["Credit Amount"].median() > good["Credit Amount"].median()
    assert (bad["Account Balance"] == 1).mean() == pytest.approx(0.45, abs=0.1)
    assert (good["Account Balance"] == 1).mean() == pytest.approx(0.20, abs=0.1)


def test_a_seed_is_the_same_bytes_and_another_is_another_table(card: Card) -> None:
    def drawn(seed: int, rows: int) -> bytes:
        file = io.BytesIO()
        csv.write_csv(synthetic.to_arrow(synthetic.draw(card, seed=seed, rows=rows)), file)
        return file.getvalue()

    assert drawn(1, 500) == drawn(1, 500) != drawn(2, 500)
    assert drawn(1, 12_000).count(b"\n") == 12_001
