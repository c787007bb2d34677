"""`params.yaml` → frozen, validated objects, once: the one place of what can be tuned."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from fraudloop.documents import Document, Share, from_yaml, read_text
from fraudloop.errors import ParamsError

Setting = bool | int | float | str | tuple[int, ...] | None


class Paths(Document):
    """Where the pipeline reads and writes, from the project's root."""

    card: Path
    raw: Path
    validated: Path | None = None
    prepared: Path
    output: Path


class Data(Document):
    """Where the raw file comes from."""

    source: Literal["synthetic", "kaggle", "file", "url"]
    file: Path | None = None
    url: str | None = None
    published: bool = False
    rows: Annotated[int, Field(ge=1000)] | None = None
    trusted: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _source_is_complete(self) -> Self:
        if self.source == "file" and self.file is None:
            raise ValueError("source is file: set data.file to its path")
        if self.source == "url":
            if self.url is None:
                raise ValueError("source is url: set data.url to its s3:// or https:// address")
            if not self.url.startswith(("s3://", "https://", "http://")):
                # The address itself stays out of the message: it may hold a password.
                raise ValueError("data.url is neither an s3:// nor an https:// address")
        return self


class Splits(Document):
    """How the table is divided; what is left of the two shares is for training."""

    use: Literal["temporal", "stratified"]
    validation: Share
    test: Share

    @model_validator(mode="after")
    def _something_is_left_to_train_on(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError("validation and test leave nothing to train on: lower one")
        return self


class Candidate(Document):
    """The parameters of one sampler × estimator."""

    sampler: dict[str, Setting] = Field(default_factory=dict)
    estimator: dict[str, Setting] = Field(default_factory=dict)


Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class OperatingPoint(Document):
    """What decides where a score becomes an alert."""

    decide_by: Literal["cost", "capacity"]
    review_cost: Positive
    lost_share: Annotated[float, Field(gt=0, le=1)]
    fraud_amount: Positive
    alerts_per_day: Positive
    transactions_per_day: Positive | None = None


class Evaluation(Document):
    """How the figures are made."""

    resamples: Annotated[int, Field(ge=100, le=100_000)]
    confidence: Share
    learning_curve: tuple[Annotated[float, Field(gt=0, le=1)], ...] = ()


class Effects(Document):
    """How much has to change, by the kind of what is tested, before it counts as drift."""

    numeric: Positive
    binary: Positive
    nominal: Positive
    ordinal: Positive
    score: Positive
    prediction: Positive
    gaps: Positive


class Drift(Document):
    """When two tables count as different."""

    alpha: Share
    correction: Literal["bonferroni", "holm"]
    minimum_rows: Annotated[int, Field(ge=2)]
    effects: Effects


class Bounds(Document):
    """What the figures of decisions that were judged must keep; null: as it comes."""

    precision: Share | None = None
    recall: Share | None = None
    average_precision: Share | None = None
    money_caught: Share | None = None
    calibration_error: Share | None = None


class Outcomes(Document):
    """When the outcomes of decisions are worse than they may be."""

    bounds: Bounds
    short_of_promise: Share
    minimum_verdicts: Annotated[int, Field(ge=1)]
    minimum_frauds: Annotated[int, Field(ge=1)]


class Retraining(Document):
    """When a model is trained anew without anybody's asking, and what becomes of it."""

    new_rows: Annotated[int, Field(ge=1)]
    new_verdicts: Annotated[int, Field(ge=1)]
    every_days: Positive
    cooldown_hours: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    promote: Literal["person", "better"]


class Params(Document):
    """All of `params.yaml`."""

    seed: Annotated[int, Field(ge=0, lt=2**32)]
    threads: Annotated[int, Field(ge=1, le=64)]
    paths: Paths
    data: Data
    split: Splits
    samplers: Annotated[tuple[str, ...], Field(min_length=1)]
    estimators: Annotated[tuple[str, ...], Field(min_length=1)]
    candidates: dict[str, dict[str, Candidate]]
    operating_point: OperatingPoint
    evaluation: Evaluation
    drift: Drift
    outcomes: Outcomes
    retraining: Retraining

    @model_validator(mode="after")
    def _every_candidate_has_its_parameters(self) -> Self:
        for sampler in self.samplers:
            for estimator in self.estimators:
                if estimator not in self.candidates.get(sampler, {}):
                    raise ValueError(
                        f"no candidates.{sampler}.{estimator}: add it ({{}} takes the defaults)"
                    )
        return self


def parse(text: str, where: str = "params.yaml") -> Params:
    """Make the parameters of YAML text; `where` names it in errors."""
    return from_yaml(Params, text, where, ParamsError)


def load(path: Path = Path("params.yaml")) -> Params:
    """Read the parameters at `path`."""
    text = read_text(path, "parameters", "run this in the project's root", ParamsError)
    return parse(text, str(path))
