"""One training anew, from confirmed decisions to a challenger: steps that may be stopped anywhere.

Each step is noted when it is done and does nothing a second time that the first time did. So
whoever runs a job again, after a crash or a kill, comes to the same end (docs/decisions/0024).
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fraudloop import artifacts, files, params
from fraudloop.dataset import card as cards
from fraudloop.dataset import validated
from fraudloop.dataset.card import Card
from fraudloop.errors import (
    LedgerAwayError,
    LedgerError,
    RegistryAwayError,
    RegistryConflictError,
    RegistryError,
    RetrainError,
    StoppedError,
)
from fraudloop.lifecycle import asking, contest, register, steering, workspace
from fraudloop.lifecycle.beating import Heart
from fraudloop.lifecycle.following import FromRegistry, RegistrySource
from fraudloop.lifecycle.recording import Record, alone
from fraudloop.lifecycle.registry import CHAMPION
from fraudloop.lifecycle.store import Version, opened
from fraudloop.lifecycle.triggers import rules_of
from fraudloop.model import bundle as bundles
from fraudloop.params import Params
from fraudloop.settings import RegistrySettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fraudloop.ledger.ledger import Ledger
    from fraudloop.ledger.records import Job

FOLDER = Path(".cache/retrain")
REFERENCES = "references"
COPY = "project"
PAPERS = ("params.yaml", "dvc.yaml", "dvc.lock")
KEPT = 5  # folders of trainings that have ended
BY = "retrain"
EVER = datetime(1970, 1, 2, tzinfo=UTC)
# What may be over in a minute: the job stays open, and the next run goes on with it.
PASSING = (LedgerAwayError, RegistryAwayError, StoppedError)


@dataclass(frozen=True)
class Site:
    """Where models are trained anew: a project, its ledger and its registry."""

    project: Path
    params: Params
    ledger: str = field(repr=False)  # its address
    registry: RegistrySettings
    say: Callable[[str], None] = lambda _: None
    stop: threading.Event = field(default_factory=threading.Event)
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    @cached_property
    def card(self) -> Card:
        """The project's card."""
        return cards.load(self.project / self.params.paths.card)

    @property
    def folder(self) -> Path:
        """Where trainings leave what they need."""
        return self.project / FOLDER

    @property
    def model(self) -> str:
        """What the model is called in the registry: its bundles say so."""
        return self.card.id

    @property
    def has_registry(self) -> bool:
        """Whether there is one: a local one is made by the first version."""
        local = self.registry.uri.removeprefix(register.SQLITE)
        return local == self.registry.uri or Path(local).is_file()

    @contextmanager
    def source(self) -> Iterator[RegistrySource]:
        """The champion in the registry."""
        where = FromRegistry(self.model, CHAMPION, self.registry)
        with closing(RegistrySource(where, opened(self.registry))) as source:
            yield source

    def reference(self, version: str) -> Path:
        """The training rows that a version was made from, if they were kept."""
        return self.folder / REFERENCES / f"{version}.parquet"


@dataclass(frozen=True)
class Work:
    """A job that is being run, with what its steps have found so far."""

    site: Site
    ledger: Ledger
    job: Job
    record: Record
    lock: int | None

    @property
    def copy(self) -> Path:
        """The project's copy."""
        return self.record.folder / COPY

    @cached_property
    def params(self) -> Params:
        """The copy's parameters."""
        return workspace.within(self.copy, params.load(self.copy / "params.yaml"))

    def found(self, step: str) -> Mapping[str, Any]:
        """What a step has found."""
        return self.record.done[step]


def run_next(site: Site, ledger: Ledger) -> Job | None:
    """Run what was asked for, or go on with what was stopped; None if it is nobody's turn here."""
    with alone(site.folder) as lock:
        if lock is None:
            return None
        job = _taken(site, ledger)
        if job is None:
            return None
        work = Work(site, ledger, job, Record.of(site.folder / job.id), lock)
        with Heart(ledger.jobs, job.id, site.clock) as heart:
            _run(work, heart)
        _tidy(site)
        return ledger.jobs.find(job.id)


def give_up(site: Site, ledger: Ledger, why: str) -> None:
    """Close the job that this process was at: whoever ran it wants no more of it."""
    job = ledger.jobs.open_in(asking.training_lane(site.card.id))
    if job is not None and (site.folder / job.id).is_dir():
        ledger.jobs.finish(job.id, done=False, message=why, detail={}, at=site.clock())


def _taken(site: Site, ledger: Ledger) -> Job | None:
    """The lane's job, if it waits, or its process is surely gone: ours, as we are alone here."""
    lane = asking.training_lane(site.card.id)
    job = ledger.jobs.open_in(lane)
    if job is None:
        return None
    here = site.folder / job.id
    if job.state == "queued":
        here.mkdir(parents=True, exist_ok=True)
        return ledger.jobs.claim(lane, site.clock())
    silent = job.seen_at is None or site.clock() - job.seen_at > asking.SILENT
    if not here.is_dir() and not silent:
        return None
    here.mkdir(parents=True, exist_ok=True)
    site.say(f"going on with job {job.id} ({job.kind}), which was stopped")
    return ledger.jobs.take_over(job, site.clock())


def _run(work: Work, heart: Heart) -> None:
    job, jobs = work.job, work.ledger.jobs
    try:
        for place, (name, (doing, step)) in enumerate(STEPS.items()):
            if name not in work.record.done:
                heart.say((place + 0.5) / (len(STEPS) + 1), doing)
                work.site.say(f"job {job.id}: {doing}")
                work.record.note(name, step(work))
            if work.site.stop.is_set():
                raise StoppedError("the training was told to end: the next run goes on with it")
    except PASSING:
        raise
    except Exception as error:
        heart.stop()
        jobs.finish(job.id, done=False, message=str(error), detail={}, at=work.site.clock())
        raise
    heart.stop()
    detail = {name: dict(found) for name, found in work.record.done.items() if found}
    message = work.found("promote")["sentence"]
    jobs.finish(job.id, done=True, message=message, detail=detail, at=work.site.clock())


def _copy(work: Work) -> dict[str, Any]:
    workspace.prepare(work.site.project, work.copy)
    return {"code": register.code_here()}


def _validated(work: Work) -> dict[str, Any]:
    """Export what people have judged; there may be nothing yet."""
    from fraudloop.ledger.export import export_validated

    path, card = work.params.paths.validated, work.site.card
    if path is None:
        raise RetrainError("params.yaml names no paths.validated: decisions have no way to train")
    path.unlink(missing_ok=True)
    if work.ledger.judged_since(card.id, EVER) == 0:
        validated.begin(path, card)
        return {"rows": 0, "frauds": 0, "left_out": 0}
    try:
        done = export_validated(work.ledger, card, str(path))
    except LedgerAwayError:
        raise
    except LedgerError:  # none of them fits the card
        validated.begin(path, card)
        return {"rows": 0, "frauds": 0, "left_out": work.ledger.judged_since(card.id, EVER)}
    return {"rows": done.rows, "frauds": done.frauds, "left_out": done.left_out}


def _train(work: Work) -> dict[str, Any]:
    log = work.record.folder / workspace.LOG
    workspace.reproduce(work.copy, log, work.site.stop, work.lock)
    made = bundles.load(work.params.paths.output)
    raw, own = work.params.paths.raw, work.params.paths.validated
    version = f"md5:{files.digest(raw, 'md5')}"
    if own is not None and work.found("validated")["rows"]:
        version += f"+{files.digest(own, 'md5')}"
    report = artifacts.read_json(work.params.paths.output / artifacts.DATA_REPORT)
    for name in PAPERS:
        files.write_bytes(work.record.folder / name, (work.copy / name).read_bytes())
    with files.written_aside(work.site.reference(made.version)) as aside:
        part = work.params.paths.prepared / work.params.split.use / "train.parquet"
        shutil.copyfile(part, aside)
    return {"bundle": made.version, "data": version, "joined": report.get("validated", {})}


def _register(work: Work) -> dict[str, Any]:
    trained, output = work.found("train"), work.params.paths.output
    logged = params.load(work.copy / "params.yaml")  # its paths as everybody has them
    origin = register.origin_of(
        logged, output, data_version=trained["data"], code_version=work.found("copy")["code"]
    )
    made = register.register(work.site.registry, output, origin)
    with work.site.source() as source:
        champion = source.registry.store.alias(made.model, CHAMPION)
        if champion is None or champion.number != made.version.number:
            source.registry.challenge(made.version.number)
    return {"version": made.version.number, "bundle": made.version.name, "new": made.new}


def _compare(work: Work) -> dict[str, Any]:
    number = work.found("register")["version"]
    with work.site.source() as source:
        store = source.registry.store
        champion = store.alias(work.site.model, CHAMPION)
        if champion is None:
            return {"champion": None, "better": True, "sentence": "no version decided before"}
        if champion.number == number:
            sentence = "the very champion came out again: nothing new was to be learned"
            return {"champion": number, "better": False, "sentence": sentence}
        raw = work.found("train")["data"].partition("+")[0]
        made_with = store.params(champion.run)
        unfair = contest.unfairness(champion, made_with, raw, work.params)
        if unfair:
            return {"champion": champion.number, "better": False, "sentence": unfair}
        ours = bundles.load(work.params.paths.output)
        result = contest.held(ours, source.bundle_of(champion), work.params)
    files.write_json(work.record.folder / "comparison.json", result.as_json())
    return {"champion": champion.number, **result.as_json()}


def _promote(work: Work) -> dict[str, Any]:
    """Let it decide, if it may: where none decided before, or it is better and that is enough."""
    number, compared = work.found("register")["version"], work.found("compare")
    before, sentence = compared["champion"], compared["sentence"]
    own = f"version {number}"
    if before == number:
        return {"promoted": False, "sentence": sentence}
    first = before is None
    if not first and (not compared["better"] or rules_of(work.site.params).promote == "person"):
        left = f"{own} is the challenger, {sentence}"
        if compared["better"]:
            left += f"; it waits for a person: `fraudloop registry promote {number} --why …`"
        return {"promoted": False, "sentence": left}
    with work.site.source() as source:
        champion = source.registry.store.alias(work.site.model, CHAMPION)
        why = f"job {work.job.id} ({work.job.kind}: {work.job.why}): {sentence}"[:1_000]
        if _is(champion, number):  # made by the run that was stopped here
            source.registry.repair()
        elif not _is(champion, before):
            changed = f"{own} is the challenger: the champion changed while it was compared"
            return {"promoted": False, "sentence": changed}
        else:
            record = steering.in_ledger(work.site.ledger)
            try:
                steering.promote(source, str(number), by=BY, why=why, record=record)
            except RegistryConflictError as error:
                return {"promoted": False, "sentence": f"{own} is the challenger: {error}"}
    return {"promoted": True, "sentence": f"{own} decides now: {sentence}"}


def _tell(work: Work) -> dict[str, Any]:
    """Note in the audit rows what came of it, once."""
    job, audit = work.job, work.ledger.audit
    rows = audit.newest(steering.LOOKED_THROUGH, action=BY)
    if all(row.detail.get("job") != job.id for row in rows):
        subject = f"{work.site.model} version {work.found('register')['version']}"
        promoted = work.found("promote")
        detail = {"job": job.id, "kind": job.kind, "why": job.why, **promoted}
        audit.note(job.asked_by, BY, subject, detail, work.site.clock())
    return {}


def _is(version: Version | None, number: int | None) -> bool:
    return (version.number if version else None) == number


Step = Callable[[Work], dict[str, Any]]
STEPS: dict[str, tuple[str, Step]] = {
    "copy": ("copying the project aside", _copy),
    "validated": ("exporting decisions with their verdicts", _validated),
    "train": ("running the pipeline", _train),
    "register": ("registering the challenger", _register),
    "compare": ("comparing it with the champion", _compare),
    "promote": ("deciding which of them decides", _promote),
    "tell": ("noting it in the ledger", _tell),
}


def _tidy(site: Site) -> None:
    """Take away what ended trainings need no more: their copies, and the oldest folders."""
    ended = sorted(
        (each for each in site.folder.iterdir() if each.is_dir() and each.name != REFERENCES),
        key=lambda each: each.stat().st_mtime,
    )
    for each in ended:
        shutil.rmtree(each / COPY, ignore_errors=True)
        for part in each.glob(f".{COPY}.*.part"):
            shutil.rmtree(part, ignore_errors=True)
    for each in ended[:-KEPT]:
        shutil.rmtree(each, ignore_errors=True)


def champion_since(site: Site) -> datetime | None:
    """When the version that decides was registered; None if none does."""
    if not site.has_registry:
        return None
    with site.source() as source:
        try:
            found = source.registry.store.alias(site.model, CHAMPION)
        except RegistryAwayError:
            raise
        except RegistryError:
            return None
    return None if found is None else EVER + timedelta(milliseconds=found.made_at, days=-1)
