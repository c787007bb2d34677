"""The catalogue: samplers and estimators as data, and the pipeline that each pair makes."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from fraudloop.dataset.card import Card
from fraudloop.errors import ParamsError
from fraudloop.params import Candidate


@dataclass(frozen=True)
class Entry:
    """Where a class is found, and what it needs here that is not anybody's to tune."""

    path: str
    seeded: bool = True
    threaded: bool = False
    scaled: bool = False  # samplers: measures distances; estimators: wants standardised columns


SAMPLERS: dict[str, Entry | None] = {
    "none": None,
    "smote": Entry("imblearn.over_sampling:SMOTE", scaled=True),
    "undersample": Entry("imblearn.under_sampling:RandomUnderSampler"),
}

ESTIMATORS: dict[str, Entry] = {
    "logistic_regression": Entry("sklearn.linear_model:LogisticRegression", scaled=True),
    "random_forest": Entry("sklearn.ensemble:RandomForestClassifier", threaded=True),
    "boosted_trees": Entry("xgboost:XGBClassifier", threaded=True),
}


def name(sampler: str, estimator: str) -> str:
    """How a candidate is called in stages, files and reports."""
    return f"{sampler}-{estimator}"


def build(
    sampler: str, estimator: str, candidate: Candidate, card: Card, *, seed: int, threads: int
) -> Any:
    """The unfitted pipeline of a candidate: features → sampler → scaler → estimator.

    The sampler is a step, so that it only ever sees the rows that the pipeline is fitted on.
    """
    from imblearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    from fraudloop.training.steps import CardFeatures, Standardised

    for kind, chosen, known in (
        ("sampler", sampler, SAMPLERS),
        ("estimator", estimator, ESTIMATORS),
    ):
        if chosen not in known:
            raise ParamsError(
                f"unknown {kind} {chosen!r} in params.yaml: use one of {', '.join(known)}"
            )

    model = ESTIMATORS[estimator]
    precision = "float64" if model.scaled else "float32"
    steps: list[tuple[str, Any]] = [("features", CardFeatures(card.model_dump_json(), precision))]
    entry = SAMPLERS[sampler]
    if entry is not None:
        made = _construct(
            entry, candidate.sampler, f"candidates.{sampler}.{estimator}.sampler", seed
        )
        steps.append(("sampler", Standardised(made) if entry.scaled else made))
    elif candidate.sampler:
        raise ParamsError(f"candidates.{sampler}.{estimator}.sampler has settings, but no sampler")
    if model.scaled:
        steps.append(("scaler", StandardScaler()))
    where = f"candidates.{sampler}.{estimator}.estimator"
    made = _construct(model, candidate.estimator, where, seed)
    if model.threaded:
        made.set_params(n_jobs=threads)
    steps.append(("estimator", made))
    return Pipeline(steps)


def _construct(entry: Entry, settings: dict[str, Any], where: str, seed: int) -> Any:
    module, attribute = entry.path.split(":")
    made = getattr(import_module(module), attribute)()
    unknown = next((key for key in settings if key not in made.get_params()), None)
    if unknown is not None:
        raise ParamsError(f"{where}: {attribute} has no parameter {unknown!r}: remove it")
    if entry.seeded:
        made.set_params(random_state=seed)
    return made.set_params(**settings)
