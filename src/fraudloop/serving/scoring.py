"""The routes that score, as bare ASGI: FastAPI's reading of a request costs more than a score."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from fraudloop.errors import DataError, FraudloopError
from fraudloop.lifecycle.shadow import Shadow
from fraudloop.serving import storing
from fraudloop.serving.answers import answer
from fraudloop.serving.asked import Asked
from fraudloop.serving.auth import refuse_other_sites
from fraudloop.serving.bodies import ClientGone, body_of
from fraudloop.serving.dialects import pairs_of
from fraudloop.serving.ledger import LedgerDesk
from fraudloop.serving.limits import Limits
from fraudloop.serving.live import Live, Snapshot
from fraudloop.serving.metrics import Metrics
from fraudloop.serving.refusals import RequestError, as_request_error
from fraudloop.serving.replies import HEADERS, NOTE, Receive, Scope, Send, encode, refuse, reply
from fraudloop.settings import Serving

# What takes longer than a few hundred transactions would make all others wait.
SOON_DONE = 64_000
WHOLE_NUMBER = re.compile("0*([1-9][0-9]*)")
SWITCHES = {"true": True, "1": True, "false": False, "0": False}

Answer = dict[str, Any]


@dataclass(frozen=True)
class Desk:
    """All that the scoring routes work with."""

    live: Live
    limits: Limits
    metrics: Metrics
    settings: Serving
    ledger: LedgerDesk
    shadow: Shadow | None = None
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(2, "scoring"))


class Wish(NamedTuple):
    """How transactions are to be answered."""

    explain: bool = False
    top: int | None = None
    store: bool = False


PLAIN = Wish()


class Scoring:
    """One route: reads transactions, decides them, and says so in the route's own shape.

    `explains` where that shape has room for reasons; `unnamed` where columns may be numbered.
    """

    def __init__(
        self,
        desk: Desk,
        shape: Callable[[Snapshot, Answer], Answer],
        *,
        explains: bool = False,
        unnamed: bool = False,
    ) -> None:
        self._desk = desk
        self._shape = shape
        self._explains = explains
        self._unnamed = unnamed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it in one sentence."""
        try:
            content = await self._content(scope, receive)
        except ClientGone:
            return
        except FraudloopError as error:
            await refuse(send, as_request_error(error))
        else:
            await reply(send, content)

    async def _content(self, scope: Scope, receive: Receive) -> bytes:
        desk = self._desk
        desk.limits.enter()
        try:
            wish, others = self._wished(scope["query_string"])
            if scope["method"] == "POST":
                if others:
                    raise DataError(
                        f"the query has an unknown option {others[0][0][:80]!r}: leave it out"
                    )
                if wish.store:
                    refuse_other_sites(scope[HEADERS])
                body = await body_of(scope, receive, desk.limits, desk.settings)
                if wish.store:
                    return await self._kept(scope, body, wish)
                asks = partial(Snapshot.read, body=body, unnamed=self._unnamed)
                soon_done = len(body) <= SOON_DONE and not wish.explain
            else:
                if wish.store:
                    raise DataError("a decision is kept where it was sent by POST: send it so")
                asks = partial(Snapshot.read_query, pairs=others)
                soon_done = not wish.explain
            # Taken once: whatever is published meanwhile, this request has one model.
            work = partial(self._decided, desk.live.snapshot, asks, wish)
            if soon_done:
                content, rows, version = work()
            else:
                loop = asyncio.get_running_loop()
                content, rows, version = await loop.run_in_executor(desk.pool, work)
        finally:
            desk.limits.leave()
        scope[NOTE] |= {"rows": rows, "model_version": version}
        return content

    async def _kept(self, scope: Scope, body: bytes | bytearray, wish: Wish) -> bytes:
        """The answer to what was decided, once the ledger has it."""
        desk, snapshot = self._desk, self._desk.live.snapshot
        decide = partial(storing.decided, snapshot, body, explain=wish.explain, top=wish.top)
        loop = asyncio.get_running_loop()
        asked, made, decisions = await loop.run_in_executor(desk.pool, decide)
        answered = await desk.ledger.ask(partial(storing.keep, snapshot, made, decisions))
        self._count(snapshot, asked, answered)
        scope[NOTE] |= {"rows": len(asked.ids), "model_version": made["model_version"]}
        return encode(self._shape(snapshot, answered))

    def _wished(self, query: bytes) -> tuple[Wish, list[tuple[str, str]]]:
        """What a query wishes, and what else stands in it."""
        if not query:
            return PLAIN, []
        pairs = pairs_of(query)
        return wish_of(pairs) if self._explains else (PLAIN, pairs)

    def _decided(
        self, snapshot: Snapshot, asks: Callable[[Snapshot], Asked], wish: Wish
    ) -> tuple[bytes, int, str]:
        asked = asks(snapshot)
        most = self._desk.settings.max_explained
        if wish.explain and len(asked.ids) > most:
            raise RequestError(
                413,
                f"reasons were asked for {len(asked.ids):,} transactions, and {most:,} at once are "
                "the most: send fewer, or leave explain out",
            )
        made = answer(snapshot.scorer, asked, explain=wish.explain, top=wish.top)
        content = encode(self._shape(snapshot, made))
        self._count(snapshot, asked, made)
        return content, len(asked.ids), made["model_version"]

    def _count(self, snapshot: Snapshot, asked: Asked, made: Answer) -> None:
        self._desk.metrics.scored(made["scores"], sum(made["predictions"]))
        if self._desk.shadow is not None:
            self._desk.shadow.offer(snapshot.bundle, asked.features, made["scores"])


def in_full(snapshot: Snapshot, made: Answer) -> Answer:
    """The whole answer."""
    return made


def by_id(snapshot: Snapshot, made: Answer) -> Answer:
    """The predictions by id, under the dataset's own."""
    ids = [str(each) for each in made["ids"]]
    predictions = dict(zip(ids, made["predictions"], strict=True))
    if len(predictions) < len(ids):
        raise DataError("two transactions have the same id: give each its own")
    return {snapshot.bundle.manifest.card.id: predictions}


def alone(snapshot: Snapshot, made: Answer) -> Answer:
    """The prediction of the only transaction."""
    if len(made["predictions"]) != 1:
        raise DataError(
            f"this route takes one transaction, not {len(made['predictions'])}: "
            "send one, or several to /predict"
        )
    return {"prediction": made["predictions"][0]}


def wish_of(pairs: list[tuple[str, str]]) -> tuple[Wish, list[tuple[str, str]]]:
    """What a query wishes, and what else stands in it."""
    switched, top = {"explain": False, "store": False}, None
    others = []
    for name, value in pairs:
        if name in switched:
            if value.lower() not in SWITCHES:
                raise DataError(f"{name} is {value[:80]!r}: set it to true or false")
            switched[name] = SWITCHES[value.lower()]
        elif name == "top":
            number = WHOLE_NUMBER.fullmatch(value)
            if number is None:
                raise DataError(f"top is {value[:80]!r}: set it to a whole number above 0")
            top = int(number[1][:9])  # nobody has more features than that
        else:
            others.append((name, value))
    return Wish(switched["explain"], top, switched["store"]), others
