"""Documents that people write → frozen, validated objects, or one sentence on what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fraudloop.errors import FraudloopError


class Document(BaseModel):
    """Frozen, and closed: a misspelt key is an error, not a silence."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Share = Annotated[float, Field(gt=0, lt=1)]
Kind = TypeVar("Kind", bound=Document)


def from_yaml(kind: type[Kind], text: str, where: str, refuse: type[FraudloopError]) -> Kind:
    """Make an object of YAML text; `where` names it in errors."""
    try:
        return kind.model_validate(yaml.safe_load(text))
    except ValidationError as error:
        raise refuse(f"{where}: {first_fault(error)}") from error
    except (yaml.YAMLError, ValueError) as error:  # a ValueError: the 13th month of a date
        raise refuse(f"{where} is not YAML ({' '.join(str(error).split())})") from error


def read_text(path: Path, what: str, remedy: str, refuse: type[FraudloopError]) -> str:
    """The text of a file that must be there: `what` it is, and the `remedy` if it is not."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise refuse(f"no {what} at {path} ({error.strerror}): {remedy}") from error
    except UnicodeDecodeError as error:
        raise refuse(f"{path} is not UTF-8 text ({error.reason}): save it as UTF-8") from error


def first_fault(error: ValidationError) -> str:
    """Where a document is first at fault, and why, on one line."""
    first = error.errors()[0]
    at = ".".join(str(part) for part in first["loc"]) or "the file"
    return " ".join(f"{at}: {first['msg'].removeprefix('Value error, ')}".split())
