"""What a retrain has done so far, in a folder of its own: whoever runs it again goes on there."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fraudloop import files
from fraudloop.errors import RetrainError

STEPS = "steps.json"
LOCK = "lock"


@dataclass
class Record:
    """The steps that are done, each with what it found; written after each."""

    folder: Path
    done: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path) -> Record:
        """The record in a folder, empty where none is yet."""
        try:
            said = json.loads((folder / STEPS).read_bytes())
        except FileNotFoundError:
            return cls(folder)
        except ValueError as error:
            raise RetrainError(f"{folder / STEPS} is damaged: take {folder} away") from error
        return cls(folder, dict(said))

    def note(self, step: str, found: Mapping[str, Any]) -> None:
        """A step is done."""
        self.done[step] = dict(found)
        files.write_json(self.folder / STEPS, self.done)


@contextmanager
def alone(folder: Path) -> Iterator[int | None]:
    """Be the only process that trains here; None if another is.

    What is given is a file that a child may inherit: the place is taken until the child has ended,
    too, if its parent is killed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
        else:
            yield file
    finally:
        os.close(file)
