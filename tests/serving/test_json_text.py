"""What is no JSON, or means harm, is one sentence; what is JSON comes through as it is."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudloop.errors import DataError
from fraudloop.serving.json_text import parse
from fraudloop.serving.refusals import RequestError
from tests.dataset.tables import quick

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@quick
@given(JSON)
def test_json_is_read_as_it_is(value: Any) -> None:
    assert parse(json.dumps(value).encode()) == value
    assert parse(json.dumps(value, ensure_ascii=False).encode()) == value


def test_numbers_beyond_all_bounds_are_infinite_and_refused_later() -> None:
    assert parse(b"[1e999, -1e999, " + b"9" * 5000 + b"]") == [
        float("inf"),
        -float("inf"),
        float("inf"),
    ]


def test_a_name_given_twice_is_named() -> None:
    for text in (b'{"a": {}, "b": {}, "a": {}}', b'{"b": {"a": 1, "\\u0061": 2}}'):
        with pytest.raises(DataError, match="'a' stands twice in one object"):
            parse(text)


@quick
@given(st.binary(max_size=60))
def test_random_bytes_are_read_or_refused(body: bytes) -> None:
    with suppress(RequestError, DataError):
        parse(body)


WRONG_JSON: list[tuple[bytes, str]] = [
    (b"", "is not JSON"),
    (b"{", "is not JSON"),
    (b'{"at": 60,}', "is not JSON"),
    (b'{"at": 060}', "is not JSON"),
    (b"{'at': 60}", "is not JSON"),
    (b'{"at": 1} {}', "is not JSON"),
    (b"\xff\xfe{\x00}\x00", "is not UTF-8"),
    (b'{"\xc3\x28": 1}', "is not UTF-8 (invalid continuation byte at byte 2)"),
    (b"[" * 100_000, "nested too deeply"),
    (b'{"at":' * 100_000, "nested too deeply"),
    (b'{"at": ' + b"[" * 5000 + b"]" * 5000 + b"}", "nested too deeply"),
    (b'{"\\ud800": {"at": 1}}', "half of a surrogate pair"),
]


@pytest.mark.parametrize(("body", "said"), WRONG_JSON, ids=range(len(WRONG_JSON)))
def test_what_is_no_json_is_said_so(body: bytes, said: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse(body)
    assert caught.value.status == 400
    assert said in str(caught.value)
    assert len(str(caught.value)) < 200
