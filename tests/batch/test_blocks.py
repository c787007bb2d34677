"""Blocks end where lines end, whatever stands in the lines."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudloop.batch import blocks
from fraudloop.batch.blocks import Block


def all_of(content: bytes, size: int, *, quotes: bool) -> list[Block]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(blocks, "BLOCK", size)
        return list(blocks.blocks(io.BytesIO(content), {}, quotes=quotes))


@given(st.lists(st.binary(max_size=20)), st.integers(1, 50))
def test_blocks_are_the_file_and_end_at_line_ends(lines: list[bytes], size: int) -> None:
    content = b"\n".join(line.replace(b"\xef\xbb\xbf", b"") for line in lines)
    found = all_of(content, size, quotes=False)
    assert b"".join(block.content for block in found) == content
    assert all(block.content.endswith(b"\n") for block in found[:-1])
    for block in found:
        assert block.line == content[: block.after - len(block.content)].count(b"\n") + 1


@given(st.integers(5, 60))
def test_a_break_within_quotes_ends_no_block(size: int) -> None:
    record = b'1,"two\nlines ""here""\n",3\n'
    found = all_of(record * 9, size, quotes=True)
    assert b"".join(block.content for block in found) == record * 9
    assert all(block.content.count(b'"') % 2 == 0 for block in found)


def test_a_mark_that_closes_nothing_does_not_hold_up_the_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(blocks, "LONGEST", 40)
    content = b'1,5" wide,3\n' + b"1,2,3\n" * 30
    found = all_of(content, 20, quotes=True)
    assert b"".join(block.content for block in found) == content
    assert len(found) > 1


@pytest.mark.parametrize("at", [0, 1])
def test_reading_goes_on_where_a_block_said(at: int) -> None:
    content = b"".join(b"line %d\n" % place for place in range(20))
    whole = all_of(content, 30, quotes=False)
    start: dict[str, Any] = whole[at].next
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(blocks, "BLOCK", 30)
        rest = list(blocks.blocks(io.BytesIO(content), start))
    assert rest == whole[at + 1 :]
