"""Alerts by mail, to a real server with STARTTLS and logins."""

from __future__ import annotations

import csv
import io
import socket
from datetime import timedelta
from pathlib import Path

import pytest

from fraudloop.errors import AlertError
from fraudloop.ledger.records import Decision
from fraudloop.streaming.mail import Mail
from fraudloop.streaming.notice import Notice
from tests.alerts.receivers import PASSWORD, Mails, certificate, login, mail_server
from tests.ledger.given import NOON, decision

REASONS = [
    {"feature": "stall", "contribution": -3.0},
    {"feature": "price", "contribution": 2.1},
    {"feature": "size", "contribution": 0.25},
]


def notice(*frauds: Decision, count: int | None = None, capacity: int = 100) -> Notice:
    many = len(frauds) if count is None else count
    beyond = many - len(frauds)
    return Notice("mail-1", NOON + timedelta(hours=1), frauds, many, capacity, len(frauds), beyond)


def test_a_fraud_is_mailed_over_tls_with_its_reasons_and_its_transaction(tmp_path: Path) -> None:
    context, ca = certificate(tmp_path)
    mails = Mails()
    fraud = decision("t-1", score=0.9876, prediction=1, reasons=REASONS)
    with mail_server(context, mails) as port:
        assert Mail(login(port, ca)).send(notice(fraud)) == ""
    [mail] = mails.got
    assert mails.logins == [True]
    assert mail["Subject"] == "fraudloop: 1 predicted fraud, highest score 0.988"
    assert (mail["From"], mail["To"]) == (
        "Fraudloop <alerts@shop.example>",
        "ana@shop.example, bo@shop.example",
    )
    assert mail["Message-ID"].endswith("@shop.example>")
    body = mail.get_body()
    assert body is not None
    assert (
        "t-1 has score 0.988 (2026-11-03 12:00:00 UTC), mostly because of price (+2.10), "
        "size (+0.25)."
    ) in body.get_content().splitlines()
    [attached] = mail.iter_attachments()
    assert attached.get_content_type() == "text/csv"
    [row] = csv.DictReader(io.StringIO(attached.get_content()))
    assert (row["id"], row["score"], row["price"], row["stall"]) == ("t-1", "0.9876", "2.5", "fish")
    assert attached.get_content_charset() == "utf-8"


def test_what_a_transaction_says_gets_into_no_header(tmp_path: Path) -> None:
    context, ca = certificate(tmp_path)
    mails = Mails()
    nasty = decision("t\r\nBcc: eve@evil.example\r\n\r\nhello", transaction={"a\r\nb": "\r\n.\r\n"})
    with mail_server(context, mails) as port:
        Mail(login(port, ca)).send(notice(nasty))
    [mail] = mails.got
    assert mail["Bcc"] is None
    assert "t Bcc: eve@evil.example hello has score 0.250" in mail.get_body().get_content()  # type: ignore[union-attr]  # it has one


def test_a_flood_is_one_mail_with_a_count(tmp_path: Path) -> None:
    context, ca = certificate(tmp_path)
    mails = Mails()
    frauds = [decision(f"t-{number}", prediction=1) for number in range(100)]
    with mail_server(context, mails) as port:
        Mail(login(port, ca)).send(notice(*frauds, count=10_000))
    [mail] = mails.got
    assert mail["Subject"] == (
        "fraudloop: 10,000 predicted frauds: the 100 riskiest listed, highest score 0.250, "
        "9,900 beyond today's capacity"
    )
    text = mail.get_body().get_content()  # type: ignore[union-attr]  # it has one
    assert text.count(" has score ") == 50
    assert "50 more are listed in the attached file." in text
    assert "100 of 100 that can be looked at were listed, 9,900 more only counted" in text
    [attached] = mail.iter_attachments()
    assert len(attached.get_content().splitlines()) == 101


@pytest.mark.parametrize("fault", ["authority", "name"])
def test_a_certificate_that_proves_nothing_is_refused_before_any_login(
    fault: str, tmp_path: Path
) -> None:
    name = "localhost" if fault == "authority" else "elsewhere.example"
    context, ca = certificate(tmp_path, name)
    mails = Mails()
    with mail_server(context, mails) as port:
        mail = Mail(login(port, None if fault == "authority" else ca))
        with pytest.raises(AlertError, match=r"cannot prove who it is .*SMTP_CA"):
            mail.send(notice(decision()))
    assert (mails.got, mails.logins) == ([], [])


def test_a_server_without_starttls_is_given_nothing(tmp_path: Path) -> None:
    mails = Mails()
    with mail_server(None, mails) as port:
        with pytest.raises(AlertError, match="offers no STARTTLS"):
            Mail(login(port, None)).send(notice(decision()))
        assert (mails.got, mails.logins) == ([], [])
        open_one = login(port, None, user="", password="", starttls=False)
        Mail(open_one).send(notice(decision()))
    assert len(mails.got) == 1


def test_a_refused_login_is_told_without_the_password(tmp_path: Path) -> None:
    context, ca = certificate(tmp_path)
    mails = Mails()
    wrong = "the-wrong-secret"
    with (
        mail_server(context, mails) as port,
        pytest.raises(AlertError, match=r"refuses the login of mailer \(535\)") as told,
    ):
        Mail(login(port, ca, password=wrong)).send(notice(decision()))
    assert wrong not in repr(told.value)
    assert told.value.__suppress_context__


def test_a_refused_mail_and_a_server_that_is_away_are_each_a_sentence(tmp_path: Path) -> None:
    context, ca = certificate(tmp_path)
    mails = Mails(answer="552 too\tlarge")
    with (
        mail_server(context, mails) as port,
        pytest.raises(AlertError, match=r"takes no mail \(552 too large\)"),
    ):
        Mail(login(port, ca)).send(notice(decision()))
    with pytest.raises(AlertError, match="does not answer"):
        Mail(login(port, ca)).send(notice(decision()))
    with socket.create_server(("127.0.0.1", 0)) as unused:
        closed = unused.getsockname()[1]
    with pytest.raises(AlertError, match="does not answer"):
        Mail(login(closed, ca)).send(notice(decision()))


def test_settings_do_not_show_the_password(tmp_path: Path) -> None:
    assert PASSWORD not in repr(login(25, tmp_path))
