"""Sparkov's contract: its columns, what is left alone, and its stand-in."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from pyarrow import csv

from fraudloop.dataset import synthetic
from fraudloop.dataset.card import Card, load
from fraudloop.dataset.checks import validate
from fraudloop.dataset.features import encode
from fraudloop.dataset.reading import read_csv
from fraudloop.dataset.records import columns_of, naming, needed
from tests.fitted import ROOT

NAMES = (
    ",trans_date_trans_time,cc_num,merchant,category,amt,first,last,gender,street,city,state,zip,"
    "lat,long,city_pop,job,dob,trans_num,unix_time,merch_lat,merch_long,is_fraud"
)
# In the published file's form, of nobody: an index without a name, quotes where a comma is.
WRITTEN = (
    f"{NAMES}\n"
    "0,2020-06-21 12:14:25,2291163900000000,fraud_Shop and Sons,personal_care,2.86,A,B,M,"
    "1 Any Street,City,SC,29209,34.0,-81.0,333497,Trade,1968-03-19,2da90c7d74bd46a0,1371816865,"
    "33.5,-81.5,0\n"
    '7,2020-12-31 23:59:59,4900000000000000000,"fraud_Shop, Other and Sons",shopping_net,1000,A,B,'
    'F,1 Any Street,City,NY,00501,40.0,-73.0,302,"Trade, general",1990-01-17,324cc204407e99f5,'
    "1371816873,40.5,-73.5,1\n"
)


@pytest.fixture(scope="module")
def card() -> Card:
    return load(ROOT / "ml/datasets/sparkov.yaml")


@pytest.fixture(scope="module")
def table(card: Card) -> pd.DataFrame:
    return pd.DataFrame(synthetic.draw(card, seed=42))


def test_the_card_knows_every_column_of_the_file(card: Card) -> None:
    assert {*card.columns, *card.ignored, card.label.column} == {*NAMES.split(",")}
    assert (card.time, card.entity, card.amount) == ("trans_date_trans_time", "cc_num", "amt")
    assert naming(card) == ("trans_num", "id")


def test_names_streets_and_jobs_are_left_alone(card: Card) -> None:
    assert {"first", "last", "street", "job", "zip"} <= set(card.ignored)
    assert not any(name in " ".join(card.feature_names) for name in ("cc_num", "trans_num", "lat"))


def test_the_file_is_read_as_it_is(card: Card, tmp_path: Path) -> None:
    path = tmp_path / "fraudTest.csv"
    path.write_text(WRITTEN, encoding="utf-8")
    read = validate(read_csv(path, card), card, path)
    assert list(read.columns) == [*card.columns, "is_fraud"]
    assert read["cc_num"].tolist() == ["2291163900000000", "4900000000000000000"]
    assert read["merchant"][1] == "fraud_Shop, Other and Sons"
    matrix = encode(card, {name: read[name].to_numpy() for name in card.columns})
    row = dict(zip(card.feature_names, matrix[0].tolist(), strict=True))
    assert row["hour"] == pytest.approx(12.2403, abs=1e-4)
    assert row["weekday"] == 6  # a Sunday
    assert row["age"] == pytest.approx(52.26, abs=0.01)
    assert row["kilometres to the merchant"] == pytest.approx(72.3, abs=0.5)
    assert row["gender"] == row["category=personal_care"] == 1
    assert sum(row[f"merchant#{bucket}"] for bucket in range(32)) == 1


def test_a_row_of_the_file_can_be_sent_as_it_is(card: Card, tmp_path: Path) -> None:
    path = tmp_path / "fraudTest.csv"
    path.write_text(WRITTEN, encoding="utf-8")
    sent = pd.read_csv(path).rename(columns={"Unnamed: 0": ""}).to_dict("records")
    columns = columns_of(card, list(enumerate(sent)))
    assert list(columns) == list(needed(card))
    read = validate(read_csv(path, card), card, path)
    of_file = encode(card, {name: read[name].to_numpy() for name in card.columns})
    assert encode(card, columns).tobytes() == of_file.tobytes()


def test_the_stand_in_has_the_files_columns_in_their_order(table: pd.DataFrame) -> None:
    assert ",".join(table.columns) == NAMES
    assert len(table) == 60_000
    assert int(table["is_fraud"].sum()) == 240


def test_the_stand_in_fits_its_card(card: Card, tmp_path: Path) -> None:
    path = tmp_path / "fraudTest.csv"
    csv.write_csv(synthetic.to_arrow(synthetic.draw(card, seed=42, rows=3000)), path)
    assert len(validate(read_csv(path, card), card, path)) == 3000


def test_its_rows_are_in_order_and_its_frauds_at_night(table: pd.DataFrame) -> None:
    moments = pd.to_datetime(table["trans_date_trans_time"])
    assert moments.is_monotonic_increasing
    night = moments.dt.hour.isin([22, 23, 0, 1, 2, 3])
    assert night[table["is_fraud"] == 1].mean() > 0.7
    assert night[table["is_fraud"] == 0].mean() < 0.35


def test_a_card_number_is_one_person_in_one_place(table: pd.DataFrame) -> None:
    of_a_person = ["gender", "street", "city", "lat", "long", "dob", "job"]
    assert table.groupby("cc_num")[of_a_person].nunique().max().max() == 1
    assert 800 <= table["cc_num"].nunique() <= 900
    assert (table["lat"] - table["merch_lat"]).abs().max() <= 1.00001


def test_a_merchant_has_one_category(table: pd.DataFrame) -> None:
    assert table.groupby("merchant")["category"].nunique().max() == 1
    assert 650 <= table["merchant"].nunique() <= 700


def test_no_two_transactions_have_one_number(table: pd.DataFrame) -> None:
    assert table["trans_num"].is_unique
    assert table["trans_num"].str.fullmatch("[0-9a-f]{32}").all()
