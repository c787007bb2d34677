"""How a category reads, however it is written."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator


def _no_truth_value(value: Any) -> Any:
    if value is True or value is False:
        raise ValueError("YAML reads yes, no, true and false as truth values: quote the word")
    return value


Category = Annotated[str | int, BeforeValidator(_no_truth_value)]


def is_word(value: Any) -> bool:
    """Whether a value can be a category: a text or a number."""
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def as_text(value: Category | float) -> str:
    """How a category reads: whole numbers without a point, so that CSV and JSON agree."""
    text = str(value).strip()
    return text[:-2] if text.endswith(".0") and text[:-2].lstrip("-").isdigit() else text
