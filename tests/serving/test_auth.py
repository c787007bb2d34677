"""Who comes in: anything may be sent, only who is known comes in, and no password is repeated."""

from __future__ import annotations

import base64
import logging
import traceback
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fraudloop import users
from fraudloop.serving import auth
from fraudloop.serving.auth import BrakedError, ForbiddenError, Gate, UnauthorisedError, credentials
from fraudloop.users import NOBODYS_HASH, Role, User, UsersFile
from tests.serving.gates import HERE, RIGHT, Clock, Known, basic, house, run


def told(error: BaseException) -> str:
    """All that an error says, with every error that led to it."""
    said = "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))
    earlier = error.__context__
    return said + (told(earlier) if earlier else "")


# What is sent


@given(
    st.text(st.characters(exclude_characters=":", exclude_categories=["Cs"])),
    st.text(st.characters(exclude_categories=["Cs"])),
)
@example("ana", "a:b")
def test_any_name_and_password_arrive_as_they_were_sent(name: str, password: str) -> None:
    header = basic(f"{name}:{password}")
    if len(header) <= auth.LONGEST_HEADER:
        found = credentials(header)
        assert (found.name, found.password) == (name, password)


@pytest.mark.parametrize("scheme", [b"basic", b"BASIC", b"Basic"])
@pytest.mark.parametrize("space", [b" ", b"   "])
def test_the_scheme_is_read_in_any_case(scheme: bytes, space: bytes) -> None:
    assert credentials(scheme + space + base64.b64encode(b"ana:x ")).password == "x "


@given(
    st.one_of(
        st.binary(),
        st.binary().map(lambda token: b"Basic " + token),
        st.binary().map(basic),
        st.binary().map(lambda password: basic(b"ana:" + password)),
    )
)
@example(b"")
@example(b"Basic")
@example(b"Basic ")
@example(b"Basic YW5h")  # no colon
@example(b"Basic YW5hOng")  # no padding
@example(b"Basic YW5h\nOng=")
@example(b"Bearer YW5hOng=")
@example(basic(b"ana:\xff\xfe"))
@example(basic(b"ana\0:x"))
@example(basic(b":"))
@example(b"Basic " + b"A" * 1_000_000)
@example(b"\xff" * 1_000_000)
def test_whatever_is_sent_a_stranger_is_refused_and_nothing_else_happens(header: bytes) -> None:
    async def body() -> None:
        with house() as at:
            with pytest.raises(UnauthorisedError) as refused:
                await at.gate.admit(header, HERE)
            assert refused.value.__context__ is None
            assert refused.value.headers["WWW-Authenticate"].startswith("Basic realm=")

    run(body())


@pytest.mark.parametrize(
    ("header", "says"),
    [
        (None, "send a name and a password by HTTP Basic"),
        (b"Bearer x", "not HTTP Basic: send `Basic `, then base64 of name:password"),
        (basic("ana:x").replace(b"Basic", b"Bearer"), "not HTTP Basic"),
        (b"Basic YW5h*Ong=", "not HTTP Basic"),
        (b"Basic \xff", "not HTTP Basic"),
        (basic("ana"), "not HTTP Basic"),
        (basic(b"ana:\xff"), "not HTTP Basic"),
        (b"Basic " + b"A" * 3_000, "longer than 2,048 bytes"),
    ],
)
def test_each_header_that_cannot_be_read_has_its_sentence(header: bytes | None, says: str) -> None:
    with pytest.raises(UnauthorisedError, match=says) as refused:
        credentials(header)
    assert refused.value.status == 401


def test_the_longest_name_and_password_that_may_be_added_fit_the_header() -> None:
    sent = "n" * 64 + ":" + "p" * users.LONGEST_BYTES
    assert len(basic(sent)) <= auth.LONGEST_HEADER


def test_no_refusal_repeats_the_password_nor_the_header(caplog: pytest.LogCaptureFixture) -> None:
    async def body() -> None:
        secret = "hunter22hunter22"
        headers = [
            basic(f"ana:{secret}"),
            basic(f"nobody:{secret}"),
            basic(secret),
            basic(b"\xff" + secret.encode()),
            basic(f"ana:{secret}")[:-1],
            b"Bearer " + secret.encode(),
        ]
        with house() as at:
            for header in headers * 3:
                with pytest.raises((UnauthorisedError, BrakedError)) as refused:
                    await at.gate.admit(header, HERE)
                said = told(refused.value) + caplog.text
                assert secret not in said
                assert header.partition(b" ")[2].decode() not in said

    with caplog.at_level(logging.DEBUG):
        run(body())
    assert RIGHT not in repr(credentials(basic(f"ana:{RIGHT}")))


# Right and wrong


def test_a_user_comes_in_with_the_password_and_not_with_another() -> None:
    async def body() -> None:
        with house() as at:
            assert await at.enter() == at.users.users["ana"]
            for password in ("", RIGHT + " ", RIGHT.upper()):
                with pytest.raises(UnauthorisedError, match="no such user, or not this password"):
                    await at.enter(password=password)

    run(body())


def test_an_unknown_user_costs_what_a_wrong_password_costs_and_is_told_the_same() -> None:
    async def body() -> None:
        with house() as at:
            said = []
            for name in ("ana", "nobody"):
                with pytest.raises(UnauthorisedError) as refused:
                    await at.enter(name, "wrong")
                said.append((str(refused.value), refused.value.headers))
            assert said[0] == said[1]
            assert at.checks.hashes == [f"hash of {RIGHT}", NOBODYS_HASH]

    run(body())


def test_a_name_that_nobody_can_have_is_neither_checked_nor_counted() -> None:
    async def body() -> None:
        with house() as at:
            await at.fail(100, "not a name" * 50)
            assert at.checks.count == 0
            assert await at.enter()

    run(body())


def test_an_unknown_user_is_refused_even_if_nobodys_password_were_found() -> None:
    async def body() -> None:
        gate = Gate(Known("ana"), Clock(), lambda _hash, _password: True)
        for _ in range(2):
            with pytest.raises(UnauthorisedError):
                await gate.admit(basic("nobody:found it"), HERE)
        gate.close()

    run(body())


def test_a_real_file_and_real_hashes_let_in_only_who_is_in_the_file(tmp_path: Path) -> None:
    async def body() -> None:
        path = tmp_path / "users.yaml"
        users.add(path, "ana", "crème brûlée", ["admin"])
        gate = Gate(UsersFile(path, lambda error: pytest.fail(str(error))))
        entered = await gate.admit(basic("ana:crème brûlée"), HERE)
        assert entered.may(Role.OPERATOR)
        for header in (basic("ana:creme brulee"), basic("ben:crème brûlée")):
            with pytest.raises(UnauthorisedError):
                await gate.admit(header, HERE)
        users.remove(path, "ana")
        with pytest.raises(UnauthorisedError):
            await gate.admit(basic("ana:crème brûlée"), HERE)
        gate.close()

    run(body())


def test_a_role_is_wanted_by_name() -> None:
    analyst = User("ana", NOBODYS_HASH, frozenset({Role.ANALYST}))
    auth.require(analyst, Role.ANALYST)
    with pytest.raises(ForbiddenError, match="wants the role operator") as refused:
        auth.require(analyst, Role.OPERATOR)
    assert refused.value.status == 403
