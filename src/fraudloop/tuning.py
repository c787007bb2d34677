"""`fraudloop tune` at its edges: tables, stores, the clock and Ctrl-C."""

from __future__ import annotations

import hashlib
import logging
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from fraudloop import artifacts
from fraudloop.dataset import card as cards
from fraudloop.errors import ParamsError, TrainingError
from fraudloop.params import Candidate, Params

if TYPE_CHECKING:
    import pandas as pd
    from optuna.storages import BaseStorage

    from fraudloop.tracking import Runs
    from fraudloop.training.budget import Budget
    from fraudloop.training.keep import Conclusion
    from fraudloop.training.tune import Search, Target

FOLDER = "tuning"  # in paths.output: what is searched there is no output of a stage
TRIALS = "trials.db"
RUNS = "mlflow.db"
SHOWN = 0.0001  # more of average precision is an improvement worth a line
LIBRARIES = ("imbalanced-learn", "scikit-learn", "xgboost-cpu")


def tune(
    params: Params,
    names: Sequence[str],
    *,
    minutes: float | None,
    trials: int | None,
    fresh: bool,
    say: Callable[[str], None],
) -> str:
    """Search the candidates of these names, or all of `params.yaml`: the lines of it to keep."""
    from fraudloop.training import keep
    from fraudloop.training.budget import Budget

    budget = Budget.of(minutes, trials)
    targets = chosen(params, names)
    ground = Ground(params)
    folder = params.paths.output / FOLDER
    with _alone(folder), _stoppable() as check:
        from optuna.storages import RDBStorage

        from fraudloop.tracking import Runs, address

        logging.getLogger("optuna").setLevel(logging.WARNING)
        with _stores_in(folder), _bar() as bar:
            storage = RDBStorage(address(folder / TRIALS))
            searches = [ground.search(target, storage, fresh, check) for target in targets]
            runs = Runs(folder / RUNS, f"tune {ground.card.id}", ground.said)
            _go_on(searches, budget, runs, bar, say)
            conclusions = []
            for search in searches:
                bar(1.0, f"{search.target.name}, what was found is judged")
                conclusions.append(ground.conclude(search, check))
            for search, conclusion in zip(searches, conclusions, strict=True):
                runs.conclude(search, conclusion)
                search.conclude()
    for row in told(conclusions):
        say(row)
    say(
        "The validation part chose among the best of each: of what is kept, what it says flatters. "
        "The test part was not read."
    )
    say(f"Every trial: mlflow ui --backend-store-uri {address(folder / RUNS)}")
    return keep.lines(
        {(each.target.sampler, each.target.estimator): each.kept for each in conclusions}
    )


def chosen(params: Params, names: Sequence[str]) -> list[Target]:
    """The candidates of these names, or all of `params.yaml`, each with its space."""
    from fraudloop.training import candidates, spaces
    from fraudloop.training.tune import Target

    targets = []
    for name in dict.fromkeys(names or artifacts.pairs(params)):
        sampler, _, estimator = name.partition("-")
        if sampler not in candidates.SAMPLERS or estimator not in candidates.ESTIMATORS:
            raise ParamsError(
                f"no candidate is called {name!r}: write <sampler>-<estimator>, with a sampler of "
                f"{', '.join(candidates.SAMPLERS)} and an estimator of "
                f"{', '.join(candidates.ESTIMATORS)}"
            )
        present = params.candidates.get(sampler, {}).get(estimator, Candidate())
        targets.append(Target(sampler, estimator, present, spaces.space(sampler, estimator)))
    return targets


class Ground:
    """The tables of the split in use, and what is measured on them."""

    def __init__(self, params: Params) -> None:
        from fraudloop.training import folds, tune

        self._params = params
        self.card = cards.load(params.paths.card)
        self._training = artifacts.read_table(params, "train")
        self._validation = artifacts.read_table(params, "validation")
        by_time = params.split.use == "temporal"
        self._folds = folds.divide(self._training, self.card, by_time=by_time, seed=params.seed)
        self._judged_by = tune.rows_digest(self._validation)[:16]
        self.said = {"data": tune.rows_digest(self._training)[:16], "seed": str(params.seed)}

    def search(
        self, target: Target, storage: BaseStorage, fresh: bool, check: Callable[[], None]
    ) -> Search:
        """A candidate's search: the one begun on the same rows, unless it is to be fresh."""
        import optuna

        from fraudloop.training.tune import KEY, Search, study_name

        circumstances = self.said | {"folds": self._folds_digest()}
        circumstances |= {library: version(library) for library in LIBRARIES}
        name = study_name(target, self.card, circumstances)
        if fresh and name in optuna.get_all_study_names(storage):
            optuna.delete_study(study_name=name, storage=storage)
        study = optuna.create_study(
            storage=storage, study_name=name, direction="maximize", load_if_exists=True
        )
        if KEY not in study.user_attrs:
            study.set_user_attr(KEY, secrets.token_hex(8))

        def judge(candidate: Candidate, place: int) -> float:
            return self._on_fold(target, candidate, place, self._params.seed, check)

        return Search(
            target,
            study,
            self.card,
            judge,
            folds=len(self._folds),
            seed=self._params.seed,
            clock=time.perf_counter,
        )

    def conclude(self, search: Search, check: Callable[[], None]) -> Conclusion:
        """Judge what a search found; what was measured before a stop is not measured again."""
        from fraudloop.training import keep

        target, seed = search.target, self._params.seed

        def once(what: str, candidate: Candidate, measure: Callable[[], float]) -> float:
            def measured() -> float:
                try:
                    return measure()
                except (ParamsError, TrainingError):  # what other rows refuse is worth nothing
                    return 0.0

            return search.once(f"{what} {_digest(candidate.model_dump_json())}", measured)

        def validation(candidate: Candidate) -> float:
            tables = self._training, self._validation
            return once(
                f"validation {self._judged_by}",
                candidate,
                lambda: self._measure(target, candidate, *tables, seed, check),
            )

        def again(candidate: Candidate) -> tuple[float, ...]:
            def on(place: int) -> float:
                return self._on_fold(target, candidate, place, (seed + 1) % 2**32, check)

            return tuple(
                once(f"again {place}", candidate, partial(on, place))
                for place in range(len(self._folds))
            )

        return keep.conclude(search.target, search.trials, validation, again)

    def _on_fold(
        self, target: Target, candidate: Candidate, place: int, seed: int, check: Callable[[], None]
    ) -> float:
        fold = self._folds[place]
        tables = self._training.iloc[fold.fitted], self._training.iloc[fold.judged]
        return self._measure(target, candidate, *tables, seed, check)

    def _measure(
        self,
        target: Target,
        candidate: Candidate,
        fitted: pd.DataFrame,
        judged: pd.DataFrame,
        seed: int,
        check: Callable[[], None],
    ) -> float:
        from fraudloop.training.tune import average_precision

        threads = self._params.threads
        try:
            return average_precision(
                target, candidate, fitted, judged, self.card, seed=seed, threads=threads
            )
        finally:
            check()

    def _folds_digest(self) -> str:
        digest = hashlib.sha256()
        for fold in self._folds:
            digest.update(fold.fitted.tobytes() + fold.judged.tobytes())
        return digest.hexdigest()[:16]


def told(conclusions: Sequence[Conclusion]) -> Iterator[str]:
    """What came of each search, as the rows of a table."""

    def figure(value: float | None) -> str:
        return "–" if value is None else f"{value:.4f}"

    yield (
        f"{'average precision of':<36}{'trials':>6}{'folds: now':>12}{'found':>8}"
        f"{'validation: now':>17}{'found':>8}{'lead':>18}  keep"
    )
    for each in conclusions:
        present, best = each.present, each.best
        lead = "–" if each.lead is None else f"{each.lead.mean:+.4f} ± {each.lead.error:.4f}"
        yield (
            f"{each.target.name:<36}{each.trials:>6}"
            f"{figure(None if present is None else present.mean):>12}"
            f"{figure(None if best is None else best.mean):>8}"
            f"{figure(each.validation.get('present')):>17}"
            f"{figure(each.validation.get('best')):>8}{lead:>18}"
            f"  {'now' if each.kept == each.target.present else 'found'}"
        )


def _go_on(
    searches: Sequence[Search],
    budget: Budget,
    runs: Runs,
    bar: Callable[[float, str], None],
    say: Callable[[str], None],
) -> None:
    """Try settings until the budget is spent; each trial is written before the next begins."""
    done = sum(len(each.trials) for each in searches)
    before = sum(each.seconds for each in searches) / 60
    if done:
        say(f"going on after {done} trials")
    for search in searches:
        runs.catch_up(search)
    began = time.perf_counter()

    def minutes() -> float:
        return before + (time.perf_counter() - began) / 60

    while turn := budget.next(searches, minutes()):
        left = budget.left(searches, minutes())
        bar(budget.share(searches, minutes()), f"{turn.target.name}, {left}")
        best = turn.best
        trial = turn.advance()
        runs.catch_up(turn)
        if trial.state == "complete" and (best is None or trial.mean > best.mean + SHOWN):
            than = "" if best is None else f", {trial.mean - best.mean:.4f} more"
            left = budget.left(searches, minutes())
            say(f"{turn.target.name}: {trial.mean:.4f} on the folds{than} ({left})")
        elif turn.is_hopeless:
            say(f"{turn.target.name} is given up: {trial.refusal}")
        elif trial.state == "refused" and trial.candidate == turn.target.present:
            say(f"as it stands, {trial.refusal}")


@contextmanager
def _bar() -> Iterator[Callable[[float, str], None]]:
    """A bar on a terminal, to be told how far and what; silence anywhere else."""
    if not sys.stderr.isatty():
        yield lambda share, what: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = BarColumn(), TextColumn("{task.description}")
    with Progress(*columns, console=Console(file=sys.stderr), transient=True) as shown:
        task = shown.add_task("", total=1.0)
        yield lambda share, what: shown.update(task, completed=share, description=what)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other searches out of the folder; the lock goes with the process, however that ends."""
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TrainingError(
                f"another `fraudloop tune` is at work in {folder}: let it end, or stop it"
            ) from None
        yield


@contextmanager
def _stores_in(folder: Path) -> Iterator[None]:
    """Say in one sentence what Optuna and MLflow find wrong with their files."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise TrainingError(
            f"the trials in {folder} cannot be used ({reason}): move it away, and start anew"
        ) from error


@contextmanager
def _stoppable() -> Iterator[Callable[[], None]]:
    """Give a check that raises KeyboardInterrupt once Ctrl-C was pressed, however it was taken.

    XGBoost calls Python back while it takes a table in, and an interrupt there is lost.
    """
    pressed = []

    def note(number: int, frame: FrameType | None) -> None:
        pressed.append(number)
        signal.default_int_handler(number, frame)

    def check() -> None:
        if pressed:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, note)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
