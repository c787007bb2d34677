"""A card says all that is to be known of a dataset, or is refused for what contradicts itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fraudloop.dataset.card import Card, load, parse
from fraudloop.dataset.recipes import Recipe
from fraudloop.dataset.words import as_text
from fraudloop.errors import CardError
from tests.dataset.tables import MARKET, MARKET_FEATURES, market, quick

names = st.text("abcXYZ_ é", min_size=1, max_size=6)
categories = st.lists(
    st.text("abc", min_size=1, max_size=3) | st.integers(-5, 5),
    min_size=2,
    max_size=5,
    unique_by=as_text,
)


@st.composite
def columns(draw: st.DrawFn) -> dict[str, dict[str, Any]]:
    """Columns of any kinds in any order, at least one of them a feature."""
    drawn: dict[str, dict[str, Any]] = {}
    for name in draw(st.lists(names, min_size=1, max_size=8, unique=True)):
        kind = draw(st.sampled_from(["numeric", "binary", "nominal", "ordinal", "time", "id"]))
        drawn[name] = {"kind": kind}
        if kind in ("binary", "nominal", "ordinal"):
            drawn[name]["categories"] = draw(categories)[: 2 if kind == "binary" else None]
        elif kind in ("numeric", "time"):
            bounds = sorted(draw(st.tuples(st.integers(-9, 9), st.integers(-9, 9))))
            drawn[name] |= dict(zip(("minimum", "maximum"), bounds, strict=True))
    return {**drawn, "the feature": {"kind": "numeric"}}


def card_of(columns: dict[str, dict[str, Any]]) -> Card:
    content = {"id": "any", "title": "Any", "columns": columns, "label": {"column": "the label"}}
    return parse(yaml.safe_dump(content, sort_keys=False), "any.yaml")


def refusal(text: str) -> str:
    with pytest.raises(CardError) as caught:
        parse(text, "market.yaml")
    message = str(caught.value)
    assert message.startswith("market.yaml")
    assert "\n" not in message
    assert "Value error" not in message  # the library's word, not ours
    return message


def test_features_are_the_columns_in_the_cards_order_then_the_derived() -> None:
    assert market().feature_names == MARKET_FEATURES


@quick
@given(columns())
def test_every_column_but_times_and_ids_becomes_its_features(
    columns: dict[str, dict[str, Any]],
) -> None:
    wanted: list[str] = []
    for name, column in columns.items():
        if column["kind"] == "nominal":
            wanted += [f"{name}={category}" for category in column["categories"]]
        elif column["kind"] not in ("time", "id"):
            wanted.append(name)
    card = card_of(columns)
    assert list(card.feature_names) == wanted
    assert list(card.columns) == list(columns)


@quick
@given(columns())
def test_a_card_survives_being_written_as_json(columns: dict[str, dict[str, Any]]) -> None:
    card = card_of(columns)
    again = Card.model_validate_json(card.model_dump_json())
    assert again == card
    assert again.feature_names == card.feature_names


CONTRADICTIONS = {
    "a misspelt key": ("minimum: 0, maximum", "minimun: 0, maximum", "columns.price.minimun"),
    "an unknown kind": ("kind: time", "kind: moment", "columns.at.kind"),
    "an id with a space": ("id: market", "id: the market", ": id:"),
    "no label": ("label: {column: verdict, ", "tag: {column: verdict, ", ": label:"),
    "the label among the columns": ("column: verdict", "column: price", "'price'"),
    "frauds written as the rest": ("fraud: stolen", "fraud: ' honest'", ": label: "),
    "labels that are truth values": ("fraud: stolen", "fraud: yes", "label.fraud: YAML"),
    "a time that is no time": ("time: at", "time: price", "time names 'price'"),
    "a time that is no column": ("time: at", "time: when", "time names 'when'"),
    "an entity that is a number": ("entity: buyer", "entity: price", "entity names 'price'"),
    "an amount that is a word": ("amount: price", "amount: stall", "amount names 'stall'"),
    "an hour of no time": ("hour_of: at", "hour_of: price", "derived 'hour' names 'price'"),
    "two features of one name": ("name: hour", "name: price", "two features"),
    "a feature named as a category": ("name: hour", "name: stall=7", "two features"),
    "categories of a number": (
        "kind: numeric,",
        "kind: numeric, categories: [1],",
        "columns.price",
    ),
    "no categories": ("[fish, NA, 7]", "[]", "columns.stall"),
    "a binary of three": ('["no", "yes"]', '["no", "yes", maybe]', "columns.abroad: a binary"),
    "a category twice": ("[1, 2, 3]", "[1, 2, '2']", "columns.size: two categories"),
    "a category twice, with a point": ("[1, 2, 3]", "[1, '2.0', 2]", "columns.size: two"),
    "categories that are truth values": ('["no", "yes"]', "[no, yes]", "columns.abroad"),
    "a category that is a fraction": ("[1, 2, 3]", "[1, 2.5, 3]", "columns.size.categories.1"),
    "a range without values": ("minimum: 0, maximum", "minimum: 2000, maximum", "columns.price"),
    "a bound that is no number": ("minimum: 0, maximum", "minimum: .nan, maximum", "columns.price"),
    "a range of words": (
        "kind: nominal,",
        "kind: nominal, minimum: 0,",
        "columns.stall: a nominal",
    ),
    "a column without a name": ("  size:", "  3:", "columns.3"),
}


@pytest.mark.parametrize(
    ("right", "wrong", "named"), CONTRADICTIONS.values(), ids=CONTRADICTIONS.keys()
)
def test_a_card_that_contradicts_itself_is_refused_by_name(
    right: str, wrong: str, named: str
) -> None:
    assert MARKET.count(right) == 1
    assert named in refusal(MARKET.replace(right, wrong))


def test_a_card_without_a_feature_is_refused() -> None:
    text = "{id: a, title: A, columns: {who: {kind: id}, at: {kind: time}}, label: {column: b}}"
    assert "no column of it becomes a feature" in refusal(text)


@pytest.mark.parametrize("text", ["", "- a list", "just words", "columns: [", "a: \x00", "a: {b"])
def test_what_is_no_card_is_said_so(text: str) -> None:
    refusal(text)


def test_a_date_that_is_none_is_no_crash() -> None:
    assert "month" in refusal(MARKET.replace("What was bought on a market", "2026-13-40"))


@pytest.mark.parametrize("slug", ["mlg", "a/b/c", "../etc", "https://kaggle.com/a/b"])
def test_a_kaggle_dataset_is_an_owner_and_a_name(slug: str) -> None:
    assert "kaggle.dataset" in refusal(f"{MARKET}kaggle: {{dataset: '{slug}', file: a.csv}}\n")


RECIPE = """
synthetic:
  rows: 10
  frauds: 1
  duplicates: 0
  seconds: 10
  components: {a: 1.0}
  tails: 5
  lookalikes: {}
  fraud_shift: {}
  fraud_kinds: {}
  amount: {column: price, median: 1, mean: 2, maximum: 3, zeros: 0.1, fraud_median: 1}
"""


def test_a_recipe_draws_the_cards_columns_no_fewer_and_no_more() -> None:
    numbers = """
id: few
title: Few
columns: {at: {kind: time}, a: {kind: numeric}, price: {kind: numeric}}
label: {column: b}
time: at
"""
    recipe = parse(numbers + RECIPE, "here").synthetic
    assert isinstance(recipe, Recipe)
    assert list(recipe.components) == ["a"]
    assert "(a)" in refusal(numbers.replace(" a: {kind: numeric},", "") + RECIPE)
    assert "(c)" in refusal(numbers.replace(" a:", " c: {kind: numeric}, a:") + RECIPE)


def test_a_card_is_read_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "market.yaml"
    path.write_text(MARKET, encoding="utf-8")
    assert load(path) == market()


def test_a_card_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(
        CardError, match=r"no dataset card at .*none\.yaml \(No such file"
    ) as caught:
        load(tmp_path / "none.yaml")
    assert "paths.card" in str(caught.value)
    with pytest.raises(CardError, match="no dataset card"):
        load(tmp_path)


def test_a_card_in_another_encoding_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "card.yaml"
    path.write_bytes(MARKET.replace("fish", "pêche").encode("latin-1"))
    with pytest.raises(CardError, match=r"card\.yaml is not UTF-8 text"):
        load(path)


@pytest.mark.parametrize("what", ["title", "columns", "time"])
def test_a_card_cannot_be_changed(what: str) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        setattr(market(), what, None)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((1, "1"), (1.0, "1"), ("1.0", "1"), (" 1 ", "1"), ("-2.0", "-2"), (2.5, "2.5")),
        *(("01", "01"), ("v1.0", "v1.0"), (".0", ".0"), ("1.00", "1.00"), ("", ""), ("NA", "NA")),
    ],
)
def test_a_whole_number_reads_the_same_with_and_without_a_point(value: Any, text: str) -> None:
    assert as_text(value) == text
