"""What the OpenAPI document says of the routes that ask the ledger."""

from __future__ import annotations

from typing import Any

from fraudloop.documents import Document
from fraudloop.serving import filters

Schema = dict[str, Any]

_WHEN: Schema = {"type": "string", "format": "date-time"}
_DAY: Schema = {"type": "string", "format": "date", "pattern": "^20"}
_A_TEST = "^[A-Za-z0-9_]{1,99}(=|!=|<|<=|>|>=)[a-z]+$"
_BINARY: Schema = {"type": "integer", "enum": [0, 1]}
_SHARE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
# As schemas have it: no NUL, which no database keeps in a text.
_TEXT: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": filters.LONGEST,
    "pattern": "^[^\\u0000]*$",
}
_VERDICT: Schema = {
    "type": "object",
    "required": ["true_value", "by", "why", "at"],
    "properties": {
        "true_value": _BINARY,
        "by": {"type": "string"},
        "why": {"type": "string"},
        "at": _WHEN,
    },
}
_DECISION: Schema = {
    "type": "object",
    "required": [
        *("id", "card", "source", "decided_at", "score", "prediction", "model_version"),
        *("transaction", "reasons", "verdict"),
    ],
    "properties": {
        "id": {"type": "string"},
        "card": {"type": "string"},
        "source": {"enum": ["stream", "online", "batch"]},
        "decided_at": _WHEN,
        "score": _SHARE,
        "prediction": _BINARY,
        "model_version": {"type": "string"},
        "transaction": {"type": "object"},
        "reasons": {"type": ["array", "null"]},
        "verdict": {"anyOf": [_VERDICT, {"type": "null"}]},
    },
}
_WITH_HISTORY: Schema = _DECISION | {
    "required": [*_DECISION["required"], "verdicts"],
    "properties": _DECISION["properties"] | {"verdicts": {"type": "array", "items": _VERDICT}},
}


def _query(name: str, what: str, schema: Schema, example: Any = None) -> Schema:
    made = {
        "name": name,
        "in": "query",
        "description": what,
        "schema": schema,
    }
    return made if example is None else made | {"example": example}


def _id(what: str, example: str) -> Schema:
    schema = {"type": "string", "minLength": 1, "maxLength": filters.LONGEST}
    return {
        "name": "id",
        "in": "path",
        "required": True,
        "description": what,
        "schema": schema,
        "example": example,
    }


def _answers(schema: Schema, what: str) -> Schema:
    content = {"application/json": {"schema": schema}}
    return {"200": {"description": what, "content": content}}


_OF_A_DECISION = _id("The transaction's id.", "order 17")

DECISIONS: Schema = {
    "parameters": [
        _query("from", "Decided then or later.", _WHEN, "2026-11-30T00:00:00Z"),
        _query("to", "Decided before.", _WHEN, "2099-01-01T00:00:00Z"),
        _query("prediction", "1: predicted to be fraud.", _BINARY, 1),
        _query("min_score", "A score of this or above.", _SHARE, 0.5),
        _query("max_score", "A score of this or below.", _SHARE, 1),
        _query("model_version", "Decided by this version.", _TEXT, "0e1a46ed978d"),
        _query("verdict", "Whether it was judged.", {"enum": ["yes", "no"]}, "no"),
        _query("true_value", "What the newest verdict says.", _BINARY, 1),
        _query("source", "How it came.", {"enum": ["stream", "online", "batch"]}, "online"),
        _query("card", "Transactions of this dataset card.", _TEXT, "credit-card-fraud"),
        _query(
            "field",
            "A test of a field of the transaction, with = != < <= > or >=; repeatable. "
            '`field=Amount>=100`, `field=merchant=shop`, `field=merchant="7"` for a text. '
            "`field.Amount>=100` is the same.",
            {
                "type": "array",
                "maxItems": filters.MOST_TESTS,
                "items": {"type": "string", "pattern": _A_TEST},
            },
            ["Amount>=100"],
        ),
        _query("order", "What comes first.", {"enum": list(filters.ORDERS)}, "riskiest"),
        _query(
            "after",
            "`next` of the page before.",
            {"type": "string", "minLength": 1, "maxLength": filters.LONGEST_KEY},
        ),
        _query(
            "limit",
            "Decisions of a page.",
            {"type": "integer", "minimum": 1, "maximum": filters.MOST, "default": filters.USUAL},
            10,
        ),
    ],
    "responses": _answers(
        {
            "type": "object",
            "required": ["decisions", "next"],
            "properties": {
                "decisions": {"type": "array", "items": _DECISION},
                "next": {"type": ["string", "null"]},
            },
        },
        "A page; `next` is the key of the one after it, null at the end.",
    ),
}
DECISION: Schema = {
    "parameters": [_OF_A_DECISION],
    "responses": _answers(_WITH_HISTORY, "The decision."),
}
DRIFT: Schema = {
    "parameters": [
        _query("day", "Made on this day (UTC).", _DAY, "2026-11-30"),
        _query("card", "Of this dataset card.", _TEXT, "credit-card-fraud"),
        _query("limit", "Reports.", {"type": "integer", "minimum": 1, "maximum": 500}, 10),
    ],
    "responses": _answers(
        {
            "type": "object",
            "required": ["days"],
            "properties": {"days": {"type": "array", "items": {"type": "object"}}},
        },
        "Reports in short, by the day they were made.",
    ),
}
_report = _answers({"type": "object"}, "The report.")
_report["200"]["content"]["text/html"] = {"schema": {"type": "string"}}
DRIFT_REPORT: Schema = {
    "parameters": [_id("As GET /drift lists it; with .html, a page.", "20261130T080000-1f0c9a2b")],
    "responses": _report,
}
OUTCOMES: Schema = {
    "parameters": [
        _query(
            "weeks",
            "This week and those before it.",
            {"type": "integer", "minimum": 1, "maximum": 52, "default": 8},
            8,
        ),
        _query(
            "weighted",
            "Let judged decisions count for those like them that are not.",
            {"type": "boolean", "default": False},
            False,
        ),
    ],
    "responses": _answers(
        {"type": "object", "required": ["verdict", "alert", "weeks"]}, "The outcomes."
    ),
}


def verdict(kind: type[Document]) -> Schema:
    """What POST /decisions/{id}/verdict takes and answers."""
    example = {"true_value": 1, "why": "the card's owner says so"}
    content = {"schema": kind.model_json_schema(), "example": example}
    answer = {
        "type": "object",
        "required": ["id", "verdict"],
        "properties": {"id": {"type": "string"}, "verdict": _VERDICT},
    }
    return {
        "parameters": [_OF_A_DECISION],
        "requestBody": {"required": True, "content": {"application/json": content}},
        "responses": _answers(answer, "The verdict as it is kept."),
    }
