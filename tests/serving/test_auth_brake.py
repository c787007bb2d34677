"""The brake: guessing is slow, and slow for nobody else."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fraudloop.serving import auth
from fraudloop.serving.auth import BrakedError, UnauthorisedError
from tests.serving.gates import ELSEWHERE, HERE, Clock, house, run


def test_after_five_failures_within_a_minute_even_the_right_password_waits() -> None:
    async def body() -> None:
        with house() as at:
            await at.fail(5)
            assert await at.braked() == 60
            at.clock.now += 59.5
            assert await at.braked() == 1
            at.clock.now += 0.5
            assert await at.enter()

    run(body())


def test_failures_over_more_than_a_minute_do_not_brake() -> None:
    async def body() -> None:
        with house() as at:
            for _ in range(5):
                await at.fail(4)
                at.clock.now += 60
            await at.fail(4)
            assert await at.enter()

    run(body())


def test_each_pause_is_twice_the_one_before_up_to_fifteen_minutes() -> None:
    async def body() -> None:
        with house() as at:
            await at.fail(5)
            pauses = []
            for _ in range(6):
                pauses.append(await at.braked())
                at.clock.now += pauses[-1]
                await at.fail(1)
            assert pauses == [60, 120, 240, 480, 900, 900]

    run(body())


def test_a_pause_is_forgotten_after_fifteen_quiet_minutes() -> None:
    async def body() -> None:
        with house() as at:
            await at.fail(5)
            at.clock.now += 60 + 900
            await at.fail(4)
            assert await at.enter()

    run(body())


def test_the_brake_holds_one_user_at_one_address_and_no_other() -> None:
    async def body() -> None:
        with house() as at:
            await at.fail(5, "ana", HERE)
            await at.braked("ana", HERE)
            assert await at.enter("ben", client=HERE)
            assert await at.enter("ana", client=ELSEWHERE)

    run(body())


def test_a_user_who_is_remembered_is_not_locked_out_by_others_at_the_same_address() -> None:
    async def body() -> None:
        with house() as at:
            await at.enter()
            await at.fail(5)
            await at.braked(password="another try")
            assert await at.enter()

    run(body())


def test_an_unknown_user_is_braked_as_a_known_one_is() -> None:
    async def body() -> None:
        with house() as at:
            await at.fail(5, "nobody")
            assert await at.braked("nobody") == 60

    run(body())


def test_an_address_is_braked_after_fifty_failures_of_whomever_it_names() -> None:
    async def body() -> None:
        with house() as at:
            for number in range(49):
                await at.fail(1, f"name{number}")
            await at.enter("ben")  # a success of its own does not win it more guesses
            await at.fail(1, "name49")
            assert await at.braked("ana") == 60
            assert await at.enter("ana", client=ELSEWHERE)

    run(body())


def test_a_success_clears_the_users_failures_from_there() -> None:
    async def body() -> None:
        with house() as at:
            for _ in range(3):
                await at.fail(4)
                at.clock.now += 15
                at.gate._memory = auth.Memory(at.clock)  # so that the password is checked
                assert await at.enter()

    run(body())


def test_tries_sent_at_once_are_no_more_guesses_than_tries_one_by_one() -> None:
    async def body() -> None:
        with house() as at:
            tries = (at.enter(password=f"wrong {number}") for number in range(auth.WAITING))
            ended = await asyncio.gather(*tries, return_exceptions=True)
            assert at.checks.count == 5
            kinds = [type(refusal) for refusal in ended]
            assert kinds == [UnauthorisedError] * 5 + [BrakedError] * (auth.WAITING - 5)

    run(body())


def test_who_is_braked_takes_no_place_in_the_queue() -> None:
    async def body() -> None:
        with house() as at:
            await at.fail(5)
            at.checks.go.clear()
            entering = asyncio.create_task(at.enter("ben"))
            while not at.checks.at_once:  # its check has begun, and is counted
                await asyncio.sleep(0.001)
            await asyncio.wait_for(at.braked(), 5)
            at.checks.go.set()
            assert await entering

    run(body())


def test_one_ipv6_client_with_many_addresses_is_one_client() -> None:
    async def body() -> None:
        with house() as at:
            for number in range(5):
                await at.fail(1, client=f"2001:db8::{number:x}")
            await at.braked(client="2001:db8::ffff")
            assert await at.enter(client="2001:db8:0:1::1")
            await at.fail(5, "ben", f"::ffff:{HERE}")
            await at.braked("ben", HERE)

    run(body())


@given(st.text(max_size=200))
@example("x" * 200)
@example("fe80::1%eth0")
@example("1.2.3.4, 5.6.7.8")
def test_any_client_address_is_counted_under_something_short(client: str) -> None:
    assert len(auth.origin_of(client)) <= 64


def test_a_try_says_when_to_come_back() -> None:
    refusal = BrakedError(60)
    assert (refusal.status, refusal.headers) == (429, {"Retry-After": "60"})
    assert "try again in 60 s" in str(refusal)


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 20))))
def test_what_the_brake_keeps_is_bounded(failures: list[tuple[int, int, int]]) -> None:
    clock = Clock()
    brake = auth.Brake(clock, keep=10)
    for address, name, seconds in failures:
        clock.now += seconds
        brake.failed(f"192.0.2.{address}", f"name{name}")
        assert len(brake) <= 10


def test_the_brake_drops_who_failed_longest_ago() -> None:
    brake = auth.Brake(Clock(), keep=4)
    for _ in range(5):
        brake.failed(HERE, "ana")
    brake.failed("192.0.2.2", "ana")
    brake.failed(HERE, "ana")  # the last to fail again
    brake.failed("192.0.2.3", "ana")
    with pytest.raises(BrakedError):
        brake.check(HERE, "ana")
    brake.failed("192.0.2.4", "ana")
    brake.check(HERE, "ana")
