"""The dataset card: one YAML file that says all a program must know of a dataset."""

from __future__ import annotations

from enum import StrEnum
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from fraudloop.documents import Document, Share, from_yaml, read_text
from fraudloop.errors import CardError


class Kind(StrEnum):
    """What a column holds, which decides how it is read, checked and encoded."""

    NUMERIC = "numeric"
    BINARY = "binary"
    NOMINAL = "nominal"
    ORDINAL = "ordinal"
    TIME = "time"
    ID = "id"


CATEGORICAL = frozenset({Kind.BINARY, Kind.NOMINAL, Kind.ORDINAL})
MEASURED = frozenset({Kind.NUMERIC, Kind.TIME})


def _no_truth_value(value: Any) -> Any:
    if value is True or value is False:
        raise ValueError("YAML reads yes, no, true and false as truth values: quote the word")
    return value


Category = Annotated[str | int, BeforeValidator(_no_truth_value)]


def as_text(value: Category | float) -> str:
    """How a category reads: whole numbers without a point, so that CSV and JSON agree."""
    text = str(value).strip()
    return text[:-2] if text.endswith(".0") and text[:-2].lstrip("-").isdigit() else text


class Column(Document):
    """One column of a transaction."""

    kind: Kind
    minimum: float | None = None
    maximum: float | None = None
    categories: tuple[Category, ...] = ()

    @model_validator(mode="after")
    def _categories_belong_to_categorical_kinds(self) -> Self:
        if (self.kind in CATEGORICAL) != bool(self.categories):
            raise ValueError(f"a {self.kind} column has categories exactly if it is categorical")
        if len({as_text(category) for category in self.categories}) < len(self.categories):
            raise ValueError("two categories read the same")
        if self.kind is Kind.BINARY and len(self.categories) != 2:
            raise ValueError("a binary column has two categories: the first is 0, the second 1")
        return self

    @model_validator(mode="after")
    def _range_can_be_kept(self) -> Self:
        bounds = [bound for bound in (self.minimum, self.maximum) if bound is not None]
        if bounds and self.kind not in MEASURED:
            raise ValueError(f"a {self.kind} column has no minimum or maximum")
        if not all(map(isfinite, bounds)) or bounds != sorted(bounds):
            raise ValueError("no value lies between its minimum and its maximum")
        return self


class Label(Document):
    """The column that tells fraud from legitimate, and how each is written."""

    column: str
    legitimate: Category = 0
    fraud: Category = 1

    @model_validator(mode="after")
    def _values_differ(self) -> Self:
        if as_text(self.legitimate) == as_text(self.fraud):
            raise ValueError("fraud and legitimate are written alike")
        return self


class HourOf(Document):
    """A derived feature: the hour of the day, 0 to 24, of a time column in seconds."""

    name: str
    hour_of: str


class KaggleSource(Document):
    """Where Kaggle's API has the file."""

    dataset: Annotated[str, Field(pattern=r"^[\w-]+/[\w-]+$")]
    file: str


class Expected(Document):
    """What the published file is known to be; whatever is left out is not verified."""

    bytes: int | None = None
    md5: str | None = None
    rows: int | None = None
    frauds: int | None = None


class Benchmark(Document):
    """What others have honestly reached on the published file, and what is too good to be true."""

    split: Literal["temporal", "stratified"]
    average_precision: tuple[Share, Share]
    leak_above: Share


class FraudKind(Document):
    """One way in which synthetic fraud departs from the rest: how often, how far, how wide."""

    share: Share
    shift: float
    elsewhere: float
    spread: Annotated[float, Field(gt=0)]
    columns: tuple[str, ...] = ()


class Lookalikes(Document):
    """Synthetic legitimate rows that resemble fraud, but in some columns only."""

    share: Share
    shift: float
    columns: tuple[str, ...]


class Amounts(Document):
    """How synthetic amounts of money are distributed: log-normal, with some zeros."""

    column: str
    median: Annotated[float, Field(gt=0)]
    mean: Annotated[float, Field(gt=0)]
    maximum: Annotated[float, Field(gt=0)]
    zeros: Share
    fraud_median: Annotated[float, Field(gt=0)]


class Recipe(Document):
    """How the synthetic stand-in is drawn: read by `synthetic.py` alone."""

    rows: Annotated[int, Field(gt=0)]
    frauds: Annotated[int, Field(gt=0)]
    duplicates: Annotated[int, Field(ge=0)]
    seconds: Annotated[int, Field(gt=0)]
    components: dict[str, float]
    tails: Annotated[float, Field(gt=2)]
    lookalikes: dict[str, Lookalikes]
    fraud_shift: dict[str, float]
    fraud_kinds: dict[str, FraudKind]
    amount: Amounts


class Card(Document):
    """All a program must know of a dataset."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    title: str
    columns: dict[str, Column]
    label: Label
    time: str | None = None
    entity: str | None = None
    amount: str | None = None
    derived: tuple[HourOf, ...] = ()
    kaggle: KaggleSource | None = None
    expected: Expected = Expected()
    benchmark: Benchmark | None = None
    synthetic: Recipe | None = None

    @model_validator(mode="after")
    def _names_agree(self) -> Self:
        def must_be(name: str | None, role: str, *kinds: Kind) -> None:
            if name is not None and (
                name not in self.columns or self.columns[name].kind not in kinds
            ):
                raise ValueError(f"{role} names {name!r}, which is no {' or '.join(kinds)} column")

        if self.label.column in self.columns:
            raise ValueError(f"the label {self.label.column!r} must not also be a column")
        must_be(self.time, "time", Kind.TIME)
        must_be(self.entity, "entity", Kind.ID, Kind.NOMINAL)
        must_be(self.amount, "amount", Kind.NUMERIC)
        for derived in self.derived:
            must_be(derived.hour_of, f"derived {derived.name!r}", Kind.TIME)
        if len(set(self.feature_names)) < len(self.feature_names):
            raise ValueError("two features have the same name")
        if not self.feature_names:
            raise ValueError("no column of it becomes a feature")
        return self

    @model_validator(mode="after")
    def _recipe_draws_the_columns(self) -> Self:
        if self.synthetic is not None:
            drawn = {self.time, *self.synthetic.components, self.synthetic.amount.column}
            wrong = drawn ^ set(self.columns)
            if wrong:
                names = ", ".join(sorted(map(str, wrong)))
                raise ValueError(f"synthetic and columns do not name the same columns ({names})")
        return self

    @cached_property
    def feature_names(self) -> tuple[str, ...]:
        """The columns of the feature matrix, in order."""
        names: list[str] = []
        for name, column in self.columns.items():
            if column.kind is Kind.NOMINAL:
                names += [f"{name}={category}" for category in column.categories]
            elif column.kind not in (Kind.TIME, Kind.ID):
                names.append(name)
        return (*names, *(derived.name for derived in self.derived))


def parse(text: str, where: str) -> Card:
    """Make a card of YAML text; `where` names it in errors."""
    return from_yaml(Card, text, where, CardError)


def load(path: Path) -> Card:
    """Read the card at `path`."""
    text = read_text(path, "dataset card", "set paths.card in params.yaml", CardError)
    return parse(text, str(path))
