"""What the ledger takes and gives: decisions, verdicts, and what it keeps beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

# In PostgreSQL an id stands in B-trees, which take 2,700 bytes; nobody types more than this.
LONGEST_ID = 512
SOURCES = ("stream", "online", "batch")
Source = Literal["stream", "online", "batch"]


@dataclass(frozen=True, slots=True)
class Decision:
    """A transaction with its score, prediction, reasons and the version of the model."""

    id: str
    transaction: Mapping[str, Any]
    score: float
    prediction: int
    model_version: str
    decided_at: datetime  # aware
    source: str
    reasons: Sequence[Mapping[str, Any]] | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict before the ledger has it."""

    id: str  # of the decision
    true_value: int
    by: str
    why: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a person says a decision should have been; verdicts are added, never changed."""

    number: int
    decision_id: str
    true_value: int
    by: str
    why: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Kept:
    """A decision as the ledger has it.

    `verdict` is the newest one; `history` all of them, oldest first, where one was asked for.
    """

    decision: Decision
    card: str
    verdict: Verdict | None = None
    history: tuple[Verdict, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """Some decisions, and the key after which the next page begins: None at the end."""

    decisions: tuple[Kept, ...]
    next_key: str | None


@dataclass(frozen=True, slots=True)
class FieldTest:
    """One field of the transaction, compared: `FieldTest("amount", ">", 100)`.

    A number is compared with numbers alone, a text with how the value reads.
    """

    name: str
    operator: Literal["=", "!=", "<", "<=", ">", ">="]
    value: float | str


@dataclass(frozen=True, slots=True)
class Filters:
    """Which decisions; what is None or empty does not matter."""

    since: datetime | None = None  # decided then or later
    until: datetime | None = None  # decided before
    prediction: int | None = None
    least_score: float | None = None
    most_score: float | None = None
    model_version: str | None = None
    source: str | None = None
    card: str | None = None
    judged: bool | None = None
    true_value: int | None = None  # of the newest verdict
    fields: tuple[FieldTest, ...] = ()


Order = Literal["newest", "riskiest"]
NEWEST: Order = "newest"
RISKIEST: Order = "riskiest"


@dataclass(frozen=True, slots=True)
class AuditRow:
    """Who did what to what, when."""

    number: int
    at: datetime
    by: str
    action: str
    subject: str
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DriftReport:
    """One comparison of then and now; `found` says whether it calls for anybody."""

    id: str
    card: str
    made_at: datetime
    found: bool
    report: Mapping[str, Any]


JobState = Literal["queued", "running", "done", "failed", "lost"]


@dataclass(frozen=True, slots=True)
class Job:
    """Long work that somebody asked for; of one lane, one at a time is open."""

    id: str
    lane: str
    kind: str
    state: JobState
    asked_by: str
    why: str
    created_at: datetime
    seen_at: datetime | None = None  # when whoever runs it last said so
    finished_at: datetime | None = None
    progress: float = 0.0
    message: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Held:
    """The alerts that one sender holds for one channel: `id` is that of the message it makes."""

    id: str
    channel: str
    count: int


@dataclass(frozen=True, slots=True)
class Told:
    """What a channel's messages since some moment told of: one by one, or only counted."""

    listed: int
    counted: int  # all of them
    last_at: datetime | None  # the newest message there ever was

    @property
    def beyond(self) -> int:
        """Those that were counted and not listed."""
        return self.counted - self.listed
