"""Who alerts are sent to: a real mail server with STARTTLS and logins, a real HTTP endpoint."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword

from fraudloop.settings import Smtp

USER, PASSWORD = "mailer", "quite-a-secret-for-mail"


@dataclass
class Mails:
    """What a mail server got; it says `answer` to each mail."""

    answer: str = "250 OK"
    got: list[EmailMessage] = field(default_factory=list)
    logins: list[bool] = field(default_factory=list)

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:  # noqa: N802  # aiosmtpd's name
        """Take a mail."""
        if self.answer.startswith("250"):
            content = envelope.content
            assert isinstance(content, bytes)
            mail = message_from_bytes(content, policy=policy.default)
            assert isinstance(mail, EmailMessage)
            self.got.append(mail)
        return self.answer

    def __call__(
        self, server: Any, session: Any, envelope: Any, kind: str, data: Any
    ) -> AuthResult:
        """Look at a login."""
        right = isinstance(data, LoginPassword) and (data.login, data.password) == (
            USER.encode(),
            PASSWORD.encode(),
        )
        self.logins.append(right)
        return AuthResult(success=right, handled=False)


def certificate(folder: Path, name: str = "localhost") -> tuple[ssl.SSLContext, Path]:
    """A server's certificate for a name, and the file of the authority that signed it."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    file = folder / f"{name}.pem"
    authority.cert_pem.write_to_path(str(file))
    return context, file


class OnFreePort(Controller):
    """Its port 0 is any free one."""

    def _trigger_server(self) -> None:
        assert isinstance(self.server, asyncio.Server)
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call]  # aiosmtpd's


@contextmanager
def mail_server(context: ssl.SSLContext | None, mails: Mails, port: int = 0) -> Iterator[int]:
    """A mail server that wants STARTTLS and a login; its port."""
    controller = OnFreePort(
        mails,
        hostname="127.0.0.1",
        port=0,
        tls_context=context,
        require_starttls=context is not None,
        authenticator=mails,
        auth_required=context is not None,
        auth_require_tls=context is not None,
        ready_timeout=60.0,
        server_hostname="localhost",
    )
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()


def login(port: int, ca: Path | None, **changes: Any) -> Smtp:
    """Settings for that server."""
    of: dict[str, Any] = {
        "host": "localhost",
        "port": port,
        "sender": "Fraudloop <alerts@shop.example>",
        "to": ("ana@shop.example", "bo@shop.example"),
        "user": USER,
        "password": PASSWORD,
        "ca": ca,
    }
    return Smtp(**of | changes)


@dataclass
class Posts:
    """What an HTTP endpoint got; it answers each with a status."""

    status: int = 204
    answer: threading.Event | None = None  # nothing is answered before it is set
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)


@contextmanager
def endpoint(posts: Posts) -> Iterator[str]:
    """An HTTP endpoint; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # http.server's name
            body = self.rfile.read(int(self.headers["Content-Length"]))
            posts.got.append((dict(self.headers.items()), body))
            if posts.answer is not None:
                posts.answer.wait()
            self.send_response(posts.status)
            if 300 <= posts.status < 400:
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            with suppress(OSError):  # who asked may have been killed
                self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hooks/quite-a-secret-path"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
