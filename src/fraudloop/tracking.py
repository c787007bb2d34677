"""Trials as MLflow runs: a local store that `mlflow ui` shows, caught up with after any stop."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fraudloop.settings import let_mlflow_tell_nobody

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from fraudloop.training.keep import Conclusion
    from fraudloop.training.tune import Search, Trial

STATUS = {"complete": "FINISHED", "pruned": "KILLED", "refused": "FAILED"}
MANY = 10_000  # runs of one candidate that are looked through at once
# Of a candidate's run and of its trials' runs: which study, and which trial of it.
STUDY, TRIAL = "study", "trial"


def address(path: Path) -> str:
    """What MLflow calls a store in this file."""
    return f"sqlite:///{path}"


@dataclass
class _Written:
    """What the store holds of one study."""

    parent: str
    ended: set[int] = field(default_factory=set)
    begun: dict[int, str] = field(default_factory=dict)  # by a process that was killed meanwhile


class Runs:
    """One experiment: a run for each candidate, and below it a run for each of its trials.

    Optuna's store is what a search goes on from; this one follows it, and is written after it. So
    whatever is missing here after a stop is written the next time.
    """

    def __init__(self, path: Path, experiment: str, said: Mapping[str, str]) -> None:
        self._client = _client(path)
        self._said = dict(said)
        self._studies: dict[str, _Written] = {}
        found = self._client.get_experiment_by_name(experiment)
        self._experiment: str = (
            found.experiment_id
            if found
            else self._client.create_experiment(
                experiment, artifact_location=str(path.parent / "artifacts")
            )
        )

    def catch_up(self, search: Search) -> None:
        """Write every trial that ended and is not written yet."""
        written = self._studies.get(search.key) or self._look_up(search)
        self._studies[search.key] = written
        for trial in search.trials:
            if trial.number not in written.ended:
                self._write(search, written, trial)

    def conclude(self, search: Search, conclusion: Conclusion) -> None:
        """Write what came of a candidate's search."""
        figures = {f"validation_{which}": each for which, each in conclusion.validation.items()}
        for which, trial in (("present", conclusion.present), ("best", conclusion.best)):
            figures |= {} if trial is None else {f"mean_{which}": trial.mean}
        run = self._studies[search.key].parent
        self._log(run, figures, {})
        kept = "params.yaml's" if conclusion.kept == search.target.present else "found"
        self._client.set_tag(run, "kept", kept)
        self._client.set_terminated(run)

    def _look_up(self, search: Search) -> _Written:
        runs = self._client.search_runs(
            [self._experiment], f"tags.{STUDY} = '{search.key}'", max_results=MANY
        )
        parents = [run.info.run_id for run in runs if TRIAL not in run.data.tags]
        if not parents:
            parents = [self._begin(search.target.name, {STUDY: search.key}, None).info.run_id]
        written = _Written(parents[0])
        for run in runs:
            if TRIAL in run.data.tags:
                number = int(run.data.tags[TRIAL])
                if run.info.status == "RUNNING":
                    written.begun[number] = run.info.run_id
                else:
                    written.ended.add(number)
        return written

    def _write(self, search: Search, written: _Written, trial: Trial) -> None:
        run = written.begun.get(trial.number)
        if run is None:
            tags = {STUDY: search.key, TRIAL: str(trial.number), "state": trial.state}
            if trial.refusal:
                tags["refusal"] = trial.refusal
            named = f"{search.target.name} {trial.number}"
            run = self._begin(named, tags, written.parent).info.run_id
        figures = {f"fold_{place}": each for place, each in enumerate(trial.folds, start=1)}
        if trial.state == "complete":
            figures["mean"] = trial.mean
        settings = {
            f"{part}.{name}": value
            for part, each in trial.candidate.model_dump(mode="json").items()
            for name, value in each.items()
        }
        self._log(run, {**figures, "seconds": trial.seconds}, settings)
        self._client.set_terminated(run, status=STATUS[trial.state])
        written.ended.add(trial.number)

    def _begin(self, named: str, tags: Mapping[str, str], parent: str | None) -> Run:
        below = {} if parent is None else {"mlflow.parentRunId": parent}
        return self._client.create_run(
            self._experiment, run_name=named, tags={**self._said, **tags, **below}
        )

    def _log(self, run: str, figures: Mapping[str, float], settings: Mapping[str, Any]) -> None:
        from mlflow.entities import Metric, Param

        now = int(time.time() * 1000)
        self._client.log_batch(
            run,
            metrics=[Metric(name, value, now, 0) for name, value in figures.items()],
            params=[Param(name, str(value)) for name, value in settings.items()],
        )


def _client(path: Path) -> MlflowClient:
    let_mlflow_tell_nobody()
    from mlflow import MlflowClient

    for chatty in ("mlflow", "alembic"):  # each tells of every table it makes
        logging.getLogger(chatty).setLevel(logging.WARNING)
    return MlflowClient(tracking_uri=address(path))
