"""The dataset card: one YAML file that says all a program must know of a dataset."""

from __future__ import annotations

from enum import StrEnum
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from fraudloop.dataset.derivations import AnyDerivation
from fraudloop.dataset.recipes import AnyRecipe, Draws
from fraudloop.dataset.times import Written
from fraudloop.dataset.words import Category, as_text
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


class Column(Document):
    """One column of a transaction.

    What was added after the first cards is written only where it is said: a card that does not say
    it has the same text as ever, and so have the models that hold it.
    """

    kind: Kind
    minimum: float | None = None
    maximum: float | None = None
    categories: tuple[Category, ...] = ()
    # Of a nominal column: how many buckets take its words, which are too many to be listed.
    buckets: Annotated[int | None, Field(ge=2, le=1024, exclude_if=lambda said: said is None)] = (
        None
    )
    # Of a time column.
    written: Annotated[Written, Field(exclude_if=lambda said: said == Written.SECONDS)] = (
        Written.SECONDS
    )
    # Whether it becomes a feature itself, and not only what is derived from it.
    feature: Annotated[bool, Field(exclude_if=lambda said: said)] = True

    @property
    def is_number(self) -> bool:
        """Whether its values are numbers, in files and in transactions."""
        return self.kind in MEASURED and self.written is Written.SECONDS

    @property
    def is_dated(self) -> bool:
        """Whether its values are dates, written as text."""
        return self.written is not Written.SECONDS

    @property
    def is_open(self) -> bool:
        """Whether its words are too many to be listed."""
        return self.buckets is not None

    @model_validator(mode="after")
    def _says_what_its_kind_can_say(self) -> Self:
        if self.buckets is not None and (self.kind is not Kind.NOMINAL or self.categories):
            raise ValueError("buckets are for a nominal column without categories")
        if self.written is not Written.SECONDS:
            if self.kind is not Kind.TIME:
                raise ValueError(f"a {self.kind} column is not written as a {self.written}")
            if self.minimum is not None or self.maximum is not None:
                raise ValueError(f"a {self.written} has no minimum or maximum")
        return self

    @model_validator(mode="after")
    def _categories_belong_to_categorical_kinds(self) -> Self:
        listed = self.kind in CATEGORICAL and self.buckets is None
        if listed != bool(self.categories):
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


class Card(Document):
    """All a program must know of a dataset."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    title: str
    columns: dict[str, Column]
    label: Label
    time: str | None = None
    entity: str | None = None
    amount: str | None = None
    derived: tuple[AnyDerivation, ...] = ()
    # Fields that may stand in files and transactions, and that nothing looks at.
    ignored: Annotated[tuple[str, ...], Field(exclude_if=lambda said: not said)] = ()
    kaggle: KaggleSource | None = None
    expected: Expected = Expected()
    benchmark: Benchmark | None = None
    synthetic: AnyRecipe | None = None

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
        if {self.label.column, *self.columns} & set(self.ignored):
            raise ValueError("ignored names a column of the card")
        for derived in self.derived:
            for name in derived.columns:
                if not self._is(name, derived.of_kind):
                    wrong = f"{name!r}, which is no {derived.of_kind} column"
                    raise ValueError(f"derived {derived.name!r} names {wrong}")
        if len(set(self.feature_names)) < len(self.feature_names):
            raise ValueError("two features have the same name")
        if not self.feature_names:
            raise ValueError("no column of it becomes a feature")
        return self

    def _is(self, name: str, kind: str) -> bool:
        """Whether a column is of such a kind, in the words of `Derivation.of_kind`."""
        column = self.columns.get(name)
        if column is None:
            return False
        return kind == column.kind or (kind == "dated time" and column.is_dated)

    @model_validator(mode="after")
    def _recipe_draws_the_columns(self) -> Self:
        if self.synthetic is not None:
            if isinstance(self.synthetic, Draws):
                drawn = {*self.synthetic.columns} - set(self.ignored)
                wrong = drawn ^ {*self.columns, self.label.column}
            else:
                drawn = {str(self.time), *self.synthetic.components, self.synthetic.amount.column}
                wrong = drawn ^ set(self.columns)
            if wrong:
                names = ", ".join(sorted(wrong))
                raise ValueError(f"synthetic and columns do not name the same columns ({names})")
        return self

    @cached_property
    def feature_names(self) -> tuple[str, ...]:
        """The columns of the feature matrix, in order."""
        names: list[str] = []
        for name, column in self.columns.items():
            if not column.feature:
                continue
            if column.buckets is not None:
                names += [f"{name}#{bucket}" for bucket in range(column.buckets)]
            elif column.kind is Kind.NOMINAL:
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
