"""The memory and the queue: who is known is not held up, and who is gone is refused at once."""

from __future__ import annotations

import asyncio
import threading

import pytest

from fraudloop.serving import auth
from fraudloop.serving.auth import BusyError, UnauthorisedError
from fraudloop.users import Role, User
from tests.serving.gates import ELSEWHERE, HERE, RIGHT, Clock, house, run, until_waiting

# The memory


def test_a_thousand_requests_with_one_password_cost_one_check() -> None:
    async def body() -> None:
        with house() as at:
            for _ in range(1000):
                await at.enter()
            assert at.checks.count == 1

    run(body())


def test_a_thousand_requests_at_once_with_one_password_cost_one_check() -> None:
    async def body() -> None:
        with house() as at:
            entered = await asyncio.gather(*(at.enter() for _ in range(1000)))
            assert {user.name for user in entered} == {"ana"}
            assert at.checks.count == 1

    run(body())


def test_who_is_right_while_waiting_behind_himself_elsewhere_is_not_checked_again() -> None:
    async def body() -> None:
        with house() as at:
            await asyncio.gather(at.enter(client=HERE), at.enter(client=ELSEWHERE))
            assert at.checks.count == 1

    run(body())


def test_a_success_is_forgotten_after_five_minutes_though_it_was_used_meanwhile() -> None:
    async def body() -> None:
        with house() as at:
            for seconds, count in ((0, 1), (299, 1), (1, 2), (299, 2), (1, 3)):
                at.clock.now += seconds
                await at.enter()
                assert at.checks.count == count

    run(body())


def test_a_remembered_user_who_is_removed_or_changed_is_refused_at_once() -> None:
    async def body() -> None:
        with house() as at:
            await at.enter("ana")
            await at.enter("ben")
            del at.users.users["ana"]
            at.users.users["ben"] = at.users.user("ben", "another")
            for name in ("ana", "ben"):
                with pytest.raises(UnauthorisedError):
                    await at.enter(name)
            assert await at.enter("ben", "another")

    run(body())


@pytest.mark.parametrize("change", ["removed", "changed"])
def test_a_user_who_is_removed_or_changed_while_the_password_is_checked_is_refused(
    change: str,
) -> None:
    async def body() -> None:
        with house() as at:
            at.checks.go.clear()
            entering = asyncio.create_task(at.enter())
            await until_waiting(at.gate, 1)
            if change == "removed":
                del at.users.users["ana"]
            else:
                at.users.users["ana"] = at.users.user("ana", "another")
            at.checks.go.set()
            with pytest.raises(UnauthorisedError):
                await entering

    run(body())


def test_new_roles_are_in_force_at_once() -> None:
    async def body() -> None:
        with house() as at:
            await at.enter()
            at.users.users["ana"] = User("ana", f"hash of {RIGHT}", frozenset({Role.ADMIN}))
            assert (await at.enter()).roles == {Role.ADMIN}
            assert at.checks.count == 1

    run(body())


def test_what_is_remembered_is_bounded_and_means_nothing_to_another_process() -> None:
    clock = Clock()
    memory, other = auth.Memory(clock, keep=3), auth.Memory(clock)
    digests = {name: memory.digest(name, "hash", RIGHT) for name in "abcd"}
    for name, digest in digests.items():
        memory.keep(name, digest)
    assert len(memory) == 3
    assert [memory.holds(name, digest) for name, digest in digests.items()] == [False] + [True] * 3
    assert not memory.holds("b", digests["c"])
    assert other.digest("a", "hash", RIGHT) != digests["a"]


# One at a time


def test_passwords_are_checked_one_at_a_time_in_another_thread_while_the_loop_goes_on() -> None:
    async def body() -> None:
        with house(*(f"user{number}" for number in range(10))) as at:
            at.checks.go.clear()
            entering = [asyncio.create_task(at.enter(f"user{number}")) for number in range(10)]
            await until_waiting(at.gate, 10)
            for _ in range(50):  # the loop is free
                await asyncio.sleep(0)
            assert not any(task.done() for task in entering)
            at.checks.go.set()
            await asyncio.gather(*entering)
            assert at.checks.most_at_once == 1
            assert len(at.checks.threads) == 1
            assert threading.get_ident() not in at.checks.threads

    run(body())


def test_who_comes_when_too_many_wait_is_sent_away_for_a_second_and_the_others_come_in() -> None:
    async def body() -> None:
        names = [f"user{number}" for number in range(auth.WAITING + 2)]
        with house("ana", *names) as at:
            await at.enter("ana")
            at.checks.go.clear()
            entering = [asyncio.create_task(at.enter(name)) for name in names[:-1]]
            await until_waiting(at.gate, auth.WAITING + 1)
            with pytest.raises(BusyError, match="try again in 1 s") as refused:
                await at.enter(names[-1])
            assert (refused.value.status, refused.value.headers) == (503, {"Retry-After": "1"})
            assert await at.enter("ana")  # who is remembered does not wait
            at.checks.go.set()
            assert [user.name for user in await asyncio.gather(*entering)] == names[:-1]
            assert await at.enter(names[-1])

    run(body())


def test_a_client_that_goes_away_spoils_nothing_for_the_others_and_its_failure_counts() -> None:
    async def body() -> None:
        with house() as at:
            await at.fail(4)
            at.checks.go.clear()
            gone = asyncio.create_task(at.enter(password="wrong"))
            await until_waiting(at.gate, 1)
            gone.cancel()
            with pytest.raises(asyncio.CancelledError):
                await gone
            entering = asyncio.create_task(at.enter("ben"))
            await until_waiting(at.gate, 2)
            at.checks.go.set()
            assert await entering
            await at.braked()

    run(body())
