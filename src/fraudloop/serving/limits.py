"""How much a worker takes on: so many requests a second, so many at once, so many bytes at once.

What is refused is refused before its body is read; what was let in is answered.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from fraudloop.serving.refusals import RequestError


class Limits:
    """Lets requests in, one call of `enter` and one of `leave` each.

    >>> clock = iter([0.0, 0.0, 0.0, 0.0]).__next__
    >>> limits = Limits(rate=2, at_once=9, bytes_at_once=10, clock=clock)
    >>> limits.enter(); limits.enter(); limits.enter()
    Traceback (most recent call last):
    fraudloop.serving.refusals.RequestError: the server takes 2 requests a second: try again in 1 s
    """

    def __init__(
        self,
        *,
        rate: float,
        at_once: int,
        bytes_at_once: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.rate = rate
        self.at_once = at_once
        self.bytes_at_once = bytes_at_once
        self.in_flight = 0
        self.held = 0
        self._clock = clock
        # As many as a second's worth may come at the same moment.
        self._burst = max(1.0, rate)
        self._tokens = self._burst
        self._counted_at = clock() if rate else 0.0

    def enter(self) -> None:
        """Let a request in, or refuse it."""
        if self.in_flight >= self.at_once:
            raise _overloaded(f"the server is at work on {self.at_once} requests", 1)
        if self.rate:
            now = self._clock()
            gained = (now - self._counted_at) * self.rate
            self._tokens = min(self._burst, self._tokens + gained)
            self._counted_at = now
            if self._tokens < 1:
                wait = math.ceil((1 - self._tokens) / self.rate)
                raise _overloaded(f"the server takes {self.rate:g} requests a second", wait)
            self._tokens -= 1
        self.in_flight += 1

    def leave(self) -> None:
        """Let go of a request that was let in."""
        self.in_flight -= 1

    def hold(self, size: int) -> None:
        """Keep `size` bytes of bodies in memory, or refuse to."""
        if self.held + size > self.bytes_at_once:
            raise _overloaded("the server is at work on many large bodies", 1)
        self.held += size

    def release(self, size: int) -> None:
        """Let go of bytes that were held."""
        self.held -= size


def _overloaded(why: str, seconds: int) -> RequestError:
    return RequestError(
        503, f"{why}: try again in {seconds} s", headers={"retry-after": str(seconds)}
    )
