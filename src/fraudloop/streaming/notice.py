"""What one message tells of: the riskiest frauds one by one, and how many more there are."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fraudloop.ledger.records import Decision

REASONS = 3
SENTENCES = 50  # in the text of a message; a file beside it holds all
OWN = ("id", "score", "decided_at", "model_version", "source", "reasons")
# What a spreadsheet takes for a formula, in full width too.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # those


@dataclass(frozen=True)
class Notice:
    """One message: `frauds` are listed, the riskiest first; `count` are told of in all."""

    id: str
    at: datetime
    frauds: tuple[Decision, ...]
    count: int
    capacity: int
    listed_today: int  # with these
    beyond_today: int

    @property
    def beyond(self) -> int:
        """Those that are only counted: more than can be looked at today."""
        return self.count - len(self.frauds)

    @property
    def headline(self) -> str:
        """All of it in one line."""
        frauds = "1 predicted fraud" if self.count == 1 else f"{self.count:,} predicted frauds"
        if not self.frauds:
            return f"{frauds} beyond today's capacity of {self.capacity:,}, which is used up"
        highest = f"highest score {max(each.score for each in self.frauds):.3f}"
        if not self.beyond:
            return f"{frauds}, {highest}"
        listed = f"the {len(self.frauds):,} riskiest listed, {highest}"
        return f"{frauds}: {listed}, {self.beyond:,} beyond today's capacity"

    @property
    def today(self) -> str:
        """What became of the day's capacity."""
        return (
            f"Today (UTC) {self.listed_today:,} of {self.capacity:,} that can be looked at were "
            f"listed, {self.beyond_today:,} more only counted; the ledger has all of them."
        )

    def text(self) -> str:
        """All of it in sentences."""
        lines = [f"{self.headline}.", ""]
        lines += [sentence(each) for each in self.frauds[:SENTENCES]]
        if len(self.frauds) > SENTENCES:
            lines.append(f"{len(self.frauds) - SENTENCES:,} more are listed in the attached file.")
        return "\n".join([*lines, *([""] if self.frauds else []), self.today, ""])

    def document(self) -> dict[str, Any]:
        """All of it for a program."""
        return {
            "id": self.id,
            "at": self.at,
            "message": self.headline,
            "count": self.count,
            "beyond_capacity": self.beyond,
            "today": {
                "capacity": self.capacity,
                "listed": self.listed_today,
                "beyond_capacity": self.beyond_today,
            },
            "frauds": [
                {
                    "id": each.id,
                    "score": each.score,
                    "decided_at": each.decided_at,
                    "model_version": each.model_version,
                    "source": each.source,
                    "transaction": each.transaction,
                    "reasons": each.reasons,
                }
                for each in self.frauds
            ],
        }


def ranked(frauds: Sequence[Decision], amount: str | None) -> list[Decision]:
    """The riskiest first: by score, or by what is to be lost, score × the field `amount`."""

    def loss(of: Decision) -> tuple[float, float]:
        value = of.transaction.get(amount) if amount is not None else None
        known = isinstance(value, int | float) and math.isfinite(value)
        return (of.score * float(value or 0.0) if known else 0.0, of.score)

    return sorted(frauds, key=loss, reverse=True)


def sentence(fraud: Decision) -> str:
    """One fraud, and what speaks most for it.

    >>> reasons = [{"feature": "Amount", "contribution": 1.4}]
    >>> at = datetime(2026, 11, 29, 9, tzinfo=UTC)
    >>> sentence(Decision("t-1", {}, 0.98, 1, "v1", at, "stream", reasons))
    't-1 has score 0.980 (2026-11-29 09:00:00 UTC), mostly because of Amount (+1.40).'
    """
    moment = fraud.decided_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    said = f"{one_line(fraud.id)} has score {fraud.score:.3f} ({moment} UTC)"
    strongest = top_reasons(fraud)
    return f"{said}, mostly because of {', '.join(strongest)}." if strongest else f"{said}."


def top_reasons(fraud: Decision) -> list[str]:
    """The features that speak most for fraud, and how much, in log-odds."""
    speaking = [
        (float(each["contribution"]), one_line(str(each["feature"])))
        for each in fraud.reasons or ()
        if _speaks(each)
    ]
    strongest = sorted(speaking, key=lambda each: -each[0])[:REASONS]
    return [f"{feature} ({contribution:+.2f})" for contribution, feature in strongest]


def _speaks(reason: Mapping[str, Any]) -> bool:
    contribution = reason.get("contribution")
    return "feature" in reason and isinstance(contribution, int | float) and contribution > 0


def one_line(text: str) -> str:
    """A text from elsewhere, so that it can neither begin a line nor hide anything.

    >>> one_line("t-1\\nBcc: x")
    't-1 Bcc: x'
    """
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


def as_csv(frauds: Sequence[Decision], most_bytes: int) -> tuple[bytes, int]:
    """The frauds as a table that a spreadsheet may open; as many as there is room for."""
    fields = list(dict.fromkeys(name for each in frauds for name in each.transaction))
    heads = [f"transaction.{name}" if name in OWN else name for name in fields]
    made = bytearray(_line([*OWN, *heads]))
    done = 0
    for each in frauds:
        own = [
            each.id,
            each.score,
            each.decided_at.isoformat(),
            each.model_version,
            each.source,
            ", ".join(top_reasons(each)),
        ]
        line = _line([*own, *(each.transaction.get(name) for name in fields)])
        if len(made) + len(line) > most_bytes:
            break
        made += line
        done += 1
    return bytes(made), done


def _line(values: Sequence[Any]) -> bytes:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_NONNUMERIC).writerow([_cell(each) for each in values])
    return text.getvalue().encode("utf-8", "backslashreplace")


def _cell(value: Any) -> float | str:
    """A number as it is; a text so that no spreadsheet takes it for a formula."""
    if value is None:
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    text = value if isinstance(value, str) else json.dumps(value)
    return f"'{text}" if text.lstrip(" \0").startswith(FORMULA) else text
