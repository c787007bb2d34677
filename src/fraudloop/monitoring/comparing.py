"""Two files → a drift report in a folder: where the drift of tables meets disks and clocks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fraudloop import files
from fraudloop.dataset import card as cards
from fraudloop.dataset.card import Card
from fraudloop.errors import CardError, FraudloopError
from fraudloop.model import bundle as bundles
from fraudloop.model import manifest as manifests
from fraudloop.model.bundle import Bundle
from fraudloop.monitoring import tables
from fraudloop.monitoring.drift import Comparison, compare
from fraudloop.monitoring.inserting import CHANGES
from fraudloop.monitoring.pages import drift_page
from fraudloop.monitoring.report import About, report_of
from fraudloop.params import Params
from fraudloop.progress import Progress

if TYPE_CHECKING:
    from fraudloop.monitoring.drift import Compared

JSON, PAGE = "drift.json", "drift.html"


@dataclass(frozen=True)
class Asked:
    """What is compared with what: the card by its id, else the bundle's, else the project's."""

    reference: Path
    current: Path
    card: str | None = None
    bundle: Path | None = None
    sha256: str | None = None
    synthetic: bool = False


def compare_files(
    asked: Asked, params: Params, progress: Progress
) -> tuple[Comparison, dict[str, Any]]:
    """Compare two files; scores and predictions too, if a bundle is named."""
    bundle = None if asked.bundle is None else bundles.load(asked.bundle, sha256=asked.sha256)
    card = card_of(asked.card, bundle, params)
    progress.start(None, "reading two tables")
    try:
        read = [tables.read(path, card) for path in (asked.reference, asked.current)]
        scored: tuple[Compared, ...] = ()
        if bundle is not None:
            progress.start(None, "scoring both")
            scored = _scored(bundle, read, params)
        progress.start(None, "comparing them")
        held = [tables.held(table, card) for table in read]
    finally:
        progress.stop()
    comparison = compare(card, held[0], held[1], params.drift, scored)
    about = About(
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        reference=asked.reference.name,
        current=asked.current.name,
        synthetic=asked.synthetic or _known_synthetic(asked, bundle, params),
        model_version=None if bundle is None else bundle.version,
    )
    return comparison, report_of(comparison, about)


def write(folder: Path, report: dict[str, Any]) -> None:
    """Write a report as JSON and as a page, each in one step."""
    files.write_json(folder / JSON, report)
    files.write_bytes(folder / PAGE, drift_page(report).encode())


def fewest(params: Params) -> int:
    """How many rows prove anything."""
    return params.drift.minimum_rows


def card_of(wanted: str | None, bundle: Bundle | None, params: Params) -> Card:
    """The card by its id; else that of the bundle, of the pipeline's bundle, of params.yaml."""
    if bundle is not None:
        card = bundle.manifest.card
        if wanted not in (None, card.id):
            raise FraudloopError(
                f"the bundle's card is {card.id}, not {wanted}: leave --card or --bundle out"
            )
        return card
    if wanted is not None:
        return card_named(wanted, params.paths.card.parent)
    standing = params.paths.output / manifests.NAME
    if standing.is_file():
        return manifests.parse(standing.read_bytes(), str(standing)).card
    return cards.load(params.paths.card)


def card_named(wanted: str, folder: Path) -> Card:
    """The card with an id, of those in a folder; or the one at a path."""
    if wanted.endswith((".yaml", ".yml")):
        return cards.load(Path(wanted))
    found = {card.id: card for card in map(cards.load, sorted(folder.glob("*.yaml")))}
    if wanted not in found:
        known = ", ".join(sorted(found)) or "none"
        raise CardError(f"no card {wanted!r} in {folder} (there: {known}): name one of these")
    return found[wanted]


def _scored(bundle: Bundle, read: list[Any], params: Params) -> tuple[Compared, ...]:
    from fraudloop.model.scorer import Scorer
    from fraudloop.monitoring.scores import compared, judged

    scorer = Scorer(bundle, threads=params.threads)
    before, now = (judged(scorer, table) for table in read)
    return compared(before, now, params.drift)


def _known_synthetic(asked: Asked, bundle: Bundle | None, params: Params) -> bool:
    """What is known without being told: of the model's data, the pipeline's file, made rows."""
    if bundle is not None and bundle.manifest.synthetic:
        return True
    compared = (asked.reference, asked.current)
    if any((path.parent / CHANGES).is_file() for path in compared):
        return True
    ours = params.paths.raw.resolve() in [path.resolve() for path in compared]
    return ours and params.data.source == "synthetic"
