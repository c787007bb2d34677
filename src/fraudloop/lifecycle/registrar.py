"""Registering bundles with MLflow's server by Python alone: an image that serves has no MLflow."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from fraudloop.errors import RegistryAwayError, RegistryError
from fraudloop.lifecycle.register import (
    AT_ONCE,
    FOLDER,
    Origin,
    figures_of,
    params_of,
    tags_of,
)
from fraudloop.lifecycle.rest import ARTIFACTS, PROXIED, RefusedError, RestStore
from fraudloop.lifecycle.store import SHA256, STEPS, Version
from fraudloop.model import manifest as manifests
from fraudloop.model.bundle import Bundle

TAKEN = "RESOURCE_ALREADY_EXISTS"


class Registrar(RestStore):
    """A server that bundles are registered with; it may take its time over files."""

    patience = 60.0

    def register(self, name: str, bundle: Bundle, origin: Origin) -> tuple[Version, bool]:
        """The bundle's version, and whether it was made just now.

        Whatever stops it, the next call goes on with the run that was begun, to the same end.
        """
        experiment = self._experiment(name)
        self._require_model(name, experiment)
        for version in self.versions(name):
            if version.tags.get(SHA256) == bundle.sha256:
                return version, False
        run = self._logged(experiment, bundle, origin)
        made = self._post(
            "model-versions/create",
            name=name,
            source=f"{run['artifact_uri']}/{FOLDER}",
            run_id=run["run_id"],
            tags=_pairs(tags_of(bundle, origin)),
        )
        number = int(made["model_version"]["version"])
        created = self.version(name, number)
        if created is None:
            raise RegistryError(f"{self.address} lost version {number}: look into its log")
        return created, True

    def _experiment(self, name: str) -> str:
        asked = "experiments/get-by-name", "experiment"
        found = self._found(*asked, experiment_name=name)
        if found is None:
            try:
                return str(self._post("experiments/create", name=name)["experiment_id"])
            except RefusedError as error:
                if error.code != TAKEN:
                    raise
            found = self._found(*asked, experiment_name=name)
        if found is None or found.get("lifecycle_stage") == "deleted":
            raise RegistryError(f"the registry's experiment {name} was deleted: restore it there")
        return str(found["experiment_id"])

    def _require_model(self, name: str, experiment: str) -> None:
        """Make the model if there is none, with the run that will hold its champion's steps."""
        found = self.model(name)
        if found is not None and found.steps is not None:
            return
        run = self._begun(experiment, "steps of the champion", {})["run_id"]
        self._end(run)
        try:
            self._post("registered-models/create", name=name, tags=_pairs({STEPS: run}))
        except RefusedError as error:
            if error.code != TAKEN:
                raise
            found = self.model(name)
            if found is not None and found.steps is None:  # somebody made it by hand
                self._post("registered-models/set-tag", name=name, key=STEPS, value=run)
            else:
                self._post("runs/delete", run_id=run)

    def _logged(self, experiment: str, bundle: Bundle, origin: Origin) -> Mapping[str, Any]:
        """The bundle's run, whole: a new one, or the one that a stopped registration began."""
        asked = {"filter": f"tags.`{SHA256}` = '{bundle.sha256}'", "max_results": 1}
        known = self._post("runs/search", experiment_ids=[experiment], **asked).get("runs")
        run: Mapping[str, Any] = (
            known[0]["info"]
            if known
            else self._begun(experiment, bundle.version, tags_of(bundle, origin))
        )
        if run["status"] == "FINISHED":
            return run
        self._write_down(run["run_id"], bundle, origin)
        self._send_files(run["artifact_uri"], bundle, origin.papers)
        self._end(run["run_id"])
        return run

    def _begun(self, experiment: str, name: str, tags: Mapping[str, str]) -> dict[str, Any]:
        said = {"run_name": name, "start_time": _now(), "tags": _pairs(tags)}
        made = self._post("runs/create", experiment_id=experiment, **said)
        return dict(made["run"]["info"])

    def _end(self, run: str) -> None:
        self._post("runs/update", run_id=run, status="FINISHED", end_time=_now())

    def _write_down(self, run: str, bundle: Bundle, origin: Origin) -> None:
        now = _now()
        figures = [
            {"key": key, "value": value, "timestamp": now, "step": 0}
            for key, value in figures_of(bundle, origin).items()
        ]
        params = _pairs(params_of(bundle, origin))
        for some in _pieces(figures):
            self._post("runs/log-batch", run_id=run, metrics=some)
        for some in _pieces(params):
            self._post("runs/log-batch", run_id=run, params=some)

    def _send_files(self, place: str, bundle: Bundle, papers: tuple[Path, ...]) -> None:
        if not place.startswith(PROXIED):
            raise RegistryError(
                f"{self.address} does not take files itself: start it with --serve-artifacts"
            )
        root = urlsplit(place).path.strip("/")
        files = {**bundle.files, manifests.NAME: bundle.manifest.to_bytes()}
        for name, content in files.items():
            self._send(f"{root}/{FOLDER}/{name}", content)
        for paper in papers:
            for path in sorted(paper.rglob("*")) if paper.is_dir() else [paper]:
                if path.is_file():
                    below = path.relative_to(paper.parent).as_posix()
                    self._send(f"{root}/{below}", path.read_bytes())

    def _send(self, path: str, content: bytes) -> None:
        try:
            self._ask("PUT", f"{ARTIFACTS}/{quote(path)}", content)
        except RegistryAwayError as error:
            raise RegistryAwayError(f"{error}; or how its server reaches its files") from error


def _pairs(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in values.items()]


def _pieces(all_of_them: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(all_of_them), AT_ONCE):
        yield all_of_them[start : start + AT_ONCE]


def _now() -> int:
    return int(time.time() * 1000)
