"""Who may do what: users, their roles and hashed passwords, and the file that holds them.

`Users` is all that a server wants of them; here a YAML file fills it.
"""

from __future__ import annotations

import fcntl
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Protocol

import yaml
from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from pydantic import AfterValidator, Field

from fraudloop.documents import Document, from_yaml, read_text
from fraudloop.errors import UsersError
from fraudloop.files import written_aside

# OWASP's smallest: a server's worker has to stay small, and checks one password at a time.
MEMORY_KIB, PASSES, LANES = 19_456, 2, 1
SHORTEST, LONGEST_BYTES = 8, 1_000
# Of the same cost as a user's hash, and of a password that nobody knows.
NOBODYS_HASH = f"$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}${'A' * 22}${'A' * 43}"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_HASH = re.compile(
    rf"\$argon2id\$v=19\$m={MEMORY_KIB},t={PASSES},p={LANES}\$[A-Za-z0-9+/]{{22}}\$[A-Za-z0-9+/]{{43}}"
)


class Role(StrEnum):
    """What a user may do: score, judge decisions, run models, or all of it."""

    SCORER = "scorer"
    ANALYST = "analyst"
    OPERATOR = "operator"
    ADMIN = "admin"


@dataclass(frozen=True)
class User:
    """One who may enter, and with which roles.

    >>> ana = User("ana", NOBODYS_HASH, frozenset({Role.ANALYST}))
    >>> ana
    User(name='ana', roles=frozenset({<Role.ANALYST: 'analyst'>}))
    >>> ana.may(Role.ANALYST), ana.may(Role.OPERATOR)
    (True, False)
    """

    name: str
    password_hash: str = field(repr=False)
    roles: frozenset[Role]

    def may(self, role: Role) -> bool:
        """Whether the user has this role; an admin has every one."""
        return role in self.roles or Role.ADMIN in self.roles


class Users(Protocol):
    """Where users are looked up: a file now, the ledger later."""

    def find(self, name: str) -> User | None:
        """The user of this name as of now, if there is one."""


def can_be_a_name(name: str) -> bool:
    """Whether a user may be called this; a colon would end the name in HTTP Basic.

    >>> can_be_a_name("ana.b@shop"), can_be_a_name("ana:b"), can_be_a_name("")
    (True, False, False)
    """
    return _NAME.fullmatch(name) is not None


def hashed(password: str) -> str:
    """The argon2id hash of a password, with a salt of its own."""
    return _hasher().hash(spelt_alike(password))


def matches(password_hash: str, password: str) -> bool:
    """Whether the password is the hashed one. It takes the same time for each of our hashes."""
    try:
        return _hasher().verify(password_hash, spelt_alike(password))
    except (VerificationError, ValueError):  # a ValueError: it is no hash at all
        return False


def spelt_alike(password: str) -> bytes:
    """The password's bytes, the same whether a keyboard sends é as one character or as two."""
    return unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")


def load(path: Path) -> dict[str, User]:
    """The users of a file by their names."""
    return _users(_text(path), path)


def made(name: str, password: str, roles: Iterable[str]) -> User:
    """A user with a name, a password and roles that can be; the password is only hashed."""
    if not can_be_a_name(name):
        raise UsersError(f"{name[:64]!r} cannot be a user's name: {_NAME_RULE}")
    _refuse_weak(password)
    held = frozenset(_role(role) for role in roles)
    if not held:
        raise UsersError(f"{name} would be without a role: take one or more of {', '.join(Role)}")
    return User(name, hashed(password), held)


def is_our_hash(password_hash: str) -> bool:
    """Whether it is an argon2id hash of our cost.

    Another cost would tell known users from unknown ones by time, or take more memory.
    """
    return _HASH.fullmatch(password_hash) is not None


def add(path: Path, name: str, password: str, roles: Iterable[str]) -> None:
    """Add a user to the file, which is made if there is none."""
    user = made(name, password, roles)
    entry = _Entry(password=user.password_hash, roles=tuple(sorted(user.roles)))
    path.parent.mkdir(parents=True, exist_ok=True)
    with _changing(path) as entries:
        if name in entries:
            raise UsersError(f"{path} has a user {name} already: remove that one first")
        entries[name] = entry


def remove(path: Path, name: str) -> None:
    """Remove a user from the file."""
    if name not in load(path):
        raise UsersError(f"{path} has no user {name[:64]!r}: see `fraudloop users list`")
    with _changing(path) as entries:
        entries.pop(name, None)


class UsersFile:
    """The users of a file, read again whenever it changes.

    While the file cannot be read, the users that were read last stay in force; `report` is told
    once of each such fault.
    """

    def __init__(self, path: Path, report: Callable[[UsersError], None]) -> None:
        self._path = path
        self._report = report
        self._reported = ""
        self._seen = _fingerprint(path)
        self._users = load(path)

    def find(self, name: str) -> User | None:
        """The user of this name as the file has it now."""
        seen = _fingerprint(self._path)
        if seen != self._seen:
            self._read_again(seen)
        return self._users.get(name)

    def _read_again(self, seen: tuple[int, ...] | None) -> None:
        try:
            text = _text(self._path)
            self._seen = seen  # once read: what could not be opened is tried again
            self._users = _users(text, self._path)
            self._reported = ""
        except UsersError as error:
            if str(error) != self._reported:
                self._reported = str(error)
                self._report(error)


_NAME_RULE = "take letters, digits, and . _ @ - inside, at most 64 characters"


def _possible_name(name: str) -> str:
    if not can_be_a_name(name):
        raise ValueError(f"cannot be a user's name: {_NAME_RULE}")
    return name


def _our_hash(password_hash: str) -> str:
    if not is_our_hash(password_hash):
        raise ValueError("not an argon2id hash of ours: make it with `fraudloop users add`")
    return password_hash


class _Entry(Document):
    """A user in the file."""

    password: Annotated[str, AfterValidator(_our_hash), Field(repr=False)]
    roles: Annotated[tuple[Role, ...], Field(min_length=1)]


class _File(Document):
    """The whole file."""

    users: dict[Annotated[str, AfterValidator(_possible_name)], _Entry]


def _hasher() -> PasswordHasher:
    return PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES)


def _role(role: str) -> Role:
    if role not in set(Role):
        raise UsersError(f"there is no role {role[:64]!r}: take {', '.join(Role)}")
    return Role(role)


def _refuse_weak(password: str) -> None:
    if len(password) < SHORTEST:
        raise UsersError(f"the password is too short: take {SHORTEST} characters or more")
    if len(spelt_alike(password)) > LONGEST_BYTES:
        raise UsersError(f"the password is too long: take {LONGEST_BYTES:,} bytes or fewer")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in password):
        raise UsersError("the password has a control character, which no browser sends: leave it")


def _text(path: Path) -> str:
    return read_text(path, "users file", "make it with `fraudloop users add`", UsersError)


def _users(text: str, path: Path) -> dict[str, User]:
    return {
        name: User(name, entry.password, frozenset(entry.roles))
        for name, entry in _entries(text, path).items()
    }


def _entries(text: str, path: Path) -> Mapping[str, _Entry]:
    try:
        return from_yaml(_File, text, str(path), UsersError).users
    except UsersError as error:
        refusal = _without_the_text(error, path)
    raise refusal  # outside: the first error still holds the text, with its hashes


def _without_the_text(error: UsersError, path: Path) -> UsersError:
    """What is wrong, without the lines that PyYAML cites: they may hold a hash or a password."""
    if isinstance(error.__cause__, yaml.MarkedYAMLError) and error.__cause__.problem_mark:
        line = error.__cause__.problem_mark.line + 1
        return UsersError(f"{path} is not YAML near line {line}: mend it there")
    if isinstance(error.__cause__, yaml.YAMLError):
        return UsersError(f"{path} is not YAML: it holds characters that are not text")
    return UsersError(str(error))


@contextmanager
def _changing(path: Path) -> Iterator[dict[str, _Entry]]:
    """The file's entries, to change while no other process does; written if the block succeeds."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        entries = dict(_entries(_text(path), path)) if path.exists() else {}
        yield entries
        _write(path, entries)
    finally:
        os.close(folder)


def _write(path: Path, entries: Mapping[str, _Entry]) -> None:
    document = {"users": {name: entry.model_dump(mode="json") for name, entry in entries.items()}}
    with written_aside(path) as aside, open(aside, "xb", opener=_for_the_owner) as file:
        file.write(yaml.safe_dump(document, width=200).encode())
        file.flush()
        os.fsync(file.fileno())


def _for_the_owner(path: str, flags: int) -> int:
    """Open a new file that was never anybody else's to read."""
    return os.open(path, flags, 0o600)


def _fingerprint(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    # ctime: a file put in place with its old size and time, or one that may be read at last.
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
