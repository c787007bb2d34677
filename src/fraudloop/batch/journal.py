"""What is laid aside while a batch runs, and how far it has come: so that it can go on."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from fraudloop.errors import BatchError

JOURNAL = "journal.jsonl"
REJECTS = "rejected.jsonl"
LOCK = "lock"


@dataclass(frozen=True)
class State:
    """How far a batch has come, at the end of a part.

    It goes on in source `source` at `after`, which is row `row` of it. `written` is the length of
    the file being written, of so many `parts`; `listed` that of the list of rejects.
    """

    source: int = 0
    after: dict[str, int] = field(default_factory=dict)
    row: int = 0
    scored: int = 0
    frauds: int = 0
    rejected: int = 0
    unread: int = 0  # files that could not be read, or not to their ends
    ids: dict[str, str] | None = None
    written: int = 0
    parts: int = 0
    listed: int = 0
    whole: bool = False  # all is written that was to be


class Aside:
    """A folder beside the output that holds what is not finished; one batch at a time has it."""

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        self.folder = folder
        self._identity = dict(identity)
        self.state = State()
        self.notes: list[str] = []
        self.resumed = False

    @contextmanager
    def held(self, *, resume: bool) -> Iterator[Self]:
        """Have the folder: as it was left, if that is wished and it is there, or else empty.

        It stays when the block fails, for the next one to resume.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / LOCK).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BatchError(
                    f"another batch is writing this output (it holds {self.folder}): wait for it"
                ) from None
            if not (resume and self._take_up()):
                self._begin()
            yield self

    def remove(self) -> None:
        """Take the folder away: all that was in it is in its place, or not wanted."""
        shutil.rmtree(self.folder)

    def note(self, state: State, note: str | None) -> None:
        """Say that a part is finished; what it wrote must be on the disk already."""
        with (self.folder / JOURNAL).open("ab") as journal:
            _append(journal, {"state": asdict(state), "note": note})
        self.state = state
        if note is not None:
            self.notes.append(note)

    def forget_notes(self) -> None:
        """Begin the notes anew, with a new file."""
        self.notes = []

    def _begin(self) -> None:
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != LOCK:
                path.unlink()
        with (self.folder / JOURNAL).open("wb") as journal:
            _append(journal, self._identity)

    def _take_up(self) -> bool:
        """Take the state from the journal; False where there is nothing to go on with."""
        try:
            lines = (self.folder / JOURNAL).read_bytes().splitlines(keepends=True)
        except FileNotFoundError:
            return False
        whole = [line for line in lines if line.endswith(b"\n")]
        if not whole:
            return False
        before = json.loads(whole[0])
        for name, value in json.loads(json.dumps(self._identity)).items():
            if before.get(name) != value:
                raise BatchError(
                    f"{_changed(name, before.get(name), value)} since the batch that was "
                    "interrupted: begin anew, without --resume"
                )
        # A line that was cut short would stand in the way of the next one.
        with (self.folder / JOURNAL).open("r+b") as journal:
            journal.truncate(sum(map(len, whole)))
        for line in whole[1:]:
            entry = json.loads(line)
            state = State(**entry["state"])
            if state.written == 0:  # a new file
                self.notes = []
            self.state = state
            if entry["note"] is not None:
                self.notes.append(entry["note"])
        self.resumed = True
        return True


def _append(journal: Any, entry: Mapping[str, Any]) -> None:
    journal.write(json.dumps(entry).encode() + b"\n")
    journal.flush()
    os.fsync(journal.fileno())


def _changed(name: str, before: Any, now: Any) -> str:
    """What is another than it was, for a sentence."""
    if name != "input":
        return f"the {name} is another ({now}, it was {before})"
    known = {each["name"]: each for each in before or []}
    for each in now:
        if known.pop(each["name"], each) != each:
            return f"{each['name']} has changed"
    if known:
        return f"{next(iter(known))} is gone"
    return "a file has come to the input"
