"""One road from transaction to score: whoever takes it, on any card, comes to the same."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from fraudloop.batch.decided import Judge
from fraudloop.batch.run import Done, Wish, run
from fraudloop.dataset.card import CATEGORICAL
from fraudloop.dataset.records import needed
from fraudloop.model import bundle as bundles
from fraudloop.progress import Silent
from fraudloop.serving import api, log
from fraudloop.serving.dialects import Dialects
from fraudloop.serving.front import Front
from fraudloop.serving.options import Options
from fraudloop.settings import Serving
from fraudloop.streaming import messages
from tests.batch.files import read, rejects, written
from tests.every_card import EVERY_CARD, FEW, Small, scorer, small
from tests.serving.asgi import ask

NEAR: dict[str, Any] = {"rtol": 0, "atol": 1e-6}


@pytest.fixture(scope="module", params=EVERY_CARD)
def its(request: pytest.FixtureRequest) -> Small:
    return small(request.param)


@pytest.fixture
def app(its: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Front:
    made = log.Log
    monkeypatch.setattr(api, "Log", lambda: made(io.BytesIO()))
    monkeypatch.setattr(api, "catch_others", lambda log: None)
    bundles.save(tmp_path / "bundle", its.bundle)
    return api.create(Options(tmp_path / "bundle", settings=Serving()))


def batch(its: Small, source: Path, output: Path) -> Done:
    judge = Judge(scorer(its.card.id))
    return run(str(source), str(output), judge, Wish(threads=2), Silent())


def test_the_pipeline_takes_the_raw_file_and_the_scorer_its_columns(its: Small) -> None:
    raw = its.raw
    assert its.scores.min() < 0.1 < 0.5 < its.scores.max()
    np.testing.assert_allclose(its.pipeline.predict_proba(raw)[:, 1], its.scores, **NEAR)
    columns = {name: raw[name].to_numpy() for name in its.card.columns}
    np.testing.assert_allclose(scorer(its.card.id).scores(columns), its.scores, **NEAR)


def test_the_server_in_every_dialect(its: Small, app: Front) -> None:
    names = list(needed(its.card))
    values = [[record[name] for name in names] for record in its.records]
    turned = [[*reversed(row)] for row in values]
    bodies: list[Any] = [
        its.records,
        dict(zip(its.ids, its.records, strict=True)),
        {"features": values},
        {"columns": names[::-1], "index": its.ids, "data": turned},
    ]
    for body in bodies:
        answered = ask(app, "/predict", body)
        assert answered.status == 200, answered.json
        np.testing.assert_allclose(answered.json["scores"], its.scores, **NEAR)
    assert ask(app, "/predict", its.records).json["ids"] == its.ids


def test_the_server_asked_for_one_at_a_time(its: Small, app: Front) -> None:
    for record, expected in zip(its.records[:20], its.scores, strict=False):
        alone = ask(app, "/predict", record).json
        asked = ask(app, "/predict", query=urlencode(record)).json
        np.testing.assert_allclose(alone["scores"] + asked["scores"], [expected] * 2, **NEAR)


@pytest.mark.parametrize("taken", ["csv", "parquet", "jsonl", "json"])
def test_a_batch_of_every_format(its: Small, tmp_path: Path, taken: str) -> None:
    source = written(tmp_path / f"in.{taken}", its.transactions)
    assert batch(its, source, tmp_path / f"out.{taken}").state.rejected == 0
    found = read(tmp_path / f"out.{taken}")
    assert [row[next(iter(row))] for row in found] == its.ids
    np.testing.assert_allclose([row["score"] for row in found], its.scores, **NEAR)


def test_the_raw_file_as_it_is(its: Small, tmp_path: Path) -> None:
    its.raw.to_csv(tmp_path / "raw.csv", index=False)
    pd.read_csv(tmp_path / "raw.csv").to_parquet(tmp_path / "raw.parquet")
    for name in ("raw.csv", "raw.parquet"):
        assert batch(its, tmp_path / name, tmp_path / "out.parquet").state.rejected == 0
        found = [row["score"] for row in read(tmp_path / "out.parquet")]
        np.testing.assert_allclose(found, its.scores, **NEAR)


def test_messages_the_quick_way_and_the_patient_way(its: Small) -> None:
    dialects = Dialects(its.card, most_rows=FEW)
    labelled = [record | {its.card.label.column: 0} for record in its.records]
    for records in (its.records, labelled):
        bodies = [json.dumps(record).encode() for record in records]
        quick = dialects.read_apart(bodies)
        assert quick is not None, "it went the patient way"
        assert list(quick.ids) == its.ids
        patient = np.concatenate([messages._patiently(its.card, body).features for body in bodies])
        np.testing.assert_array_equal(quick.features, patient)
    assert quick is not None
    decided = messages.decide(scorer(its.card.id), quick, bodies, messages.now())
    found = [json.loads(message["value"])["score"] for message in decided.messages]
    np.testing.assert_allclose(found, its.scores, **NEAR)


BROKEN: dict[str, list[tuple[str, Any]]] = {
    "credit-card-fraud": [("Time", -1.0), ("V3", None), ("Amount", 1e300), ("V4", "much")],
    "german-credit": [
        ("Account Balance", 5),
        ("Account Balance", None),
        ("Length of current employment", "long"),
        ("Telephone", 3),
        ("Credit Amount", "a lot"),
        ("Age (years)", 17.0),
        ("Age (years)", 121.0),
    ],
    "sparkov": [
        ("trans_date_trans_time", "2020-12-32 00:00:00"),
        ("trans_date_trans_time", "2020-12-31 24:00:00"),
        ("trans_date_trans_time", "2020-12-31T23:59+01"),
        ("trans_date_trans_time", "2020-12-31"),
        ("trans_date_trans_time", "0000-12-31 23:59:59"),
        ("trans_date_trans_time", None),
        ("dob", "31.12.1990"),
        ("dob", "2021-02-29"),
        ("merchant", "  "),
        ("merchant", "x" * 201),
        ("merchant", None),
        ("category", "fuel"),
        ("gender", "f"),
        ("amt", -1.0),
        ("merch_lat", 90.5),
    ],
}


@pytest.fixture
def refused(its: Small, app: Front) -> Callable[[str, Any], tuple[int, str]]:
    """What the server says of a broken value, and the row that is given it."""
    rows = iter(range(3, FEW, 7))

    def refused(field: str, value: Any) -> tuple[int, str]:
        row = next(rows)
        answered = ask(app, "/predict", [its.records[0], its.records[row] | {field: value}])
        assert answered.status == 422
        assert f"'{field}'" in answered.json["error"]
        return row, answered.json["error"]

    return refused


def test_messages_are_refused_in_the_servers_words(its: Small, refused: Any) -> None:
    dialects = Dialects(its.card, most_rows=FEW)
    for field, value in BROKEN[its.card.id]:
        row, said = refused(field, value)
        body = json.dumps(its.records[row] | {field: value}).encode()
        assert [each.reason for each in messages.read(dialects, [body]).poison] == [
            said[: messages.LONGEST_REASON]
        ]


@pytest.mark.parametrize("taken", ["csv", "parquet", "jsonl", "json"])
def test_rows_are_refused_in_the_servers_words(
    its: Small, refused: Any, tmp_path: Path, taken: str
) -> None:
    records = its.records
    expected = {}
    for field, value in BROKEN[its.card.id]:
        column = its.card.columns[field]
        if taken == "csv" and column.kind in CATEGORICAL and value is not None:
            value = str(value)  # as all words of a CSV are
        if taken == "parquet" and not isinstance(value, type(records[0][field]) | float | None):
            continue  # its columns have one type
        row, said = refused(field, value)
        records[row] = records[row] | {field: value}
        expected[row] = (field, said)
    source = tmp_path / f"in.{taken}"
    if taken == "parquet":
        pa.parquet.write_table(pa.Table.from_pylist(records), source)
    elif taken == "csv":
        pd.DataFrame(records, dtype=object).to_csv(source, index=False)
    else:
        text = [json.dumps(record) for record in records]
        source.write_text("\n".join(text) if taken == "jsonl" else f"[{','.join(text)}]")
    batch(its, source, tmp_path / "out.parquet")
    found = {
        each["row"]: (each["field"], each["reason"]) for each in rejects(tmp_path / "out.parquet")
    }
    assert found == expected
    kept = [row["score"] for row in read(tmp_path / "out.parquet")]
    others = [row for row in range(FEW) if row not in expected]
    np.testing.assert_allclose(kept, its.scores[others], **NEAR)


def test_parquets_own_dates_and_dictionaries_are_texts_and_words(tmp_path: Path) -> None:
    its = small("sparkov")
    table = pa.Table.from_pandas(its.transactions, preserve_index=False)
    for unit, dob in (("s", pa.date32()), ("ms", pa.date64()), ("ns", pa.timestamp("us"))):
        for name, kind in (("trans_date_trans_time", pa.timestamp(unit)), ("dob", dob)):
            place = table.schema.get_field_index(name)
            text = pa.array(its.transactions[name])
            table = table.set_column(place, name, text.cast(pa.timestamp("s")).cast(kind))
        for name in ("merchant", "category", "gender"):
            place = table.schema.get_field_index(name)
            table = table.set_column(
                place, name, pa.array(its.transactions[name]).dictionary_encode()
            )
        pa.parquet.write_table(table, tmp_path / "in.parquet")
        assert batch(its, tmp_path / "in.parquet", tmp_path / "out.parquet").state.rejected == 0
        found = [row["score"] for row in read(tmp_path / "out.parquet")]
        np.testing.assert_allclose(found, its.scores, **NEAR)


def test_parquets_own_dates_that_are_none_of_the_card(tmp_path: Path) -> None:
    its = small("sparkov")
    rows = its.transactions.head(4)
    moments = ["2020-12-31 23:59:59", "2020-12-31 23:59:59.5", "2020-12-31 01:02:03", None]
    born = ["1990-01-01", "1990-01-01", "1990-01-01 12:00:00", "1990-01-01"]
    table = pa.Table.from_pandas(rows, preserve_index=False)
    for name, values in (("trans_date_trans_time", moments), ("dob", born)):
        place = table.schema.get_field_index(name)
        table = table.set_column(
            place, name, pa.array(pd.to_datetime(pd.Series(values), format="mixed"))
        )
    pa.parquet.write_table(table, tmp_path / "in.parquet")
    batch(its, tmp_path / "in.parquet", tmp_path / "out.parquet")
    said = [each["reason"].partition(": ")[2] for each in rejects(tmp_path / "out.parquet")]
    moment = ", not written as 2020-12-31 23:59:59: correct it"
    assert said == [
        f"'trans_date_trans_time' is '2020-12-31 23:59:59.500000'{moment}",
        "'dob' is '1990-01-01 12:00:00', not written as 2020-12-31: correct it",
        f"'trans_date_trans_time' is null{moment}",
    ]


def test_an_entitys_id_is_held_to_be_one_and_named_nowhere(tmp_path: Path) -> None:
    its = small("sparkov")
    rows = its.transactions.head(3).assign(cc_num=[0.5, 1.5, 2.5])
    source = written(tmp_path / "in.parquet", rows)
    with pytest.raises(Exception, match="not one row"):
        batch(its, source, tmp_path / "out.parquet")
    (first, *_) = rejects(tmp_path / "out.parquet")
    assert first["reason"].endswith("'cc_num' is 0.5, which is no id: correct it")
    batch(its, written(tmp_path / "in.csv", its.transactions), tmp_path / "out.csv")
    assert list(read(tmp_path / "out.csv")[0]) == [
        *("trans_num", "score", "prediction", "model_version")
    ]
