"""How a moment is written in a dataset, and the seconds that it is for the programs."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

SECONDS_PER_HOUR = 3600.0
SECONDS_PER_DAY = 86400.0


class Written(StrEnum):
    """How the values of a time column are written."""

    SECONDS = "seconds"  # since any midnight
    DATE = "date"
    DATETIME = "datetime"


LIKE = {Written.DATE: "2020-12-31", Written.DATETIME: "2020-12-31 23:59:59"}
_DATE = r"(?!0000)[0-9]{4}-[0-9]{2}-[0-9]{2}"
_SHAPES = {
    Written.DATE: re.compile(_DATE),
    Written.DATETIME: re.compile(_DATE + r"[ T][0-9]{2}:[0-9]{2}:[0-9]{2}"),
}


def is_moment(value: Any, written: Written) -> bool:
    """Whether a value is a moment, written so.

    >>> is_moment("2020-02-29", Written.DATE), is_moment("2021-02-29", Written.DATE)
    (True, False)
    """
    if not isinstance(value, str) or _SHAPES[written].fullmatch(value) is None:
        return False
    try:
        np.datetime64(value, "s")
    except ValueError:  # the 13th month, the 30th of February, the 25th hour
        return False
    return True


def seconds_of(values: NDArray[Any], written: Written) -> NDArray[np.float64]:
    """Seconds of moments written so, since 1970 where they are dates; numbers are seconds already.

    No zone is known and none is applied: an hour is the hour that was written. What is no moment is
    a ValueError.

    >>> seconds_of(np.array(["1970-01-02", "1969-12-31"]), Written.DATE).tolist()
    [86400.0, -86400.0]
    """
    if written is Written.SECONDS or values.dtype.kind in "iuf":
        return values.astype(np.float64)
    # A table often says the same moment many times; and numpy alone would take "today" for one.
    found, inverse = np.unique(values.astype(object).astype(str), return_inverse=True)
    wrong = next((text for text in found.tolist() if not _SHAPES[written].fullmatch(text)), None)
    if wrong is not None:
        raise ValueError(f"{wrong[:80]!r} is not written as {LIKE[written]}")
    return found.astype("datetime64[s]").astype(np.int64).astype(np.float64)[inverse]


def as_written(seconds: float, written: Written) -> str:
    """A moment as its column has it.

    >>> as_written(86399, Written.DATETIME), as_written(86399, Written.DATE)
    ('1970-01-01 23:59:59', '1970-01-01')
    """
    text = str(np.datetime64(int(seconds), "s")).replace("T", " ")
    return text[: len(LIKE[written])]
