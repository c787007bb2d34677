"""The catalogue: samplers and estimators as data, and the pipeline that each pair makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from fraudloop.dataset.card import Card
from fraudloop.errors import ParamsError
from fraudloop.params import Candidate, Setting


@dataclass(frozen=True)
class Entry:
    """Where a class is found, what it needs here, and what suits one fraud in 600.

    `defaults` are in force where `params.yaml` says nothing else; `weighted` are further ones for
    an estimator that sees the table as it is, with no sampler before it.
    """

    path: str
    seeded: bool = True
    threaded: bool = False
    scaled: bool = False  # samplers: measures distances; estimators: wants standardised columns
    defaults: Mapping[str, Setting] = field(default_factory=dict)
    weighted: Mapping[str, Setting] = field(default_factory=dict)


BALANCED: dict[str, Setting] = {"class_weight": "balanced"}
# One fraud to twenty legitimate rows: to go on to 1 : 1 makes copies, or throws the table away.
ONE_TO_TWENTY: dict[str, Setting] = {"sampling_strategy": 0.05}

SAMPLERS: dict[str, Entry | None] = {
    "none": None,
    "smote": Entry("imblearn.over_sampling:SMOTE", scaled=True, defaults=ONE_TO_TWENTY),
    "borderline_smote": Entry(
        "imblearn.over_sampling:BorderlineSMOTE", scaled=True, defaults=ONE_TO_TWENTY
    ),
    "adasyn": Entry("imblearn.over_sampling:ADASYN", scaled=True, defaults=ONE_TO_TWENTY),
    "smote_tomek": Entry(
        "fraudloop.training.steps:SmoteTomek", scaled=True, defaults=ONE_TO_TWENTY
    ),
    "nearmiss": Entry(
        # Version 1 keeps the legitimate rows that look most like fraud, and no other is learned.
        "imblearn.under_sampling:NearMiss",
        seeded=False,
        scaled=True,
        defaults=ONE_TO_TWENTY | {"version": 2},
    ),
    "undersample": Entry("imblearn.under_sampling:RandomUnderSampler", defaults=ONE_TO_TWENTY),
}

ESTIMATORS: dict[str, Entry] = {
    "logistic_regression": Entry(
        "sklearn.linear_model:LogisticRegression",
        scaled=True,
        defaults={"C": 0.01, "max_iter": 500},
        weighted=BALANCED,
    ),
    "random_forest": Entry(
        "sklearn.ensemble:RandomForestClassifier",
        threaded=True,
        defaults={"n_estimators": 80, "max_depth": 8, "max_samples": 0.3, "min_samples_leaf": 2},
        weighted={"class_weight": "balanced_subsample", "max_samples": 0.05},
    ),
    "boosted_trees": Entry(
        "xgboost:XGBClassifier",
        threaded=True,
        defaults={
            "n_estimators": 120,
            "max_depth": 5,
            "learning_rate": 0.1,
            "subsample": 0.6,
            "colsample_bytree": 0.4,
        },
        weighted={"scale_pos_weight": 20},
    ),
    "decision_tree": Entry(
        "sklearn.tree:DecisionTreeClassifier",
        defaults={"max_depth": 6, "min_samples_leaf": 20},
        weighted=BALANCED,
    ),
    "linear_svm": Entry(
        "sklearn.svm:LinearSVC",
        scaled=True,
        defaults={"C": 0.001, "dual": False},
        weighted=BALANCED,
    ),
    "rbf_svm": Entry(
        "fraudloop.training.steps:KernelSVM",
        scaled=True,
        defaults={"n_components": 250, "gamma": 0.005, "C": 10.0},
    ),
    "nearest_neighbours": Entry(
        "sklearn.neighbors:KNeighborsClassifier",
        seeded=False,
        threaded=True,
        scaled=True,
        defaults={"n_neighbors": 25, "weights": "distance", "algorithm": "brute"},
    ),
    "neural_network": Entry(
        "sklearn.neural_network:MLPClassifier",
        scaled=True,
        defaults={
            "hidden_layer_sizes": 40,
            "alpha": 0.003,
            "learning_rate_init": 0.01,
            "batch_size": 256,
            "max_iter": 40,
        },
    ),
    "balanced_forest": Entry(
        "imblearn.ensemble:BalancedRandomForestClassifier",
        threaded=True,
        defaults={"n_estimators": 80, "max_depth": 8, "min_samples_leaf": 2},
        weighted={"sampling_strategy": 0.05},
    ),
    "isolation_forest": Entry(  # the unsupervised baseline: it looks at no label
        "sklearn.ensemble:IsolationForest",
        threaded=True,
        defaults={"n_estimators": 100, "max_samples": 573, "max_features": 0.286},
    ),
}


def name(sampler: str, estimator: str) -> str:
    """How a candidate is called in stages, files and reports."""
    return f"{sampler}-{estimator}"


def settings(sampler: str, estimator: str, candidate: Candidate) -> dict[str, dict[str, Setting]]:
    """A candidate's parameters as they are in force: its own, over the catalogue's."""
    entry, model = SAMPLERS[sampler], ESTIMATORS[estimator]
    weighted = model.weighted if entry is None else {}
    return {
        "sampler_parameters": {**(entry.defaults if entry else {}), **candidate.sampler},
        "estimator_parameters": {**model.defaults, **weighted, **candidate.estimator},
    }


def build(
    sampler: str, estimator: str, candidate: Candidate, card: Card, *, seed: int, threads: int
) -> Any:
    """The unfitted pipeline of a candidate: features → sampler → scaler → estimator.

    The sampler is a step, so that it only ever sees the rows that the pipeline is fitted on.
    """
    from imblearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    from fraudloop.training.steps import Calibrated, CardFeatures, Standardised

    for kind, named, known in (
        ("sampler", sampler, SAMPLERS),
        ("estimator", estimator, ESTIMATORS),
    ):
        if named not in known:
            raise ParamsError(
                f"unknown {kind} {named!r} in params.yaml: use one of {', '.join(known)}"
            )

    model = ESTIMATORS[estimator]
    precision = "float64" if model.scaled else "float32"
    steps: list[tuple[str, Any]] = [("features", CardFeatures(card.model_dump_json(), precision))]
    where = f"candidates.{sampler}.{estimator}"
    chosen = settings(sampler, estimator, candidate)
    entry = SAMPLERS[sampler]
    if entry is not None:
        made = _construct(entry, chosen["sampler_parameters"], f"{where}.sampler", seed)
        steps.append(("sampler", Standardised(made) if entry.scaled else made))
    elif candidate.sampler:
        raise ParamsError(f"{where}.sampler has settings, but no sampler")
    if model.scaled:
        steps.append(("scaler", StandardScaler()))
    made = _construct(model, chosen["estimator_parameters"], f"{where}.estimator", seed)
    if model.threaded:
        made.set_params(n_jobs=threads)
    steps.append(("estimator", Calibrated(made)))
    return Pipeline(steps)


def _construct(entry: Entry, settings: Mapping[str, Setting], where: str, seed: int) -> Any:
    module, attribute = entry.path.split(":")
    made = getattr(import_module(module), attribute)()
    unknown = next((key for key in settings if key not in made.get_params()), None)
    if unknown is not None:
        raise ParamsError(f"{where}: {attribute} has no parameter {unknown!r}: remove it")
    if entry.seeded:
        made.set_params(random_state=seed)
    return made.set_params(**settings)
