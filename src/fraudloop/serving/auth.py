"""Who comes in: HTTP Basic, checked without holding up the others, with a brake on guessing.

No password and no header reaches a log, a message or a repr, nor an error that led to another.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import math
import re
import secrets
import time
from array import array
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address, ip_network

from fraudloop.serving.refusals import RequestError
from fraudloop.users import NOBODYS_HASH, Role, User, Users, can_be_a_name, matches, spelt_alike

CHALLENGE = 'Basic realm="fraudloop", charset="UTF-8"'
_HAS_A_PORT = re.compile(r":[0-9]+\Z")
LONGEST_HEADER = 2_048  # the longest name and password, in base64, fit

REMEMBERED = 1_000  # users
REMEMBERED_SECONDS = 300.0
WAITING = 16  # passwords to check, besides the one that is being checked

FAILURES = 5  # of one user from one address within WITHIN_SECONDS
FAILURES_OF_AN_ADDRESS = 10 * FAILURES
WITHIN_SECONDS = 60.0
FIRST_PAUSE, LONGEST_PAUSE = 60.0, 900.0
TALLIES = 10_000


class UnauthorisedError(RequestError):
    """No user came with the request, or none of ours."""

    def __init__(self, sentence: str) -> None:
        super().__init__(401, sentence, headers={"WWW-Authenticate": CHALLENGE})


class ForbiddenError(RequestError):
    """A user came who has not the role for it."""

    def __init__(self, role: Role) -> None:
        super().__init__(403, f"this wants the role {role}: ask whoever keeps the users for it")


class BrakedError(RequestError):
    """Too many logins failed: the next is not even looked at before `retry_after` seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(
            429,
            f"too many logins failed from this address: try again in {retry_after} s",
            headers={"Retry-After": str(retry_after)},
        )
        self.retry_after = retry_after


class BusyError(RequestError):
    """More passwords wait to be checked than may."""

    def __init__(self) -> None:
        super().__init__(
            503,
            "too many logins wait to be checked: try again in 1 s",
            headers={"Retry-After": "1"},
        )


@dataclass(frozen=True)
class Credentials:
    """What a client says of itself; whether it is true is another matter."""

    name: str
    password: str = field(repr=False)


def credentials(authorization: bytes | None) -> Credentials:
    """Read an Authorization header.

    >>> credentials(b"Basic YW5hOm9wZW4gc2VzYW1l")
    Credentials(name='ana')
    """
    if authorization is None:
        raise UnauthorisedError("this wants a user: send a name and a password by HTTP Basic")
    if len(authorization) > LONGEST_HEADER:
        raise UnauthorisedError(f"the Authorization header is longer than {LONGEST_HEADER:,} bytes")
    scheme, _, token = authorization.partition(b" ")
    text = _decoded(token.strip(b" ")) if scheme.lower() == b"basic" else None
    if text is None or ":" not in text:
        raise UnauthorisedError(
            "the Authorization header is not HTTP Basic: send `Basic `, then base64 of "
            "name:password in UTF-8"
        )
    name, _, password = text.partition(":")
    return Credentials(name, password)


def require(user: User, role: Role) -> None:
    """Let a user pass who has this role."""
    if not user.may(role):
        raise ForbiddenError(role)


def require_any(user: User, roles: Sequence[Role]) -> None:
    """Let a user pass who has one of these roles."""
    if not any(user.may(role) for role in roles):
        raise RequestError(
            403, f"this wants the role {' or '.join(roles)}: ask whoever keeps the users for it"
        )


def refuse_other_hosts(headers: Mapping[bytes, bytes]) -> None:
    """Where nobody is asked who he is, answer only those who asked this machine by its own name.

    A page of another site may let its own name lead here, and would then read the answers.
    """
    host = headers.get(b"host", b"localhost").decode("latin-1")
    name = host.rpartition(":")[0] if _HAS_A_PORT.search(host) else host
    try:
        ours = name.lower() == "localhost" or ip_address(name.strip("[]")).is_loopback
    except ValueError:
        ours = False
    if not ours:
        raise RequestError(
            403,
            "without users the ledger answers this machine alone: ask 127.0.0.1, or start the "
            "server with FRAUDLOOP_AUTH=basic",
        )


def refuse_other_sites(headers: Mapping[bytes, bytes]) -> None:
    """Let no page of another site use a browser that knows the password."""
    if headers.get(b"sec-fetch-site", b"none") not in (b"none", b"same-origin"):
        raise RequestError(403, "another site's page sent this: send it from the server's own")
    if b"content-type" not in headers:
        raise RequestError(415, "the body has no type: send Content-Type: application/json")


def _decoded(token: bytes) -> str | None:
    # Nothing is raised from here: a UnicodeDecodeError carries the bytes it could not decode.
    try:
        return base64.b64decode(token, validate=True).decode("utf-8")
    except ValueError:
        return None


@dataclass(slots=True)
class _Tally:
    """The failures of one user from one address, or of all users from it."""

    times: array[float] = field(default_factory=lambda: array("d"))
    pause: float = 0.0
    until: float = -math.inf


class Brake:
    """Failed logins: after a few, one try a pause, and each pause is twice the one before.

    >>> brake = Brake(clock=lambda: 0.0)
    >>> for _ in range(FAILURES):
    ...     brake.check("192.0.2.1", "ana")
    ...     brake.failed("192.0.2.1", "ana")
    >>> brake.check("192.0.2.1", "ana")
    Traceback (most recent call last):
    fraudloop.serving.auth.BrakedError: too many logins failed from this address: try again in 60 s
    >>> brake.check("192.0.2.1", "ben")
    """

    def __init__(self, clock: Callable[[], float], keep: int = TALLIES) -> None:
        self._clock = clock
        self._keep = keep
        # By address and name; an address as a whole has no name.
        self._tallies: OrderedDict[tuple[str, str], _Tally] = OrderedDict()

    def __len__(self) -> int:
        """How many tallies are kept."""
        return len(self._tallies)

    def check(self, origin: str, name: str) -> None:
        """Refuse while the user from there, or everyone from there, has to wait."""
        tallies = [self._tallies.get(key) for key in ((origin, name), (origin, ""))]
        wait = max(tally.until if tally else -math.inf for tally in tallies) - self._clock()
        if wait > 0:
            raise BrakedError(math.ceil(wait))

    def failed(self, origin: str, name: str) -> None:
        """Count a wrong password."""
        self._count((origin, name), FAILURES)
        self._count((origin, ""), FAILURES_OF_AN_ADDRESS)

    def passed(self, origin: str, name: str) -> None:
        """Forget the user's failures from there; those of its neighbours stay."""
        self._tallies.pop((origin, name), None)

    def _count(self, key: tuple[str, str], allowance: int) -> None:
        now = self._clock()
        tally = self._tallies.get(key)
        if tally is None or (tally.pause and now >= tally.until + LONGEST_PAUSE):
            tally = self._tallies[key] = _Tally()
        self._tallies.move_to_end(key)
        recent = [at for at in tally.times if now - at < WITHIN_SECONDS]
        tally.times = array("d", [*recent, now])
        if tally.pause or len(tally.times) >= allowance:
            tally.pause = min(2 * tally.pause or FIRST_PAUSE, LONGEST_PAUSE)
            tally.until = now + tally.pause
            tally.times = array("d")
        if len(self._tallies) > self._keep:
            self._tallies.popitem(last=False)


class Memory:
    """The passwords that were right a short while ago, as digests that mean nothing elsewhere."""

    def __init__(self, clock: Callable[[], float], keep: int = REMEMBERED) -> None:
        self._clock = clock
        self._keep = keep
        self._key = secrets.token_bytes(32)
        self._right: OrderedDict[str, tuple[bytes, float]] = OrderedDict()

    def __len__(self) -> int:
        """How many users are remembered."""
        return len(self._right)

    def digest(self, name: str, password_hash: str, password: str) -> bytes:
        """What is remembered; of the stored hash too, so that another password needs no word."""
        parts = (name.encode(), password_hash.encode(), spelt_alike(password))
        return hmac.digest(self._key, b"\0".join(parts), "sha256")

    def holds(self, name: str, digest: bytes) -> bool:
        """Whether this is what was right for the user."""
        right, until = self._right.get(name, (b"", -math.inf))
        return hmac.compare_digest(right, digest) and self._clock() < until

    def keep(self, name: str, digest: bytes) -> None:
        """Remember it for a while, in the place of what was right before."""
        self._right[name] = digest, self._clock() + REMEMBERED_SECONDS
        self._right.move_to_end(name)
        if len(self._right) > self._keep:
            self._right.popitem(last=False)


class Gate:
    """Lets users in, each by a name and a password.

    One password is checked at a time, in a thread of its own: argon2 takes its 20 ms and 19 MiB
    once, however many come at once. Belongs to one event loop. `freshen` is waited for before users
    are looked up, where these stand elsewhere than on this machine.
    """

    def __init__(
        self,
        users: Users,
        clock: Callable[[], float] = time.monotonic,
        check: Callable[[str, str], bool] = matches,
        freshen: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._users = users
        self._freshen = freshen
        self._check = check
        self._memory = Memory(clock)
        self._brake = Brake(clock)
        self._turn = asyncio.Lock()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="passwords")
        # The same try from the same place is checked once, however often it is sent meanwhile.
        self._under_way: dict[tuple[str, bytes], asyncio.Task[RequestError | None]] = {}

    async def admit(self, authorization: bytes | None, client: str) -> User:
        """The user of this header, sent from this address; or a refusal of this module."""
        given = credentials(authorization)
        if not can_be_a_name(given.name):
            raise _wrong()
        if self._freshen is not None:
            await self._freshen()
        user = self._users.find(given.name)
        # Whether there is such a user is not to be told by the time it takes.
        password_hash = user.password_hash if user else NOBODYS_HASH
        digest = self._memory.digest(given.name, password_hash, given.password)
        if not self._memory.holds(given.name, digest):
            await self._checked(given, password_hash, digest, origin_of(client))
            user = self._users.find(given.name)  # it took a while: the user may be gone
            if user and user.password_hash != password_hash:
                user = None
        if user is None:
            raise _wrong()
        return user

    def close(self) -> None:
        """Let the thread end."""
        self._thread.shutdown()

    async def _checked(
        self, given: Credentials, password_hash: str, digest: bytes, origin: str
    ) -> None:
        task = self._under_way.get((origin, digest))
        if task is None:
            self._brake.check(origin, given.name)
            if len(self._under_way) > WAITING:
                raise BusyError
            task = asyncio.create_task(self._verdict(given, password_hash, digest, origin))
            self._under_way[origin, digest] = task
        # A client that goes away takes neither its failure nor the others' answer with it.
        refusal = await asyncio.shield(task)
        if refusal is not None:
            raise refusal.with_traceback(None)

    async def _verdict(
        self, given: Credentials, password_hash: str, digest: bytes, origin: str
    ) -> RequestError | None:
        """Check a password when its turn comes; what is refused is given back, for all who wait."""
        try:
            async with self._turn:
                # Those whose turn came before may have been right, or have failed.
                if self._memory.holds(given.name, digest):
                    return None
                self._brake.check(origin, given.name)
                right = await asyncio.get_running_loop().run_in_executor(
                    self._thread, self._check, password_hash, given.password
                )
                if not right:
                    self._brake.failed(origin, given.name)
                    return _wrong()
                self._brake.passed(origin, given.name)
                self._memory.keep(given.name, digest)
                return None
        except RequestError as refusal:
            return refusal
        finally:
            del self._under_way[origin, digest]


def origin_of(client: str) -> str:
    """Where tries are counted: an address, or the network of 64 bits that one IPv6 client has.

    >>> origin_of("192.0.2.1"), origin_of("::ffff:192.0.2.1"), origin_of("2001:db8::1:2")
    ('192.0.2.1', '192.0.2.1', '2001:db8::/64')
    """
    try:
        address = ip_address(client)
    except ValueError:
        return client[:64]
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ip_network((int(address), 64), strict=False))
    return str(address)


def _wrong() -> UnauthorisedError:
    return UnauthorisedError("no such user, or not this password: look at both")
