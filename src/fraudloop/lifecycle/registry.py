"""Which version decides: promotion and rollback, each one step that is made wholly or not at all.

MLflow's aliases are written one by one, by whoever comes. So each step is announced first, as a
value that MLflow lets nobody write twice: of two who announce the same number one wins. Then one
write of the alias `champion` decides, and all else follows from it (docs/decisions/0019).
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from fraudloop.documents import Document
from fraudloop.errors import RegistryAwayError, RegistryConflictError, RegistryError
from fraudloop.lifecycle.store import Store, Version

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
# After so long a step that was announced and not decided is taken for dead.
LEASE = timedelta(seconds=20)
# And so long before that its own maker no longer decides it.
MARGIN = timedelta(seconds=10)
LONGEST_REASON = 1_000

MADE, ABANDONED = "made", "abandoned"


class Step(Document):
    """A change of the champion: what it was, what it is, who wanted it and why."""

    model: str
    number: Annotated[int, Field(ge=1)]
    action: Literal["promote", "rollback", "by hand"]
    before: int | None
    after: int
    by: str
    why: str
    at: datetime
    host: str = ""
    process: int = 0
    token: str = ""

    @property
    def key(self) -> str:
        """What no other step is called."""
        return f"{self.model}/{self.number}"


# Told of each step with its end, "made" or "abandoned", at least once and in order; what it raises
# of this house leaves the step to be told again.
Record = Callable[[Step, str], None]


@dataclass(frozen=True)
class Changed:
    """How a promotion or a rollback ended; `said` is what else a person should know."""

    step: Step
    version: Version
    said: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Log:
    """The steps of a model, with what became of each."""

    run: str
    steps: tuple[Step, ...]
    ends: dict[int, str]
    told: frozenset[int]

    @property
    def made(self) -> list[Step]:
        return [step for step in self.steps if self.ends.get(step.number) == MADE]

    @property
    def open(self) -> Step | None:
        last = self.steps[-1] if self.steps else None
        return last if last is not None and last.number not in self.ends else None


def line_of_champions(steps: Iterable[Step]) -> list[int]:
    """The champions that a rollback goes back through, the present one last.

    >>> made = [("promote", 1), ("promote", 2), ("rollback", 1), ("promote", 3)]
    >>> line_of_champions(
    ...     Step(model="m", number=at, action=action, before=None, after=after, by="", why="",
    ...          at=datetime(2026, 1, 1, tzinfo=UTC))
    ...     for at, (action, after) in enumerate(made, start=1))
    [1, 3]
    """
    line: list[int] = []
    for step in steps:
        if step.action == "rollback":
            while line and line[-1] != step.after:
                line.pop()
        if not line or line[-1] != step.after:
            line.append(step.after)
    return line


@dataclass
class Registry:
    """The versions of one model in a store.

    `clock` and `lives` (whether a process of this machine is still there) are for tests to set.
    """

    store: Store
    model: str
    record: Record | None = None
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    lives: Callable[[int], bool] = field(default_factory=lambda: _lives)

    def version(self, which: str) -> Version:
        """A version by an alias, its number or its bundle's own name."""
        if which in (CHAMPION, CHALLENGER, PREVIOUS):
            found = self.store.alias(self.model, which)
        elif which.isdecimal() and len(which) < 12:
            found = self.store.version(self.model, int(which))
        else:
            versions = self.store.versions(self.model) if len(which) >= 6 else []
            found = next((each for each in versions if each.name.startswith(which)), None)
        if found is None:
            raise RegistryError(
                f"{self.store.address} has no {which[:64]} of {self.model}: see "
                "`fraudloop registry list`"
            )
        return found

    def promote(self, which: str, *, by: str, why: str) -> Changed:
        """Let a version decide; the one before it becomes `previous`."""
        log, said = self._settled()
        version = self.version(which)
        _ = version.sha256  # what nothing vouches for cannot decide
        before = self.store.alias(self.model, CHAMPION)
        if before is not None and before.number == version.number:
            raise RegistryConflictError(
                f"version {version.number} of {self.model} decides already: nothing was changed"
            )
        return self._take(log, said, "promote", before, version, by, why)

    def rollback(self, *, by: str, why: str) -> Changed:
        """Let the version that decided before decide again."""
        log, said = self._settled()
        line = line_of_champions(log.made)
        before = self.store.alias(self.model, CHAMPION)
        if before is None or len(line) < 2:
            raise RegistryConflictError(
                f"{self.model} has no version before its champion: promote another instead"
            )
        return self._take(log, said, "rollback", before, self.version(str(line[-2])), by, why)

    def before(self) -> Version | None:
        """The version a rollback goes back to, if there is one."""
        line = line_of_champions(self._log().made)
        return self.version(str(line[-2])) if len(line) > 1 else None

    def steps(self) -> list[Step]:
        """Every step that was made, the oldest first."""
        return self._log().made

    def repair(self) -> tuple[str, ...]:
        """End what a crash left begun; gives what was done."""
        return self._settled()[1]

    def challenge(self, number: int) -> None:
        """Let a version be the challenger."""
        self.store.set_alias(self.model, CHALLENGER, number)

    def _take(
        self,
        log: _Log,
        said: tuple[str, ...],
        action: Literal["promote", "rollback"],
        before: Version | None,
        version: Version,
        by: str,
        why: str,
    ) -> Changed:
        step = self._step(log, action, before, version, by, why)
        if not self.store.write_once(log.run, _announced(step.number), step.model_dump_json()):
            other = self._log().steps[-1]
            raise RegistryConflictError(
                f"{other.by} was first with a {other.action} to version {other.after}: look at "
                "`fraudloop registry list`, and decide again"
            )
        if self.clock() - step.at > LEASE - MARGIN:
            self.store.write_once(log.run, _ended(step.number), ABANDONED)
            raise RegistryConflictError(
                f"the {action} took too long to be announced and was not made: try again"
            )
        self._decide(log, step)
        if not self.store.write_once(log.run, _ended(step.number), MADE):
            self._follow(self._log())  # we were taken for dead, and are not the last word
            raise RegistryConflictError(f"the {action} took too long and was undone: try again")
        return Changed(step, version, (*said, *self._follow(self._log())))

    def _decide(self, log: _Log, step: Step) -> None:
        """Make the one write that decides."""
        try:
            self.store.set_alias(self.model, CHAMPION, step.after)
        except RegistryAwayError:  # nobody knows whether it was made: the next call will
            raise
        except RegistryError:
            self.store.write_once(log.run, _ended(step.number), ABANDONED)
            raise

    def _step(
        self,
        log: _Log,
        action: Literal["promote", "rollback", "by hand"],
        before: Version | None,
        after: Version,
        by: str,
        why: str,
    ) -> Step:
        return Step(
            model=self.model,
            number=len(log.steps) + 1,
            action=action,
            before=before.number if before else None,
            after=after.number,
            by=_named(by),
            why=_reason(why),
            at=self.clock(),
            host=socket.gethostname(),
            process=os.getpid(),
            token=secrets.token_hex(8),
        )

    def _settled(self) -> tuple[_Log, tuple[str, ...]]:
        """The log, once whatever was begun and not ended has its end."""
        log, said = self._log(), []
        champion = self.store.alias(self.model, CHAMPION)
        if log.open is not None:
            said.append(self._end(log, log.open, champion))
            log = self._log()
        line = line_of_champions(log.made)
        if champion is not None and champion.number != (line[-1] if line else None):
            step = self._step(log, "by hand", None, champion, "MLflow", "the alias was set there")
            step = step.model_copy(update={"before": line[-1] if line else None})
            # Whoever changed the champion meanwhile took this number: that was no hand.
            if not self.store.write_once(log.run, _announced(step.number), step.model_dump_json()):
                return self._settled()
            self.store.write_once(log.run, _ended(step.number), MADE)
            said.append(f"version {champion.number} was made champion in MLflow itself: noted")
            log = self._log()
        return log, (*said, *self._follow(log))

    def _end(self, log: _Log, step: Step, champion: Version | None) -> str:
        """Say of a step that was begun whether it was made: its one write tells."""
        decided = champion is not None and champion.number == step.after
        if not decided and self._may_still_come(step):
            raise RegistryConflictError(
                f"{step.by} is just making a {step.action} to version {step.after}: look at "
                "`fraudloop registry list` in a moment, and decide again"
            )
        self.store.write_once(log.run, _ended(step.number), MADE if decided else ABANDONED)
        end = "was ended" if decided else "had changed nothing, and is over"
        return f"the {step.action} to version {step.after} that {step.by} had begun {end}"

    def _may_still_come(self, step: Step) -> bool:
        if self.clock() - step.at > LEASE:
            return False
        return step.host != socket.gethostname() or self.lives(step.process)

    def _follow(self, log: _Log) -> tuple[str, ...]:
        """Make all else what the steps say: the other aliases, and the record."""
        line = line_of_champions(log.made)
        model = self.store.model(self.model)
        if line and model is not None and log.open is None:
            wanted = {CHAMPION: line[-1], PREVIOUS: line[-2] if len(line) > 1 else None}
            if model.aliases.get(CHALLENGER) == line[-1]:
                wanted[CHALLENGER] = None
            for alias, number in wanted.items():
                if model.aliases.get(alias) != number:
                    if number is None:
                        self.store.drop_alias(self.model, alias)
                    else:
                        self.store.set_alias(self.model, alias, number)
        return self._tell(log)

    def _tell(self, log: _Log) -> tuple[str, ...]:
        """Record what is not recorded yet."""
        if self.record is None:
            return ()
        for step in log.steps:
            end = log.ends.get(step.number)
            if end is None or step.number in log.told:
                continue
            try:
                self.record(step, end)
            except Exception as error:  # the ledger is away: the step stands, and is told later
                return (f"step {step.number} is not in the ledger yet ({error})",)
            self.store.write_once(log.run, _told(step.number), "yes")
        return ()

    def _log(self) -> _Log:
        model = self.store.model(self.model)
        if model is None or model.steps is None:
            raise RegistryError(
                f"{self.store.address} has no model {self.model}: make it by "
                "`fraudloop registry register`"
            )
        written = self.store.params(model.steps)
        steps, ends, told = [], {}, set()
        for key, value in written.items():
            kind, _, digits = key.partition(".")
            number = int(digits) if digits.isdecimal() else 0
            if kind == "step":
                steps.append(_parsed(value, key))
            elif kind == "end":
                ends[number] = value
            elif kind == "told":
                told.add(number)
        steps.sort(key=lambda step: step.number)
        return _Log(model.steps, tuple(steps), ends, frozenset(told))


def _announced(number: int) -> str:
    return f"step.{number:06d}"


def _ended(number: int) -> str:
    return f"end.{number:06d}"


def _told(number: int) -> str:
    return f"told.{number:06d}"


def _parsed(value: str, key: str) -> Step:
    try:
        return Step.model_validate_json(value)
    except ValidationError as error:
        raise RegistryError(
            f"{key} of the registry's steps is not as fraudloop writes it: look at the run in "
            "MLflow, and restore it"
        ) from error


def _reason(why: str) -> str:
    shown = " ".join(why.split())
    if not shown:
        raise RegistryError("a change of the champion needs a reason: say why")
    if len(shown) > LONGEST_REASON:
        raise RegistryError(f"the reason is longer than {LONGEST_REASON:,} characters: shorten it")
    return shown


def _named(by: str) -> str:
    if not by.strip():
        raise RegistryError("a change of the champion needs a user: say who")
    return by.strip()[:100]


def _lives(process: int) -> bool:
    with suppress(PermissionError):  # it is there, and another user's
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return False
    return True
