"""What every part of the settings needs: a number, and a refusal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from fraudloop.errors import SettingsError


def number(said: Mapping[str, str], name: str, default: float, *, least: float = 1) -> float:
    """A number of the environment, or its default."""
    try:
        value = float(said.get(name, default))
    except ValueError:
        value = math.nan
    if not least <= value < math.inf:
        raise SettingsError(f"{name} is {said[name]!r}: give a number of at least {least:g}")
    return value


def none_of(name: str, value: str, known: Iterable[str]) -> SettingsError:
    """The refusal of a word that is not among those known."""
    return SettingsError(f"{name} is {value!r}: set it to one of {', '.join(known)}")
