"""What stands around the decisions: alerts that are owed, jobs, audit rows, reports, users."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from fraudloop import users
from fraudloop.errors import LedgerError, OpenJobError, UsersError
from fraudloop.ledger.ledger import Ledger
from fraudloop.ledger.records import DriftReport, Told
from fraudloop.users import Role
from tests.ledger.given import CARD, NOON, decision, ids, many

pytest_plugins = ("tests.databases",)

HOLD = timedelta(minutes=5)


def test_each_new_fraud_is_owed_one_alert_until_somebody_was_told(ledger: Ledger) -> None:
    alerts = ledger.alerts
    ledger.keep(many(50), card=CARD, owe_alerts=True)
    ledger.keep(many(50), card=CARD, owe_alerts=True)
    assert (alerts.waiting(), alerts.waiting("mail")) == (10, 10)
    held = alerts.take("mail", NOON, HOLD)
    assert held is not None
    assert held.count == 10
    assert ids([*alerts.riskiest(held, 3)]) == ["t-000049", "t-000048", "t-000047"]
    assert alerts.riskiest(held, 1)[0].decision == many(50)[49]
    assert alerts.told(held, 3, NOON, ["mail"]) == 10
    assert alerts.told(held, 3, NOON + HOLD, ["log"]) == 0
    assert (alerts.waiting(), alerts.is_owed("mail", NOON)) == (0, False)
    assert alerts.told_since("mail", NOON) == Told(3, 10, NOON)
    assert alerts.told_since("mail", NOON + HOLD) == Told(0, 0, NOON)
    assert alerts.told_since("log", NOON) == Told(0, 0, None)
    assert alerts.told_since("mail", NOON).beyond == 7


def test_what_one_sender_holds_no_other_gets_until_it_comes_back(ledger: Ledger) -> None:
    alerts = ledger.alerts
    ledger.keep(many(20), card=CARD, owe_alerts=True)
    first = alerts.take("mail", NOON, HOLD)
    assert first is not None
    ledger.keep([decision("later", prediction=1, score=0.99)], card=CARD, owe_alerts=True)
    assert alerts.is_owed("mail", NOON)
    assert alerts.take("mail", NOON, HOLD) is None  # one sender at a time, of all there is
    other = alerts.take("log", NOON, HOLD)
    assert other is not None
    assert (other.count, alerts.give_back(other)) == (1, 1)
    assert alerts.give_back(first) == 4
    again = alerts.take("mail", NOON, HOLD)
    assert again is not None
    assert again.count == 5
    after_its_death = alerts.take("mail", NOON + HOLD, HOLD)
    assert after_its_death is not None
    assert after_its_death.count == 5
    assert alerts.told(again, 5, NOON + HOLD, ["mail"]) == 0
    assert alerts.told(after_its_death, 5, NOON + HOLD, ["mail"]) == 5


def test_of_more_than_can_be_held_the_riskiest_are(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fraudloop.ledger.alerts.HELD_AT_ONCE", 3)
    ledger.keep(many(20), card=CARD, owe_alerts=True)
    held = ledger.alerts.take("mail", NOON, HOLD)
    assert held is not None
    assert held.count == 3
    assert ids([*ledger.alerts.riskiest(held, 9)]) == ["t-000019", "t-000018", "t-000017"]
    assert ledger.alerts.told(held, 3, NOON, ["mail"]) == 3
    assert ledger.alerts.waiting() == 1


def test_an_alert_is_owed_until_every_channel_told_of_it(ledger: Ledger) -> None:
    alerts, both = ledger.alerts, ["mail", "webhook"]
    ledger.keep(many(20), card=CARD, owe_alerts=True)
    held = alerts.take("webhook", NOON, HOLD)
    assert held is not None
    assert alerts.told(held, 4, NOON, both) == 4
    assert (alerts.waiting("webhook"), alerts.waiting("mail"), alerts.waiting()) == (0, 4, 4)
    assert alerts.take("webhook", NOON, HOLD) is None
    held = alerts.take("mail", NOON, HOLD)
    assert held is not None
    assert alerts.told(held, 4, NOON, both) == 4
    assert alerts.waiting() == 0


def test_a_channel_that_is_gone_owes_nothing_for_ever(ledger: Ledger) -> None:
    alerts = ledger.alerts
    ledger.keep(many(20), card=CARD, owe_alerts=True)
    held = alerts.take("webhook", NOON, HOLD)
    assert held is not None
    alerts.told(held, 4, NOON, ["mail", "webhook"])
    assert alerts.settle(["mail", "webhook"], NOON) == 0
    assert alerts.settle(["webhook"], NOON) == 4
    assert alerts.waiting() == 0


def test_what_is_not_asked_for_is_owed_to_nobody(ledger: Ledger) -> None:
    ledger.keep(many(10), card=CARD)
    assert ledger.alerts.waiting() == 0
    assert ledger.alerts.take("mail", NOON, HOLD) is None


def test_a_flood_of_alerts_is_settled_at_once(ledger: Ledger) -> None:
    flood = many(2_500, prediction=1)
    ledger.keep(flood, card=CARD, owe_alerts=True)
    held = ledger.alerts.take("mail", NOON, HOLD)
    assert held is not None
    assert held.count == 2_500
    riskiest = ledger.alerts.riskiest(held, 1_500)
    assert ids([*riskiest]) == [each.id for each in reversed(flood)][:1_500]
    assert ledger.alerts.told(held, 100, NOON, ["mail"]) == 2_500
    assert ledger.alerts.waiting() == 0


def test_a_job_is_followed_from_its_wish_to_its_end(ledger: Ledger) -> None:
    jobs = ledger.jobs
    job = jobs.create("training", "retrain", "ana", "drift", NOON)
    assert jobs.open_in("training") == jobs.find(job.id) == job
    with pytest.raises(OpenJobError, match=rf"job {job.id} \(retrain\) is still queued") as told:
        jobs.create("training", "initial", "bo", "first", NOON)
    assert told.value.job == job.id
    assert not jobs.advance(job.id, 0.5, "too early", NOON)
    claimed = jobs.claim("training", NOON)
    assert claimed is not None
    assert (claimed.id, claimed.state) == (job.id, "running")
    assert jobs.claim("training", NOON) is None
    assert jobs.advance(job.id, 0.5, "half", NOON + HOLD)
    assert jobs.finish(job.id, done=True, message="v2", detail={"version": "v2"}, at=NOON + HOLD)
    assert not jobs.finish(job.id, done=False, message="", detail={}, at=NOON + HOLD)
    ended = jobs.find(job.id)
    assert ended is not None
    assert (ended.state, ended.progress, ended.detail) == ("done", 1.0, {"version": "v2"})
    assert jobs.open_in("training") is None
    second = jobs.create("training", "retrain", "bo", "again", NOON + HOLD)
    assert jobs.newest(1) == (second,)
    assert jobs.newest(5, before=second) == (ended,)
    assert (jobs.find("none"), jobs.find("\0")) == (None, None)


def test_a_job_whose_process_died_makes_room(ledger: Ledger) -> None:
    jobs = ledger.jobs
    job = jobs.create("training", "retrain", "ana", "drift", NOON)
    jobs.claim("training", NOON)
    assert jobs.lose("training", NOON, NOON + HOLD) is None
    lost = jobs.lose("training", NOON + HOLD, NOON + HOLD)
    assert lost is not None
    assert (lost.id, lost.state) == (job.id, "lost")
    assert not jobs.advance(job.id, 0.9, "still here", NOON + HOLD)
    assert jobs.create("training", "retrain", "bo", "again", NOON + HOLD).state == "queued"


def test_audit_rows_are_added_and_read_backwards(ledger: Ledger) -> None:
    numbers = [
        ledger.audit.note("ana", "promote" if n % 2 else "login", f"v{n}", {"n": n}, NOON)
        for n in range(6)
    ]
    assert numbers == sorted(set(numbers))
    assert [row.subject for row in ledger.audit.newest(2)] == ["v5", "v4"]
    assert [row.subject for row in ledger.audit.newest(9, before=numbers[3])] == ["v2", "v1", "v0"]
    assert [row.detail for row in ledger.audit.newest(9, action="promote")] == [
        {"n": 5},
        {"n": 3},
        {"n": 1},
    ]
    assert ledger.audit.newest(1)[0].at == NOON


def test_drift_reports_are_found_by_id_by_day_and_backwards(ledger: Ledger) -> None:
    made = [
        DriftReport(
            f"r{n}", CARD if n % 2 else "other", NOON + n * timedelta(hours=8), n > 2, {"n": n}
        )
        for n in range(5)
    ]
    for report in made:
        ledger.drift.put(report)
    assert ledger.drift.get("r3") == made[3]
    assert (ledger.drift.get("r9"), ledger.drift.get("\0")) == (None, None)
    assert ledger.drift.of_day(date(2026, 11, 4)) == (made[4], made[3], made[2])
    assert ledger.drift.of_day(date(2026, 11, 4), CARD) == (made[3],)
    assert ledger.drift.newest(2) == (made[4], made[3])
    assert ledger.drift.newest(9, before=made[3], card=CARD) == (made[1],)
    with pytest.raises(LedgerError, match="a drift report 'r3' already"):
        ledger.drift.put(made[3])


def test_users_are_added_found_and_removed(ledger: Ledger) -> None:
    added = ledger.users.add("ana", "correct horse", ["analyst", "scorer"])
    assert ledger.users.all() == {"ana": added}
    assert users.matches(ledger.users.all()["ana"].password_hash, "correct horse")
    assert added.roles == {Role.ANALYST, Role.SCORER}
    with pytest.raises(UsersError, match="a user ana already"):
        ledger.users.add("ana", "another one", ["admin"])
    with pytest.raises(UsersError, match="too short"):
        ledger.users.add("bo", "short", ["admin"])
    with pytest.raises(UsersError, match="there is no role 'boss'"):
        ledger.users.add("bo", "correct horse", ["boss"])
    ledger.users.remove("ana")
    with pytest.raises(UsersError, match="no user 'ana'"):
        ledger.users.remove("ana")
    assert ledger.users.all() == {}


def test_what_an_alert_tells_of_has_its_newest_verdict(ledger: Ledger) -> None:
    ledger.keep([decision("t-1", prediction=1)], card=CARD, owe_alerts=True)
    verdict = ledger.judge("t-1", 0, "ana", "seen before the mail went out", NOON)
    held = ledger.alerts.take("mail", NOON, HOLD)
    assert held is not None
    assert ledger.alerts.riskiest(held, 1)[0].verdict == verdict
