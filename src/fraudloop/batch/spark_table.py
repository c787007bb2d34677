"""A folder of Parquet as Spark has it: held against the card, and divided as the split says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fraudloop.batch import columns as by_columns
from fraudloop.batch.sound import sentence
from fraudloop.batch.spark_session import reason_of
from fraudloop.dataset.card import Card, Kind
from fraudloop.dataset.records import needed
from fraudloop.dataset.split import PARTS, Part
from fraudloop.dataset.words import as_text
from fraudloop.errors import DataError, TrainingError
from fraudloop.params import Splits

if TYPE_CHECKING:
    import pandas as pd

LABEL, PART, WEIGHT = "_label", "_part", "_weight"
# An error of a ten-thousandth of the rows in where a part ends.
PRECISION = 1e-4
# Of a hash, as many digits as a share needs.
HASHES = 1 << 29
SURVEY = "rows long, faults long, fault string, earliest double, latest double"


@dataclass(frozen=True)
class Surveyed:
    """How many rows a table has, and the time that they span."""

    rows: int
    earliest: float | None
    latest: float | None

    def report(self, card: Card) -> dict[str, Any]:
        """As the data report of `preprocess` says it."""
        spans = {} if card.time is None else {card.time: _span(self)}
        return {"rows": self.rows, "columns": spans}


@dataclass(frozen=True)
class Count:
    """How many rows of a part there are, and how many of them are frauds."""

    rows: int
    frauds: int

    @property
    def legitimate(self) -> int:
        """The others."""
        return self.rows - self.frauds


class Table:
    """Labelled transactions of one card in a folder of Parquet, which no one machine need hold."""

    def __init__(self, session: Any, address: str, card: Card, seed: int) -> None:
        self.card = card
        self.address = address
        self._seed = seed
        self._rows = _labelled(_read(session, address), card, address)

    def survey(self) -> Surveyed:
        """Look at every row once; refuse the table if one does not fit."""
        rows, faults, fault, earliest, latest = 0, 0, None, None, None
        found = self._rows.mapInArrow(_surveying(self.card), SURVEY).toArrow().to_pylist()
        for batch in found:
            rows += batch["rows"]
            faults += batch["faults"]
            fault = fault or batch["fault"]
            earliest = _least(earliest, batch["earliest"])
            latest = (
                None
                if latest is None and batch["latest"] is None
                else max(each for each in (latest, batch["latest"]) if each is not None)
            )
        if fault is not None:
            raise DataError(
                f"{self.address}: {faults:,} of {rows:,} rows do not fit the card (one: {fault})"
            )
        if rows == 0:
            raise DataError(f"{self.address} has no rows: name a folder that has some")
        return Surveyed(rows, earliest, latest)

    def divide(self, splits: Splits) -> dict[Part, Count]:
        """Divide the rows as `params.yaml` says, and count the parts."""
        from pyspark.sql import functions as sql

        cuts = (1 - splits.validation - splits.test, 1 - splits.test)
        if splits.use == "temporal":
            if self.card.time is None:
                raise TrainingError(
                    f"card {self.card.id} has no time column, so nothing can be split by time: "
                    "set split.use=stratified in params.yaml"
                )
            along = sql.col(self.card.time).cast("double")
            bounds = self._rows.approxQuantile(self.card.time, list(cuts), PRECISION)
        else:
            # Equal rows, under whatever ids, have equal hashes: none is on two sides.
            said = [n for n, column in self.card.columns.items() if column.kind is not Kind.ID]
            along, bounds = self._share(0, said), list(cuts)
        part = sql.when(along < bounds[0], 0).when(along < bounds[1], 1).otherwise(2)
        self._rows = self._rows.withColumn(PART, part)
        counted = self._rows.groupBy(PART, LABEL).count().collect()
        counts = {(each[PART], each[LABEL]): int(each["count"]) for each in counted}
        return {
            name: Count(counts.get((i, 0), 0) + counts.get((i, 1), 0), counts.get((i, 1), 0))
            for i, name in enumerate(PARTS)
        }

    def training(self, share: float, weight: float) -> Any:
        """The features of all frauds to train on, and of a share of the rest of a weight."""
        from pyspark.sql import functions as sql

        of_it = self._rows.where(sql.col(PART) == 0)
        fraud = sql.col(LABEL) == 1
        if share < 1:
            of_it = of_it.where(fraud | (self._share(1) < share))
        weighted = of_it.withColumn(WEIGHT, sql.when(fraud, 1.0).otherwise(float(weight)))
        features = ", ".join(f"{name} float" for name in self.feature_columns)
        schema = f"{features}, {LABEL} int, {WEIGHT} float"
        return weighted.mapInArrow(_encoding(self.card, self.feature_columns), schema)

    @property
    def feature_columns(self) -> list[str]:
        """What the columns of the features are called in Spark, which some of their names upset."""
        return [f"f{place}" for place in range(len(self.card.feature_names))]

    def sample(self, part: Part, count: Count, most: int) -> pd.DataFrame:
        """Rows of a part here, as pandas: all, or about `most` of them chosen by chance."""
        from pyspark.sql import functions as sql

        rows = self._rows.where(sql.col(PART) == PARTS.index(part))
        if count.rows > most:
            rows = rows.where(self._share(2) < most / count.rows)
        wanted = [*needed(self.card), LABEL]
        table = rows.select(*(sql.col(f"`{name}`") for name in wanted)).toArrow().to_pandas()
        for name, column in self.card.columns.items():
            if column.kind is Kind.ID:
                table[name] = ""  # the card's features leave it out
            elif column.categories:
                table[name] = table[name].map(as_text)
        renamed: pd.DataFrame = table.rename(columns={LABEL: self.card.label.column}).astype(
            {self.card.label.column: "int8"}
        )
        return renamed

    def _share(self, purpose: int, names: list[str] | None = None) -> Any:
        """A number from 0 to 1 for each row, by its content: the same in any partition."""
        from pyspark.sql import functions as sql

        told = names or [*self.card.columns]
        hashed = sql.xxhash64(
            sql.lit(self._seed),
            sql.lit(purpose),
            *(sql.col(f"`{n}`") for n in told if n in self._names),
        )
        return sql.pmod(hashed, sql.lit(HASHES)) / sql.lit(float(HASHES))

    @property
    def _names(self) -> set[str]:
        return set(self._rows.columns)


def _read(session: Any, address: str) -> Any:
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    if "://" not in address:
        if not Path(address).exists():
            raise DataError(f"there is no {address}: name a folder of Parquet")
        address = Path(address).resolve().as_uri()
    try:
        return session.read.parquet(address)
    except (Py4JError, PySparkException) as error:
        raise DataError(
            f"{address} is no folder of Parquet that can be read ({reason_of(error)})"
        ) from error


def _labelled(rows: Any, card: Card, where: str) -> Any:
    """The card's columns, and the label as 0 or 1; null where it is neither."""
    from pyspark.sql import functions as sql

    wanted = [*needed(card), card.label.column]
    missing = next((name for name in wanted if name not in rows.columns), None)
    if missing is not None:
        raise DataError(f"{where} has no column {missing!r}: add it")
    text = sql.trim(sql.col(f"`{card.label.column}`").cast("string"))
    text = sql.regexp_replace(text, r"^(-?\d+)\.0$", "$1")
    label = sql.when(text == as_text(card.label.fraud), 1).when(
        text == as_text(card.label.legitimate), 0
    )
    kept = [name for name in card.columns if name in rows.columns]
    return rows.select(*(sql.col(f"`{name}`") for name in kept), label.alias(LABEL))


def _surveying(card: Card) -> Callable[[Iterator[Any]], Iterator[Any]]:
    def survey(batches: Iterator[Any]) -> Iterator[Any]:
        import pyarrow as pa
        import pyarrow.compute as pc

        for batch in batches:
            columns = {name: batch.column(name) for name in needed(card)}
            found = by_columns.sound(card, columns, {}, batch.num_rows, None)
            fault = sentence(card, found.refused[0], 0)[0] if found.refused else None
            unlabelled = batch.column(LABEL).null_count
            if unlabelled:
                one = f"{card.label.column!r} is neither {card.label.legitimate} nor "
                fault = fault or f"{one}{card.label.fraud}"
            span = {"min": None, "max": None}
            if card.time is not None:
                span = pc.min_max(columns[card.time]).as_py()
            yield pa.RecordBatch.from_pydict(
                {
                    "rows": [batch.num_rows],
                    "faults": [len(found.refused) + unlabelled],
                    "fault": pa.array([fault], pa.string()),
                    "earliest": pa.array([span["min"]], pa.float64()),
                    "latest": pa.array([span["max"]], pa.float64()),
                }
            )

    return survey


def _encoding(card: Card, names: list[str]) -> Callable[[Iterator[Any]], Iterator[Any]]:
    def encode(batches: Iterator[Any]) -> Iterator[Any]:
        import pyarrow as pa

        for batch in batches:
            columns = {name: batch.column(name) for name in needed(card)}
            found = by_columns.sound(card, columns, {}, batch.num_rows, None)
            features = [pa.array(column) for column in found.features.T.copy()]
            label = batch.column(LABEL).cast(pa.int32())
            weight = batch.column(WEIGHT).cast(pa.float32())
            yield pa.RecordBatch.from_arrays(
                [*features, label, weight], names=[*names, LABEL, WEIGHT]
            )

    return encode


def _least(one: float | None, other: float | None) -> float | None:
    known = [each for each in (one, other) if each is not None]
    return min(known) if known else None


def _span(found: Surveyed) -> dict[str, float]:
    return {"minimum": found.earliest or 0.0, "maximum": found.latest or 0.0}
