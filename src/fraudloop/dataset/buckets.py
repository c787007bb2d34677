"""Words of which no list exists (merchants, cities) → one of a few buckets, by the word alone.

Nothing is learned from data for it, so that training, HTTP and batch agree about a merchant that
nobody has seen before.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraudloop.dataset.words import as_text

LONGEST = 200  # characters: no name of anything is longer


def problem(value: Any) -> str | None:
    """What is wrong with a value as such a word, or None.

    >>> problem("Rye & Sons"), problem(" ")
    (None, 'is empty')
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return "is no text"
    text = as_text(value)
    if len(text) > LONGEST:
        return f"is longer than {LONGEST} characters"
    return None if text else "is empty"


def bucket(value: Any, buckets: int) -> int:
    """Which bucket a word falls into; words that read the same fall into the same.

    >>> bucket("Rye & Sons", 32), bucket(" Rye & Sons ", 32), bucket("7", 32) == bucket(7.0, 32)
    (31, 31, True)
    """
    return zlib.crc32(as_text(value).encode("utf-8", "surrogatepass")) % buckets


def codes(values: NDArray[Any], buckets: int) -> NDArray[np.intp]:
    """The bucket of each of many words, or a ValueError that says which is none."""
    known: dict[Any, int] = {}
    found = np.empty(len(values), dtype=np.intp)
    for place, value in enumerate(values.tolist()):
        wrong = problem(value)
        if wrong is not None:
            raise ValueError(f"a value that {wrong}")
        if value not in known:
            known[value] = bucket(value, buckets)
        found[place] = known[value]
    return found
