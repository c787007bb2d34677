"""Telling of frauds: what is owed in a real ledger, to real receivers, at any time of any day."""

from __future__ import annotations

import csv
import io
import json
import socket
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fraudloop.errors import AlertError, LedgerAwayError
from fraudloop.ledger.ledger import Ledger
from fraudloop.serving.log import Log
from fraudloop.settings import Alerting, Webhook
from fraudloop.streaming.alerts import HOLD, Channel, InLog, Teller, channels
from fraudloop.streaming.mail import Mail
from fraudloop.streaming.notice import Notice
from fraudloop.streaming.webhook import Hook
from tests.alerts.receivers import PASSWORD, Mails, Posts, certificate, endpoint, login, mail_server
from tests.ledger.given import CARD, NOON, decision, many
from tests.serving.running import until

pytest_plugins = ("tests.databases",)

SECRET = "quite-a-secret-for-hooks"
MINUTE = timedelta(minutes=1)
SOON = 120.0  # seconds; on a busy machine too


@dataclass
class Told:
    """A channel that remembers what it told; with a `fault` it fails instead."""

    name: str = "told"
    notices: list[Notice] = field(default_factory=list)
    fault: Exception | None = None

    def send(self, notice: Notice) -> str:
        if self.fault is not None:
            raise self.fault
        self.notices.append(notice)
        return ""

    @property
    def ids(self) -> list[str]:
        return [fraud.id for notice in self.notices for fraud in notice.frauds]


@dataclass
class Switched:
    """Mail that goes elsewhere from some time on."""

    way: Mail
    name: str = "mail"

    def send(self, notice: Notice) -> str:
        return self.way.send(notice)


@dataclass
class Clock:
    """A clock that is set by hand."""

    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Stage:
    """A teller at a time of our own."""

    ledger: Ledger
    clock: Clock = field(default_factory=Clock)
    log: io.BytesIO = field(default_factory=io.BytesIO)

    def teller(self, *ways: Channel, **settings: Any) -> Teller:
        of = {"group": 10.0, "every": 300.0} | settings
        return Teller(self.ledger, ways, Alerting(**of), Log(self.log), clock=self.clock)

    def owe(self, count: int, prefix: str = "t", **changes: Any) -> None:
        frauds = [
            replace(each, id=f"{prefix}-{each.id}") for each in many(count, prediction=1, **changes)
        ]
        assert self.ledger.keep(frauds, card=CARD, owe_alerts=True) == count

    def look_after(self, teller: Teller, wait: timedelta) -> None:
        self.clock.now += wait
        teller.look()

    def events(self, name: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.log.getvalue().splitlines()]
        return [line for line in lines if line["event"] == name]


@pytest.fixture
def stage(ledger: Ledger) -> Stage:
    return Stage(ledger)


@pytest.fixture
def small(sqlite_url: str) -> Any:
    """The same, on SQLite alone."""
    with Ledger.open(sqlite_url) as ledger:
        yield Stage(ledger)


def test_a_flood_is_one_mail_and_each_day_has_its_own_capacity(
    stage: Stage, tmp_path: Path
) -> None:
    context, ca = certificate(tmp_path)
    mails = Mails()
    with mail_server(context, mails) as port:
        settings = Alerting(mail=login(port, ca))
        teller = stage.teller(*channels(settings, Log(stage.log)), capacity=100)
        stage.owe(10_000)
        teller.look()
        stage.look_after(teller, 11 * timedelta(seconds=1))
        [mail] = mails.got
        assert "10,000 predicted frauds: the 100 riskiest listed" in mail["Subject"]
        [attached] = mail.iter_attachments()
        rows = [*csv.DictReader(io.StringIO(attached.get_content()))]
        assert [row["id"] for row in rows] == [f"t-t-{n:06}" for n in range(9_999, 9_899, -1)]
        assert stage.ledger.alerts.waiting() == 0

        stage.owe(7, "evening")
        stage.look_after(teller, 2 * MINUTE)
        assert len(mails.got) == 1  # nobody has time for them today
        stage.look_after(teller, timedelta(hours=1))
        assert "7 predicted frauds beyond today's capacity of 100" in mails.got[1]["Subject"]
        assert [*mails.got[1].iter_attachments()] == []
        assert "9,907 more only counted" in mails.got[1].get_content()

        stage.owe(3, "night")
        stage.look_after(teller, MINUTE)
        assert len(mails.got) == 2
        stage.clock.now = (NOON + timedelta(days=1)).replace(hour=0, second=1)
        teller.look()
        assert mails.got[2]["Subject"].startswith("fraudloop: 3 predicted frauds, highest")
        assert stage.ledger.alerts.waiting() == 0
    assert [each["count"] for each in stage.events("alert told")] == [10_000, 7, 3]


def test_the_first_waits_for_others_and_messages_keep_their_distance(small: Stage) -> None:
    told = Told()
    teller = small.teller(told, group=10.0, every=300.0)
    small.owe(1, "first")
    teller.look()
    small.owe(1, "second")
    small.look_after(teller, timedelta(seconds=9))
    assert told.notices == []
    small.look_after(teller, timedelta(seconds=1))
    assert [notice.count for notice in told.notices] == [2]
    small.owe(1, "third")
    small.look_after(teller, timedelta(seconds=299))
    assert len(told.notices) == 1
    again = small.teller(told, group=10.0, every=300.0)  # a restart forgets no distance
    again.look()
    small.look_after(again, timedelta(seconds=11))
    assert [notice.count for notice in told.notices] == [2, 1]


def test_a_capacity_that_is_half_used_leaves_the_other_half_after_a_restart(small: Stage) -> None:
    told = Told()
    small.owe(6, "morning")
    small.teller(told, capacity=10).look(at_once=True)
    small.owe(6, "noon")
    small.teller(told, capacity=10).look(at_once=True)
    assert [(len(each.frauds), each.beyond) for each in told.notices] == [(6, 0), (4, 2)]
    assert (told.notices[1].listed_today, told.notices[1].beyond_today) == (10, 2)


def test_what_is_to_be_lost_ranks_where_a_field_says_it(small: Stage) -> None:
    told = Told()
    dear = decision("dear", score=0.5, prediction=1, transaction={"price": 1e6})
    small.owe(50)
    small.ledger.keep([dear], card=CARD, owe_alerts=True)
    small.teller(told, capacity=2, amount="price").look(at_once=True)
    assert told.ids == ["dear", "t-t-000049"]


def test_a_server_that_is_down_delays_its_mails_and_nothing_else(
    stage: Stage, tmp_path: Path
) -> None:
    context, ca = certificate(tmp_path)
    mails, posts = Mails(), Posts()
    with (
        socket.socket() as nobody,
        mail_server(context, mails) as port,
        endpoint(posts) as url,
    ):
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        mail = Switched(Mail(login(nobody.getsockname()[1], ca)))
        teller = stage.teller(mail, Hook(Webhook(url, SECRET)), group=0.0, every=0.0)
        stage.owe(5)
        teller.look()
        assert stage.ledger.alerts.waiting("mail") == 5
        stage.owe(2, "meanwhile")
        teller.look()  # too early to try the mail again
        assert len(stage.events("alert not told")) == 1
        for _ in range(12):
            stage.look_after(teller, MINUTE)
        waits = [each["again_in_seconds"] for each in stage.events("alert not told")]
        assert waits == sorted(waits)
        assert max(waits) <= 300
        assert [json.loads(body)["count"] for _, body in posts.got] == [5, 2]
        mail.way = Mail(login(port, ca))
        stage.look_after(teller, 6 * MINUTE)
        assert ["7 predicted frauds" in each["Subject"] for each in mails.got] == [True]
        stage.look_after(teller, 6 * MINUTE)
    assert len(posts.got) == 2
    assert stage.ledger.alerts.waiting() == 0
    logged = stage.log.getvalue().decode()
    for secret in (PASSWORD, SECRET, "quite-a-secret-path"):
        assert secret not in logged


def test_two_tellers_at_once_tell_each_alert_once(stage: Stage, ledger_url: str) -> None:
    ways = [Told(), Told()]
    with Ledger.open(ledger_url) as other:
        ledgers = (stage.ledger, other)
        tellers = [
            Teller(each, [way], Alerting(group=0, every=0, capacity=10_000), Log(io.BytesIO()))
            for each, way in zip(ledgers, ways, strict=True)
        ]
        over = threading.Event()

        def tell(teller: Teller) -> None:
            while not over.is_set():
                teller.look()

        threads = [threading.Thread(target=tell, args=(each,)) for each in tellers]
        for thread in threads:
            thread.start()
        try:
            for batch in range(20):
                stage.owe(25, f"b{batch}")
            until(lambda: stage.ledger.alerts.waiting() == 0, "all are told", SOON)
        finally:
            over.set()
            for thread in threads:
                thread.join()
    counts = Counter(ways[0].ids + ways[1].ids)
    assert len(counts) == 500
    assert set(counts.values()) == {1}
    said = stage.ledger.alerts.told_since("told", NOON - timedelta(days=3000))
    assert (said.listed, said.counted) == (500, 500)


def test_who_dies_after_sending_tells_again_and_forgets_nothing(small: Stage) -> None:
    small.owe(3)
    dying = Told()

    def killed(*_: Any) -> int:
        raise SystemExit  # nothing is caught on its way, nothing is given back

    teller = small.teller(dying)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(small.ledger.alerts, "told", killed)
        with pytest.raises(SystemExit):
            teller.look(at_once=True)
    told = Told()
    after = small.teller(told, group=0.0)
    after.look()
    assert told.notices == []
    small.look_after(after, HOLD)
    assert sorted(told.ids) == sorted(dying.ids)
    assert small.ledger.alerts.waiting() == 0


def test_a_ledger_that_goes_away_after_sending_is_told_later_and_people_only_once(
    small: Stage,
) -> None:
    small.owe(3)
    told = Told()
    teller = small.teller(told, group=0.0)

    def away(*_: Any) -> int:
        raise LedgerAwayError("the ledger is away")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(small.ledger.alerts, "told", away)
        assert teller.look() == 1
        assert teller.look() == 1
    assert teller.look() == 0
    assert (len(told.notices), small.ledger.alerts.waiting()) == (1, 0)
    assert len(small.events("alerts wait for the ledger")) == 1
    assert len(small.events("alerts go on")) == 1


@pytest.mark.parametrize("fault", [AlertError("it is away"), RuntimeError("secret-in-a-fault")])
def test_whatever_a_channel_does_the_others_are_told(small: Stage, fault: Exception) -> None:
    broken, sound = Told("broken", fault=fault), Told("sound")
    teller = small.teller(broken, sound, group=0.0)
    small.owe(2)
    assert teller.look() == 1
    assert sound.notices[0].count == 2
    [event] = small.events("alert not told")
    assert event["channel"] == "broken"
    assert "secret" not in json.dumps(event)
    broken.fault = None
    small.look_after(teller, MINUTE)
    assert broken.notices[0].count == 2
    assert small.ledger.alerts.waiting() == 0


def test_a_thread_tells_while_others_work_and_ends_with_them(small: Stage) -> None:
    told = Told()
    teller = small.teller(told, group=0.0, every=0.0)
    with teller.running():
        small.owe(2)
        teller.wake()
        until(lambda: bool(told.notices), "it is told", SOON)
    assert "alerts" not in {thread.name for thread in threading.enumerate()}


def test_the_log_is_told_where_nothing_else_is_set(small: Stage) -> None:
    log = Log(small.log)
    [way] = channels(Alerting(), log)
    assert isinstance(way, InLog)
    small.owe(20, transaction={"card": "4111-1111"})
    small.teller(way, group=0.0).look()
    [event] = small.events("fraud alert")
    assert event["message"] == "20 predicted frauds, highest score 0.950"
    assert len(event["frauds"]) == 10
    assert "4111" not in small.log.getvalue().decode()


def test_what_is_told_is_counted_for_prometheus(small: Stage) -> None:
    teller = small.teller(Told(), capacity=3)
    small.owe(5)
    teller.look(at_once=True)
    value: Callable[..., Any] = teller.counted.alerts.labels
    assert value("told", "listed")._value.get() == 3
    assert value("told", "beyond")._value.get() == 2
    assert teller.counted.messages.labels("told", "told")._value.get() == 1
