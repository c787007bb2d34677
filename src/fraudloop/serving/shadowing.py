"""A challenger beside the model that decides: started, asked about, and told of to the registry."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, Counter

from fraudloop.lifecycle.following import RegistrySource
from fraudloop.lifecycle.listing import SHADOW
from fraudloop.lifecycle.shadow import Compared, Shadow
from fraudloop.serving.metrics import Metrics, ScoreHistogram
from fraudloop.serving.options import Options
from fraudloop.serving.refusals import RequestError
from fraudloop.serving.scoring import Desk

ROWS, DIFFERENCE, LEFT = (f"fraudloop_shadow_{each}" for each in ("rows", "difference", "left"))
DIFFERENCES = (1e-6, 1e-4, 1e-3, 0.01, 0.05, 0.1, 0.2, 0.5, 1.0)


class Counts:
    """What the shadow's work is counted in, beside the server's own metrics."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._rows = Counter(
            ROWS,
            "Transactions that a challenger scored beside the champion, by who alerts.",
            ("champion", "challenger", "alert"),
            registry=registry,
        )
        self._differences = ScoreHistogram(
            DIFFERENCE,
            "How far a challenger's score is from the champion's.",
            ("champion", "challenger"),
            buckets=DIFFERENCES,
            registry=registry,
        )
        self._left = Counter(
            LEFT,
            "Transactions that the challenger did not score, by why.",
            ("reason",),
            registry=registry,
        )

    def compared(self, made: Compared) -> None:
        """Count rows that a challenger scored too."""
        pair = (made.champion, made.challenger)
        self._differences.labels(*pair).observe_many(np.abs(made.scores - made.others))
        both = made.predictions & made.other_predictions
        for alert, rows in (
            ("both", both),
            ("champion", made.predictions & ~both),
            ("challenger", made.other_predictions & ~both),
            ("neither", ~(made.predictions | made.other_predictions)),
        ):
            if many := int(rows.sum()):
                self._rows.labels(*pair, alert).inc(many)

    def left(self, reason: str, rows: int) -> None:
        """Count rows that a challenger did not score."""
        self._left.labels(reason).inc(rows)


def started(options: Options, metrics: Metrics) -> Shadow | None:
    """The shadow of a worker, if the server is to have one."""
    if options.shadow is None:
        return None
    # All workers count together, and speak for one server.
    server = f"{socket.gethostname()}.{os.getppid() if options.workers > 1 else os.getpid()}"
    return Shadow(
        options.shadow,
        Counts(metrics.registry),
        report=partial(_tell_the_registry, metrics, server),
    )


def ends(shadow: Shadow | None) -> Sequence[Callable[[], None]]:
    """What is to be done at the end."""
    return () if shadow is None else (shadow.close,)


def add(app: FastAPI, desk: Desk) -> None:
    """Add the route to an application."""

    @app.get("/model/shadow", tags=["model"])
    async def shadow() -> dict[str, Any]:
        """How a challenger in the shadow agrees with the model that decides."""
        if desk.shadow is None:
            raise RequestError(
                409, "no challenger scores here: start the server with --shadow registry:challenger"
            )
        challenger = desk.shadow.challenger
        champion = desk.live.snapshot.bundle.version
        return {
            "champion": champion,
            "challenger": None if challenger is None else challenger.version,
            "note": desk.shadow.note,
            **(figures(desk.metrics, champion, challenger.version) if challenger else {}),
            "left": {
                labels["reason"]: round(value)
                for labels, value in desk.metrics.samples(f"{LEFT}_total")
            },
        }


def figures(metrics: Metrics, champion: str, challenger: str) -> dict[str, Any]:
    """What all workers of this server counted of one pair."""
    pair = {"champion": champion, "challenger": challenger}.items()

    def of_pair(name: str) -> list[tuple[dict[str, str], float]]:
        return [each for each in metrics.samples(name) if pair <= each[0].items()]

    alerts = dict.fromkeys(("both", "champion", "challenger", "neither"), 0)
    for labels, value in of_pair(f"{ROWS}_total"):
        alerts[labels["alert"]] += round(value)
    rows = sum(alerts.values())
    apart = sum(value for _, value in of_pair(f"{DIFFERENCE}_sum"))
    within = {labels["le"]: round(value) for labels, value in of_pair(f"{DIFFERENCE}_bucket")}
    return {
        "rows": rows,
        "alerts": alerts,
        "agreement": (alerts["both"] + alerts["neither"]) / rows if rows else None,
        "mean_difference": apart / rows if rows else None,
        "within": within,  # by how far scores are apart: how many at most so far
    }


def _tell_the_registry(metrics: Metrics, server: str, shadow: Shadow) -> None:
    """Let whoever promotes see it: a tag of the version, one for each server."""
    source, challenger = shadow.source, shadow.challenger
    if challenger is None or not isinstance(source, RegistrySource) or source.number is None:
        return
    champions = {labels["champion"] for labels, _ in metrics.samples(f"{ROWS}_total")}
    for champion in sorted(champions):
        made = figures(metrics, champion, challenger.version)
        if made["rows"]:
            value = {name: made[name] for name in ("rows", "alerts", "mean_difference")}
            key = f"{SHADOW}.{champion}.{server}"
            registry = source.registry
            registry.store.tag(registry.model, source.number, key, json.dumps(value))
