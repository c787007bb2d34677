"""Where `fraudloop tune` searches: for each sampler and estimator of the catalogue, as data.

What decides how long a fit takes is either left as it is (how many trees, how many iterations) or
has an end that keeps nine candidates well below a minute: `costly` marks the latter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import floor, log10, sqrt
from typing import Literal

from fraudloop.errors import ParamsError
from fraudloop.params import Candidate, Setting

DIGITS = 3  # of what is tried, printed and kept: more would only look like knowledge


@dataclass(frozen=True)
class Number:
    """A range, both ends included; `log` where what counts is how many times more."""

    low: float
    high: float
    log: bool = False
    whole: bool = False
    costly: bool = False

    @property
    def middle(self) -> float:
        """As far from the one end as from the other."""
        return sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2


@dataclass(frozen=True)
class Choice:
    """One of a few; the most usual first."""

    options: tuple[bool | int | float | str | None, ...]


Dimension = Number | Choice
Dimensions = Mapping[str, Dimension]
# What a sampler leaves to the estimator: the table as it is, one with more frauds, or a small part.
Leaves = Literal["all", "more", "few"]


@dataclass(frozen=True)
class Space:
    """The dimensions of an estimator: always, and by what the sampler leaves to it."""

    always: Dimensions
    by: Mapping[Leaves, Dimensions] = field(default_factory=dict)


def _share(low: float, high: float) -> Number:
    return Number(low, high, log=True)


WEIGHED: Dimensions = {"class_weight": Choice(("balanced", None))}
NEIGHBOURS = Number(2, 15, whole=True)

SAMPLERS: Mapping[str, tuple[Leaves, Dimensions]] = {
    "none": ("all", {}),
    "smote": ("more", {"sampling_strategy": _share(0.005, 0.2), "k_neighbors": NEIGHBOURS}),
    "borderline_smote": (
        "more",
        {
            "sampling_strategy": _share(0.005, 0.2),
            "k_neighbors": NEIGHBOURS,
            "m_neighbors": Number(5, 20, whole=True),
        },
    ),
    "adasyn": ("more", {"sampling_strategy": _share(0.005, 0.2), "n_neighbors": NEIGHBOURS}),
    "smote_tomek": ("more", {"sampling_strategy": _share(0.005, 0.2), "k_neighbors": NEIGHBOURS}),
    "nearmiss": (
        "few",
        {
            "sampling_strategy": _share(0.01, 0.5),
            "n_neighbors": NEIGHBOURS,
            "version": Choice((2, 1, 3)),
        },
    ),
    "undersample": ("few", {"sampling_strategy": _share(0.01, 0.5)}),
}

ESTIMATORS: Mapping[str, Space] = {
    "logistic_regression": Space(
        {"C": Number(1e-6, 10.0, log=True)},
        {"all": WEIGHED},
    ),
    "random_forest": Space(
        {
            "max_depth": Number(4, 10, whole=True, costly=True),
            "min_samples_leaf": Number(1, 20, log=True, whole=True),
            "max_features": Number(0.06, 0.25, log=True, costly=True),
        },
        {
            "all": {
                "max_samples": Number(0.02, 0.1, log=True, costly=True),
                "class_weight": Choice(("balanced_subsample", None)),
            },
            "more": {"max_samples": Number(0.02, 0.1, log=True, costly=True)},
            "few": {"max_samples": Number(0.2, 1.0, log=True, costly=True)},
        },
    ),
    "boosted_trees": Space(
        {
            "max_depth": Number(3, 7, whole=True, costly=True),
            "learning_rate": Number(0.02, 0.3, log=True),
            "subsample": Number(0.4, 1.0),
            "colsample_bytree": Number(0.2, 1.0, log=True),
            "min_child_weight": Number(0.5, 20.0, log=True),
            "reg_lambda": Number(0.1, 30.0, log=True),
        },
        {"all": {"scale_pos_weight": Number(1.0, 200.0, log=True)}},
    ),
    "decision_tree": Space(
        {
            "criterion": Choice(("gini", "entropy")),
            "max_depth": Number(3, 12, whole=True, costly=True),
            "min_samples_leaf": Number(2, 200, log=True, whole=True),
            "max_features": Number(0.2, 1.0),
        },
        {"all": WEIGHED},
    ),
    "linear_svm": Space({"C": Number(1e-6, 1.0, log=True)}, {"all": WEIGHED}),
    "rbf_svm": Space(
        {
            "n_components": Number(100, 400, log=True, whole=True, costly=True),
            "gamma": Number(1e-4, 0.1, log=True),
            "C": Number(0.01, 20.0, log=True),
        },
        {"all": WEIGHED},
    ),
    "nearest_neighbours": Space(
        {
            "n_neighbors": Number(3, 100, log=True, whole=True),
            "weights": Choice(("distance", "uniform")),
        }
    ),
    "neural_network": Space(
        {
            "hidden_layer_sizes": Number(8, 64, log=True, whole=True, costly=True),
            "alpha": Number(1e-4, 3.0, log=True),
            "learning_rate_init": Number(1e-4, 1e-2, log=True),
            "batch_size": Choice((512, 256, 1024)),
        }
    ),
    "balanced_forest": Space(
        {
            "max_depth": Number(4, 10, whole=True, costly=True),
            "min_samples_leaf": Number(1, 20, log=True, whole=True),
            "max_features": Number(0.06, 0.25, log=True, costly=True),
        },
        {"all": {"sampling_strategy": _share(0.01, 0.5)}},
    ),
    "isolation_forest": Space(
        {
            "max_samples": Number(64, 2048, log=True, whole=True, costly=True),
            "max_features": Number(0.1, 1.0, log=True, costly=True),
        }
    ),
}


def space(sampler: str, estimator: str) -> dict[str, Dimension]:
    """Every dimension of a candidate, by its dotted place: `sampler.k_neighbors`, `estimator.C`."""
    for kind, chosen, known in (
        ("sampler", sampler, SAMPLERS),
        ("estimator", estimator, ESTIMATORS),
    ):
        if chosen not in known:
            raise ParamsError(
                f"no space is described for {kind} {chosen!r}: describe it in training/spaces.py"
            )
    leaves, of_sampler = SAMPLERS[sampler]
    of_estimator = ESTIMATORS[estimator]
    dimensions = {**of_estimator.always, **of_estimator.by.get(leaves, {})}
    return {
        **{f"sampler.{name}": each for name, each in of_sampler.items()},
        **{f"estimator.{name}": each for name, each in dimensions.items()},
    }


def to_digits(value: float) -> float:
    """So many significant digits, as they are printed.

    >>> to_digits(0.0123456), to_digits(98765.0), to_digits(2.0)
    (0.0123, 98800.0, 2.0)
    """
    if value == 0:
        return 0.0
    return round(value, DIGITS - 1 - floor(log10(abs(value))))


def candidate(settings: Mapping[str, Setting], kept: Candidate) -> Candidate:
    """The candidate of these settings, by their dotted place; what else is `kept` stays."""
    parts: dict[str, dict[str, Setting]] = {
        "sampler": dict(kept.sampler),
        "estimator": dict(kept.estimator),
    }
    for place, value in settings.items():
        part, _, name = place.partition(".")
        parts[part][name] = to_digits(value) if isinstance(value, float) else value
    return Candidate(**parts)


def work(candidate: Candidate, dimensions: Mapping[str, Dimension]) -> float:
    """How much work a candidate is to fit, beside others of the same dimensions.

    >>> one, two = (Candidate(estimator={"max_depth": depth}) for depth in (4, 6))
    >>> deep = {"estimator.max_depth": Number(2, 9, costly=True)}
    >>> work(one, deep), work(two, deep)
    (4.0, 6.0)
    """
    settings = {"sampler": candidate.sampler, "estimator": candidate.estimator}
    total = 1.0
    for place, dimension in dimensions.items():
        part, _, name = place.partition(".")
        value = settings[part].get(name)
        if isinstance(dimension, Number) and dimension.costly and isinstance(value, int | float):
            total *= value
    return total
