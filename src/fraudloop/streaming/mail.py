"""Alerts by e-mail: over verified TLS, the transactions beside the text as a CSV file."""

from __future__ import annotations

import smtplib
import ssl
from contextlib import suppress
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid, parseaddr

from fraudloop.errors import AlertError
from fraudloop.settings import SMTP_OVER_TLS, Smtp
from fraudloop.streaming.notice import Notice, as_csv, one_line

PATIENCE = 20.0  # seconds, for each answer
LARGEST = 5_000_000  # bytes of the CSV file: mail servers take ten million, base64 adds a third
SHOWN = 120


class Mail:
    """A channel: whatever goes wrong is one sentence without a secret in it."""

    name = "mail"

    def __init__(self, settings: Smtp) -> None:
        self._settings = settings
        self._where = f"the mail server {settings.host}:{settings.port}"

    def send(self, notice: Notice) -> str:
        """Hand it to the mail server; gives what is to be said of it, if anything."""
        message = composed(notice, self._settings)
        try:
            server = self._connected()
            try:
                self._log_in(server)
                refused = server.send_message(message)
            finally:
                with suppress(smtplib.SMTPException, OSError):
                    server.quit()  # what it says now changes nothing
                server.close()
        except smtplib.SMTPAuthenticationError as error:
            raise AlertError(
                f"{self._where} refuses the login of {self._settings.user} ({error.smtp_code}): "
                "correct SMTP_USER and SMTP_PASSWORD"
            ) from None  # its answer may repeat what it was sent
        except smtplib.SMTPNotSupportedError:
            raise AlertError(
                f"{self._where} offers no STARTTLS or no login we know: correct SMTP_PORT"
            ) from None
        except smtplib.SMTPRecipientsRefused as error:
            codes = sorted({code for code, _ in error.recipients.values()})
            raise AlertError(
                f"{self._where} takes mail for none of SMTP_TO ({codes}): correct it"
            ) from None
        except smtplib.SMTPResponseException as error:
            answer = error.smtp_error
            said = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer
            reason = f"{error.smtp_code} {one_line(said)[:SHOWN]}"
            raise AlertError(f"{self._where} takes no mail ({reason}): ask who runs it") from None
        except ssl.SSLCertVerificationError as error:
            raise AlertError(
                f"{self._where} cannot prove who it is ({error.verify_message}): correct "
                "SMTP_HOST, or name its certificates in SMTP_CA"
            ) from None
        except (smtplib.SMTPException, OSError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise AlertError(f"{self._where} does not answer ({reason}): is it running?") from None
        return f"{len(refused)} of SMTP_TO refused" if refused else ""

    def _connected(self) -> smtplib.SMTP:
        said = self._settings
        if said.port == SMTP_OVER_TLS:
            return smtplib.SMTP_SSL(said.host, said.port, timeout=PATIENCE, context=self._tls())
        server = smtplib.SMTP(said.host, said.port, timeout=PATIENCE)
        try:
            if said.starttls:
                server.starttls(context=self._tls())
        except BaseException:
            server.close()
            raise
        return server

    def _tls(self) -> ssl.SSLContext:
        ca = self._settings.ca
        return ssl.create_default_context(cafile=None if ca is None else str(ca))

    def _log_in(self, server: smtplib.SMTP) -> None:
        if self._settings.password:
            server.login(self._settings.user, self._settings.password)


def composed(notice: Notice, settings: Smtp) -> EmailMessage:
    """The message; nothing that a transaction says is in its headers."""
    message = EmailMessage()
    message["Subject"] = f"fraudloop: {notice.headline}"
    message["From"] = settings.sender
    message["To"] = ", ".join(settings.to)
    message["Date"] = format_datetime(notice.at)
    message["Message-ID"] = make_msgid(notice.id, parseaddr(settings.sender)[1].partition("@")[2])
    message["Auto-Submitted"] = "auto-generated"
    text = notice.text()
    if notice.frauds:
        table, rows = as_csv(notice.frauds, LARGEST)
        if rows < len(notice.frauds):
            text += f"The attached file has room for the first {rows:,} of them.\n"
        message.set_content(text)
        message.add_attachment(
            table,
            maintype="text",
            subtype="csv",
            filename=f"{notice.id}.csv",
            params={"charset": "utf-8"},
        )
    else:
        message.set_content(text)
    return message
