"""The engine `spark`: pieces of files are read and decided where Spark has room, and come back.

A worker reads its piece from where it lies, by the local engine's own readers, and scores it by the
scorer: so nothing is parsed twice, and every row and every reject is the local engine's. What comes
back is small (a score and the ids of each row); whoever asked puts it in order and writes it.
"""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from fraudloop.batch.decided import Decided, Judge
from fraudloop.batch.formats import Format
from fraudloop.batch.places import Source
from fraudloop.batch.reading import Reader
from fraudloop.batch.sound import Chunk, UnreadableError
from fraudloop.batch.spark_session import reason_of, spark_session
from fraudloop.errors import FraudloopError, SparkError
from fraudloop.model.bundle import Bundle

# Of the input, about; with reasons, which are many times a score, less.
PIECE_BYTES = 1 << 26
PIECE_EXPLAINED = 1 << 23
# While one wave is written down the next is being decided, and no slot has nothing to do.
PIECES_A_SLOT = 2
WAVES = 2
SCHEMA = "piece long, step binary"
# No query is planned here that its generated code would make faster.
SETTINGS = {"spark.sql.codegen.wholeStage": "false"}


@dataclass(frozen=True)
class Piece:
    """A stretch of a source, from behind `after` up to the row or byte `stop`, or to its end."""

    place: int
    source: Source
    after: dict[str, int]
    stop: int | None = None


@dataclass(frozen=True)
class Step:
    """A chunk that a worker has decided."""

    after: dict[str, int]
    bytes: int
    decided: Decided


@dataclass(frozen=True)
class Broken:
    """Why a source cannot be read, or not from here on."""

    sentence: str


@dataclass(frozen=True)
class Shipped:
    """What every executor is given once: the verified bundle, and how it is to decide."""

    bundle: Bundle
    explain: bool
    top: int | None


@contextmanager
def on_spark(master: str, sources: Sequence[Source], judge: Judge) -> Iterator[OnSpark]:
    """Have the sources decided on a master."""
    with spark_session(master, SETTINGS) as session:
        yield OnSpark(session, sources, judge)


class OnSpark:
    """Decides the chunks of sources where Spark has room; they come in their order."""

    def __init__(
        self,
        session: Any,
        sources: Sequence[Source],
        judge: Judge,
        piece_bytes: int | None = None,
    ) -> None:
        bundle = judge.scorer.bundle
        # Scoring unpickles nothing: what would be unpickled stays here.
        needed = {
            name: content
            for name, content in bundle.files.items()
            if name != bundle.manifest.pipeline
        }
        self._session = session
        self._sources = sources
        self._card = bundle.manifest.card
        usual = PIECE_EXPLAINED if judge.explain else PIECE_BYTES
        self._piece_bytes = piece_bytes or usual
        self._shipped = session.sparkContext.broadcast(
            Shipped(replace(bundle, files=needed), judge.explain, judge.top)
        )
        self._steps: Iterator[tuple[int, Step | Broken]] | None = None
        self._next: tuple[int, Step | Broken] | None = None

    def decided(self, place: int, after: dict[str, int]) -> Iterator[tuple[Chunk, Decided]]:
        """The chunks of a source; the sources must be asked for in order, none left out."""
        if self._steps is None:
            self._steps = self._all(place, after)
            self._next = next(self._steps, None)
        while self._next is not None and self._next[0] <= place:
            of, step = self._next
            if of == place and isinstance(step, Broken):
                raise UnreadableError(step.sentence)
            if of == place and isinstance(step, Step):
                yield Chunk(_read_already, step.after, step.bytes), step.decided
            self._next = next(self._steps, None)

    def _all(self, first: int, after: dict[str, int]) -> Iterator[tuple[int, Step | Broken]]:
        """Every step from a place on, wave upon wave."""
        slots = self._session.sparkContext.defaultParallelism
        pieces = self._pieces(first, after)
        waiting: deque[Future[list[tuple[int, Step | Broken]]]] = deque()
        pool = ThreadPoolExecutor(WAVES, "waves")
        try:
            while wave := list(islice(pieces, slots * PIECES_A_SLOT)):
                waiting.append(pool.submit(self._wave, wave))
                if len(waiting) >= WAVES:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _wave(self, wave: list[Piece | tuple[int, Broken]]) -> list[tuple[int, Step | Broken]]:
        """Have some pieces decided, each by a task."""
        found: dict[int, list[Step | Broken]] = {}
        pieces: list[Piece] = []
        places: list[int] = []
        for place, each in enumerate(wave):
            if isinstance(each, Piece):
                pieces.append(each)
                places.append(place)
            else:
                found[place] = [each[1]]
        for piece, step in self._run(pieces):
            found.setdefault(places[piece], []).append(step)
        owners = [each.place if isinstance(each, Piece) else each[0] for each in wave]
        return [(owner, step) for i, owner in enumerate(owners) for step in found.get(i, [])]

    def _run(self, pieces: list[Piece]) -> Iterator[tuple[int, Step | Broken]]:
        if not pieces:
            return
        from py4j.protocol import Py4JError
        from pyspark.errors import PySparkException

        try:
            table = (
                self._session.range(0, len(pieces), 1, len(pieces))
                .mapInArrow(_task(pieces, self._shipped), SCHEMA)
                .toArrow()
            )
        except (Py4JError, PySparkException, OSError) as error:
            raise SparkError(
                f"Spark could not decide a piece of the input ({reason_of(error)}): mend it, and "
                "go on with --resume"
            ) from error
        for piece, content in zip(table.column(0), table.column(1), strict=True):
            step = pickle.loads(content.as_py())  # noqa: S301  # our own workers wrote it
            if isinstance(step, FraudloopError):
                raise step
            yield piece.as_py(), step

    def _pieces(self, first: int, after: dict[str, int]) -> Iterator[Piece | tuple[int, Broken]]:
        """The pieces of all sources from a place on."""
        for place in range(first, len(self._sources)):
            source, begins = self._sources[place], after if place == first else {}
            if source.size == 0:
                continue  # whoever asks says so, before asking
            try:
                for begin, stop in self._cuts(source, begins):
                    yield Piece(place, source, begin, stop)
            except UnreadableError as error:
                yield place, Broken(str(error))

    def _cuts(
        self, source: Source, after: dict[str, int]
    ) -> Iterator[tuple[dict[str, int], int | None]]:
        """Where a source is cut into pieces that can be read alone."""
        if source.size <= 2 * self._piece_bytes or source.format is Format.JSON:
            yield after, None
        elif source.format is Format.PARQUET:
            yield from _cuts_of_parquet(source, after, self._piece_bytes)
        else:
            yield from self._cuts_of_text(source, after)

    def _cuts_of_text(
        self, source: Source, after: dict[str, int]
    ) -> Iterator[tuple[dict[str, int], int | None]]:
        """Between lines; to find them takes a fast look through the file, which parses nothing."""
        begin, gone = after, 0
        with source.opened() as file:
            for chunk in Reader(self._card).chunks(file, source, after):
                gone += chunk.bytes
                if gone >= self._piece_bytes:
                    yield begin, chunk.after["at"]
                    begin, gone = chunk.after, 0
        if gone:
            yield begin, None


def _cuts_of_parquet(
    source: Source, after: dict[str, int], piece_bytes: int
) -> Iterator[tuple[dict[str, int], int | None]]:
    """Between row groups."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with source.opened() as file, parquet.ParquetFile(file) as content:
            about = content.metadata
            groups = [
                (about.row_group(i).num_rows, about.row_group(i).total_byte_size)
                for i in range(about.num_row_groups)
            ]
    except (pa.ArrowException, OSError):
        yield after, None  # whoever reads it says what is wrong with it
        return
    row, gone, begin = 0, 0, after
    for rows, size in groups:
        row += rows
        if row <= after.get("at", 0):
            continue
        gone += size
        if gone >= piece_bytes:
            yield begin, row
            begin, gone = {"at": row}, 0
    if gone or row == 0:
        yield begin, None


def _read_already() -> Any:
    raise AssertionError("a worker has read and decided this chunk")


def _task(pieces: list[Piece], shipped: Any) -> Callable[[Iterator[Any]], Iterator[Any]]:
    """What a task does with the numbers of its pieces."""

    def task(batches: Iterator[Any]) -> Iterator[Any]:
        import pyarrow as pa

        for batch in batches:
            for number in batch.column(0).to_pylist():
                for step in steps(pieces[number], shipped.value):
                    yield pa.RecordBatch.from_arrays(
                        [pa.array([number]), pa.array([step], pa.binary())],
                        names=["piece", "step"],
                    )

    return task


def steps(piece: Piece, shipped: Shipped) -> Iterator[bytes]:
    """Read and decide a piece, in a worker; what is wrong is told, not raised."""
    try:
        judge, reader = _ready(shipped)
        with piece.source.opened() as file:
            bounded = _bounded(file, piece)
            for chunk in reader.chunks(bounded, piece.source, piece.after, piece.stop):
                decided = judge.decide(chunk.sound())
                yield pickle.dumps(Step(chunk.after, chunk.bytes, decided))
    except UnreadableError as error:
        yield pickle.dumps(Broken(str(error)))
    except FraudloopError as error:
        yield pickle.dumps(error)


_judges: dict[tuple[str, bool, int | None], tuple[Judge, Reader]] = {}


def _ready(shipped: Shipped) -> tuple[Judge, Reader]:
    """The judge of a shipped bundle, made once in each Python worker."""
    key = (shipped.bundle.sha256, shipped.explain, shipped.top)
    if key not in _judges:
        from fraudloop.model.scorer import Scorer
        from fraudloop.settings import let_idle_threads_sleep

        let_idle_threads_sleep()
        judge = Judge(Scorer(shipped.bundle), explain=shipped.explain, top=shipped.top)
        _judges[key] = judge, Reader(shipped.bundle.manifest.card)
    return _judges[key]


def _bounded(file: Any, piece: Piece) -> Any:
    """A text that ends where its piece does; of Parquet the reader itself knows the rows."""
    if piece.stop is None or piece.source.format is Format.PARQUET:
        return file
    return _Ending(file, piece.stop)


class _Ending:
    """A file that ends at a byte before its end."""

    def __init__(self, file: Any, stop: int) -> None:
        self._file = file
        self._stop = stop

    def read(self, size: int = -1) -> bytes:
        left = max(self._stop - self._file.tell(), 0)
        return bytes(self._file.read(left if size < 0 else min(size, left)))

    def seek(self, place: int) -> int:
        return int(self._file.seek(place))

    def tell(self) -> int:
        return int(self._file.tell())
