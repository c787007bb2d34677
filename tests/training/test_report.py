"""Report and model card: whole without any other file, and written from measured values only."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from jinja2 import UndefinedError

from fraudloop.training.figures import ABOUT
from fraudloop.training.findings import findings, span
from fraudloop.training.report import model_card, report_page
from tests.fitted import card

MOST_BYTES = 2_000_000


class Page(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def values(self, *names: str) -> list[str]:
        return [value for name, value in self.attributes if name in names]


@pytest.fixture(scope="module")
def evaluated(ran: Path) -> dict[str, Any]:
    return dict(json.loads((ran / "output/evaluation.json").read_bytes()))


@pytest.fixture(scope="module")
def data(ran: Path) -> dict[str, Any]:
    return dict(json.loads((ran / "output/data-report.json").read_bytes()))


@pytest.fixture(scope="module")
def page(ran: Path) -> Page:
    return Page((ran / "output/report.html").read_text(encoding="utf-8"))


def test_the_page_needs_no_other_file_and_is_small(ran: Path, page: Page) -> None:
    text = (ran / "output/report.html").read_text(encoding="utf-8")
    assert len(text.encode()) < MOST_BYTES
    assert page.open == []
    assert all(value.startswith("data:image/png;base64,") for value in page.values("src"))
    targets = page.values("href")
    assert targets
    assert {target.removeprefix("#") for target in targets} <= set(page.values("id"))
    assert not re.search(r"url\(|@import|https?://|<script", text)


def test_the_page_shows_every_plot_and_each_has_a_name(ran: Path, page: Page) -> None:
    drawn = list((ran / "output/plots").glob("*.png"))
    assert len(drawn) >= 11
    assert len(page.values("src")) == len(drawn) == len(page.values("alt"))
    assert all(page.values("alt"))


def test_both_tell_every_figure_with_its_interval_on_both_splits(
    ran: Path, page: Page, evaluated: dict[str, Any]
) -> None:
    text = (ran / "output/model-card.md").read_text(encoding="utf-8")
    for name, figure in ABOUT.items():
        form = (
            ".6f" if name in ("brier", "calibration_error") else ",.1f" if name == "cost" else ".3f"
        )
        for told in (figure.title, span(evaluated["test"], name, form)):
            assert told in text
            assert told in page.words
        for account in evaluated["accounts"].values():
            assert span(account["test"], name, form) in text
            assert (
                span(account["validation"], name, form) in text
                or account is not (evaluated["accounts"][evaluated["dataset"]["split"]])
            )


def test_both_tell_every_finding_candidate_and_slice(
    ran: Path, page: Page, evaluated: dict[str, Any], data: dict[str, Any]
) -> None:
    text = (ran / "output/model-card.md").read_text(encoding="utf-8")
    for finding in findings(evaluated, data, card()):
        assert finding.text in text
        assert finding.text in page.words
    assert "Everything here was measured on synthetic data." in text
    for candidate in evaluated["candidates"]:
        assert f"| {candidate['candidate']} | {span(candidate, 'average_precision')} |" in text
        assert candidate["candidate"] in page.words
    for kind, found in evaluated["slices"][evaluated["dataset"]["split"]].items():
        for each in found if isinstance(found, list) else []:
            assert f"| {kind}: {each['label']} |" in text
            assert f"{kind}: {each['label']}" in page.words


def test_what_a_card_says_is_text_and_never_markup(
    evaluated: dict[str, Any], data: dict[str, Any]
) -> None:
    hostile = data | {"title": "<script>alert(1)</script>"}
    made = report_page(evaluated, hostile, card(), {})
    assert "<script" not in made
    assert "&lt;script&gt;" in made


def test_what_was_not_measured_is_an_error_and_not_a_blank(
    evaluated: dict[str, Any], data: dict[str, Any]
) -> None:
    without = {name: value for name, value in evaluated.items() if name != "recipe"}
    with pytest.raises(UndefinedError):
        model_card(without, data, card())
    with pytest.raises(UndefinedError):
        report_page(without, data, card(), {})
