"""A batch: files are read, decided and written side by side, in order, part by part."""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from fraudloop.batch.decided import Decided, Judge, Layout, Placed, id_types
from fraudloop.batch.encoders import ENCODERS
from fraudloop.batch.journal import REJECTS, Aside, State
from fraudloop.batch.outputs import Output
from fraudloop.batch.places import Source
from fraudloop.batch.reading import Reader
from fraudloop.batch.sound import Chunk, UnreadableError, sentence
from fraudloop.errors import BatchError
from fraudloop.progress import RowProgress

# A part is what an interruption costs at most, and a row group of Parquet.
PART_ROWS = 1 << 20
PART_EXPLAINED = 1 << 16


@dataclass(frozen=True)
class Limits:
    """How many threads decide, and how many rejects are too many."""

    threads: int
    most_rejected: int | None = None


class Elsewhere(Protocol):
    """Reads and decides in other processes, or on other machines."""

    def decided(self, place: int, after: dict[str, int]) -> Iterator[tuple[Chunk, Decided]]:
        """The chunks of a source in their order; the sources are asked for in order too."""


class TooManyRejectedError(BatchError):
    """More rows were rejected than was allowed."""


class Batch:
    """One run over some sources, from wherever the folder aside says."""

    def __init__(
        self,
        sources: list[Source],
        output: Output,
        judge: Judge,
        limits: Limits,
        aside: Aside,
        progress: RowProgress,
        pour: Callable[[bytes], Any] | None = None,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        self._sources = sources
        self._output = output
        self._judge = judge
        self._limits = limits
        self._aside = aside
        self._progress = progress
        self._pour = pour  # where finished bytes go at once: stdout
        self._elsewhere = elsewhere  # who decides instead of this process's threads
        self._reader = Reader(judge.scorer.bundle.manifest.card)
        self._encoder = ENCODERS[output.format]()
        self._state = aside.state
        self._chunks: list[Placed] = []
        self._rejects: list[bytes] = []
        self._pool = ThreadPoolExecutor(limits.threads, "deciding")
        self._writer = ThreadPoolExecutor(1, "writing")
        self._writing: Future[None] | None = None
        self._broken = False  # the source that was read last, before its end

    def run(self) -> State:
        """Decide all that is left, and have it aside, whole."""
        self._progress.start(sum(source.size for source in self._sources), "scoring")
        try:
            self._truncate()
            first = self._state.source
            self._progress.advance(sum(source.size for source in self._sources[:first]))
            for place in range(first, len(self._sources)):
                self._go_through(self._sources[place], place)
                self._end_source(place)
            if self._output.names is None and not self._state.whole:
                self._end_file(len(self._sources))
            self._wait()
            return self._state
        finally:
            self._pool.shutdown(cancel_futures=True)
            self._writer.shutdown(cancel_futures=True)
            self._progress.stop()

    def _go_through(self, source: Source, place: int) -> None:
        """Decide the rest of a source; what cannot be read of it is one reject."""
        self._broken = False
        try:
            if source.size == 0:
                raise UnreadableError(f"{source.name} is empty: send it anew")
            if self._elsewhere is not None:
                for chunk, decided in self._elsewhere.decided(place, self._state.after):
                    self._take(source, chunk, decided)
                return
            with source.opened() as file:
                for chunk, decided in self._decided(source, file):
                    self._take(source, chunk, decided)
        except UnreadableError as error:
            self._reject(source, None, None, str(error), None)
            self._state = replace(self._state, unread=self._state.unread + 1)
            self._broken = True

    def _decided(self, source: Source, file: Any) -> Iterator[tuple[Chunk, Decided]]:
        """The chunks of a source in their order: while some are decided, the next ones are read."""
        waiting: deque[tuple[Chunk, Future[Decided]]] = deque()
        chunks = self._reader.chunks(file, source, self._state.after)
        broken: UnreadableError | None = None
        while True:
            try:
                chunk = next(chunks, None)
            except UnreadableError as error:
                chunk, broken = None, error
            if chunk is None:
                break
            waiting.append((chunk, self._pool.submit(self._decide, chunk)))
            if len(waiting) > self._limits.threads + 1:
                first, decided = waiting.popleft()
                yield first, decided.result()
        while waiting:
            first, decided = waiting.popleft()
            yield first, decided.result()
        if broken is not None:
            raise broken

    def _decide(self, chunk: Chunk) -> Decided:
        return self._judge.decide(chunk.sound())

    def _take(self, source: Source, chunk: Chunk, decided: Decided) -> None:
        """Take in the next chunk, and finish a part if there is enough for one."""
        first = self._state.row
        card = self._judge.scorer.bundle.manifest.card
        for refused in decided.refused:
            row = first + refused.place
            reason, field = sentence(card, refused, row)
            self._reject(source, refused.line, row, reason, field)
        placed = Placed(decided, source.name, first)
        ids = self._state.ids
        if ids is None and len(decided.places):
            ids = id_types(placed, len(self._sources) > 1)
        self._state = replace(
            self._state,
            after=chunk.after,
            row=first + decided.rows,
            scored=self._state.scored + len(decided.places),
            frauds=self._state.frauds + int(decided.predictions.sum()),
            ids=ids,
        )
        if len(decided.places):
            self._chunks.append(placed)
        self._progress.advance(chunk.bytes)
        self._progress.rows(decided.rows)
        enough = PART_EXPLAINED if self._judge.explain else PART_ROWS
        if sum(len(each.decided.places) for each in self._chunks) >= enough:
            self._end_part()

    def _reject(
        self, source: Source, line: int | None, row: int | None, reason: str, field: str | None
    ) -> None:
        entry = {
            "file": source.name,
            "line": line,
            "row": row,
            "field": field,
            "reason": reason,
        }
        self._rejects.append(json.dumps(entry, ensure_ascii=True).encode() + b"\n")
        self._state = replace(self._state, rejected=self._state.rejected + 1)
        most = self._limits.most_rejected
        if most is not None and self._state.rejected > most:
            self._wait()
            self._list(self._rejects)
            raise TooManyRejectedError(f"more than {most:,} rows were rejected (--max-rejected)")

    def _end_source(self, place: int) -> None:
        self._state = replace(self._state, source=place + 1, after={}, row=0)
        if self._output.names is not None:
            self._end_file(place + 1)

    def _end_part(self) -> None:
        """Write what has come together, while the next part comes together."""
        chunks, rejects, state = self._chunks, self._rejects, self._state
        self._chunks, self._rejects = [], []
        self._wait()
        # In a folder, the part belongs to the source that was read last.
        self._writing = self._writer.submit(self._write, chunks, rejects, state, state.source)

    def _write(self, chunks: list[Placed], rejects: list[bytes], state: State, source: int) -> None:
        before, note = self._aside.state, None
        written, parts = before.written, before.parts
        if chunks:
            path = self._path(self._output.file(source))
            note = self._encoder.part(self._layout(state), chunks, path, before.parts)
            written, parts = self._written(path), parts + 1
        listed = self._list(rejects)
        self._aside.note(replace(state, written=written, parts=parts, listed=listed), note)

    def _end_file(self, sources: int) -> None:
        """Write what is left, and what a file of its format ends with: in one step."""
        chunks, rejects, state = self._chunks, self._rejects, self._state
        self._chunks, self._rejects = [], []
        self._wait()
        before = self._aside.state
        layout, notes = self._layout(state), list(self._aside.notes)
        path = self._path(self._output.file(sources - 1))
        if chunks:
            note = self._encoder.part(layout, chunks, path, before.parts)
            notes += [] if note is None else [note]
        whole = self._output.names is None
        if whole or chunks or before.written or not self._broken:
            self._encoder.end(layout, notes, path)
            written = self._written(path)
        self._state = replace(
            state,
            parts=0,
            written=written if whole else 0,
            listed=self._list(rejects),
            whole=whole,
        )
        self._aside.note(self._state, None)
        self._aside.forget_notes()

    def _layout(self, state: State) -> Layout:
        ids = state.ids if state.ids is not None else {"row": "int64"}
        return Layout(ids, self._judge.version, self._judge.names, self._judge.explain)

    def _path(self, name: str) -> Path:
        path = self._aside.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _written(self, path: Path) -> int:
        """Have what was written of the output on the disk; its length then."""
        with path.open("rb") as file:
            os.fsync(file.fileno())
            if self._pour is not None:
                file.seek(self._aside.state.written)
                while piece := file.read(1 << 20):
                    self._pour(piece)
            return file.seek(0, os.SEEK_END)

    def _list(self, rejects: list[bytes]) -> int:
        """Write on the list of rejects; its length then."""
        with self._path(REJECTS).open("ab") as file:
            file.write(b"".join(rejects))
            file.flush()
            os.fsync(file.fileno())
            return file.tell()

    def _wait(self) -> None:
        """Let the part that is being written be finished."""
        if self._writing is not None:
            self._writing.result()
            self._writing = None

    def _truncate(self) -> None:
        """Cut off what was written after the last part that was finished."""
        state = self._aside.state
        lengths = {REJECTS: state.listed}
        if state.source < len(self._sources) or self._output.names is None:
            place = min(state.source, len(self._sources) - 1)
            lengths[self._output.file(place)] = state.written
        for name, length in lengths.items():
            with self._path(name).open("ab") as file:
                file.truncate(length)
