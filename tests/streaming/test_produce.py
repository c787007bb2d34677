"""What is sent: each row once, by its id, at the pace that was asked for."""

from __future__ import annotations

import io
import json
import threading
from pathlib import Path

import pytest

from fraudloop.dataset import card as cards
from fraudloop.errors import DataError, SettingsError
from fraudloop.serving.log import Log
from fraudloop.settings import Kafka
from fraudloop.streaming.poll import polled
from fraudloop.streaming.replay import (
    Columns,
    Pace,
    Transaction,
    at_most,
    from_file,
    rounds,
    synthetic,
)
from tests.brokers import PASSWORD, USER, Topics
from tests.fitted import PARAMS, ROOT, card, table
from tests.servers import Answer, Web
from tests.streaming.steps import SOON, start

pytest_plugins = ("tests.brokers", "tests.servers")

CARD = ROOT / PARAMS.paths.card
SHOP = cards.parse(
    """
id: shop
title: Purchases
columns:
  number: {kind: id}
  at: {kind: time}
  price: {kind: numeric}
  how: {kind: nominal, categories: [chip, online]}
label: {column: stolen}
time: at
""",
    "a test",
)


def test_a_round_has_other_ids_and_is_later_than_the_one_before() -> None:
    columns: Columns = {
        "number": ["a", "b"],
        "at": [10.0, 20.0],
        "price": [1.0, 2.0],
        "how": ["chip"] * 2,
    }
    found = list(at_most(5, rounds(SHOP, columns, forever=True, prefix="p")))
    assert [each.key for each in found if each] == ["a", "b", "p.1-a", "p.1-b", "p.2-a"]
    times = [each.time for each in found if each]
    assert times == sorted(set(times))
    assert json.loads(found[0].value if found[0] else b"") == {
        "number": "a",
        "at": 10.0,
        "price": 1.0,
        "how": "chip",
    }


@pytest.mark.parametrize("kind", ["csv", "parquet", "json"])
def test_every_kind_of_file_gives_the_same_transactions(kind: str, tmp_path: Path) -> None:
    rows, path = table().head(50), tmp_path / f"rows.{kind}"
    if kind == "csv":
        rows.to_csv(path, index=False)
    elif kind == "parquet":
        rows.to_parquet(path)
    else:
        path.write_text(rows.to_json(orient="records"))
    found = from_file(path, card())
    assert list(found) == list(card().columns)
    for name, values in found.items():
        assert values == pytest.approx(rows[name].tolist())


def test_a_file_that_is_no_table_of_the_card_is_refused(tmp_path: Path) -> None:
    for name, content in {"a.txt": "", "b.json": '[{"Time": 1}]', "c.json": "{"}.items():
        (tmp_path / name).write_text(content)
        with pytest.raises(DataError):
            from_file(tmp_path / name, card())


def test_the_pace_is_the_rate_or_the_time_column_sped_up() -> None:
    at = [Transaction("a", b"", 100.0), Transaction("b", b"", 150.0)]
    by_rate, by_time, as_fast = Pace(rate=0.01), Pace(speed=10.0), Pace()
    assert [by_rate.seconds_until(each) for each in at] == pytest.approx([0, 100], abs=5)
    assert [by_time.seconds_until(each) for each in at] == pytest.approx([0, 5], abs=2)
    assert [as_fast.seconds_until(each) for each in at] == [0, 0]


def test_a_source_is_asked_again_and_each_transaction_taken_once(web: Web) -> None:
    first, second = {"id": "a", "Time": 1}, {"Time": 2}
    web.answers["/now"] = Answer(json.dumps([first, second]).encode(), statuses=[200, 503])
    said, stop = io.BytesIO(), threading.Event()
    found = []
    for each in polled(web.url("/now"), 0.01, card(), Log(said), stop):
        found += [] if each is None else [each]
        if b"source back" in said.getvalue():
            web.answers["/now"] = Answer(json.dumps([second, {"id": 3}]).encode())
        if len(found) == 3:
            stop.set()
    assert [json.loads(each.value) for each in found[::2]] == [first, {"id": 3}]
    assert json.loads(found[1].value) == {"id": found[1].key, "Time": 2}
    assert said.getvalue().count(b"source away") == said.getvalue().count(b"source back") == 1


def test_a_login_that_is_refused_and_a_broker_that_is_none_end_with_a_sentence(
    kafka: Topics, tmp_path: Path
) -> None:
    closed = kafka.environment | {
        "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{kafka.broker.closed}",
        "KAFKA_SSL_CA_LOCATION": str(kafka.broker.ca),
        "KAFKA_SASL_USERNAME": USER,
        "KAFKA_SASL_PASSWORD": PASSWORD,
    }
    rows = tmp_path / "rows.csv"
    table().head(20).to_csv(rows, index=False)
    cases = {
        "plain": closed,
        "scram": closed | {"KAFKA_SASL_MECHANISM": "SCRAM-SHA-256"},
        "wrong": closed | {"KAFKA_SASL_PASSWORD": "Wr0ng"},
        "nobody": kafka.environment | {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"},
    }
    said = {}
    for name, environment in cases.items():
        log = tmp_path / name
        step = start(log, "produce", "--source", rows, "--card", CARD, environment=environment)
        code = step.ended(SOON)
        said[name] = code, log.read_text()
    assert said["plain"] == said["scram"] == (0, "20 transactions sent\n")
    assert said["wrong"][0] == said["nobody"][0] == 1
    assert "refuses the login of stream" in said["wrong"][1]
    assert "Wr0ng" not in said["wrong"][1]
    assert "no Kafka answers at 127.0.0.1:1" in said["nobody"][1]


def test_the_password_is_shown_nowhere() -> None:
    settings = Kafka.read({"KAFKA_SASL_USERNAME": "u", "KAFKA_SASL_PASSWORD": "Se-cret"})
    assert "Se-cret" not in repr(settings)
    with pytest.raises(SettingsError, match="KAFKA_SECURITY_PROTOCOL"):
        Kafka.read({"KAFKA_SECURITY_PROTOCOL": "SASL"})


def test_the_synthetic_table_is_the_cards_own() -> None:
    found = synthetic(card(), seed=3, rows=100)
    assert list(found) == list(card().columns)
    assert {len(values) for values in found.values()} == {100}
