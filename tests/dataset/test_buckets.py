"""A word falls into the same bucket wherever it comes from, and says what is wrong with it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudloop.dataset.buckets import LONGEST, bucket, codes, problem
from tests.fitted import start_python, told


@given(st.lists(st.text(min_size=1, max_size=20).filter(str.strip), min_size=1), st.integers(2, 64))
def test_many_words_fall_where_each_falls_alone(words: list[str], buckets: int) -> None:
    fallen = codes(np.array(words, dtype=object), buckets)
    assert fallen.tolist() == [bucket(word, buckets) for word in words]
    assert ((fallen >= 0) & (fallen < buckets)).all()


def test_a_bucket_does_not_depend_on_the_process() -> None:
    code = "from fraudloop.dataset.buckets import bucket; print(bucket('Zoë & Söhne, Inc', 32))"
    assert told(start_python(code, PYTHONHASHSEED="7")).strip() == str(
        bucket("Zoë & Söhne, Inc", 32)
    )


def test_words_that_read_the_same_fall_alike() -> None:
    assert bucket("7", 1000) == bucket(7, 1000) == bucket(7.0, 1000) == bucket(" 7 ", 1000)


def test_a_lone_surrogate_is_a_word_too() -> None:
    assert 0 <= bucket("\ud800", 8) < 8


def test_many_words_fill_all_buckets_about_alike() -> None:
    fallen = np.bincount(codes(np.array([f"Shop {n}" for n in range(3200)]), 32), minlength=32)
    assert fallen.min() > 60
    assert fallen.max() < 150


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        ("", "is empty"),
        ("  ", "is empty"),
        ("x" * (LONGEST + 1), "is longer than 200 characters"),
        (None, "is no text"),
        (True, "is no text"),
        (["a"], "is no text"),
    ],
)
def test_what_is_no_word_is_said_so(value: object, wrong: str) -> None:
    assert problem(value) == wrong
    with pytest.raises(ValueError, match=wrong):
        codes(np.array([value, "a"], dtype=object)[:1], 4)
