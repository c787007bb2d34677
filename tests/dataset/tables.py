"""A dataset with every kind of column, small enough to read, and how its rows are drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from hypothesis import settings
from hypothesis import strategies as st

from fraudloop.dataset.card import Card, parse
from fraudloop.dataset.checks import validate
from fraudloop.dataset.reading import read_csv

MARKET = """
id: market
title: What was bought on a market
columns:
  at: {kind: time, minimum: 0}
  price: {kind: numeric, minimum: 0, maximum: 1000.125}
  abroad: {kind: binary, categories: ["no", "yes"]}
  stall: {kind: nominal, categories: [fish, NA, 7]}
  size: {kind: ordinal, categories: [1, 2, 3]}
  buyer: {kind: id}
label: {column: verdict, legitimate: honest, fraud: stolen}
time: at
entity: buyer
amount: price
derived: [{name: hour, hour_of: at}]
"""
MARKET_FEATURES = ("price", "abroad", "stall=fish", "stall=NA", "stall=7", "size", "hour")

# A machine with other work may take long over any one example: only the answer counts.
quick = settings(deadline=None, max_examples=40)
quicker = settings(quick, max_examples=15)
thorough = settings(quick, max_examples=100)


def market() -> Card:
    return parse(MARKET, "market.yaml")


def purchases(
    min_size: int = 1, max_size: int = 20, *, coarse: bool = False
) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Rows that fit the market's card; coarse ones are often equal."""
    some = st.sampled_from
    row = st.fixed_dictionaries(
        {
            "at": some([0.0, 60.0, 86400.0]) if coarse else st.floats(0, 1e7),
            "price": some([0.0, -0.0, 2.5]) if coarse else st.floats(0, 1000.125),
            "abroad": some(["no", "yes"]),
            "stall": some(["fish", "7"] if coarse else ["fish", "NA", "7"]),
            "size": some(["1", "1.0"] if coarse else ["1", "2", "2.0", "3"]),
            "buyer": some(["ann", "bob", "NA", "007"]),
            "verdict": some(["honest", "stolen"]),
        }
    )
    return st.lists(row, min_size=min_size, max_size=max_size)


def written(rows: list[dict[str, Any]]) -> str:
    """The rows as CSV: numbers with all their digits, so that nothing is lost."""
    lines = [[*rows[0]]]
    lines += [
        [v if isinstance(v := row[name], str) else repr(v) for name in rows[0]] for row in rows
    ]
    return "".join(",".join(line) + "\n" for line in lines)


def checked(path: Path, text: str) -> pd.DataFrame:
    """The market's table in `text`, by way of a file at `path`: read and validated."""
    path.write_text(text, encoding="utf-8")
    return validate(read_csv(path, market()), market(), path)


def with_both(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows, the first of them honest and the last stolen: a table needs both."""
    ends = [{**rows[0], "verdict": "honest"}, {**rows[-1], "verdict": "stolen"}]
    return [ends[0], *rows[1:-1], ends[1]]
