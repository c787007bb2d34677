"""The manifest: what a bundle says of itself, so that a server needs nothing else to decide."""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, ValidationError, model_validator

from fraudloop.dataset.card import Card
from fraudloop.documents import Document, first_fault
from fraudloop.errors import BundleError
from fraudloop.model.calibration import Calibration

NAME = "manifest.json"

# Within the bundle's own folder: no absolute path, no way up.
FileName = Annotated[
    str, Field(pattern=r"^(?:[A-Za-z0-9_-][A-Za-z0-9._-]*/)*[A-Za-z0-9_-][A-Za-z0-9._-]*$")
]


class Part(Document):
    """A part of a manifest: every number in it is finite."""

    model_config = ConfigDict(allow_inf_nan=False)


class FileDigest(Part):
    """What a file of the bundle must be."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    bytes: int


class Native(Part):
    """The form that scores many rows fastest, and from how many rows on it is the faster one."""

    kind: Literal["booster", "linear"]
    file: FileName
    from_rows: int


class ReasonsForm(Part):
    """What reasons are made from: the native form, or a forest as a booster of its shares."""

    kind: Literal["booster", "linear", "forest"]
    file: FileName


class Reference(Part):
    """How one feature was distributed in training: what drift is measured against."""

    mean: float
    standard_deviation: float
    quantiles: tuple[float, ...]


class Smoke(Part):
    """One transaction and the calibrated score it must get: a loaded model proves itself on it."""

    features: tuple[float, ...]
    score: float


class Manifest(Part):
    """Everything that is known of a bundle but the model's own numbers.

    The compiled forms give log-odds, the graph of `rows_at_once` at most; `calibration` makes them
    scores; a score at `threshold` or above is an alert.
    """

    format: Literal[1] = 1
    card: Card
    synthetic: bool
    candidate: str
    features: tuple[str, ...]
    calibration: Calibration
    threshold: float
    graph: FileName
    rows_at_once: Annotated[int, Field(ge=1)]
    native: Native | None
    reasons: ReasonsForm | None
    pipeline: FileName
    files: dict[FileName, FileDigest]
    metrics: dict[str, float]
    differs_by_less_than: float
    reference: dict[str, Reference]
    smoke: Smoke
    versions: dict[str, str]

    @model_validator(mode="after")
    def _features_agree(self) -> Self:
        if self.features != self.card.feature_names:
            raise ValueError("its features are not those of its card")
        if len(self.smoke.features) != len(self.features):
            raise ValueError("its smoke row has not as many values as there are features")
        return self

    def to_bytes(self) -> bytes:
        """The manifest as it is stored: the same bytes for the same content."""
        return (self.model_dump_json(indent=2) + "\n").encode()


def parse(content: bytes, where: str) -> Manifest:
    """Read a manifest; `where` names it in errors."""
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        raise BundleError(
            f"{where} is no manifest of this kind ({first_fault(error)}): run `fraudloop package`"
        ) from error


def sha256(content: bytes) -> str:
    """The digest by which a manifest, and through it the whole bundle, is known outside."""
    return hashlib.sha256(content).hexdigest()


def version(content: bytes) -> str:
    """A model's version: the first twelve digits of its manifest's sha256, and so of everything."""
    return sha256(content)[:12]
