"""GET /drift, GET /drift/{id}, GET /outcomes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fraudloop.ledger.records import Judgement
from fraudloop.monitoring import kept
from fraudloop.monitoring.pages import drift_page
from fraudloop.monitoring.report import About, report_of
from tests.fitted import bundle_of, card
from tests.ledger.given import many
from tests.monitoring.cups import compared, cups
from tests.serving.ledgers import House, house

pytest_plugins = ("tests.databases",)

BROWSER = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
MONDAY, TUESDAY = "2026-11-30T02:00:00+00:00", "2026-12-01T02:00:00+00:00"


def report(made_at: str, **changes: Any) -> dict[str, Any]:
    about = About(made_at, "then.csv", "<script>now.csv", synthetic=False)
    return report_of(compared(cups(300, 1), cups(300, 2, **changes)), about)


REPORTS = (report(MONDAY), report(TUESDAY, price=[9.0 + n % 7 for n in range(300)]))


@pytest.fixture(scope="module")
def served(template_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A server whose ledger has two reports, and a week of decisions of which half are judged."""
    folder = tmp_path_factory.mktemp("reports")
    file = folder / "ledger.db"
    file.write_bytes(template_file.read_bytes())
    with house(folder, f"sqlite:///{file}") as made:
        for each in REPORTS:
            kept.keep(made.ledger, each)
        # A week back, so that it is one week in any zone and on any day.
        now = datetime.now(UTC)
        begin = now - timedelta(days=now.weekday() + 5, seconds=3_600)
        version = bundle_of("logistic_regression").version
        decided = [
            replace(each, decided_at=begin + timedelta(seconds=place), model_version=version)
            for place, each in enumerate(many(60))
        ]
        made.ledger.keep(decided, card=card().id)
        judged = [
            Judgement(each.id, int(place > 50), "ann", "a test", now)
            for place, each in enumerate(decided)
            if place % 2
        ]
        made.ledger.judge_all(judged)
        yield made


def test_reports_are_listed_by_day_the_newest_first(served: House) -> None:
    listed = served.get("/drift").json
    assert [each["day"] for each in listed["days"]] == ["2026-12-01", "2026-11-30"]
    (drifted,) = listed["days"][0]["reports"]
    assert drifted["drift"] is True
    assert drifted["drifted"] == ["price"]
    one_day = served.get("/drift?day=2026-11-30").json
    assert one_day["days"] == listed["days"][1:]
    assert served.get("/drift?card=another").json == {"days": []}
    assert served.get("/drift?limit=1").json["days"] == listed["days"][:1]
    assert served.get("/drift?day=1999-01-01").json == {"days": []}


def test_a_report_is_json_for_a_program_and_a_page_for_a_browser(served: House) -> None:
    (short,) = served.get("/drift?day=2026-12-01").json["days"][0]["reports"]
    path = f"/drift/{short['id']}"
    for head in ("", "Accept: */*\r\n", "Accept: application/json, text/html\r\n"):
        answer = served.get(path, head=head)
        assert answer.headers["content-type"] == "application/json"
        assert answer.json == {"id": short["id"], **REPORTS[1]}
    for page in (served.get(path, head=BROWSER), served.get(f"{path}.html")):
        assert page.status == 200
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert page.content.decode() == drift_page({"id": short["id"], **REPORTS[1]})
        assert b"<script" not in page.content
        assert "default-src 'none'" in page.headers["content-security-policy"]


@pytest.mark.parametrize("id", ["nothing", "", "%00", "a/b", "x" * 3_000, "nothing.html"])
def test_an_unknown_report_is_404(served: House, id: str) -> None:
    answer = served.get(f"/drift/{id}")
    assert answer.status == 404, answer.content
    assert "see GET /drift" in answer.json["error"]


def test_outcomes_say_week_by_week_what_verdicts_tell(served: House) -> None:
    answer = served.get("/outcomes?weeks=3")
    assert answer.status == 200, answer.content
    made = answer.json
    assert made["card"] == card().id
    assert made["synthetic"] is True
    (week,) = made["weeks"]
    assert week["alerts"]["judged"] + week["others"]["judged"] == 30
    assert week["alerts"]["decisions"] + week["others"]["decisions"] == 60
    assert made["promised"] == {week["model_version"]: {"average_precision": 0.5}}
    assert served.get("/outcomes?weeks=3").content == answer.content
    weighted = served.get("/outcomes?weeks=3&weighted=true").json
    assert (made["weighted"], weighted["weighted"]) == (False, True)


@pytest.mark.parametrize(
    "path",
    [
        "/drift?day=yesterday",
        "/drift?day=",
        "/drift?day=9999-12-31",
        "/drift?day=0001-01-01",
        "/drift?limit=0",
        "/drift?limit=501",
        "/drift?card=%00",
        "/drift?card=",
        "/drift?card=a&card=b",
        "/drift?colour=red",
        "/drift/nothing?format=html",
        "/outcomes?weeks=0",
        "/outcomes?weeks=53",
        "/outcomes?weeks=1e1",
        "/outcomes?weighted=perhaps",
        "/outcomes?card=a",
    ],
)
def test_what_cannot_be_asked_is_refused_in_a_sentence(served: House, path: str) -> None:
    answer = served.get(path)
    assert answer.status == 422, answer.content
    assert list(answer.json) == ["error", "detail"]
