"""The data's contract: the default card, the payload that is sent with it, and the stand-in."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyarrow import csv

from fraudloop.dataset import synthetic
from fraudloop.dataset.card import Card, Kind, load
from fraudloop.dataset.features import encode
from fraudloop.dataset.recipes import Recipe
from fraudloop.dataset.records import columns_of
from fraudloop.dataset.split import require_fraud, split

ROOT = Path(__file__).parents[2]
CARD = ROOT / "ml/datasets/creditcard.yaml"
PAYLOAD = ROOT / "ml/input/api/payload.json"
MD5 = "f700598753e673bfb5baeffb27c2e631"  # of the whole table as CSV, seed 42

COMPONENTS = [f"V{i}" for i in range(1, 29)]
DEVIATIONS = [1.96, 1.65, 1.52, 1.42, 1.38, 1.33, 1.24, 1.19, 1.10, 1.09, 1.02, 1.00, 1.00, 0.96]
DEVIATIONS += [0.92, 0.88, 0.85, 0.84, 0.81, 0.77, 0.73, 0.73, 0.62, 0.61, 0.52, 0.48, 0.40, 0.33]
SHIFTS = {"V1": -4.8, "V2": 3.6, "V3": -7.0, "V4": 4.5, "V5": -3.2, "V6": -1.4, "V7": -5.6}
SHIFTS |= {"V8": 0.6, "V9": -2.6, "V10": -5.7, "V11": 3.8, "V12": -6.3, "V14": -7.0, "V16": -4.1}
SHIFTS |= {"V17": -6.7, "V18": -2.2, "V19": 0.7, "V20": 0.4, "V21": 0.7}


@pytest.fixture(scope="module")
def card() -> Card:
    return load(CARD)


@pytest.fixture(scope="module")
def table(card: Card) -> pd.DataFrame:
    return pd.DataFrame(synthetic.draw(card, seed=42))


@pytest.fixture(scope="module")
def frauds(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["Class"] == 1]


@pytest.fixture(scope="module")
def payload() -> dict[str, dict[str, Any]]:
    return dict(json.loads(PAYLOAD.read_text(encoding="utf-8")))


def md5_of(drawn: dict[str, Any]) -> str:
    file = io.BytesIO()
    csv.write_csv(synthetic.to_arrow(drawn), file)
    return hashlib.md5(file.getbuffer()).hexdigest()


# The card


def test_the_card_names_the_published_columns_in_their_order(card: Card) -> None:
    assert card.id == "credit-card-fraud"
    assert list(card.columns) == ["Time", *COMPONENTS, "Amount"]
    assert (card.label.column, card.label.legitimate, card.label.fraud) == ("Class", 0, 1)
    assert (card.time, card.amount) == ("Time", "Amount")
    assert {name for name, column in card.columns.items() if column.kind is Kind.TIME} == {"Time"}


def test_the_card_knows_the_published_file(card: Card) -> None:
    expected = card.expected
    assert (expected.rows, expected.frauds, expected.bytes) == (284_807, 492, 150_828_752)
    assert expected.md5 == "e90efcb83d69faf99fcab8b0255024de"
    assert card.kaggle is not None
    assert (card.kaggle.dataset, card.kaggle.file) == ("mlg-ulb/creditcardfraud", "creditcard.csv")


def test_a_feature_is_never_the_time_itself_but_its_hour(card: Card) -> None:
    assert card.feature_names == (*COMPONENTS, "Amount", "Hour")


def test_neither_time_nor_amount_may_be_negative(card: Card) -> None:
    bounded = {name for name, column in card.columns.items() if column.minimum == 0}
    assert bounded == {"Time", "Amount"}


def test_the_recipe_is_the_published_files_shape(card: Card) -> None:
    recipe = card.synthetic
    assert isinstance(recipe, Recipe)
    assert list(recipe.components) == COMPONENTS
    assert list(recipe.components.values()) == DEVIATIONS
    assert recipe.fraud_shift == SHIFTS
    assert (recipe.rows, recipe.frauds) == (card.expected.rows, card.expected.frauds)
    hidden = [kind for kind in recipe.fraud_kinds.values() if kind.shift < 0.1]
    assert sum(kind.share for kind in hidden) == pytest.approx(1 / 6, abs=0.03)
    assert sum(kind.share for kind in recipe.fraud_kinds.values()) == pytest.approx(1)


# The payload


def test_the_payloads_transactions_have_exactly_the_cards_columns(
    card: Card, payload: dict[str, dict[str, Any]]
) -> None:
    assert 2 <= len(payload) <= 20
    for transaction in payload.values():
        assert list(transaction) == list(card.columns)


def test_the_payload_can_be_scored(card: Card, payload: dict[str, dict[str, Any]]) -> None:
    matrix = encode(card, columns_of(card, payload.items()))
    assert matrix.shape == (len(payload), len(card.feature_names))
    assert np.isfinite(matrix).all()


def test_the_payload_holds_frauds_and_others_of_the_stand_in(
    table: pd.DataFrame, payload: dict[str, dict[str, Any]]
) -> None:
    sent = pd.DataFrame(list(payload.values()))
    found = sent.merge(table.drop_duplicates(), on=list(sent.columns))
    assert len(found) == len(sent)
    assert set(found["Class"]) == {0, 1}


def test_the_payload_is_of_rows_no_model_was_trained_on(
    card: Card, table: pd.DataFrame, payload: dict[str, dict[str, Any]]
) -> None:
    ways = split(table, card, validation=0.2, test=0.2, seed=42)
    trained_until = table["Time"].to_numpy()[ways["temporal"]["train"]].max()
    assert all(transaction["Time"] > trained_until for transaction in payload.values())


# The stand-in


def test_it_has_the_published_rows_frauds_and_columns(card: Card, table: pd.DataFrame) -> None:
    assert list(table.columns) == [*card.columns, "Class"]
    assert len(table) == 284_807
    assert table["Class"].value_counts().to_dict() == {0: 284_315, 1: 492}
    assert np.isfinite(table.to_numpy()).all()


def test_components_spread_as_the_published_ones_to_two_decimals(table: pd.DataFrame) -> None:
    assert table[COMPONENTS].std().round(2).tolist() == DEVIATIONS
    assert np.abs(table[COMPONENTS].mean()).max() < 0.01


def test_no_two_components_are_correlated(table: pd.DataFrame) -> None:
    correlations = np.corrcoef(table[COMPONENTS].to_numpy(), rowvar=False) - np.eye(28)
    assert np.abs(correlations).max() <= 0.01


def test_components_have_heavy_tails(table: pd.DataFrame) -> None:
    legitimate = table.loc[table["Class"] == 0, COMPONENTS]
    assert (legitimate.kurt() > 1).all()  # 0 is the normal distribution's


def test_frauds_are_moved_by_the_cards_shifts(frauds: pd.DataFrame) -> None:
    moved = frauds[COMPONENTS].mean()
    for name in COMPONENTS:
        assert moved[name] == pytest.approx(SHIFTS.get(name, 0.0), abs=0.6), name


def test_frauds_spread_two_to_eight_times_as_wide(frauds: pd.DataFrame) -> None:
    assert (frauds[COMPONENTS].std() / DEVIATIONS).between(2, 8).all()


def test_about_a_sixth_of_the_frauds_is_hardly_moved(
    table: pd.DataFrame, frauds: pd.DataFrame
) -> None:
    def distance(rows: pd.DataFrame) -> pd.Series[float]:
        return (rows[COMPONENTS] / DEVIATIONS).pow(2).sum(axis=1)

    usual = distance(table[table["Class"] == 0]).quantile(0.99)
    assert (distance(frauds) < usual).mean() == pytest.approx(1 / 6, abs=0.04)


def test_two_days_with_few_payments_at_night(table: pd.DataFrame) -> None:
    assert table["Time"].is_monotonic_increasing
    assert table["Time"].iloc[0] >= 0
    assert 172_000 < table["Time"].iloc[-1] <= 172_792
    for day in (0, 1):
        times = table["Time"][table["Time"] // 86_400 == day]
        hourly = np.bincount(times % 86_400 // 3600, minlength=24)
        assert hourly.argmin() in (3, 4)
        assert hourly.min() < np.median(hourly) / 3


def test_fraud_does_not_sleep(table: pd.DataFrame, frauds: pd.DataFrame) -> None:
    def at_night(rows: pd.DataFrame) -> float:
        return float((rows["Time"] % 86_400 // 3600).between(2, 5).mean())

    assert at_night(frauds) > 2 * at_night(table)


def test_amounts_are_like_the_published_ones(table: pd.DataFrame, frauds: pd.DataFrame) -> None:
    amount = table["Amount"]
    assert amount.median() == pytest.approx(22, abs=1)
    assert amount.mean() == pytest.approx(88, abs=3)
    assert amount.max() == 25_691.16
    assert amount.min() == 0
    assert 1000 < (amount == 0).sum() < 3000
    assert amount.equals(amount.round(2))
    assert frauds["Amount"].median() < amount.median()


def test_1081_rows_are_exact_duplicates_none_of_them_a_fraud(table: pd.DataFrame) -> None:
    again = table.duplicated()
    assert again.sum() == 1081
    assert table.loc[again, "Class"].sum() == 0


def test_it_is_the_same_bytes_in_every_process(card: Card, table: pd.DataFrame) -> None:
    assert md5_of({str(name): table[name].to_numpy() for name in table}) == MD5
    program = "import tests.data.test_default_card as t; "
    program += "print(t.md5_of(t.synthetic.draw(t.load(t.CARD), seed=42)))"
    other = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": "123", "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert other.stdout.strip() == MD5


def test_another_seed_is_another_table(card: Card) -> None:
    tables = [md5_of(synthetic.draw(card, seed=seed, rows=2000)) for seed in (42, 42, 43)]
    assert tables[0] == tables[1] != tables[2]


@pytest.mark.parametrize("rows", [1000, 5790, 28_480, 56_961])
def test_fewer_rows_keep_the_rate_of_frauds(card: Card, rows: int) -> None:
    labels = synthetic.draw(card, seed=42, rows=rows)["Class"]
    assert len(labels) == rows
    assert abs(int(labels.astype(int).sum()) - 492 / 284_807 * rows) <= 0.5


@pytest.mark.parametrize("way", ["temporal", "stratified"])
def test_both_splits_of_it_can_be_trained_and_judged_on(
    card: Card, table: pd.DataFrame, way: str
) -> None:
    parts = split(table, card, validation=0.2, test=0.2, seed=42)[way]
    labels = table["Class"].to_numpy()
    require_fraud(way, {part: int(labels[rows].sum()) for part, rows in parts.items()})
    assert all(labels[rows].sum() > 60 for rows in parts.values())
    sizes = [len(rows) / len(table) for rows in parts.values()]
    assert sizes == pytest.approx([0.6, 0.2, 0.2], abs=1e-4)
    inside = np.zeros(len(table), dtype=np.int8)
    for place, rows in enumerate(parts.values()):
        inside[rows] = place
    columns = list(card.columns)
    keys = table[columns].assign(part=inside)
    assert keys.drop_duplicates().duplicated(subset=columns).sum() == 0  # no twin on another side
