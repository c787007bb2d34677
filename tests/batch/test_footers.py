"""A moved footer says of every place that it is so much further on, and nothing else."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from fraudloop.batch import footers

PLACES = ("data_page_offset", "dictionary_page_offset", "index_page_offset")


def written(**options: Any) -> bytes:
    table = pa.table({"a": [1, 2, 3] * 50, "b": ["x", None, "z"] * 50, "c": [[1.0], [], None] * 50})
    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink, row_group_size=60, **options)
    return bytes(sink.getvalue())


def groups(footer: bytes) -> list[dict[str, Any]]:
    read = parquet.read_metadata(pa.BufferReader(footers.as_file(footer)))
    found: list[dict[str, Any]] = read.to_dict()["row_groups"]
    return found


@pytest.mark.parametrize("by", [0, 1, 63, 64, 8191, 2**31, 2**40])
@pytest.mark.parametrize("options", [{}, {"use_dictionary": False}, {"write_page_index": True}])
def test_only_places_become_larger(by: int, options: dict[str, Any]) -> None:
    footer = footers.of_file(written(**options))
    for before, after in zip(groups(footer), groups(footers.moved(footer, by, 3)), strict=True):
        for old, new in zip(before["columns"], after["columns"], strict=True):
            for name in PLACES:
                if old.get(name) is not None:
                    assert new[name] == old[name] + by
                    new[name] = old[name]
            new["file_offset"] = old["file_offset"]
        assert after == before


def test_moved_by_nothing_it_is_the_same_bytes() -> None:
    footer = footers.of_file(written())
    assert footers.moved(footer, 0, 0) == footer


def test_what_is_no_footer_is_refused() -> None:
    with pytest.raises((ValueError, IndexError)):
        footers.moved(b"\x1b\x00", 1, 1)
