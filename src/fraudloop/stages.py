"""The stages of `dvc.yaml`, at their edges: read files, call functions on values, write files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fraudloop import artifacts, files
from fraudloop.dataset import card as cards
from fraudloop.errors import TrainingError
from fraudloop.params import Params

if TYPE_CHECKING:
    import pandas as pd

    from fraudloop.dataset.card import Card
    from fraudloop.dataset.sources import Fetched
    from fraudloop.dataset.split import Part
    from fraudloop.model.bundle import Bundle
    from fraudloop.progress import Progress
    from fraudloop.settings import Settings


def get_data(
    params: Params, settings: Settings, announce: Callable[[str], None], progress: Progress
) -> Fetched:
    """Have the raw file where `paths.raw` says, from where `data.source` says."""
    from fraudloop.dataset import sources, synthetic, validated

    card = cards.load(params.paths.card)
    if params.paths.validated is not None:
        validated.begin(params.paths.validated, card)

    def generate(path: Path) -> None:
        from pyarrow import csv

        table = synthetic.draw(card, seed=params.seed, rows=params.data.rows)
        csv.write_csv(synthetic.to_arrow(table), path)

    return sources.get_data(
        params.data,
        card,
        params.paths.raw,
        settings,
        generate=generate,
        announce=announce,
        progress=progress,
    )


def preprocess(params: Params) -> dict[str, Any]:
    """Check the raw file against its card, divide it, and write the parts and the data report."""
    from fraudloop.dataset import checks, leaks, reading, sources, split

    card = cards.load(params.paths.card)
    raw = params.paths.raw
    table = checks.validate(reading.read_csv(raw, card), card, raw)
    labels = table[card.label.column].to_numpy()
    published = sources.published_at(card, raw) is not None
    sources.verify_counts(card, len(table), int(labels.sum()), published)

    shares = {"validation": params.split.validation, "test": params.split.test}
    ways = split.split(table, card, **shares, seed=params.seed)
    if params.split.use not in ways:
        raise TrainingError(
            f"card {card.id} has no time column, so nothing can be split by time: "
            "set split.use=stratified in params.yaml"
        )
    frauds = {part: int(labels[rows].sum()) for part, rows in ways[params.split.use].items()}
    split.require_fraud(params.split.use, frauds)

    training = table.take(ways[params.split.use]["train"])
    leaks.refuse_leaks(
        card,
        {name: training[name].to_numpy() for name in card.columns},
        training[card.label.column].to_numpy(),
        params.data.trusted,
    )

    about = {"synthetic": params.data.source == "synthetic", "published": published}
    for way, parts in ways.items():
        tables = {part: table.take(rows) for part, rows in parts.items()}
        about |= _with_validated(params, card, way, tables)
        for part, its in tables.items():
            artifacts.write_table(params, way, part, its)
    report = checks.report(table, card, ways, about)
    files.write_json(params.paths.output / artifacts.DATA_REPORT, report)
    return report


def _with_validated(
    params: Params, card: Card, way: str, tables: dict[Part, pd.DataFrame]
) -> dict[str, Any]:
    """Add decisions with verdicts to the training part; gives what the report says of them."""
    import pandas as pd

    from fraudloop.dataset import validated

    path = params.paths.validated
    found = None if path is None else validated.read(path, card)
    if found is None:
        return {}
    judged_on = pd.concat([tables["validation"], tables["test"]])
    joined = validated.join(tables["train"], found, judged_on, card)
    tables["train"] = joined.table
    if way != params.split.use:
        return {}
    counts = {"added": joined.added, "replaced": joined.replaced, "left_out": joined.left_out}
    return {"validated": counts}


def train(params: Params, sampler: str, estimator: str) -> Path:
    """Fit one candidate on the training part, and calibrate it on the validation part."""
    from fraudloop.training import candidates
    from fraudloop.training.fit import fit_and_calibrate

    fitted = fit_and_calibrate(
        artifacts.read_table(params, "train"),
        artifacts.read_table(params, "validation"),
        cards.load(params.paths.card),
        sampler,
        estimator,
        artifacts.candidate(params, sampler, estimator),
        seed=params.seed,
        threads=params.threads,
    )
    name = candidates.name(sampler, estimator)
    return artifacts.write_candidate(params, name, *fitted)


def package(params: Params) -> Bundle:
    """Compile and verify the champion, and write it as a bundle."""
    from fraudloop.dataset.features import encode
    from fraudloop.model import bundle as bundles
    from fraudloop.model.package import package as make_bundle
    from fraudloop.training.figures import FIGURES
    from fraudloop.training.fit import score

    card = cards.load(params.paths.card)
    chosen = artifacts.read_json(params.paths.output / artifacts.CHAMPION)
    metrics = artifacts.read_json(params.paths.output / artifacts.METRICS)
    dumped = artifacts.dumped_candidate(params, chosen["candidate"])
    test = artifacts.read_table(params, "test")
    training = artifacts.read_table(params, "train")
    made = make_bundle(
        dumped,
        card,
        candidate=chosen["candidate"],
        threshold=chosen["threshold"],
        metrics={name: metrics["test"][name] for name in FIGURES},
        synthetic=metrics["dataset"]["synthetic"],
        training=encode(card, {name: training[name].to_numpy() for name in card.columns}),
        test=encode(card, {name: test[name].to_numpy() for name in card.columns}),
        test_scores=score(artifacts.loaded(dumped), test, card),
    )
    bundles.save(params.paths.output, made)
    return made
