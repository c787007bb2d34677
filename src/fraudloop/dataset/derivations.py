"""Derived features: one document of the card and one piece of arithmetic for each kind.

What is made here is rounded far above the last bit: logarithms and sines differ there from one
processor to the next, and between one number and many.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Discriminator, Tag

from fraudloop.dataset.times import SECONDS_PER_DAY, SECONDS_PER_HOUR
from fraudloop.documents import Document

HOURS_PER_DAY = np.float32(24.0)
DAYS_PER_YEAR = 365.2425
DAYS_PER_WEEK = 7
THURSDAY = 3  # the first of January 1970, where Monday is 0
EARTH_RADIUS = 6371.0  # kilometres
DECIMALS = 4
SCALE = 10.0**DECIMALS

Numbers = NDArray[np.float64]
Feature = NDArray[np.float32]
Measured = Mapping[str, Numbers]


class Derivation(Document, ABC):
    """A feature made of columns of numbers and times."""

    name: str
    # Of what kinds the columns are that it is made of, in the words of the card.
    of_kind: ClassVar[str]

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """The columns that it is made of."""

    @abstractmethod
    def values(self, measured: Measured) -> Feature:
        """The feature of each row."""

    @abstractmethod
    def one(self, *numbers: float) -> float:
        """The feature of one row, of its columns' numbers: for one, numpy's calls cost the most."""


class HourOf(Derivation):
    """The hour of the day, 0 to 24, of a time.

    >>> HourOf(name="hour", hour_of="at").values({"at": np.array([90000.0])})
    array([1.], dtype=float32)
    """

    hour_of: str
    of_kind: ClassVar[str] = "time"

    @property
    def columns(self) -> tuple[str, ...]:
        """The time."""
        return (self.hour_of,)

    def values(self, measured: Measured) -> Feature:
        """The hours."""
        hours = (measured[self.hour_of] % SECONDS_PER_DAY / SECONDS_PER_HOUR).astype(np.float32)
        # In float32 a day's last instant is 24, which is the next day's 0.
        return np.asarray(hours % HOURS_PER_DAY)

    def one(self, *numbers: float) -> float:
        """The hour."""
        return hour_of_one(*numbers)


class WeekdayOf(Derivation):
    """The day of the week of a time that has a date: 0 is Monday, 6 Sunday.

    >>> WeekdayOf(name="day", weekday_of="at").values({"at": np.array([0.0])})
    array([3.], dtype=float32)
    """

    weekday_of: str
    of_kind: ClassVar[str] = "dated time"

    @property
    def columns(self) -> tuple[str, ...]:
        """The time."""
        return (self.weekday_of,)

    def values(self, measured: Measured) -> Feature:
        """The days."""
        days = np.floor(measured[self.weekday_of] / SECONDS_PER_DAY)
        return np.asarray(((days + THURSDAY) % DAYS_PER_WEEK).astype(np.float32))

    def one(self, *numbers: float) -> float:
        """The day."""
        (seconds,) = numbers
        return (seconds // SECONDS_PER_DAY + THURSDAY) % DAYS_PER_WEEK


class AgeOf(Derivation):
    """The years from one date to another: how old somebody was at a transaction.

    >>> age = AgeOf(name="age", age_of="born", at="at")
    >>> age.values({"born": np.array([0.0]), "at": np.array([365.2425 * 86400 * 18])})
    array([18.], dtype=float32)
    """

    age_of: str
    at: str
    of_kind: ClassVar[str] = "dated time"

    @property
    def columns(self) -> tuple[str, ...]:
        """The birth, and the moment asked for."""
        return (self.age_of, self.at)

    def values(self, measured: Measured) -> Feature:
        """The years."""
        years = (measured[self.at] - measured[self.age_of]) / (SECONDS_PER_DAY * DAYS_PER_YEAR)
        return _rounded(years)

    def one(self, *numbers: float) -> float:
        """The years."""
        born, at = numbers
        return _rounded_one((at - born) / (SECONDS_PER_DAY * DAYS_PER_YEAR))


class DistanceBetween(Derivation):
    """The kilometres between two places: latitude and longitude of one, then of the other.

    >>> far = DistanceBetween(name="far", distance_between=("a", "b", "c", "d"))
    >>> places = {"a": [52.52], "b": [13.405], "c": [48.8566], "d": [2.3522]}
    >>> far.values({name: np.array(each) for name, each in places.items()}).round()
    array([877.], dtype=float32)
    """

    distance_between: tuple[str, str, str, str]
    of_kind: ClassVar[str] = "numeric"

    @property
    def columns(self) -> tuple[str, ...]:
        """Both places' coordinates."""
        return self.distance_between

    def values(self, measured: Measured) -> Feature:
        """The distances, on a globe."""
        lat, long, other_lat, other_long = (
            np.radians(measured[name]) for name in self.distance_between
        )
        half = np.sin((other_lat - lat) / 2) ** 2
        half = half + np.cos(lat) * np.cos(other_lat) * np.sin((other_long - long) / 2) ** 2
        return _rounded(2 * EARTH_RADIUS * np.arcsin(np.sqrt(np.clip(half, 0.0, 1.0))))

    def one(self, *numbers: float) -> float:
        """The distance."""
        lat, long, other_lat, other_long = map(math.radians, numbers)
        half = math.sin((other_lat - lat) / 2) ** 2
        half += math.cos(lat) * math.cos(other_lat) * math.sin((other_long - long) / 2) ** 2
        return _rounded_one(2 * EARTH_RADIUS * math.asin(math.sqrt(min(max(half, 0.0), 1.0))))


class LogOf(Derivation):
    """The natural logarithm of one more than a number that is never below 0.

    >>> LogOf(name="log", log_of="price").values({"price": np.array([0.0, np.e - 1])})
    array([0., 1.], dtype=float32)
    """

    log_of: str
    of_kind: ClassVar[str] = "numeric"

    @property
    def columns(self) -> tuple[str, ...]:
        """The number."""
        return (self.log_of,)

    def values(self, measured: Measured) -> Feature:
        """The logarithms."""
        return _rounded(np.log1p(np.maximum(measured[self.log_of], 0.0)))

    def one(self, *numbers: float) -> float:
        """The logarithm."""
        (number,) = numbers
        return _rounded_one(math.log1p(max(number, 0.0)))


KINDS: dict[str, type[Derivation]] = {
    "hour_of": HourOf,
    "weekday_of": WeekdayOf,
    "age_of": AgeOf,
    "distance_between": DistanceBetween,
    "log_of": LogOf,
}


def _kind(value: Any) -> str | None:
    said = value if isinstance(value, dict) else vars(value) if hasattr(value, "__dict__") else {}
    return next((kind for kind in KINDS if kind in said), None)


AnyDerivation = Annotated[
    Annotated[HourOf, Tag("hour_of")]
    | Annotated[WeekdayOf, Tag("weekday_of")]
    | Annotated[AgeOf, Tag("age_of")]
    | Annotated[DistanceBetween, Tag("distance_between")]
    | Annotated[LogOf, Tag("log_of")],
    Discriminator(
        _kind,
        custom_error_type="derivation",
        custom_error_message=f"a derived feature says one of {', '.join(KINDS)}",
    ),
]


def hour_of_one(seconds: float) -> float:
    """`HourOf` of one number."""
    hour = float(np.float32(seconds % SECONDS_PER_DAY / SECONDS_PER_HOUR))
    return 0.0 if hour == HOURS_PER_DAY else hour


def _rounded_one(value: float) -> float:
    """As numpy rounds: a half goes to the even number."""
    return round(value * SCALE) / SCALE


def _rounded(values: Numbers) -> Feature:
    return np.asarray(np.round(values, DECIMALS).astype(np.float32))
