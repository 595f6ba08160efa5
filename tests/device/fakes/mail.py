"""A real SMTP server on this machine (aiosmtpd), with TLS and login where a test wants them; what it took is kept."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP as Server
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword, Session

LOGIN, PASSWORD = "terminal", "paper boats on a pond"


@dataclass
class Taken:
    """One message as the server took it."""

    sender: str
    to: list[str]
    message: EmailMessage
    tls: bool  # after STARTTLS
    login: str

    def part(self, kind: str) -> str:
        body = self.message.get_body((kind,))
        assert body is not None
        return str(body.get_content())


@dataclass
class Mailboxes:
    """Takes mail for everybody but those whom it is told to refuse; `refuse`: address -> its answer."""

    taken: list[Taken] = field(default_factory=list)
    refuse: dict[str, str] = field(default_factory=dict)
    data: str = "250 2.0.0 queued as 4711"
    port: int = 0

    async def handle_RCPT(self, server: Server, session: Session, envelope: Envelope, address: str, options: Any) -> str:
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, server: Server, session: Session, envelope: Envelope) -> str:
        if self.data.startswith("250"):
            assert isinstance(envelope.content, bytes)
            made = message_from_bytes(envelope.content, policy=policy.default)
            self.taken.append(Taken(str(envelope.mail_from), list(envelope.rcpt_tos), made, session.ssl is not None, str(session.auth_data or "")))
        return self.data


def check(server: Server, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
    right = isinstance(data, LoginPassword) and (data.login, data.password) == (LOGIN.encode(), PASSWORD.encode())
    return AuthResult(success=right, handled=False, auth_data=LOGIN if right else None)


@contextmanager
def serving(certificate: tuple[Path, Path] | None = None, at_once: bool = False, login: bool = False, port: int = 0) -> Iterator[Mailboxes]:
    """A server on 127.0.0.1.

    Args:
        certificate: file of the certificate and of its key; None: no TLS.
        at_once: TLS from the first byte, not after STARTTLS.
        login: nothing is taken without one.
    """
    made = Mailboxes()
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
    auth: dict[str, Any] = {"authenticator": check} if login else {}
    if login:  # aiosmtpd does not count TLS from the first byte
        auth |= {"auth_require_tls": False} if at_once else {"auth_required": True}
    tls: dict[str, Any] = {"ssl_context": context} if at_once else {"tls_context": context, "require_starttls": context is not None}
    server = Controller(made, "127.0.0.1", port or free_port(), **tls, **auth)
    server.start()
    made.port = server.port
    try:
        yield made
    finally:
        server.stop(no_assert=True)


def free_port() -> int:
    import socket

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
