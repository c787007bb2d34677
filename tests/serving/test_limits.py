"""How much is let in at once, and in a second; and that whoever leaves makes room."""

from __future__ import annotations

from contextlib import suppress

import pytest

from fraudloop.serving.limits import Limits
from fraudloop.serving.refusals import RequestError


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def limits(clock: Clock, *, rate: float = 0, at_once: int = 5, size: int = 10) -> Limits:
    return Limits(rate=rate, at_once=at_once, bytes_at_once=size, clock=clock)


def let_in(of: Limits, times: int) -> int:
    """How many of so many are let in; each leaves at once."""
    done = 0
    for _ in range(times):
        with suppress(RequestError):
            of.enter()
            of.leave()
            done += 1
    return done


def test_without_a_rate_everybody_comes_in() -> None:
    assert let_in(limits(Clock()), 1000) == 1000


@pytest.mark.parametrize("rate", [0.5, 1, 7, 100])
def test_a_rate_is_kept_over_time_and_a_second_may_come_at_once(rate: float) -> None:
    clock = Clock()
    of = limits(clock, rate=rate)
    done = 0
    for _ in range(2000):
        done += let_in(of, 3)
        clock.now += 0.01
    assert rate * 20 - 1 <= done <= rate * 20 + max(1, rate) + 1


def test_who_waits_as_long_as_is_said_comes_in() -> None:
    clock = Clock()
    of = limits(clock, rate=0.2)
    of.enter()
    with pytest.raises(RequestError) as caught:
        of.enter()
    clock.now += int(caught.value.headers["retry-after"])
    of.enter()


def test_only_so_many_are_at_work_and_one_that_leaves_makes_room() -> None:
    of = limits(Clock(), at_once=2)
    of.enter()
    of.enter()
    with pytest.raises(RequestError, match="at work on 2 requests: try again in 1 s"):
        of.enter()
    of.leave()
    of.enter()


def test_who_is_refused_takes_nothing_of_the_rate() -> None:
    clock = Clock()
    of = limits(clock, rate=3, at_once=1)
    of.enter()
    for _ in range(10):
        with pytest.raises(RequestError):
            of.enter()
    of.leave()
    assert let_in(of, 5) == 2


def test_only_so_many_bytes_are_held() -> None:
    of = limits(Clock(), size=10)
    of.hold(6)
    with pytest.raises(RequestError, match="many large bodies"):
        of.hold(5)
    of.hold(4)
    of.release(6)
    of.hold(5)
    assert of.held == 9
