"""A moment is what was written, to the second, and nothing else is taken for one."""

from __future__ import annotations

from datetime import UTC, date, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudloop.dataset.times import Written, as_written, is_moment, seconds_of


@given(st.datetimes(), st.sampled_from(" T"))
def test_a_datetime_is_its_seconds_since_1970_and_back(moment: datetime, between: str) -> None:
    written = moment.replace(microsecond=0).isoformat(between)
    assert is_moment(written, Written.DATETIME)
    (seconds,) = seconds_of(np.array([written]), Written.DATETIME)
    assert seconds == moment.replace(microsecond=0, tzinfo=UTC).timestamp()
    assert as_written(seconds, Written.DATETIME) == written.replace("T", " ")


@given(st.lists(st.dates(), min_size=1))
def test_dates_are_their_midnights_in_their_places(days: list[date]) -> None:
    texts = [str(day) for day in days]
    seconds = seconds_of(np.array(texts, dtype=object), Written.DATE)
    assert [as_written(each, Written.DATE) for each in seconds] == texts


@pytest.mark.parametrize(
    "value",
    [
        "2021-02-29",
        "2020-13-01",
        "2020-00-10",
        "0000-01-01",
        "20-01-01",
        "2020-1-1",
        "2020-01-01 ",
        "2020-01",
        "2020",
        "today",
        "NaT",
        "",
        "٢٠٢٠-٠١-٠١",
        "2020-01-01T00:00:00",
        "01/02/2020",
        None,
        5,
        True,
        20200101,
    ],
)
def test_what_is_no_date_is_none(value: object) -> None:
    assert not is_moment(value, Written.DATE)
    if isinstance(value, str):
        with pytest.raises(ValueError):  # noqa: PT011  # numpy's words, or ours
            seconds_of(np.array([value], dtype=object), Written.DATE)


@pytest.mark.parametrize(
    "value",
    [
        "2020-01-01",
        "2020-01-01 24:00:00",
        "2020-01-01 23:60:00",
        "2020-01-01 23:59:60",
        "2020-01-01 12:00",
        "2020-01-01 12:00:00Z",
        "2020-01-01 12:00:00.5",
        "2020-01-01  12:00:00",
    ],
)
def test_what_is_no_datetime_is_none(value: str) -> None:
    assert not is_moment(value, Written.DATETIME)


def test_numbers_are_seconds_already() -> None:
    assert seconds_of(np.array([5, 7]), Written.DATETIME).tolist() == [5.0, 7.0]
    assert seconds_of(np.array(["5"], dtype=object), Written.SECONDS).tolist() == [5.0]
