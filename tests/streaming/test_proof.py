"""Whatever is killed when: every transaction decided once, kept once, its verdict intact."""

from __future__ import annotations

import os
import random
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fraudloop.ledger import migrate
from fraudloop.ledger.ledger import Ledger
from tests.brokers import Topics
from tests.fitted import ROWS
from tests.serving.running import Running, stop, until
from tests.streaming.steps import SOON, bundle_in, scores, send, sent, start

if TYPE_CHECKING:
    from tests.databases import Postgres

pytest_plugins = ("tests.brokers", "tests.databases")

MANY = int(os.environ.get("FRAUDLOOP_STREAM_PROOF", "10000"))
KILLS = 6 if MANY <= 10_000 else 20
STOPS = 2


class Pair:
    """A scorer and a store that start again whenever they are killed."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        bundle = bundle_in(folder)
        self._environment = environment
        self._logs = {name: folder / name for name in ("score", "store")}
        self._arguments = {
            name: (name, "--bundle", bundle, "--batch", "500", "--instance", name)
            for name in self._logs
        }
        self.running: dict[str, Running] = {name: self._start(name) for name in self._logs}

    def kill(self, name: str) -> None:
        """Kill one as -9 does, and start it again."""
        step = self.running[name]
        assert step.process.poll() is None, self._logs[name].read_text()[-2000:]
        step.process.kill()
        step.process.wait(60)
        self.running[name] = self._start(name)

    def events(self, name: str, event: str) -> int:
        """How often one has said something, over all its lives."""
        return len(self.running[name].events(event))

    def end(self) -> None:
        """End both."""
        for step in self.running.values():
            stop(step)

    def _start(self, name: str) -> Running:
        return start(self._logs[name], *self._arguments[name], environment=self._environment)


def count(postgres: Postgres, url: str) -> int:
    [[many]] = postgres.run("SELECT count(*) FROM decisions", url.rpartition("/")[2])
    return int(many)


@pytest.mark.timeout(3600)
def test_nothing_is_lost_or_done_twice_whatever_is_killed(
    kafka: Topics, postgres: Postgres, tmp_path: Path
) -> None:
    url = postgres.fresh()
    migrate.migrate(url)
    kafka.create(*kafka.names)
    rounds = [(f"r{at}", min(ROWS, MANY - at)) for at in range(0, MANY, ROWS)]
    expected: dict[str, float] = {}
    for prefix, many in rounds:
        expected |= scores(many, prefix)
    due = [each for prefix, many in rounds for each in sent(many, prefix)]

    def send_all() -> None:
        for at in range(4 * KILLS):
            send(kafka, due[at :: 4 * KILLS])

    pair = Pair(tmp_path, kafka.environment | {"LEDGER_URL": url})
    sending = threading.Thread(target=send_all)
    began = time.monotonic()
    try:
        until(lambda: pair.events("score", "partitions") > 0, "the scorer works", SOON)
        sending.start()
        verdicts = ordeal(pair, postgres, url)
        sending.join()
        until(lambda: count(postgres, url) >= MANY, "all are kept", 20 * SOON)
        # One more would be there by now: nothing is read, decided or kept any longer.
        decided = kafka.read(kafka.settings.decisions, MANY + 1, within=5 + MANY / 2_000)
    finally:
        pair.end()
    require_whole(postgres, url, expected, verdicts)
    assert len(decided) == MANY, "a transaction was decided twice"
    print(
        f"{MANY:,} transactions, {KILLS} kills, {STOPS} stops of the database, "
        f"{len(verdicts)} verdicts, {time.monotonic() - began:.0f} s"
    )


def ordeal(pair: Pair, postgres: Postgres, url: str) -> list[str]:
    """Kill both again and again, stop the database, and judge; what was judged."""
    chance = random.Random(int(os.environ.get("FRAUDLOOP_SEED", "6")))
    verdicts: list[str] = []
    until(lambda: count(postgres, url) > 0, "something is kept", SOON)
    for number in range(KILLS):
        name = chance.choice(["score", "store"])
        lives = pair.events(name, "partitions")
        pair.kill(name)
        if number in (KILLS // 3, 2 * KILLS // 3):
            postgres.stop("immediate" if number > KILLS // 2 else "fast")
            time.sleep(chance.uniform(0.1, 1.0))
            postgres.start()
        verdicts += judged(postgres, url, number)
        # The next one is killed while this one works: soon after it has begun to.
        end = time.monotonic() + SOON
        while pair.events(name, "partitions") <= lives:
            assert time.monotonic() < end, f"{name} does not come back"
            time.sleep(0.02)
        time.sleep(chance.uniform(0.0, 0.5))
    return verdicts


def require_whole(
    postgres: Postgres, url: str, expected: dict[str, float], verdicts: list[str]
) -> None:
    """Hold the ledger against what was sent, what the library says of it, and what was judged."""
    database = url.rpartition("/")[2]
    kept = dict(postgres.run("SELECT id, score FROM decisions", database))
    assert count(postgres, url) == len(kept) == MANY
    assert kept.keys() == expected.keys()
    assert max(abs(kept[key] - score) for key, score in expected.items()) < 1e-12
    with Ledger.open(url) as ledger:
        for id in verdicts:
            found = ledger.find(id)
            assert found is not None
            assert [each.by for each in found.history] == ["ann"]


def judged(postgres: Postgres, url: str, number: int) -> list[str]:
    """Give a verdict on one of the decisions that are there and have none."""
    database = url.rpartition("/")[2]
    found = postgres.run(
        "SELECT id FROM decisions WHERE id NOT IN (SELECT decision_id FROM verdicts) "
        "ORDER BY id LIMIT 1",
        database,
    )
    with Ledger.open(url) as ledger:
        for [id] in found:
            ledger.judge(str(id), number % 2, "ann", "known", datetime.now(UTC))
    return [str(id) for [id] in found]
