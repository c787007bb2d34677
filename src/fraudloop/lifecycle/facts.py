"""What the triggers want to know, gathered from ledger and registry."""

from __future__ import annotations

import csv
import tempfile
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fraudloop.errors import (
    BundleError,
    DataError,
    RegistryAwayError,
    RegistryError,
    RetrainError,
)
from fraudloop.ledger.records import Filters
from fraudloop.lifecycle import asking
from fraudloop.lifecycle.registry import CHAMPION
from fraudloop.lifecycle.retrain import EVER, Site, champion_since
from fraudloop.lifecycle.triggers import Facts, rules_of
from fraudloop.model import bundle as bundles
from fraudloop.model.bundle import Bundle
from fraudloop.monitoring import comparing, judging, kept
from fraudloop.progress import Silent

if TYPE_CHECKING:
    from fraudloop.ledger.ledger import Ledger

DAY = timedelta(days=1)
AT_ONCE = 1_000
MOST = 200_000  # of the newest decisions, for one look
WEEKS = 8
LOOKED_BACK = 50  # jobs


@dataclass(frozen=True)
class Last:
    """The last training: when it was asked for, and when it ended."""

    asked_at: datetime
    over_at: datetime


def gather(site: Site, ledger: Ledger, *, look: bool = True) -> Facts:
    """The facts of this moment; with `look`, drift and outcomes are looked at where it is time."""
    now, card = site.clock(), site.card.id
    last = last_training(ledger, card)
    since = last.asked_at if last else champion_since(site)
    bundle = champion(site)
    drifted = broken = None
    if bundle is not None:
        if look:
            look_for_drift(site, ledger, bundle, since)
        drifted = _drifted(ledger, card, since or EVER)
        broken = _broken(site, ledger, bundle, since or EVER)
    return Facts(
        now=now,
        trained_at=since,
        over_at=last.over_at if last else None,
        drifted=drifted,
        broken=broken,
        new_verdicts=ledger.judged_since(card, since or EVER),
    )


def last_training(ledger: Ledger, card: str) -> Last | None:
    """The last training that has ended, however it did."""
    for job in asking.trainings(ledger, card, LOOKED_BACK):
        if job.finished_at is not None:
            return Last(job.created_at, job.finished_at)
    return None


def champion(site: Site) -> Bundle | None:
    """What decides: the registry's champion; the pipeline's own bundle where there is none."""
    if site.has_registry:
        with site.source() as source:
            try:
                source.registry.version(CHAMPION)
                return source.load()
            except RegistryAwayError:
                raise
            except RegistryError:
                pass
    try:
        return bundles.load(site.project / site.params.paths.output)
    except BundleError:
        return None


def drift_now(site: Site, ledger: Ledger) -> dict[str, Any] | None:
    """Look for drift because somebody asks; None: too few are new to prove anything."""
    bundle = champion(site)
    if bundle is None:
        raise RetrainError("no model decides yet, so nothing can drift: run `dvc repro` first")
    if _reference(site, bundle) is None:
        raise RetrainError(
            f"the rows that {bundle.version} was trained on are not here: run `dvc pull`, or "
            "give two tables as --reference and --current"
        )
    last = last_training(ledger, site.card.id)
    since = last.asked_at if last else champion_since(site)
    return look_for_drift(site, ledger, bundle, since, by_hand=True)


def look_for_drift(
    site: Site, ledger: Ledger, bundle: Bundle, since: datetime | None, *, by_hand: bool = False
) -> dict[str, Any] | None:
    """Compare the decisions since the last look with what the model was trained on; keep it.

    It is time when enough are new, or a day is over and they are enough to prove anything; or when
    somebody asks, and they are.
    """
    reference, now, card = _reference(site, bundle), site.clock(), site.card.id
    if reference is None:
        return None
    newest = ledger.drift.newest(1, card=card)
    looked_at = newest[0].made_at if newest else None
    begin = max(filter(None, [looked_at, since]), default=EVER)
    new = sum(each.decisions for each in ledger.tallies(card, begin, now + DAY))
    rested = by_hand or looked_at is None or now - looked_at >= DAY
    enough = rules_of(site.params).new_rows
    if new < enough and not (rested and new >= comparing.fewest(site.params)):
        return None
    with tempfile.TemporaryDirectory() as folder:
        current = Path(folder) / "decisions.csv"
        _write(current, ledger, site, begin)
        bundles.save(Path(folder) / "bundle", bundle)
        asked = comparing.Asked(
            reference, current, bundle=Path(folder) / "bundle", sha256=bundle.sha256
        )
        _, report = comparing.compare_files(asked, site.params, Silent())
    kept.keep(ledger, report)
    return report


def _reference(site: Site, bundle: Bundle) -> Path | None:
    """What the version was trained on: kept by its training, or the project's own training part."""
    own = site.project / site.params.paths.prepared / site.params.split.use / "train.parquet"
    return next((each for each in (site.reference(bundle.version), own) if each.is_file()), None)


def _write(path: Path, ledger: Ledger, site: Site, since: datetime) -> None:
    """Decisions as a table in the card's own columns; what a transaction lacks stays empty."""
    names = list(site.card.columns)
    filters, key, rows = Filters(since=since, card=site.card.id), None, 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        while rows < MOST:
            page = ledger.page(filters, key, AT_ONCE)
            for each in page.decisions:
                writer.writerow([_cell(each.decision.transaction.get(name)) for name in names])
            rows += len(page.decisions)
            if page.next_key is None:
                return
            key = page.next_key


def _cell(value: object) -> str:
    return "" if value is None else str(value)


def _drifted(ledger: Ledger, card: str, since: datetime) -> str | None:
    """What the last look found, if the model was not trained since."""
    newest = ledger.drift.newest(1, card=card)
    if not newest or not newest[0].found or newest[0].made_at <= since:
        return None
    return str(newest[0].report.get("verdict", newest[0].id))


def _broken(site: Site, ledger: Ledger, bundle: Bundle, since: datetime) -> str | None:
    """What outcomes break, if verdicts came since the model was trained: the old ones it knows."""
    if ledger.judged_since(site.card.id, since) == 0:
        return None
    rules = judging.rules_of(site.params)
    try:
        made = kept.outcomes(
            ledger,
            bundle.manifest.card,
            judging.promised(bundle),
            rules,
            now=site.clock(),
            weeks=WEEKS,
        )
    except DataError:
        return None
    newest = next((week for week in reversed(made["weeks"]) if week["enough"]), None)
    ours = newest is not None and newest["model_version"] == bundle.version
    return str(made["verdict"]) if made["alert"] and ours else None
