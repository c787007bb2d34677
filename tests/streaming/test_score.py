"""`stream score` with a real broker: every transaction decided once, and poison put aside."""

from __future__ import annotations

import json
import signal
import threading
from dataclasses import replace
from pathlib import Path

from fraudloop.model import bundle as bundles
from fraudloop.streaming import dead
from fraudloop.streaming.messages import LARGEST
from tests.brokers import Topics
from tests.fitted import bundle_of, repackaged
from tests.serving.running import until
from tests.streaming.steps import (
    SOON,
    bundle_in,
    decided,
    key_of,
    require_scores,
    running,
    send,
    sent,
    start,
)

pytest_plugins = ("tests.brokers",)

MANY = 3_000


def test_each_transaction_is_decided_once_and_as_the_library_decides_it(
    kafka: Topics, tmp_path: Path
) -> None:
    kafka.create(*kafka.names)
    send(kafka, sent(MANY))
    bundle = bundle_in(tmp_path)
    with running(
        tmp_path / "log", "score", "--bundle", bundle, environment=kafka.environment
    ) as step:
        messages = kafka.read(kafka.settings.decisions, MANY)
        step.process.send_signal(signal.SIGTERM)
        assert step.ended(SOON) == 0
        assert step.events("stopped")
    found = decided(messages)
    model = bundle_of("logistic_regression")
    require_scores(found, MANY)
    assert {key_of(message) for message in messages} == set(found)
    for each in sent(MANY):
        made = found[each.key]
        assert made.transaction == json.loads(each.value)
        assert made.model_version == model.version
        assert made.prediction == (made.score >= model.manifest.threshold)
        assert (made.reasons is not None) == (made.prediction == 1)
    raw = json.loads(messages[0].value() or b"")
    assert list(raw) == [
        *("id", "transaction", "score", "prediction", "model_version", "decided_at", "reasons")
    ]
    assert raw["decided_at"].endswith("Z")
    assert sum(each.prediction for each in found.values()) > 5


def changed(**fields: object) -> bytes:
    whole = json.loads(sent(1)[0].value) | fields
    return json.dumps(
        {name: value for name, value in whole.items() if value != "left out"}
    ).encode()


DEEP = b'{"id":"deep","Class":' + b"[" * 50_000 + b"]" * 50_000 + b"}"
POISON: dict[str, tuple[bytes | None, str]] = {
    "no value": (None, "no value"),
    "empty": (b"", "not JSON"),
    "no JSON": (b"\x00\x01hello", "not JSON"),
    "not UTF-8": (changed(id="\u00e9").replace(b"\\u00e9", b"\xe9"), "not UTF-8"),
    "half a character": (changed(id="half").replace(b"half", b"\\ud800"), "surrogate"),
    "no object": (b"[1]", "no object"),
    "a list of one": (b"[" + sent(1)[0].value + b"]", "no object"),
    "two at once": (sent(2)[0].value + b"," + sent(2)[1].value, "not JSON"),
    "no id": (changed(id="left out"), "has no id"),
    "an empty id": (changed(id=""), "empty"),
    "an id that is none": (changed(id=[1]), "no id"),
    "a NUL in the id": (changed(id="a\0b"), "u0000"),
    "a long id": (changed(id="x" * 129), "128"),
    "a field missing": (changed(id="m", Amount="left out"), "has no 'Amount'"),
    "an unknown field": (changed(id="u", other=1), "unknown field 'other'"),
    "no number": (changed(id="n", Time="soon"), "no number"),
    "NaN": (changed(id="nan", Time=float("nan")), "out of range"),
    "infinite": (changed(id="inf", Amount="1e999").replace(b'"1e999"', b"1e999"), "Amount"),
    "twice": (changed(id="t").replace(b"{", b'{"Time": 1, ', 1), "twice"),
    "a label of NaN": (changed(id="ln", Class=float("nan")), "not plain JSON"),
    "a nested label": (changed(id="nl", Class={"a": {}}), "no single value"),
    "huge": (changed(id="h", Class="x" * LARGEST), "at most"),
    "a nested bomb": (DEEP[: LARGEST - 1], "nested too deeply"),
}


def test_poison_of_every_shape_is_put_aside_as_it_came(kafka: Topics, tmp_path: Path) -> None:
    kafka.create(*kafka.names)
    topic, good = kafka.settings.transactions, sent(40, "g")
    expected = {}
    for place, (name, (value, reason)) in enumerate(POISON.items()):
        kafka.send(topic, good[place].value, key=good[place].key)
        kafka.send(topic, value, key=name, headers={"trace": name})
        expected[name] = (2 * place + 1, value, reason)
    with running(
        tmp_path / "log", "score", "--bundle", bundle_in(tmp_path), environment=kafka.environment
    ) as step:
        found = decided(kafka.read(kafka.settings.decisions, len(POISON)))
        letters = kafka.read(kafka.settings.dead, len(POISON))
        step.process.send_signal(signal.SIGINT)
        assert step.ended(SOON) == 0
    assert set(found) == {each.key for each in good[: len(POISON)]}
    assert len(letters) == len(POISON)
    for letter in letters:
        offset, value, reason = expected[key_of(letter)]
        assert letter.value() == value
        assert reason in dead.said(letter, dead.REASON), letter.key()
        assert dead.said(letter, dead.TOPIC) == topic
        assert dead.said(letter, dead.PARTITION) == "0"
        assert dead.said(letter, dead.OFFSET) == str(offset)
        assert dead.said(letter, "trace") == key_of(letter)


def test_two_scorers_share_the_partitions_and_lose_nothing_when_one_goes(
    kafka: Topics, tmp_path: Path
) -> None:
    kafka.create(kafka.settings.transactions, partitions=2)
    kafka.create(kafka.settings.decisions, kafka.settings.dead)
    due = sent(6_000)

    def send_on() -> None:
        for at in range(0, len(due), 100):
            send(kafka, due[at : at + 100])

    going_on = threading.Thread(target=send_on)
    arguments = ("score", "--bundle", bundle_in(tmp_path), "--batch", "200")
    with running(tmp_path / "one", *arguments, environment=kafka.environment) as one:
        until(lambda: bool(one.events("partitions")), "one scorer has partitions", SOON)
        going_on.start()
        with running(tmp_path / "two", *arguments, environment=kafka.environment) as two:
            until(
                lambda: [each["partitions"] for each in two.events("partitions")][-1:] != [],
                "the other has some, too",
                SOON,
            )
            until(lambda: len(one.events("partitions")[-1]["partitions"]) == 1, "shared", SOON)
            assert len(two.events("partitions")[-1]["partitions"]) == 1
            kafka.read(kafka.settings.decisions, 2_000)
            two.process.send_signal(signal.SIGTERM)
            assert two.ended(SOON) == 0
        messages = kafka.read(kafka.settings.decisions, len(due))
        going_on.join()
        extra = kafka.read(kafka.settings.decisions, len(due) + 1, within=3)
    assert len(extra) == len(due)
    require_scores(decided(messages), len(due))


def test_a_twin_of_the_same_name_takes_the_place_of_the_older_one(
    kafka: Topics, tmp_path: Path
) -> None:
    kafka.create(*kafka.names)
    arguments = ("score", "--bundle", bundle_in(tmp_path), "--instance", "one")
    with running(tmp_path / "old", *arguments, environment=kafka.environment) as old:
        until(lambda: bool(old.events("partitions")), "the older one works", SOON)
        with running(tmp_path / "new", *arguments, environment=kafka.environment) as new:
            until(lambda: bool(new.events("partitions")), "the newer one works", SOON)
            send(kafka, sent(MANY))
            assert old.ended(SOON) == 1
            assert "give each its own --instance" in old.log.read_text()
            found = decided(kafka.read(kafka.settings.decisions, MANY))
    require_scores(found, MANY)


def test_a_broker_that_is_away_is_waited_for_and_said_once(kafka: Topics, tmp_path: Path) -> None:
    kafka.create(*kafka.names)
    send(kafka, sent(MANY)[:1_000])
    with running(
        tmp_path / "log", "score", "--bundle", bundle_in(tmp_path), environment=kafka.environment
    ) as step:
        assert len(kafka.read(kafka.settings.decisions, 1_000)) == 1_000
        kafka.broker.stop()
        until(lambda: bool(step.events("kafka away")), "it is missed", SOON)
        kafka.broker.start()
        send(kafka, sent(MANY)[1_000:])
        found = decided(kafka.read(kafka.settings.decisions, MANY))
        until(lambda: bool(step.events("kafka back")), "it is back", SOON)
        assert step.process.poll() is None
    assert len(step.events("kafka away")) == len(step.events("kafka back")) <= 2
    require_scores(found, MANY)


def test_a_new_bundle_decides_at_once_and_after_the_fix_dead_letters_come_through(
    kafka: Topics, tmp_path: Path
) -> None:
    kafka.create(*kafka.names)
    strict = repackaged("logistic_regression", threshold=0.25)
    amount = strict.manifest.card.columns["Amount"].model_copy(update={"maximum": 10.0})
    columns = {**strict.manifest.card.columns, "Amount": amount}
    narrow = strict.manifest.card.model_copy(update={"columns": columns})
    manifest = strict.manifest.model_copy(update={"card": narrow})
    directory = tmp_path / "bundle"
    bundles.save(directory, replace(strict, manifest=manifest))
    due = sent(500)
    dear = {each.key for each in due if json.loads(each.value)["Amount"] > 10}
    with running(
        tmp_path / "log", "score", "--bundle", directory, environment=kafka.environment
    ) as step:
        send(kafka, due)
        assert len(kafka.read(kafka.settings.dead, len(dear))) == len(dear) > 100
        assert redriven(kafka, tmp_path, "--dry-run").startswith(f"{len(dear)} dead letters would")
        # Sent back before anything is mended, they come back; each of them once.
        assert redriven(kafka, tmp_path).startswith(f"{len(dear)} dead letters were")
        assert len(kafka.read(kafka.settings.dead, 2 * len(dear))) == 2 * len(dear)
        bundles.save(directory, bundle_of("logistic_regression"))
        until(lambda: bool(step.events("bundle taken")), "the other bundle decides", SOON)
        assert redriven(kafka, tmp_path).startswith(f"{len(dear)} dead letters were")
        messages = kafka.read(kafka.settings.decisions, len(due))
        assert redriven(kafka, tmp_path).startswith("0 dead letters were")
    found = decided(messages)
    assert set(found) == {each.key for each in due}
    version = bundle_of("logistic_regression").version
    assert {key for key, each in found.items() if each.model_version == version} == dear


def test_what_comes_back_too_often_stays(kafka: Topics, tmp_path: Path) -> None:
    kafka.create(*kafka.names)
    often = {dead.TOPIC: kafka.settings.transactions, dead.REASON: "bad", dead.TIMES: "3"}
    foreign = {dead.TOPIC: "elsewhere", dead.REASON: "bad"}
    kafka.send(kafka.settings.dead, b"1", headers=often)
    kafka.send(kafka.settings.dead, b"2", headers=foreign)
    kafka.send(kafka.settings.dead, None, headers=often | {dead.TIMES: "2"})
    said = redriven(kafka, tmp_path)
    assert "1 stay (came back 3 times: bad)" in said
    assert "1 stay (from another topic: bad)" in said
    assert "1 dead letters were sent back" in said
    [back] = kafka.read(kafka.settings.transactions, 1)
    assert (back.value(), dead.redriven(back)) == (None, 3)
    # What stays is still there for a run that allows more.
    assert "1 dead letters were sent back" in redriven(kafka, tmp_path, "--times", "9")


def redriven(kafka: Topics, folder: Path, *options: str) -> str:
    log = folder / "redrive"
    log.unlink(missing_ok=True)
    step = start(log, "redrive", *options, environment=kafka.environment)
    assert step.ended(SOON) == 0, log.read_text()
    return log.read_text()
