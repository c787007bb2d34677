"""Who may do what: one file, whole or not at all, that nobody else reads and no password is in."""

from __future__ import annotations

import os
import stat
import string
import time
import traceback
import unicodedata
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import VerifyMismatchError
from hypothesis import given
from hypothesis import strategies as st

from fraudloop import files, users
from fraudloop.errors import UsersError
from fraudloop.users import NOBODYS_HASH, Role, User, UsersFile

PASSWORD = "open sesame"
OTHER_HASH = NOBODYS_HASH[:-1] + "E"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "users.yaml"


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def write(path: Path, **of: str) -> None:
    """A users file in one step, with hashes that need no time to make."""
    entries = {name: {"password": kept, "roles": ["scorer"]} for name, kept in of.items()}
    files.write_bytes(path, yaml.safe_dump({"users": entries}, width=200).encode())


def unexpected(error: UsersError) -> None:
    pytest.fail(f"reported: {error}")


def touched(path: Path) -> int:
    """The file system's clock, which goes in steps of some milliseconds."""
    path.write_bytes(b"")
    return path.stat().st_ctime_ns


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def told(error: BaseException) -> str:
    """All that an error says, with every error that led to it."""
    said = "".join(traceback.format_exception(error))
    earlier = error.__context__
    return said + repr(error) + (told(earlier) if earlier else "")


def test_an_added_user_is_found_with_its_roles_and_its_password_matches(path: Path) -> None:
    users.add(path, "ana", PASSWORD, ["analyst", "scorer", "analyst"])
    found = users.load(path)["ana"]
    assert found.name == "ana"
    assert found.roles == {Role.ANALYST, Role.SCORER}
    assert users.matches(found.password_hash, PASSWORD)
    assert not users.matches(found.password_hash, PASSWORD + " ")
    assert PASSWORD not in path.read_text(encoding="utf-8")


def test_the_first_user_makes_the_file_and_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "new" / "users.yaml"
    users.add(path, "ana", PASSWORD, ["scorer"])
    assert list(users.load(path)) == ["ana"]


def test_adding_and_removing_leave_the_other_users_as_they_were(path: Path) -> None:
    users.add(path, "ana", PASSWORD, ["admin"])
    before = users.load(path)
    users.add(path, "ben", PASSWORD, ["scorer"])
    users.remove(path, "ben")
    assert users.load(path) == before
    users.remove(path, "ana")
    assert users.load(path) == {}


def test_two_users_of_one_password_have_two_hashes() -> None:
    assert users.hashed(PASSWORD) != users.hashed(PASSWORD)


@pytest.mark.parametrize("kept", [users.hashed(PASSWORD), NOBODYS_HASH], ids=["user", "nobody"])
def test_nobodys_hash_costs_what_a_users_costs_and_that_is_owasps(kept: str) -> None:
    parameters = extract_parameters(kept)
    assert (parameters.memory_cost, parameters.time_cost, parameters.parallelism) == (19456, 2, 1)
    assert (parameters.type.name, parameters.salt_len, parameters.hash_len) == ("ID", 16, 32)
    # A mismatch, not a hash that argon2 refuses at no cost.
    with pytest.raises(VerifyMismatchError):
        PasswordHasher().verify(kept, "another password")


@pytest.mark.parametrize("kept", ["", "ü", "$argon2id$", NOBODYS_HASH[:-1] + "B", "open sesame"])
def test_a_password_never_matches_what_is_no_hash(kept: str) -> None:
    assert not users.matches(kept, PASSWORD)


def test_a_password_is_the_same_however_the_keyboard_composes_it() -> None:
    composed, taken_apart = (unicodedata.normalize(form, "crème brûlée") for form in ("NFC", "NFD"))
    assert composed != taken_apart
    assert users.matches(users.hashed(taken_apart), composed)


@pytest.mark.parametrize(
    ("password", "says"),
    [
        ("", "too short: take 8"),
        ("7 chars", "too short: take 8"),
        ("x" * 1001, "too long: take 1,000"),
        ("é" * 501, "too long: take 1,000"),
        ("tab\there", "control character"),
        ("half \ud800 pair", "control character"),
    ],
)
def test_a_bad_password_is_refused_and_not_repeated(path: Path, password: str, says: str) -> None:
    with pytest.raises(UsersError, match=says) as refused:
        users.add(path, "ana", password, ["scorer"])
    assert not password or password not in str(refused.value)
    assert not path.exists()


@pytest.mark.parametrize("name", ["", "a:b", ".ana", "ana b", "änne", "a\n", "x" * 65, "../ana"])
def test_a_name_that_cannot_be_sent_safely_is_refused(path: Path, name: str) -> None:
    with pytest.raises(UsersError, match="cannot be a user's name: take letters"):
        users.add(path, name, PASSWORD, ["scorer"])


@given(st.text(alphabet=st.characters(), max_size=70))
def test_a_possible_name_holds_nothing_but_its_few_characters(name: str) -> None:
    allowed = set(string.ascii_letters + string.digits + "._@-")
    if users.can_be_a_name(name):
        assert set(name) <= allowed
        assert 1 <= len(name) <= 64
    else:
        assert not name or not set(name) <= allowed or name[0] in "._@-" or len(name) > 64


def test_an_unknown_role_is_refused_with_those_there_are(path: Path) -> None:
    with pytest.raises(UsersError, match="no role 'boss': take scorer, analyst, operator, admin"):
        users.add(path, "ana", PASSWORD, ["scorer", "boss"])


def test_a_user_without_a_role_is_refused(path: Path) -> None:
    with pytest.raises(UsersError, match="without a role: take one or more of scorer"):
        users.add(path, "ana", PASSWORD, [])


def test_adding_a_user_who_is_there_changes_nothing(path: Path) -> None:
    write(path, ana=NOBODYS_HASH)
    before = path.read_bytes()
    with pytest.raises(UsersError, match="has a user ana already: remove that one first"):
        users.add(path, "ana", PASSWORD, ["admin"])
    assert path.read_bytes() == before


def test_removing_a_user_who_is_not_there_changes_nothing(path: Path) -> None:
    write(path, ana=NOBODYS_HASH)
    before = path.read_bytes()
    with pytest.raises(UsersError, match="has no user 'ben': see `fraudloop users list`"):
        users.remove(path, "ben")
    assert path.read_bytes() == before


def test_removing_from_a_file_that_is_not_there_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(
        UsersError, match=r"no users file at .*: make it with `fraudloop users add`"
    ):
        users.remove(tmp_path / "nowhere" / "users.yaml", "ana")
    assert list(tmp_path.iterdir()) == []


def test_users_added_at_the_same_time_are_all_there(path: Path) -> None:
    names = [f"user{number}" for number in range(6)]
    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(lambda name: users.add(path, name, PASSWORD, ["scorer"]), names))
    assert sorted(users.load(path)) == names


@pytest.mark.usefixtures("open_umask")
def test_nobody_else_reads_the_file_nor_what_is_written_aside(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_text("users: {}", encoding="utf-8")
    assert mode(path) == 0o666
    aside = {}
    monkeypatch.setattr(
        os, "fsync", lambda _: aside.update({each: mode(each) for each in path.parent.iterdir()})
    )
    users.add(path, "ana", PASSWORD, ["scorer"])
    assert mode(path) == 0o600
    del aside[path]
    assert set(aside.values()) == {0o600}


def test_a_crash_before_the_renaming_leaves_the_old_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(path, ana=NOBODYS_HASH)
    before = path.read_bytes()

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", crash)
    with pytest.raises(KeyboardInterrupt):
        users.remove(path, "ana")
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the file: Input should be a valid dictionary"),
        ("user: {}", "users: Field required"),
        (
            f"users: {{ana: {{passwrd: '{NOBODYS_HASH}', roles: [scorer]}}}}",
            "users.ana.password: Field required",
        ),
        (
            f"users: {{ana: {{password: '{NOBODYS_HASH}', roles: [scorer], role: x}}}}",
            "users.ana.role: Extra inputs are not permitted",
        ),
        (
            f"users: {{ana: {{password: '{NOBODYS_HASH}', roles: [boss]}}}}",
            "roles.0: Input should be 'scorer'",
        ),
        (
            f"users: {{ana: {{password: '{NOBODYS_HASH}', roles: []}}}}",
            "users.ana.roles: .* at least 1",
        ),
        (
            "users: {ana: {password: open sesame, roles: [scorer]}}",
            "users.ana.password: not an argon2id hash of ours: make it with `fraudloop users add`",
        ),
        (
            f"users: {{'a:b': {{password: '{NOBODYS_HASH}', roles: [scorer]}}}}",
            "cannot be a user's name",
        ),
        (
            "users: {ana: {password: open sesame, roles: [scorer]",
            "is not YAML near line 1: mend it",
        ),
        ("users: {ana: \x01open sesame}", "is not YAML: it holds characters that are not text"),
    ],
)
def test_a_broken_file_is_one_sentence_that_repeats_no_password(
    path: Path, text: str, says: str
) -> None:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsersError, match=says) as refused:
        users.load(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "sesame" not in told(refused.value)
    assert NOBODYS_HASH not in told(refused.value)


@pytest.mark.parametrize(
    "cost", ["m=19456,t=1,p=1", "m=8,t=2,p=1", "m=4194304,t=2,p=1", "m=19456,t=2,p=4"]
)
def test_a_hash_of_another_cost_is_refused(path: Path, cost: str) -> None:
    write(path, ana=NOBODYS_HASH.replace("m=19456,t=2,p=1", cost))
    with pytest.raises(UsersError, match="not an argon2id hash of ours"):
        users.load(path)


@pytest.mark.parametrize("around", ["{} ", "{}\n", " {}", "x{}", "{}{}"])
def test_a_hash_with_anything_around_it_is_refused(path: Path, around: str) -> None:
    write(path, ana=around.format(NOBODYS_HASH, NOBODYS_HASH))
    with pytest.raises(UsersError, match="not an argon2id hash of ours"):
        users.load(path)


def test_a_users_repr_hides_its_hash() -> None:
    assert "argon2" not in repr(User("ana", NOBODYS_HASH, frozenset({Role.ADMIN})))


@pytest.mark.parametrize("role", Role)
def test_an_admin_has_every_role_and_the_others_their_own(role: Role) -> None:
    user = User("ana", NOBODYS_HASH, frozenset({role}))
    assert {each for each in Role if user.may(each)} == (
        set(Role) if role is Role.ADMIN else {role}
    )


def test_a_changed_file_is_in_force_at_once(path: Path) -> None:
    write(path, ana=NOBODYS_HASH)
    file = UsersFile(path, unexpected)
    write(path, ana=OTHER_HASH, ben=NOBODYS_HASH)
    ana, ben = file.find("ana"), file.find("ben")
    assert ana
    assert ana.password_hash == OTHER_HASH
    assert ben
    write(path, ben=NOBODYS_HASH)
    assert file.find("ana") is None


@pytest.mark.parametrize("in_place", [True, False])
def test_a_change_that_keeps_size_and_time_is_seen(path: Path, in_place: bool) -> None:
    write(path, ana=NOBODYS_HASH)
    before = path.stat()
    file = UsersFile(path, unexpected)
    while before.st_ctime_ns == touched(path.with_name("clock")):
        time.sleep(0.001)
    if in_place:
        path.write_bytes(path.read_bytes().replace(NOBODYS_HASH.encode(), OTHER_HASH.encode()))
    else:
        write(path, ana=OTHER_HASH)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    found = file.find("ana")
    assert found
    assert found.password_hash == OTHER_HASH


def test_an_unchanged_file_is_read_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(path, ana=NOBODYS_HASH)
    file = UsersFile(path, unexpected)
    write(path, ben=NOBODYS_HASH)
    assert file.find("ben")
    monkeypatch.setattr(users, "_text", lambda _: pytest.fail("it was read again"))
    for _ in range(3):
        assert file.find("ben")


def test_a_broken_file_leaves_the_old_users_in_force_and_is_reported_once(path: Path) -> None:
    write(path, ana=NOBODYS_HASH)
    reported: list[UsersError] = []
    file = UsersFile(path, reported.append)
    for fault, break_it in (
        ("is not YAML", lambda: path.write_text("users: {", encoding="utf-8")),
        ("no users file at", path.unlink),
        ("users: Field required", lambda: path.write_text("{}", encoding="utf-8")),
    ):
        break_it()
        assert [file.find("ana") is not None for _ in range(3)] == [True] * 3
        assert fault in str(reported.pop())
        assert reported == []
    write(path, ben=NOBODYS_HASH)
    assert file.find("ana") is None
    assert file.find("ben") is not None
    assert reported == []
    path.write_text("{}", encoding="utf-8")  # what was mended and comes back is told of again
    assert file.find("ben") is not None
    assert "users: Field required" in str(reported.pop())


def test_a_file_that_could_not_be_opened_is_tried_again_though_it_did_not_change(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(path, ana=NOBODYS_HASH)
    reported: list[UsersError] = []
    file = UsersFile(path, reported.append)
    write(path, ben=NOBODYS_HASH)

    def too_many_open(*_: object, **__: object) -> str:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(Path, "read_text", too_many_open)
        assert [file.find("ben") for _ in range(3)] == [None] * 3
    assert "Too many open files" in str(reported.pop())
    assert reported == []
    assert file.find("ben") is not None
    assert file.find("ana") is None


def test_a_server_does_not_start_on_a_file_that_is_missing_or_broken(path: Path) -> None:
    with pytest.raises(UsersError, match="no users file at"):
        UsersFile(path, unexpected)
    path.write_text("users: [ana]", encoding="utf-8")
    with pytest.raises(UsersError, match="users: Input should be a valid dictionary"):
        UsersFile(path, unexpected)
