"""What a card says of its synthetic stand-in: how rows are drawn for want of the real file.

Two kinds: components without correlation (`synthetic.py` draws them), and columns of every kind,
each with what is usual in it and how fraud differs (`stand_in.py`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from fraudloop.dataset.words import Category
from fraudloop.documents import Document, Share

Weights = Annotated[dict[Category, Annotated[float, Field(ge=0)]], Field(min_length=1)]
Hours = Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=24, max_length=24)]
Day = Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]


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


class Shares(Document):
    """Categories, each as often as its weight says; among frauds as often as `fraud` says."""

    draw: Literal["shares"]
    usual: Weights
    fraud: Weights | None = None
    per: Literal["row", "entity"] = "row"


class Level(Document):
    """Where a log-normal number lies: its median, and the deviation of its logarithm."""

    median: Annotated[float, Field(gt=0)]
    sigma: Annotated[float, Field(ge=0)]


class Amount(Document):
    """A log-normal number, within bounds; `by` a column of shares it may lie elsewhere in each."""

    draw: Literal["amount"]
    usual: Level
    fraud: Level | None = None
    by: str | None = None
    usual_by: dict[Category, Level] = Field(default_factory=dict)
    fraud_by: dict[Category, Level] = Field(default_factory=dict)
    minimum: float
    maximum: float
    decimals: Annotated[int, Field(ge=0, le=6)] = 0
    per: Literal["row", "entity"] = "row"


class Even(Document):
    """A number that is anywhere between two with the same chance, or so far from another column."""

    draw: Literal["even"]
    low: float
    high: float
    around: str | None = None
    decimals: Annotated[int, Field(ge=0, le=6)] = 0
    per: Literal["row", "entity"] = "row"


class Days(Document):
    """A date between two."""

    draw: Literal["days"]
    first: Day
    last: Day
    per: Literal["row", "entity"] = "row"


class Moments(Document):
    """When rows happen, in order: days between two, hours by their weights."""

    draw: Literal["moments"]
    first: Day
    last: Day
    usual: Hours
    fraud: Hours | None = None


class Seconds(Document):
    """The moments of another column as seconds since 1970."""

    draw: Literal["seconds"]
    of: str


class Words(Document):
    """One of so many texts, in which `{}` stands for a number; `by` a column, each has its own."""

    draw: Literal["words"]
    text: str
    many: Annotated[int, Field(gt=0)]
    first: int = 0
    by: str | None = None
    per: Literal["row", "entity"] = "row"


class Key(Document):
    """What no two rows share: their number, or hexadecimal digits."""

    draw: Literal["number", "hex"]


class Answer(Document):
    """The label, as it is written."""

    draw: Literal["label"]
    legitimate: Category = 0
    fraud: Category = 1


Draw = Annotated[
    Shares | Amount | Even | Days | Moments | Seconds | Words | Key | Answer,
    Field(discriminator="draw"),
]


class Draws(Document):
    """A stand-in of columns, in the order of the file's.

    `entities` is how many there are of what the card calls its entity: what is drawn per entity is
    the same in all its rows.
    """

    rows: Annotated[int, Field(gt=1)]
    frauds: Annotated[int, Field(gt=0)]
    entities: Annotated[int, Field(gt=0)] = 1
    columns: dict[str, Draw]

    @model_validator(mode="after")
    def _can_be_drawn(self) -> Self:
        if self.frauds >= self.rows:
            raise ValueError("there are as many frauds as rows")
        self.in_order()
        return self

    def in_order(self) -> list[str]:
        """The columns as they can be drawn: moments, which put rows in order, and then each after
        those that it leans on."""
        moments = [name for name, each in self.columns.items() if isinstance(each, Moments)]
        if len(moments) > 1:
            raise ValueError("rows have moments in one column at most")
        drawn, left = list(moments), [name for name in self.columns if name not in moments]
        while left:
            ready = next((name for name in left if self._leans(name) <= {*drawn}), None)
            if ready is None:
                raise ValueError(f"{left[0]!r} leans on a column that is not drawn before it")
            drawn.append(ready)
            left.remove(ready)
        return drawn

    def _leans(self, name: str) -> set[str]:
        said = (getattr(self.columns[name], role, None) for role in ("by", "around", "of"))
        return {each for each in said if each is not None}


def _kind(value: Any) -> str:
    said = value if isinstance(value, dict) else vars(value) if hasattr(value, "__dict__") else {}
    return "draws" if "columns" in said else "recipe"


AnyRecipe = Annotated[
    Annotated[Recipe, Tag("recipe")] | Annotated[Draws, Tag("draws")], Discriminator(_kind)
]
