"""Decisions of a chunk, and how they look as rows: ids, score, prediction, version, reasons."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraudloop.batch.sound import Refused, Sound
from fraudloop.errors import BatchError
from fraudloop.model.reasons import Reasons
from fraudloop.model.scorer import Scorer

ROW, FILE = "row", "file"
SCORE, PREDICTION, VERSION, REASONS = "score", "prediction", "model_version", "reasons"


@dataclass(frozen=True)
class Decided:
    """A chunk that has been decided; `order` says in which order a row's reasons stand."""

    rows: int
    places: NDArray[np.int64]
    ids: Mapping[str, Any]
    scores: NDArray[np.float64]
    predictions: NDArray[np.int8]
    refused: list[Refused]
    reasons: Reasons | None = None
    order: NDArray[np.intp] | None = None


class Judge:
    """Decides chunks, in any thread; `explain` with the reasons, `top` of them a row."""

    def __init__(self, scorer: Scorer, *, explain: bool = False, top: int | None = None) -> None:
        self.scorer = scorer
        self.explain = explain
        self.top = top
        self._explaining = Lock()  # XGBoost's contributions are not for several threads at once
        if explain and scorer.bundle.manifest.reasons is None:
            raise BatchError(
                f"a model of this kind ({scorer.bundle.manifest.candidate}) gives scores without "
                "reasons: leave --explain out"
            )

    @cached_property
    def version(self) -> str:
        """The version of the model that decides."""
        return self.scorer.bundle.version

    @property
    def names(self) -> Sequence[str]:
        """The names of the features that reasons speak of."""
        return self.scorer.bundle.manifest.features

    def decide(self, sound: Sound) -> Decided:
        """Decide a chunk that has been read."""
        features = sound.features
        scores = self.scorer.score_features(features) if len(features) else np.empty(0)
        reasons = order = None
        if self.explain and len(features):
            with self._explaining:
                reasons = self.scorer.reasons(features)
        if reasons is not None:
            order = np.argsort(-np.abs(reasons.terms), axis=1, kind="stable")[:, : self.top]
        return Decided(
            sound.rows,
            sound.places,
            sound.ids,
            scores,
            self.scorer.predictions(scores),
            sound.refused,
            reasons,
            order,
        )


@dataclass(frozen=True)
class Placed:
    """A decided chunk in its place: its first row is row `first` of the file of that name."""

    decided: Decided
    file: str
    first: int


@dataclass(frozen=True)
class Layout:
    """The columns of an output: the ids with their types, and what is added to them."""

    ids: Mapping[str, str]
    version: str
    names: Sequence[str]
    explain: bool

    def table(self, chunks: Sequence[Placed]) -> Any:
        """Chunks as one pyarrow table."""
        import pyarrow as pa

        return pa.Table.from_batches([self._batch(chunk) for chunk in chunks], self.schema)

    @cached_property
    def schema(self) -> Any:
        """The columns and their types, as Parquet has them."""
        import pyarrow as pa

        fields = [(name, pa.type_for_alias(kind)) for name, kind in self.ids.items()]
        fields += [(SCORE, pa.float64()), (PREDICTION, pa.int8()), (VERSION, pa.string())]
        if self.explain:
            reason = pa.struct([("feature", pa.string()), ("contribution", pa.float64())])
            fields.append((REASONS, pa.list_(reason)))
        return pa.schema(fields)

    def _batch(self, chunk: Placed) -> Any:
        import pyarrow as pa

        decided = chunk.decided
        many = len(decided.places)
        columns = [self._id(chunk, name, self.schema.field(name).type) for name in self.ids]
        columns += [
            pa.array(decided.scores),
            pa.array(decided.predictions),
            pa.repeat(pa.scalar(self.version), many),
        ]
        if self.explain:
            columns.append(self._reasons(decided))
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def _id(self, chunk: Placed, name: str, kind: Any) -> Any:
        import pyarrow as pa

        decided = chunk.decided
        values = decided.ids.get(name)
        if name == ROW and values is None:
            return pa.array(decided.places + chunk.first)
        if name == FILE and values is None:
            return pa.repeat(pa.scalar(chunk.file), len(decided.places))
        if values is None:
            return pa.nulls(len(decided.places), kind)
        if isinstance(values, list):
            return pa.array([None if value is None else str(value) for value in values], kind)
        if pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        return values.cast(kind)

    def _reasons(self, decided: Decided) -> Any:
        import pyarrow as pa

        reason = self.schema.field(REASONS).type.value_type
        if decided.reasons is None or decided.order is None:
            return pa.array([], pa.list_(reason))
        order = decided.order
        names = pa.array(self.names, pa.string()).take(pa.array(order.ravel()))
        terms = np.take_along_axis(decided.reasons.terms, order, axis=1)
        offsets = np.arange(len(order) + 1, dtype=np.int32) * order.shape[1]
        values = pa.StructArray.from_arrays([names, pa.array(terms.ravel())], fields=list(reason))
        return pa.ListArray.from_arrays(pa.array(offsets), values)

    def records(self, chunk: Placed) -> Iterator[dict[str, Any]]:
        """A chunk as one object a row; ids that came as JSON stay as they came."""
        decided = chunk.decided
        many = len(decided.places)
        columns: dict[str, Sequence[Any]] = {}
        for name, kind in self.ids.items():
            values = decided.ids.get(name)
            if not isinstance(values, list):
                import pyarrow as pa

                values = self._id(chunk, name, pa.type_for_alias(kind)).to_pylist()
            columns[name] = values
        columns[SCORE] = decided.scores.tolist()
        columns[PREDICTION] = decided.predictions.tolist()
        columns[VERSION] = [self.version] * many
        if self.explain:
            columns[REASONS] = self._reasons(decided).to_pylist()
        names = tuple(columns)
        for values in zip(*columns.values(), strict=True):
            yield dict(zip(names, values, strict=True))


def id_types(chunk: Placed, many_files: bool) -> dict[str, str]:
    """The columns that are to name the rows of an output, by its first chunk, and their types."""
    import pyarrow as pa

    types: dict[str, str] = {}
    for name, values in chunk.decided.ids.items():
        kind = pa.string() if isinstance(values, list) else values.type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        types[name] = str(kind) if pa.types.is_integer(kind) else "string"
    if not types:
        types = {FILE: "string", ROW: "int64"} if many_files else {ROW: "int64"}
    return types
