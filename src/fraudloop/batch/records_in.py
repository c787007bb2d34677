"""Records, {name: value} each, → rows that fit: by the server's own readers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType

from fraudloop.batch.sound import Refused, Sound, encoded
from fraudloop.dataset.card import Card
from fraudloop.dataset.features import encode
from fraudloop.dataset.records import ID, Id, columns_of, naming
from fraudloop.errors import DataError, FraudloopError
from fraudloop.model.scorer import Features
from fraudloop.serving import json_text
from fraudloop.serving.quick import QuickReader

Ids = dict[str, list[Any]]


class Record(msgspec.Struct):
    """A record as JSON, the line it stands on, and its key where it is named from outside."""

    text: bytes
    line: int | None
    key: Id | None = None
    fields: Any = UNSET  # as they were, where the text was made from them


class Records:
    """Reads records of one card; safe to share between threads."""

    def __init__(self, card: Card) -> None:
        self._card = card
        self._names = naming(card)

    def sound(self, records: Sequence[Record]) -> Sound:
        """The records that fit, and the others refused."""
        parts: list[tuple[int, Features]] = []
        refused: list[Refused] = []
        self._read(records, 0, parts, refused)
        bad = {each.place for each in refused}
        places = np.array(
            [place for place in range(len(records)) if place not in bad], dtype=np.int64
        )
        features = [part for _, part in parts]
        matrix = np.concatenate(features) if features else encoded(self._card, {}, 0)
        kept = records if not bad else [records[place] for place in places]
        return Sound(len(records), places, matrix, self._ids(kept), refused)

    @cached_property
    def _quick(self) -> QuickReader:
        return QuickReader(self._card)

    @cached_property
    def _own_ids(self) -> msgspec.json.Decoder[Any]:
        fields = [
            (f"id{place}", str | int | None | UnsetType, UNSET) for place in range(len(self._names))
        ]
        names = {f"id{place}": name for place, name in enumerate(self._names)}
        kind = msgspec.defstruct("OwnIds", fields, rename=names, gc=False)
        return msgspec.json.Decoder(list[kind])  # type: ignore[valid-type]  # made above

    def _read(
        self,
        records: Sequence[Record],
        first: int,
        parts: list[tuple[int, Features]],
        refused: list[Refused],
    ) -> None:
        """Read some records at once, or each half of them, or the only one patiently."""
        if not records:
            return
        asked = self._quick.read(_list_of(records))
        if asked is not None and len(asked.ids) == len(records):
            parts.append((first, asked.features))
        elif len(records) > 1:
            half = len(records) // 2
            self._read(records[:half], first, parts, refused)
            self._read(records[half:], first + half, parts, refused)
        else:
            self._read_one(records[0], first, parts, refused)

    def _read_one(
        self,
        record: Record,
        place: int,
        parts: list[tuple[int, Features]],
        refused: list[Refused],
    ) -> None:
        fields = record.fields
        if fields is UNSET:
            try:
                fields = json_text.parse(record.text)
            except FraudloopError as error:
                reason = str(error).replace("the body", "the line")
                refused.append(Refused(place, record.line, reason))
                return
        try:
            columns = columns_of(self._card, [(0, fields)])
            parts.append((place, encode(self._card, columns)))
        except DataError:
            refused.append(Refused(place, record.line, fields=fields, key=record.key))

    def _ids(self, records: Sequence[Record]) -> Ids:
        """What names the records: their own columns, or the keys they were given with."""
        if not records:
            return {}
        if any(record.key is not None for record in records):
            return {ID: [record.key for record in records]}
        found: Ids = {}
        try:
            own = self._own_ids.decode(_list_of(records))
        except (msgspec.DecodeError, ValueError):  # something that only the patient reader takes
            own = [json_text.parse(record.text) for record in records]
        for place, name in enumerate(self._names):
            values = [_of(each, f"id{place}", name) for each in own]
            if any(value is not UNSET for value in values):
                found[name] = [None if value is UNSET else value for value in values]
        return found


def _of(own: Any, attribute: str, name: str) -> Any:
    if isinstance(own, Mapping):
        return own.get(name, UNSET)
    return getattr(own, attribute)


def _list_of(records: Sequence[Record]) -> bytes:
    return b"[" + b",".join([record.text for record in records]) + b"]"
