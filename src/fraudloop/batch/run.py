"""`fraudloop batch`: from an input's address to an output that is there whole, or not at all."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fraudloop.batch.decided import Judge
from fraudloop.batch.formats import Format
from fraudloop.batch.job import Batch, Elsewhere, Limits, TooManyRejectedError
from fraudloop.batch.journal import REJECTS, Aside, State
from fraudloop.batch.outputs import Output, output_of, publish, publish_rejects
from fraudloop.batch.places import PIPE, Source, sources_of, spooled
from fraudloop.errors import BatchError
from fraudloop.progress import RowProgress


@dataclass(frozen=True)
class Wish:
    """What is wished of a batch."""

    format: Format | None = None
    input_format: Format | None = None
    rejected: str | None = None
    most_rejected: int | None = None
    resume: bool = False
    threads: int = 1


@dataclass(frozen=True)
class Done:
    """What a batch has done, and where the list of its rejects is."""

    state: State
    rejected: str
    resumed: bool


Engine = Callable[[Sequence[Source], Judge], AbstractContextManager[Elsewhere | None]]


def this_process(sources: Sequence[Source], judge: Judge) -> AbstractContextManager[None]:
    """The engine `local`: the batch's own threads decide."""
    return nullcontext()


def run(
    input: str,
    output: str,
    judge: Judge,
    wish: Wish,
    progress: RowProgress,
    *,
    endpoint: str | None = None,
    engine: Engine = this_process,
) -> Done:
    """Decide every row of the input that fits, and put the decisions where they are wished."""
    if wish.resume and PIPE in (input, output):
        raise BatchError("a pipe cannot be resumed: leave --resume out, or name files")
    with _sources(input, wish, endpoint) as sources:
        made = output_of(output, sources, wish.format)
        _refuse_overlap(input, made)
        rejected = wish.rejected or (PIPE if made.is_pipe else made.rejected)
        identity = _identity(sources, made, judge)
        with made.aside() as folder:
            aside = Aside(folder, identity)
            with aside.held(resume=wish.resume):
                limits = Limits(wish.threads, wish.most_rejected)
                pour = _pour if made.is_pipe else None
                try:
                    with engine(sources, judge) as elsewhere:
                        state = Batch(
                            sources, made, judge, limits, aside, progress, pour, elsewhere
                        ).run()
                    _require_some(state, input)
                except BatchError as error:
                    _tell_rejects(error, rejected, aside, endpoint)
                    raise
                if input != PIPE:
                    _require_same(input, wish, endpoint, sources)
                _finish(made, rejected, aside, state, endpoint)
                aside.remove()
    return Done(state, rejected, aside.resumed)


def _finish(made: Output, rejected: str, aside: Aside, state: State, endpoint: str | None) -> None:
    """The rejects first: who sees the output may then look for them."""
    publish_rejects(rejected, aside.folder / REJECTS, bool(state.rejected), endpoint)
    if not made.is_pipe:
        publish(made, aside.folder, endpoint)


class NothingScoredError(BatchError):
    """Not one row of an input could be scored."""


def _require_some(state: State, input: str) -> None:
    if state.scored == 0 and state.rejected:
        raise NothingScoredError(f"not one row of {input} could be scored")


def _tell_rejects(error: BatchError, rejected: str, aside: Aside, endpoint: str | None) -> None:
    """After a failure that is about rejects, let them be seen; the output stays what it was."""
    if isinstance(error, TooManyRejectedError | NothingScoredError):
        listed = aside.folder / REJECTS
        copy = listed.with_name("told.jsonl")
        copy.write_bytes(listed.read_bytes())
        publish_rejects(rejected, copy, True, endpoint)
        where = "above" if rejected == PIPE else f"in {rejected}"
        error.args = (f"{error}: the reasons are {where}; correct the input",)


def _require_same(input: str, wish: Wish, endpoint: str | None, sources: list[Source]) -> None:
    now = sources_of(input, endpoint, wish.input_format)
    if [each.identity for each in now] != [each.identity for each in sources]:
        raise BatchError(f"{input} was changed while it was read: run the batch anew")


def _identity(sources: list[Source], made: Output, judge: Judge) -> dict[str, Any]:
    """What must be the same for a batch to be resumed."""
    return {
        "input": [source.identity for source in sources],
        "model": judge.scorer.bundle.sha256,
        "format": str(made.format),
        "output": list(made.names or ()),
        "explain": judge.explain,
        "top": judge.top,
    }


@contextmanager
def _sources(input: str, wish: Wish, endpoint: str | None) -> Iterator[list[Source]]:
    if input != PIPE:
        yield sources_of(input, endpoint, wish.input_format)
        return
    import tempfile

    with tempfile.TemporaryDirectory(prefix="fraudloop-batch-") as folder:
        yield [spooled(Path(folder) / "stdin", wish.input_format)]


def _refuse_overlap(input: str, made: Output) -> None:
    """An output within its input would be read by the next batch, or by this one."""
    if PIPE in (input, made.address):
        return
    if "://" in input or "://" in made.address:
        same = input.rstrip("/") == made.address or made.address.startswith(input.rstrip("/") + "/")
    else:
        here, there = Path(input).resolve(), Path(made.address).resolve()
        same = here == there or here in there.parents
    if same:
        raise BatchError(f"{made.address} lies in the input: write the output elsewhere")


def _pour(content: Any) -> None:
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()
