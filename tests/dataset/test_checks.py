"""What fits its card passes; the first value that does not is named; what passed is counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudloop.dataset.card import Card, parse
from fraudloop.dataset.checks import report, schema, validate
from fraudloop.dataset.features import LARGEST
from fraudloop.dataset.split import Part, Rows, split
from fraudloop.errors import DataError
from tests.dataset.tables import MARKET, checked, market, purchases, quicker, with_both, written

ROW: dict[str, Any] = {"at": 60.0, "price": 2.5, "abroad": "no", "stall": "fish"}
ROW |= {"size": "1", "buyer": "ann", "verdict": "honest"}
HONEST, STOLEN = ROW, {**ROW, "at": 120.0, "verdict": "stolen"}

# What does not fit, as it stands in the file, and what is said of it.
MISFITS = [
    ("at", "", "has no value"),
    ("at", "nan", "has no value"),
    ("at", "-0.5", "holds -0.5, which is below 0"),
    ("at", "inf", "holds inf, which is out of range"),
    ("price", "", "has no value"),
    ("price", "-1e-9", "holds -1e-09, which is below 0"),
    ("price", "1000.25", "holds 1000.25, which is above 1000.125"),
    ("price", "-inf", "holds -inf, which is out of range"),
    ("price", "1e39", "holds 1e+39, which is out of range"),
    ("abroad", "", "has no value"),
    ("abroad", "maybe", "holds 'maybe', which is none of no, yes"),
    ("abroad", "Yes", "holds 'Yes', which is none of no, yes"),
    ("stall", "", "has no value"),
    ("stall", "boats", "holds 'boats', which is none of 7, NA, fish"),
    ("size", "4", "holds '4', which is none of 1, 2, 3"),
    ("size", "1.5", "holds '1.5', which is none of 1, 2, 3"),
    ("buyer", "", "has no value"),
    ("verdict", "", "has no value"),
    ("verdict", "1", "holds '1', which is none of honest, stolen"),
    ("verdict", "Stolen", "holds 'Stolen', which is none of honest, stolen"),
]


@quicker
@given(
    rows=purchases(min_size=3).map(with_both),
    misfit=st.sampled_from(MISFITS),
    place=st.integers(0, 10**6),
)
def test_any_value_that_does_not_fit_is_named_with_its_line(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[dict[str, Any]],
    misfit: tuple[str, str, str],
    place: int,
) -> None:
    (column, text, said), row = misfit, place % len(rows)
    spoilt = [{**each, column: text} if i == row else each for i, each in enumerate(rows)]
    path = tmp_path_factory.getbasetemp() / "market.csv"
    with pytest.raises(DataError) as caught:
        checked(path, written(spoilt))
    message = f"{path}, line {row + 2}: column '{column}' {said}: correct or remove the line"
    assert str(caught.value) == message


@pytest.mark.parametrize(("column", "text", "said"), MISFITS)
def test_no_misfit_passes(tmp_path: Path, column: str, text: str, said: str) -> None:
    rows = [HONEST, STOLEN, {**ROW, column: text}]
    with pytest.raises(DataError) as caught:
        checked(tmp_path / "m.csv", written(rows))
    assert f"m.csv, line 4: column '{column}' {said}:" in str(caught.value)


@quicker
@given(rows=purchases(min_size=2).map(with_both))
def test_whatever_fits_passes_with_its_label_as_0_and_1(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    table = checked(tmp_path_factory.getbasetemp() / "market.csv", written(rows))
    assert table["verdict"].dtype == np.int8
    assert table["verdict"].tolist() == [int(row["verdict"] == "stolen") for row in rows]
    assert table["price"].tolist() == [row["price"] for row in rows]
    assert table["buyer"].tolist() == [row["buyer"] for row in rows]


def test_the_bounds_of_a_range_belong_to_it(tmp_path: Path) -> None:
    rows = [{**HONEST, "at": 0.0, "price": 0.0}, {**STOLEN, "price": 1000.125}]
    assert checked(tmp_path / "m.csv", written(rows))["price"].tolist() == [0.0, 1000.125]


def test_the_largest_number_that_fits_is_one_a_feature_can_hold(tmp_path: Path) -> None:
    card = parse(MARKET.replace(", minimum: 0, maximum: 1000.125", ""), "market.yaml")
    table = pd.DataFrame([{**HONEST, "price": LARGEST}, {**STOLEN, "price": -LARGEST}])
    validate(table, card, tmp_path / "m.csv")
    path = tmp_path / "m.csv"
    beyond = [HONEST, {**STOLEN, "price": np.nextafter(LARGEST, np.inf).item()}]
    path.write_text(written(beyond))
    with pytest.raises(DataError, match=r"line 3: column 'price' .* out of range"):
        validate(pd.DataFrame(beyond), card, path)


def test_a_category_written_two_ways_is_one_category(tmp_path: Path) -> None:
    rows = [{**HONEST, "size": "1.0", "stall": "7"}, {**STOLEN, "size": "1", "stall": " 7.0"}]
    table = checked(tmp_path / "m.csv", written(rows))
    assert table["size"].tolist() == ["1", "1"]
    assert table["stall"].tolist() == ["7", "7"]


@pytest.mark.parametrize(
    ("verdict", "said"), [("honest", "holds no fraud"), ("stolen", "holds nothing but fraud")]
)
def test_a_table_without_both_labels_is_refused(tmp_path: Path, verdict: str, said: str) -> None:
    with pytest.raises(DataError, match=rf"m\.csv {said} \(column 'verdict'\)"):
        checked(tmp_path / "m.csv", written([{**ROW, "verdict": verdict}] * 3))


def test_a_value_that_fails_twice_is_counted_once(tmp_path: Path) -> None:
    rows = [HONEST, STOLEN, {**ROW, "price": "-inf"}]  # below the minimum, and not finite
    with pytest.raises(DataError) as caught:
        checked(tmp_path / "m.csv", written(rows))
    assert "in all" not in str(caught.value)


def test_on_one_line_the_cards_first_column_is_named(tmp_path: Path) -> None:
    rows = [HONEST, STOLEN, {**ROW, "verdict": "2", "abroad": "maybe", "buyer": ""}]
    with pytest.raises(DataError, match=r"line 4: column 'abroad' .*in all 3 values do not fit"):
        checked(tmp_path / "m.csv", written(rows))


def test_the_schema_has_the_cards_columns_and_its_label() -> None:
    assert list(schema(market()).columns) == [*market().columns, "verdict"]


def reported(table: pd.DataFrame, card: Card, synthetic: bool = False) -> dict[str, Any]:
    ways = split(table, card, validation=0.2, test=0.2, seed=1)
    return report(table, card, ways, {"synthetic": synthetic, "published": not synthetic})


def test_the_report_has_what_can_be_counted_in_a_table(tmp_path: Path) -> None:
    rows = [
        {**HONEST, "price": 1.0},
        {**HONEST, "price": 2.0, "stall": "7", "size": "3"},
        {**STOLEN, "price": 6.0, "buyer": "bob"},
        {**STOLEN, "price": 6.0, "buyer": "bob"},
        {**HONEST, "price": 1.0, "size": "1.0"},  # the first again
    ]
    about = reported(checked(tmp_path / "m.csv", written(rows)), market())
    columns = about.pop("columns")
    assert set(about.pop("splits")) == {"temporal", "stratified"}
    assert about == {
        "dataset": "market",
        "title": "What was bought on a market",
        "synthetic": False,
        "published": True,
        "rows": 5,
        "frauds": 2,
        "fraud_rate": 0.4,
        "duplicates": 2,
    }
    assert list(columns) == list(market().columns)
    assert columns["price"] == {
        "kind": "numeric",
        "missing": 0,
        "minimum": 1.0,
        "median": 2.0,
        "mean": 3.2,
        "maximum": 6.0,
        "standard_deviation": pytest.approx(np.std([1, 2, 6, 6, 1], ddof=1), rel=1e-7),
    }
    assert columns["stall"]["counts"] == {"fish": 4, "NA": 0, "7": 1}
    assert columns["size"]["counts"] == {"1": 4, "2": 0, "3": 1}
    assert columns["abroad"] == {"kind": "binary", "missing": 0, "counts": {"no": 5, "yes": 0}}
    assert columns["buyer"] == {"kind": "id", "missing": 0, "distinct": 2}
    assert columns["at"]["kind"] == "time"
    assert (columns["at"]["minimum"], columns["at"]["maximum"]) == (60.0, 120.0)


def test_a_report_on_synthetic_data_says_so_in_its_title() -> None:
    table = pd.DataFrame([{**HONEST, "verdict": 0}, {**STOLEN, "verdict": 1}])
    assert "synthetic data" in reported(table, market(), synthetic=True)["title"]
    assert "synthetic data" not in reported(table, market(), synthetic=False)["title"]


@quicker
@given(rows=purchases(min_size=2).map(with_both))
def test_a_report_is_plain_json_with_no_more_than_eight_digits(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    table = checked(tmp_path_factory.getbasetemp() / "market.csv", written(rows))
    about = reported(table, market())
    assert json.loads(json.dumps(about, allow_nan=False)) == about
    for figure in about["columns"]["price"].values():
        if isinstance(figure, float):
            assert figure == float(f"{figure:.8g}")


def test_each_part_of_a_split_is_reported_with_its_frauds_and_the_time_it_spans() -> None:
    rows = [{**ROW, "at": float(i), "verdict": int(i in (1, 2, 9))} for i in range(10)]
    table = pd.DataFrame(rows)
    parts: dict[Part, Rows] = {
        "train": np.arange(6),
        "validation": np.arange(6, 10),
        "test": np.arange(0),
    }
    about = report(table, market(), {"by hand": parts}, {"synthetic": False})
    assert about["splits"]["by hand"] == {
        "train": {"rows": 6, "frauds": 2, "fraud_rate": 0.33333333, "from": 0.0, "to": 5.0},
        "validation": {"rows": 4, "frauds": 1, "fraud_rate": 0.25, "from": 6.0, "to": 9.0},
        "test": {"rows": 0, "frauds": 0, "fraud_rate": 0.0},
    }
    timeless = parse(MARKET.replace("time: at\n", ""), "market.yaml")
    about = report(table, timeless, {"by hand": parts}, {"synthetic": False})
    assert about["splits"]["by hand"]["train"] == {"rows": 6, "frauds": 2, "fraud_rate": 0.33333333}
