"""The report: one sentence that is true, and a page that loads nothing."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

import numpy as np

from fraudloop.monitoring.pages import drift_page
from fraudloop.monitoring.report import About, lines, report_of
from tests.monitoring.cups import compared, cups

ROWS = 3000
ABOUT = About("2026-11-30T02:00:00+00:00", "then.csv", "now.csv", synthetic=False)
LARGEST = 1_000_000  # bytes of a page


class Tags(HTMLParser):
    """Every tag with what it points to."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def shifted() -> dict[str, Any]:
    rng = np.random.default_rng(9)
    kinds = cups(ROWS, 2)["kind"].astype(object)
    kinds[:600] = "<script>alert(1)</script>"
    return cups(ROWS, 2, price=rng.normal(3.5, 1, ROWS), kind=kinds)


def test_the_verdict_says_how_many_have_changed_and_which_most() -> None:
    report = report_of(compared(cups(ROWS, 1), shifted()), ABOUT)
    assert report["verdict"].startswith(
        "Drift: 2 of 5 columns have changed; most of all kind (Cram"
    )
    assert report["drifted"] == ["kind", "price"]
    assert report["drift"] is True


def test_the_verdict_says_that_nothing_has() -> None:
    report = report_of(compared(cups(ROWS, 1), cups(ROWS, 2)), ABOUT)
    assert report["verdict"] == (
        "No drift: none of 5 tests found a change that is both certain and large."
    )
    assert report["drift"] is False


def test_the_verdict_says_when_nothing_can_be_said() -> None:
    comparison = compared(cups(10, 1), cups(ROWS, 2))
    report = report_of(comparison, ABOUT)
    assert report["verdict"].startswith("Nothing can be said: no column has enough rows")
    assert lines(comparison)[0].startswith("  price: only 10 rows before")
    part = report_of(compared(cups(ROWS, 1, price=[None] * ROWS), cups(ROWS, 2)), ABOUT)
    assert (
        "nothing can be said" not in part["verdict"]
    )  # its gaps can be compared, and have changed


def test_columns_that_are_not_tested_are_named_with_the_reason() -> None:
    report = report_of(compared(cups(ROWS, 1), cups(ROWS, 2)), ABOUT)
    assert report["left_out"] == {
        "at": "time goes on by itself",
        "number": "ids are new each time",
    }


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    page = drift_page(json.loads(json.dumps(report_of(compared(cups(ROWS, 1), shifted()), ABOUT))))
    tags = Tags(page).found
    assert not {tag for tag, _ in tags} & {"script", "link", "img", "iframe", "object", "embed"}
    pointing = [
        value for _, each in tags for name, value in each.items() if name in ("src", "href")
    ]
    assert pointing == []
    assert "url(" not in page
    assert "@import" not in page
    assert len(page.encode()) < LARGEST


def test_the_page_has_a_picture_of_every_column_those_that_drift_first() -> None:
    report = report_of(compared(cups(ROWS, 1), shifted()), ABOUT)
    page = drift_page(report)
    said = [str(each["aria-label"]) for tag, each in Tags(page).found if tag == "svg"]
    names = [label.split()[1] for label in said]
    assert names == ["kind", "price", "size", "milk", "shop"]
    assert page.index(report["verdict"].split(";")[0]) < page.index("<svg")
    assert page.count('class="cell bad"') == 2


def test_the_page_says_where_the_data_are_synthetic() -> None:
    comparison = compared(cups(ROWS, 1), cups(ROWS, 2))
    made = About("2026-11-30", "a", "b", synthetic=True)
    assert "Synthetic data" in drift_page(report_of(comparison, made))
    assert "Synthetic data" not in drift_page(report_of(comparison, ABOUT))
