"""What training refuses is read here, and counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from fraudloop.errors import DataError
from fraudloop.monitoring import tables
from fraudloop.monitoring.tables import Categories, Numbers, held, of_frame, read
from tests.monitoring.cups import card, cups, table

HEADER = "price,size,milk,kind,shop\n"


def written(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "cups.csv"
    path.write_text(HEADER + "\n".join(lines) + "\n", encoding="utf-8")
    return path


def numbers(found: Any) -> tuple[list[float], int, int]:
    assert isinstance(found, Numbers)
    return sorted(found.values.tolist()), found.missing, found.unknown


def categories(found: Any) -> tuple[list[int], int, dict[str, int]]:
    assert isinstance(found, Categories)
    return found.counts.tolist(), found.missing, dict(found.others)


def test_gaps_and_strangers_of_a_csv_are_counted(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "2.5,small,0,tea,a",
        ",huge,1,tea,b",
        "abc,,1.0,mate,",
        "NaN,large,2,mate,c",
        "1e300,large,,,d",
    )
    found = held(read(path, card()), card())
    assert numbers(found["price"]) == ([2.5], 2, 2)
    assert categories(found["size"]) == ([1, 0, 2], 1, {"huge": 1})
    assert categories(found["milk"]) == ([1, 2], 1, {"2": 1})
    assert categories(found["kind"]) == ([0, 0, 0, 2], 1, {"mate": 2})
    counts, missing, others = categories(found["shop"])
    assert (sum(counts), missing, others) == (4, 1, {})
    assert {each.rows for each in found.values()} == {5}


def test_a_parquet_file_says_the_same_as_its_csv(tmp_path: Path) -> None:
    made = cups(300, seed=1)
    frame = pd.DataFrame(made)
    frame.to_csv(tmp_path / "cups.csv", index=False)
    frame.to_parquet(tmp_path / "cups.parquet")
    as_csv, as_parquet = (
        held(read(tmp_path / name, card()), card()) for name in ("cups.csv", "cups.parquet")
    )
    for name in as_csv:
        first, second = as_csv[name], as_parquet[name]
        if isinstance(first, Numbers):
            assert isinstance(second, Numbers)
            assert np.array_equal(first.values, second.values)
        else:
            assert categories(first) == categories(second)


@pytest.mark.parametrize(
    "price",
    [
        pa.array([1, None, 3]),
        pa.array([1.0, float("nan"), 3.0], pa.float32()),
        pa.array(["1", "", "3.0"]),
        pa.array(["1", None, "3"]).dictionary_encode(),
    ],
    ids=["integers", "floats", "texts", "a dictionary"],
)
def test_numbers_are_numbers_however_they_are_kept(price: Any) -> None:
    made = table(cups(3, seed=1)).set_column(0, "price", price)
    assert numbers(held(made, card())["price"]) == ([1.0, 3.0], 1, 0)


def test_a_column_of_nothing_but_gaps_is_a_column_still() -> None:
    made = table(cups(3, seed=1, price=[None] * 3, size=[None] * 3))
    found = held(made, card())
    assert numbers(found["price"]) == ([], 3, 0)
    assert categories(found["size"]) == ([0, 0, 0], 3, {})


def test_categories_of_a_data_frame_are_read_through_its_index_and_dtypes() -> None:
    frame = pd.DataFrame(cups(50, seed=2)).set_index(np.arange(50) * 7)
    frame["size"] = frame["size"].astype("category")
    frame["milk"] = frame["milk"].astype(float)
    found = held(of_frame(frame), card())
    assert sum(categories(found["size"])[0]) == 50
    assert sum(categories(found["milk"])[0]) == 50


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        (
            "cups.csv",
            "price,size\n1,small\n",
            "no column 'milk' (nor 2 more of the card's columns)",
        ),
        ("cups.csv", HEADER, "has no rows"),
        ("cups.csv", "", "is not a CSV that can be read"),
        ("cups.csv", HEADER + "1,small\n", "is not a CSV that can be read"),
        ("cups.csv", HEADER.replace("shop", "shop,price") + "1,small,0,tea,a,1\n", "two columns"),
        ("cups.parquet", "no parquet", "is not a Parquet file that can be read"),
        ("cups.txt", "", "neither .csv nor .parquet"),
    ],
)
def test_what_is_no_table_of_the_card_is_refused_in_one_sentence(
    tmp_path: Path, name: str, content: str, says: str
) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(DataError) as refused:
        read(tmp_path / name, card())
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no table at"):
        read(tmp_path / "none.csv", card())


def test_a_column_of_another_kind_of_thing_is_refused(tmp_path: Path) -> None:
    made = table(cups(2, seed=1)).set_column(0, "price", pa.array([{"a": 1}, {"a": 2}]))
    parquet.write_table(made, tmp_path / "cups.parquet")
    with pytest.raises(DataError, match=r"'price' holds struct.*, not numbers"):
        held(tables.read(tmp_path / "cups.parquet", card()), card())
