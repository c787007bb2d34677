"""A bar for people, silence for everything else."""

from __future__ import annotations

import io

import pytest

from fraudloop import progress
from fraudloop.progress import Silent


def test_a_bar_is_shown_to_people_only(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr("sys.stderr", terminal)
    assert isinstance(progress.on_terminal(), Silent)
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    assert isinstance(progress.on_terminal(), progress.Bar)


def test_the_bar_goes_to_standard_error_and_may_begin_anew(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    bar = progress.Bar()
    for what in ("first [file]", "second"):
        bar.start(100, what)
        bar.advance(50)
    bar.stop()
    bar.stop()
    assert "first [file]" in terminal.getvalue()
    assert "second" in terminal.getvalue()
    assert capsys.readouterr().out == ""


def test_a_bar_of_rows_tells_how_many_and_how_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr("sys.stderr", terminal)
    assert isinstance(progress.rows_on_terminal(), Silent)
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    bar = progress.rows_on_terminal()
    assert isinstance(bar, progress.RowsBar)
    bar.rows(3)
    bar.start(100, "scoring")
    bar.advance(40)
    bar.rows(1_234)
    bar.stop()
    assert "1,234 rows" in terminal.getvalue()
    assert "rows/s" in terminal.getvalue()
