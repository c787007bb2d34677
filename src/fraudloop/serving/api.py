"""The HTTP application: which route is answered by what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from fastapi.telemetry import TelemetryConfig
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.routing import Route

from fraudloop import __version__
from fraudloop.errors import FraudloopError
from fraudloop.serving import decisions, jobs, openapi, reports, shadowing, steering
from fraudloop.serving.auth import Gate
from fraudloop.serving.front import FAILED, Front
from fraudloop.serving.ledger import LedgerDesk
from fraudloop.serving.ledger_users import LedgerUsers
from fraudloop.serving.limits import Limits
from fraudloop.serving.live import Live
from fraudloop.serving.log import Log, catch_others
from fraudloop.serving.metrics import Metrics
from fraudloop.serving.options import Options
from fraudloop.serving.refusals import RequestError, as_request_error
from fraudloop.serving.scoring import Desk, Scoring, alone, by_id, in_full
from fraudloop.serving.watch import Watch, identity, lifespan
from fraudloop.users import UsersFile

# OpenTelemetry's exporters, set up by the environment, could carry transactions elsewhere.
SILENT: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "auto_configure": False,
}
BODIES_AT_ONCE = 8  # of the largest size that is allowed
SENTENCES = {
    404: "there is no {path} here: see /docs",
    405: "{path} does not take {method}: see /docs",
}


def create(options: Options) -> Front:
    """The application of one worker, with its model loaded."""
    log = Log()
    catch_others(log)
    desk = _desk(options)
    watched = Watch(desk.live, desk.metrics, log)
    gate, closing = _gate(options, log)
    ends = [*closing, desk.pool.shutdown, desk.ledger.close, desk.live.source.close]
    ends += shadowing.ends(desk.shadow)
    app = FastAPIOffline(
        docs_url="/docs",
        redoc_url=None,
        title="fraudloop",
        telemetry=SILENT,
        version=__version__,
        lifespan=lifespan(watched, log, ends),
        redirect_slashes=False,
    )
    scoring = {
        "/predict": (Scoring(desk, in_full, explains=True), ("POST", "GET")),
        "/invocations": (Scoring(desk, by_id, unnamed=True), ("POST",)),
        "/predict_fraud": (Scoring(desk, alone), ("POST",)),
    }
    for path, (endpoint, methods) in scoring.items():
        app.router.routes.append(Route(path, endpoint, methods=list(methods)))
    _add_probes(app, desk)
    _add_descriptions(app, desk.live)
    steering.add(app, desk, watched, options)
    shadowing.add(app, desk)
    decisions.add(app, desk)
    reports.add(app, desk)
    jobs.add(app, desk)
    _add_refusals(app)
    app.openapi = lambda: openapi.document(app, desk.live.snapshot.bundle.manifest)  # type: ignore[method-assign]  # as FastAPI's manual does
    return Front(
        app,
        direct={
            (method, path): endpoint
            for path, (endpoint, methods) in scoring.items()
            for method in methods
        },
        routes=frozenset(route.path_format for route in app.routes if isinstance(route, Route)),
        gate=gate,
        open_house=options.settings.auth != "basic",
        at_home=options.settings.auth is None,
        metrics=desk.metrics,
        log=log,
    )


def _desk(options: Options) -> Desk:
    settings = options.settings
    live = Live(
        options.bundle,
        sha256=options.sha256,
        most_rows=settings.max_rows,
        threads=settings.threads,
    )
    metrics = Metrics(together=options.workers > 1)
    metrics.decides(*identity(live))
    limits = Limits(
        rate=settings.rate_limit / options.workers,
        at_once=settings.concurrency,
        bytes_at_once=BODIES_AT_ONCE * settings.max_body_bytes,
    )
    ledger = LedgerDesk(options.ledger)
    return Desk(live, limits, metrics, settings, ledger, shadowing.started(options, metrics))


def _gate(options: Options, log: Log) -> tuple[Gate, list[Callable[[], None]]]:
    """Who lets users in, those of the file or else of the ledger; and how that ends."""

    def report(fault: FraudloopError) -> None:
        log("users", level="error", message=str(fault))

    if options.settings.users is not None:
        gate = Gate(UsersFile(options.settings.users, report))
        return gate, [gate.close]
    # A desk of its own: whoever comes in does not wait behind long questions.
    asking = LedgerDesk(options.ledger, threads=1)
    users = LedgerUsers(asking, report)
    gate = Gate(users, freshen=users.freshen)
    return gate, [gate.close, asking.close]


def _add_probes(app: FastAPI, desk: Desk) -> None:
    """What those ask who run the server."""

    @app.get("/ping", tags=["probes"])
    @app.get("/health-check/liveness", tags=["probes"])
    async def alive() -> dict[str, Any]:
        """Whether the process answers."""
        return {"data": {"status": "ok"}}

    @app.get("/health", tags=["probes"], response_class=PlainTextResponse)
    async def health() -> str:
        """Whether the process answers, in one word."""
        return "OK"

    @app.get("/ready", tags=["probes"])
    async def ready() -> dict[str, Any]:
        """Which model decides; in `detail`, why a newer bundle does not."""
        return {
            "status": "ready",
            "model_version": desk.live.snapshot.bundle.version,
            "detail": desk.live.remarks,
        }

    @app.get("/metrics", tags=["probes"], response_class=PlainTextResponse)
    async def counted() -> Response:
        """What was counted, for Prometheus."""
        return Response(desk.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _add_descriptions(app: FastAPI, live: Live) -> None:
    """What those ask who use it."""

    @app.get("/hello", tags=["users"], response_class=PlainTextResponse)
    async def hello() -> str:
        """Whether your name and password are right."""
        return "hello"

    @app.get("/model", tags=["model"])
    async def model() -> dict[str, Any]:
        """The model that decides: version, figures, threshold, card."""
        bundle = live.snapshot.bundle
        manifest = bundle.manifest
        return {
            "version": bundle.version,
            "candidate": manifest.candidate,
            "synthetic": manifest.synthetic,
            "threshold": manifest.threshold,
            "metrics": manifest.metrics,
            "features": manifest.features,
            "card": manifest.card.model_dump(mode="json", exclude={"synthetic"}, exclude_none=True),
        }

    @app.get("/get_model_ver", tags=["model"])
    async def version() -> dict[str, str]:
        """The version of the model that decides."""
        return {"version": live.snapshot.bundle.version}


def _shown(path: str) -> str:
    """A path that can be printed in a sentence."""
    return "".join(each if each.isprintable() else "�" for each in path[:80])


def _add_refusals(app: FastAPI) -> None:
    """Whatever goes wrong is told in the same shape."""

    async def told(request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException):
            sentence = SENTENCES.get(error.status_code, "the request was refused: see /docs")
            place = {"path": _shown(request.scope["path"]), "method": request.method}
            refusal = RequestError(
                error.status_code, sentence.format(**place), headers=error.headers
            )
        elif isinstance(error, FraudloopError):
            refusal = as_request_error(error)
        else:
            refusal = FAILED
        content = {"error": str(refusal), "detail": refusal.detail}
        return JSONResponse(content, refusal.status, refusal.headers)

    for kind in (HTTPException, FraudloopError, Exception):
        app.add_exception_handler(kind, told)
