"""What the server counts, for Prometheus; with several workers, what all of them count together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.process_collector import ProcessCollector

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
SCORES = (0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)


class ScoreHistogram(Histogram):
    """A histogram that takes many scores at once."""

    def observe_many(self, scores: NDArray[np.float64]) -> None:
        """Count each score, at the cost of one call a bucket and not one a score."""
        places = np.searchsorted(self._upper_bounds, scores)
        for place, count in enumerate(np.bincount(places, minlength=len(self._upper_bounds))):
            if count:
                self._buckets[place].inc(int(count))
        self._sum.inc(float(scores.sum()))


class Metrics:
    """The metrics of one server process; `together` if other workers count too."""

    def __init__(self, *, together: bool = False) -> None:
        self.registry = registry = CollectorRegistry()
        self._together = together
        if not together:
            ProcessCollector(registry=registry)
        self._requests = Counter(
            "fraudloop_http_requests",
            "Requests answered.",
            ("route", "method", "status"),
            registry=registry,
        )
        self._seconds = Histogram(
            "fraudloop_http_request_seconds",
            "From a request's headers to its answer.",
            ("route", "status"),
            buckets=SECONDS,
            registry=registry,
        )
        self._rows = Counter("fraudloop_rows", "Transactions scored.", registry=registry)
        self._predictions = Counter(
            "fraudloop_predictions", "Predictions, by class.", ("prediction",), registry=registry
        )
        self._scores = ScoreHistogram(
            "fraudloop_score", "Scores given.", buckets=SCORES, registry=registry
        )
        self._model = Gauge(
            "fraudloop_model",
            "Workers that decide with this version.",
            ("version", "candidate"),
            multiprocess_mode="livesum",
            registry=registry,
        )
        self._reloads = Counter(
            "fraudloop_reloads", "Bundles taken or not taken.", ("outcome",), registry=registry
        )
        self._of_class = [self._predictions.labels(str(each)) for each in (0, 1)]
        self._of_request: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        for outcome in ("taken", "refused"):
            self._reloads.labels(outcome)

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request. `route` is one of ours or "other": never what a client made up."""
        key = (route, method, status)
        counters = self._of_request.get(key)
        if counters is None:
            counters = self._of_request[key] = (
                self._requests.labels(*map(str, key)),
                self._seconds.labels(route, str(status)),
            )
        counters[0].inc()
        counters[1].observe(seconds)

    def scored(self, scores: list[float], frauds: int) -> None:
        """Count scores and the predictions made of them."""
        self._rows.inc(len(scores))
        if frauds:
            self._of_class[1].inc(frauds)
        if legitimate := len(scores) - frauds:
            self._of_class[0].inc(legitimate)
        if len(scores) == 1:
            self._scores.observe(scores[0])
        else:
            self._scores.observe_many(np.array(scores))

    def decides(self, version: str, candidate: str, before: tuple[str, str] | None = None) -> None:
        """Say which model decides now, and which did before."""
        if before is not None:
            self._model.labels(*before).set(0)
        self._model.labels(version, candidate).set(1)

    def deciding(self, version: str) -> int:
        """How many workers decide with this version."""
        named = self.samples("fraudloop_model")
        return round(sum(value for labels, value in named if labels["version"] == version))

    def reloaded(self, outcome: str) -> None:
        """Count a bundle that was taken, or refused."""
        self._reloads.labels(outcome).inc()

    def samples(self, name: str) -> list[tuple[dict[str, str], float]]:
        """What all workers counted under a sample's name, by its labels."""
        return [
            (sample.labels, sample.value)
            for family in self._everybody().collect()
            for sample in family.samples
            if sample.name == name
        ]

    def text(self) -> bytes:
        """All of it as Prometheus reads it."""
        return generate_latest(self._everybody())

    def _everybody(self) -> CollectorRegistry:
        if not self._together:
            return self.registry
        everybody = CollectorRegistry()
        MultiProcessCollector(everybody)  # type: ignore[no-untyped-call]  # the library has no types
        return everybody
