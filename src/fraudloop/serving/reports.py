"""What watching found: reports on drift by day, each as JSON or as a page, and the outcomes."""

from __future__ import annotations

import importlib.util
import math
import threading
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.responses import Response

from fraudloop.errors import DataError, ParamsError
from fraudloop.serving import described, filters
from fraudloop.serving.dialects import pairs_of
from fraudloop.serving.live import Snapshot
from fraudloop.serving.refusals import RequestError
from fraudloop.serving.replies import HEADERS, encode
from fraudloop.serving.scoring import SWITCHES, Desk

if TYPE_CHECKING:
    from fraudloop.ledger.ledger import Ledger

MOST_REPORTS, USUAL_REPORTS = 500, 100
MOST_WEEKS, USUAL_WEEKS = 52, 8
PAGE = ".html"
EARLIEST, LATEST = 1970, 2199  # years
REMEMBERED_SECONDS = 30.0
# A page is whole in itself: whatever a report's names hold, a browser loads and runs nothing.
NOTHING_ELSE = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def add(app: FastAPI, desk: Desk) -> None:
    """Add the routes to an application."""
    outcomes = _Outcomes()

    @app.get("/drift", tags=["watching"], openapi_extra=described.DRIFT)
    async def by_day(request: Request) -> Response:
        """The newest drift reports, or those of a day, in short and by the day they were made."""
        asked = _asked(request, ("day", "card", "limit"))
        listed = partial(
            _listed,
            _day(asked.get("day")),
            asked.get("card"),
            filters.whole("limit", asked.get("limit", str(USUAL_REPORTS)), MOST_REPORTS),
        )
        return _json(await desk.ledger.ask(listed))

    @app.get("/drift/{id:path}", tags=["watching"], openapi_extra=described.DRIFT_REPORT)
    async def report(request: Request) -> Response:
        """A drift report: as a page where a browser asks, or the id ends with .html."""
        _asked(request, ())
        id: str = request.path_params["id"]
        page = id.endswith(PAGE) or _prefers_a_page(request)
        content, kind = await desk.ledger.ask(partial(_report, id, page))
        headers = {"Vary": "Accept", "Content-Security-Policy": NOTHING_ELSE}
        return Response(content, media_type=kind, headers=headers)

    @app.get("/outcomes", tags=["watching"], openapi_extra=described.OUTCOMES)
    async def became(request: Request) -> Response:
        """What verdicts say of decisions, week by week, against what the model promised."""
        asked = _asked(request, ("weeks", "weighted"))
        weeks = filters.whole("weeks", asked.get("weeks", str(USUAL_WEEKS)), MOST_WEEKS)
        weighted = asked.get("weighted", "false").lower()
        if weighted not in SWITCHES:
            raise DataError(f"weighted is {weighted[:80]!r}: set it to true or false")
        measure = partial(outcomes.measured, desk.live.snapshot, weeks, SWITCHES[weighted])
        return _json(await desk.ledger.ask(measure))


class _Outcomes:
    """Measures outcomes, one at a time; the answer stands for a while: it takes its seconds."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._known: dict[tuple[str, int, bool], tuple[float, bytes]] = {}

    def measured(self, snapshot: Snapshot, weeks: int, weighted: bool, ledger: Ledger) -> bytes:
        key = (snapshot.bundle.version, weeks, weighted)
        """The outcomes as JSON."""
        if not self._turn.acquire(blocking=False):  # a thread that waits answers nobody else
            raise RequestError(
                503, "outcomes are being measured: try again in 2 s", headers={"Retry-After": "2"}
            )
        try:
            at, content = self._known.get(key, (-math.inf, b""))
            if time.monotonic() - at < REMEMBERED_SECONDS:
                return content
            content = encode(_outcomes(snapshot, weeks, weighted, ledger))
            self._known = {key: (time.monotonic(), content)}
            return content
        finally:
            self._turn.release()


def _outcomes(snapshot: Snapshot, weeks: int, weighted: bool, ledger: Ledger) -> dict[str, Any]:
    from fraudloop import params
    from fraudloop.monitoring import judging, kept

    try:
        rules = judging.rules_of(params.load(), weighted=weighted)
    except ParamsError as error:
        raise RequestError(
            409, f"{error}; the bounds of outcomes stand there: start the server in the project"
        ) from error
    bundle = snapshot.bundle
    promised, card = judging.promised(bundle), bundle.manifest.card
    made = kept.outcomes(ledger, card, promised, rules, now=datetime.now(UTC), weeks=weeks)
    return {"synthetic": bundle.manifest.synthetic, **made}


def _listed(day: date | None, card: str | None, limit: int, ledger: Ledger) -> bytes:
    from fraudloop.monitoring import kept

    return encode(kept.listed(ledger, day=day, card=card, limit=limit))


def _report(id: str, page: bool, ledger: Ledger) -> tuple[bytes, str]:
    from fraudloop.monitoring import kept

    found = kept.one(ledger, id.removesuffix(PAGE))
    if found is None:
        raise RequestError(404, f"there is no drift report {id[:80]!r}: see GET /drift")
    if not page:
        return encode(found), "application/json"
    if importlib.util.find_spec("jinja2") is None:
        raise RequestError(
            409, "this server makes no pages, as it has no jinja2: ask for application/json"
        )
    from fraudloop.monitoring.pages import drift_page

    return drift_page(found).encode(), "text/html; charset=utf-8"


def _asked(request: Request, names: Sequence[str]) -> dict[str, str]:
    """A query of these names, each once."""
    asked: dict[str, str] = {}
    for name, text in pairs_of(request.scope["query_string"]):
        if name not in names:
            known = f"take {', '.join(names)}" if names else "leave it out"
            raise DataError(f"the query has an unknown option {name[:80]!r}: {known}")
        if name in asked:
            raise DataError(f"the query has {name!r} twice: keep one of the two")
        if not text or "\0" in text or len(text) > filters.LONGEST:
            raise DataError(f"{name} is no name or number that can be asked for: correct it")
        asked[name] = text
    return asked


def _day(text: str | None) -> date | None:
    try:
        found = None if text is None else date.fromisoformat(text)
    except ValueError:
        found = date.min
    if found is not None and not EARLIEST <= found.year <= LATEST:
        raise DataError(f"day is {text!r}: give it as 2026-11-30")
    return found


def _prefers_a_page(request: Request) -> bool:
    """Whether HTML comes before JSON in what the client accepts, as in a browser's list."""
    accepted = request.scope[HEADERS].get(b"accept", b"").decode("latin-1").lower()
    kinds = [each.partition(";")[0].strip() for each in accepted.split(",")]
    if "text/html" not in kinds:
        return False
    return "application/json" not in kinds or kinds.index("text/html") < kinds.index(
        "application/json"
    )


def _json(content: bytes) -> Response:
    return Response(content, media_type="application/json")
