"""The OpenAPI document: schemas and working examples of every dialect, made from the card."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from fraudloop.dataset.buckets import LONGEST
from fraudloop.dataset.card import Card, Column, Kind
from fraudloop.dataset.features import LARGEST
from fraudloop.dataset.records import beside, carried, needed
from fraudloop.dataset.times import LIKE, Written
from fraudloop.dataset.words import as_text
from fraudloop.model.manifest import Manifest
from fraudloop.serving.dialects import UNNAMED
from fraudloop.serving.front import CHANGING, FOR_USERS, PROBES, READING

Schema = dict[str, Any]

DESCRIPTION = (
    "Scores card transactions. `POST /predict` takes one or many, in five shapes, and gives the "
    "same answer to all. A score is the probability of fraud; at `threshold` or above it is an "
    "alert. Every refusal says what, where, and what to do."
)
REFUSALS = {
    400: "Not JSON, or not HTTP.",
    401: "No user, or not this password.",
    403: "A user without the role for this.",
    404: "No such decision, report or job.",
    408: "The body was not here in time.",
    409: "Not as things stand: no registry, no ledger, nobody before, somebody was first.",
    413: "Too large: the body, its transactions, or those to explain.",
    415: "Not sent as plain JSON in UTF-8.",
    422: "A field is missing, unknown, out of range, or not what the card says.",
    429: "Too many logins failed: `Retry-After` says when to try again.",
    503: "More than the server takes on: `Retry-After` says when to try again.",
}
OF_SCORING = tuple(status for status in REFUSALS if status != 404)
# Days that every month has: no pattern knows the leap years.
_DAY = "^[12][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])"
_CLOCK = "[ T]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
SHAPES = {Written.DATE: f"{_DAY}$", Written.DATETIME: f"{_DAY}{_CLOCK}$"}
OF_OTHERS = (401, 403, 409, 429, 503)
OF_CHANGES = tuple(REFUSALS)
OF_READING = (400, 401, 403, 404, 409, 422, 429, 503)


def document(app: FastAPI, manifest: Manifest) -> Schema:
    """The document of an application that decides with this model."""
    made = get_openapi(
        title=app.title, version=app.version, description=DESCRIPTION, routes=app.routes
    )
    components = made.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    columns = needed(manifest.card)
    schemas |= {
        "Refusal": _refusal(),
        "Answer": _answer(),
        "Transaction": _transaction(manifest.card, columns),
        "Unnamed": _transaction(
            manifest.card, dict(zip(_numbers(columns), columns.values(), strict=True))
        ),
    }
    components["securitySchemes"] = {"user": {"type": "http", "scheme": "basic"}}
    for path, operations in made["paths"].items():
        for method, operation in operations.items():
            if path not in PROBES:
                changes = (method.upper(), path) in CHANGING
                alone = changes or path in FOR_USERS
                of_others = OF_READING if path in READING else OF_OTHERS
                operation["responses"] |= _refusals(OF_CHANGES if changes else of_others)
                operation["security"] = [{"user": []}] if alone else [{}, {"user": []}]
    made["paths"] = _scoring_paths(manifest) | made["paths"]
    return made


def example(manifest: Manifest) -> dict[str, Any]:
    """A transaction that is in the middle of everything."""
    return {name: _usual(name, column, manifest) for name, column in needed(manifest.card).items()}


def _usual(name: str, column: Column, manifest: Manifest) -> float | str | int:
    if column.categories:
        return column.categories[0]
    if column.is_open:
        return "any"
    if column.is_dated:
        return LIKE[column.written]
    known = manifest.reference.get(name)
    middle = 0.0 if known is None else float(f"{known.quantiles[len(known.quantiles) // 2]:.6g}")
    low, high = _range(column)
    return min(max(middle, low), high)


def _range(column: Column) -> tuple[float, float]:
    low = -LARGEST if column.minimum is None else column.minimum
    high = LARGEST if column.maximum is None else column.maximum
    return low, high


def _scoring_paths(manifest: Manifest) -> Schema:
    card = manifest.card
    usual = example(manifest)
    bodies = _dialects(manifest)
    unnamed = {"0": dict(zip(_numbers(usual), usual.values(), strict=True))}
    numbered = {"unnamed columns": (_indexed(_ref("Unnamed")), unnamed)}
    by_id = {
        "type": "object",
        "required": [card.id],
        "properties": {
            card.id: {"type": "object", "additionalProperties": {"type": "integer", "enum": [0, 1]}}
        },
    }
    prediction = {
        "type": "object",
        "required": ["prediction"],
        "properties": {"prediction": {"type": "integer", "enum": [0, 1]}},
    }
    answer, fields = _ref("Answer"), [*_fields(manifest), *_options()]
    return {
        "/predict": {
            "post": _operation("Score transactions", answer, bodies, [*_options(), _store()]),
            "get": _operation("Score one transaction", answer, {}, fields),
        },
        "/invocations": {"post": _operation("Predictions by id", by_id, bodies | numbered, [])},
        "/predict_fraud": {
            "post": _operation("One prediction", prediction, {"one": bodies["one"]}, [])
        },
    }


def _operation(
    summary: str, answer: Schema, bodies: dict[str, tuple[Schema, Any]], parameters: list[Schema]
) -> Schema:
    made: Schema = {
        "tags": ["scoring"],
        "summary": summary,
        "security": [{}, {"user": []}],
        "parameters": parameters,
        "responses": {
            "200": {
                "description": "Decided.",
                "content": {"application/json": {"schema": answer}},
            }
        }
        | _refusals(OF_SCORING),
    }
    if bodies:
        shapes = [shape for shape, _ in bodies.values()]
        content = {
            "schema": {"anyOf": shapes} if len(shapes) > 1 else shapes[0],
            "examples": {name: {"value": value} for name, (_, value) in bodies.items()},
        }
        made["requestBody"] = {"required": True, "content": {"application/json": content}}
    return made


def _dialects(manifest: Manifest) -> dict[str, tuple[Schema, Any]]:
    """By name: the schema of each dialect, and an example that works as it stands."""
    each, usual = _ref("Transaction"), example(manifest)
    columns = needed(manifest.card)
    row: Schema = {
        "type": "array",
        "prefixItems": [_value(column) for column in columns.values()],
        "minItems": len(columns),
        "maxItems": len(columns),
    }
    rows: Schema = {"type": "array", "minItems": 1, "items": row}
    names, values = list(usual), list(usual.values())
    backwards = {"columns": names[::-1], "index": ["a", "b"], "data": [values[::-1]] * 2}
    return {
        "one": (each, usual),
        "several": ({"type": "array", "minItems": 1, "items": each}, [usual, usual]),
        "features": (
            _object({"features": {"anyOf": [rows, row]}}, ["features"]),
            {"features": [values, values]},
        ),
        "pandas split": (
            _object(
                {
                    "columns": {"type": "array", "items": {"enum": names}, "uniqueItems": True},
                    "index": {"type": "array", "items": {"type": ["string", "integer"]}},
                    "data": {"type": "array", "minItems": 1, "items": {"type": "array"}},
                },
                ["columns", "data"],
            ),
            backwards,
        ),
        "pandas index": (_indexed(each), {"a": usual, "b": usual}),
    }


def _numbers(columns: Iterable[str]) -> list[str]:
    return [f"{UNNAMED}{place}" for place, _ in enumerate(columns, start=1)]


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _indexed(of: Schema) -> Schema:
    return {"type": "object", "minProperties": 1, "additionalProperties": of}


def _object(properties: Schema, required: list[str]) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _value(column: Column) -> Schema:
    if column.categories:
        texts = {as_text(category) for category in column.categories}
        return {"enum": [*column.categories, *sorted(texts.difference(column.categories))]}
    if column.is_open:
        # At least one character that is no blank.
        text = {"type": "string", "pattern": r"\S", "maxLength": LONGEST}
        return {"anyOf": [text, {"type": "number"}]}
    if column.is_dated:
        return {"type": "string", "pattern": SHAPES[column.written]}
    low, high = _range(column)
    return {"type": "number", "minimum": low, "maximum": high}


def _transaction(card: Card, columns: Mapping[str, Column]) -> Schema:
    values = {name: _value(column) for name, column in columns.items()}
    names: Schema = {"type": ["string", "integer", "null"]}
    others = dict.fromkeys(carried(card), names) | {name: {} for name in beside(card)}
    return {"title": card.title, **_object(values | others, list(values))}


def _fields(manifest: Manifest) -> list[Schema]:
    usual = example(manifest)
    return [
        {
            "name": name,
            "in": "query",
            "required": True,
            "schema": _value(column),
            "example": usual[name],
        }
        for name, column in needed(manifest.card).items()
        if column.kind is not Kind.ID
    ]


def _options() -> list[Schema]:
    return [
        {
            "name": "explain",
            "in": "query",
            "description": "Add what each feature contributed to the score's log-odds.",
            "schema": {"type": "boolean", "default": False},
        },
        {
            "name": "top",
            "in": "query",
            "description": "With explain: so many features, the largest contributions first.",
            "schema": {"type": "integer", "minimum": 1},
        },
    ]


def _store() -> Schema:
    return {
        "name": "store",
        "in": "query",
        "description": "Keep the decisions in the ledger before they are answered; "
        "each transaction wants an id of its own.",
        "schema": {"type": "boolean", "default": False},
    }


def _answer() -> Schema:
    number = {"type": "number"}
    reason = _object({"feature": {"type": "string"}, "contribution": number}, ["feature"])
    properties = {
        "predictions": {"type": "array", "items": {"type": "integer", "enum": [0, 1]}},
        "scores": {"type": "array", "items": {"type": "number", "minimum": 0, "maximum": 1}},
        "ids": {"type": "array", "items": {"type": ["string", "integer"]}},
        "threshold": number,
        "model_version": {"type": "string"},
        "message": {"type": "string"},
        "prediction": {"type": "integer", "enum": [0, 1]},
        "reasons": {"type": ["array", "null"], "items": {"type": "array", "items": reason}},
        "base_value": {"type": ["number", "null"]},
        "stored": {"type": "array", "items": _stored()},
    }
    always = ["predictions", "scores", "ids", "threshold", "model_version", "message"]
    return _object(properties, always)


def _stored() -> Schema:
    """What is said of a decision that was kept, by this request or one before it."""
    properties = {
        "id": {"type": "string"},
        "new": {"type": "boolean"},
        "decided_at": {"type": "string", "format": "date-time"},
        "model_version": {"type": "string"},
    }
    return _object(properties, list(properties))


def _refusal() -> Schema:
    detail = {"type": "array", "items": {"type": "object"}}
    return _object({"error": {"type": "string"}, "detail": detail}, ["error", "detail"])


def _refusals(statuses: tuple[int, ...]) -> Schema:
    schema = _ref("Refusal")
    return {
        str(status): {
            "description": REFUSALS[status],
            "content": {"application/json": {"schema": schema}},
        }
        for status in statuses
    }
