"""Mail to the recipients of notices, through an SMTP server (RFC 5321), by TLS whose certificate is checked (RFC 3207, RFC 8314).

One connection per message, by the standard library's `smtplib`. A message has text and HTML, no attachment, and a `Message-ID` made from the notice's key, so
that a mailbox which gets it twice, after a kill between answer and record, can tell.
"""

from __future__ import annotations

import base64
import re
import smtplib
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from device.config import ConnectorSettings
from device.config.fields import ConfigError, chosen, hidden, needed, ranged, written
from device.delivery.connectors import Connector
from device.delivery.connectors.credentials import Sealed
from device.delivery.outcomes import Delivered, Failed, Outcome, Refused, Stopped, expect
from device.storage.events import Event, Letter

PORTS = {"starttls": 587, "tls": 465, "none": 25}
LONGEST = 4  # times timeout_seconds that one message may take in all: a server that answers by single bytes blocks nothing
LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
MAILBOX = re.compile(rf"[A-Za-z0-9.!#$%&'*+/=?^_`{{|}}~-]{{1,64}}@(?=.{{1,255}}$){LABEL}(?:\.{LABEL})*")
SEVEN_BITS = SMTP.clone(cte_type="7bit")  # every server takes it
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class _Limited(smtplib.SMTP):
    """A session that is cut after LONGEST times its time limit, which itself holds for each wait alone."""

    def __init__(self, host: str, port: int, timeout: float, **more: Any) -> None:
        self._limit = threading.Timer(LONGEST * timeout, self._cut)
        self._limit.daemon = True
        self._limit.start()
        try:
            super().__init__(host, port, timeout=timeout, **more)
        except BaseException:
            self._limit.cancel()
            raise

    def close(self) -> None:
        self._limit.cancel()
        super().close()

    def _cut(self) -> None:
        with suppress(OSError, AttributeError):
            self.sock.shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]


class _Plain(_Limited):
    """TLS after the greeting, or none."""


class _OverTls(_Limited, smtplib.SMTP_SSL):
    """TLS from the first byte."""


@dataclass(frozen=True, kw_only=True)
class Settings(ConnectorSettings):
    host: str = needed("host name", "The mail server")
    sender: str = needed("mail address", "Address that the messages come from")
    security: str = chosen("starttls", "starttls", "tls", "none", help="TLS after the greeting (starttls), from the first byte (tls), or none: then no login")
    port: int = ranged(0, 0, 65535, "port", "Port of the server; 0: 587 for starttls, 465 for tls, 25 for none")
    login: str = written("", "text", "Login at the server; empty: it asks for none")
    password: str = hidden("Password of the login", needed=False)
    ca_file: str = written("", "path", "PEM file with certificates to trust in place of the system's, for a company's own authority")
    pages: str = written("", "http address", "Address of the desk's pages as recipients reach it, for links; empty: messages have none")


def check_mailbox(setting: str, text: str) -> str:
    """A plain mail address, such as hr@example.com.

    Raises:
        ConfigError: it is none.
    """
    if not MAILBOX.fullmatch(text):
        raise ConfigError(f"{setting}: {text[:80]!a} is no mail address such as hr@example.com, in ASCII and without a name", code="config.mailbox")
    return text


class Target(Connector):
    settings: Settings
    takes_notices: ClassVar[bool] = True
    to_mailboxes: ClassVar[bool] = True

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        where = f"[connectors.{self.name}]"
        check_mailbox(f"{where} sender", settings.sender)
        if bool(settings.login) != bool(settings.password):
            raise ConfigError(f"{where}: login and password go together; give both or neither", code="config.together")
        if settings.login and settings.security == "none" and settings.host not in LOOPBACK:
            raise ConfigError(f'{where} security = "none" would send the password unprotected; use starttls or tls', code="config.together")
        if settings.pages and not re.fullmatch(r"https?://[^\s\"'<>]+", settings.pages):
            raise ConfigError(f"{where} pages: expected an http or https address such as https://desk.example.com:8443", code="config.address")
        self._port = settings.port or PORTS[settings.security]
        self._where = f"{settings.host}:{self._port}"
        self._context = _context(where, settings.ca_file)
        self._password = self.secret("password") if settings.password else None
        if self._password:
            for encode in (_in_base64, partial(_as_plain, settings.login)):  # as a server may repeat what it got
                self.secrets.append(Sealed(encode(self._password), partial(encode, self._password)))

    def send(self, event: Event) -> Outcome:
        if event.letter is None:
            return Refused("mail carries notices alone")
        try:
            message = self._message(event.key, event.letter)
            with self._connected() as server:
                answer = self._handed_over(server, message, event.letter.to)
        except Stopped as stopped:
            return stopped.outcome
        return Delivered(answer)

    def test(self, event: Event) -> str:
        """Connect, check the certificate, log in. With a letter that is sent; without one nothing is."""
        if event.letter is not None:
            return expect(self.send(event))
        try:
            with self._connected():
                login = f", {self.settings.login} is logged in" if self.settings.login else ""
        except Stopped as stopped:
            return expect(stopped.outcome)
        return f"{self._where} answers{login}; no message was sent: `python -m device notices test NUMBER` sends one"

    def _message(self, key: str, letter: Letter) -> EmailMessage:
        message = EmailMessage(policy=SEVEN_BITS)
        domain = self.settings.sender.rpartition("@")[2]
        try:
            message["From"] = Address("Clockface", addr_spec=self.settings.sender)
            message["To"] = Address(addr_spec=check_mailbox("recipient", letter.to))
            message["Subject"] = letter.subject
        except (ConfigError, ValueError) as error:  # a line feed in a header is refused by `email` itself
            raise Stopped(Refused(f"the message cannot be written: {error}")) from None
        message["Date"] = formatdate(localtime=False)
        message["Message-ID"] = f"<{key}@{domain}>"
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office replies
        message.set_content(letter.text)
        message.add_alternative(letter.html, subtype="html")
        return message

    @contextmanager
    def _connected(self) -> Iterator[smtplib.SMTP]:
        """A session with TLS and login as the settings say.

        Raises:
            Stopped: it did not come about, or broke.
        """
        server: smtplib.SMTP | None = None
        try:
            server = self._opened()
            self._secured(server)
            yield server
            with suppress(smtplib.SMTPException, OSError):
                server.quit()
        except (smtplib.SMTPException, OSError, UnicodeError, ValueError) as error:
            raise Stopped(self._failure(error)) from None
        finally:
            if server is not None:
                server.close()

    def _opened(self) -> smtplib.SMTP:
        host, seconds = self.settings.host, self.settings.timeout_seconds
        named = self.settings.sender.rpartition("@")[2]  # not this machine's name, which may take long to find and is nobody's business
        if self.settings.security == "tls":
            return _OverTls(host, self._port, local_hostname=named, timeout=seconds, context=self._context)
        return _Plain(host, self._port, local_hostname=named, timeout=seconds)

    def _secured(self, server: smtplib.SMTP) -> None:
        if self.settings.security == "starttls":
            server.starttls(context=self._context)
        server.ehlo_or_helo_if_needed()
        if self._password is not None:
            server.login(self.settings.login, self._password.reveal())

    def _handed_over(self, server: smtplib.SMTP, message: EmailMessage, to: str) -> str:
        """Give the message to the server; its own answer."""
        code, answer = server.mail(self.settings.sender)
        if code != 250:
            words = f"{self._where} refuses the sender {self.settings.sender}: {_said(code, answer)}; check `sender` and `login`"
            raise Stopped(Failed(words, whole_target=True))
        code, answer = server.rcpt(to)
        if code not in (250, 251):
            raise Stopped(self._refusal(to, code, answer))
        try:
            code, answer = server.data(message.as_bytes())
        except smtplib.SMTPDataError as error:
            raise Stopped(self._refusal(to, error.smtp_code, error.smtp_error)) from None
        if code != 250:
            raise Stopped(self._refusal(to, code, answer))
        return _said(code, answer)

    def _refusal(self, to: str, code: int, answer: bytes | str) -> Refused | Failed:
        words = f"{self._where} refuses the message to {to}: {_said(code, answer)}"
        if code == 421:
            return Failed(words, whole_target=True)
        return Failed(words) if 400 <= code < 500 else Refused(words)

    def _failure(self, error: Exception) -> Failed:
        """What went wrong before any message was handed over, in a sentence that says what to do."""
        host, where = self.settings.host, self._where
        if isinstance(error, ssl.SSLCertVerificationError):
            remedy = "check the name, or give `ca_file` for a company's own authority"
            words = f"the certificate of {where} is not valid for {host}: {error.verify_message.rstrip('.')}; {remedy}"
        elif isinstance(error, ssl.SSLError):
            words = f"{where} does not speak TLS as expected ({_short(error)}); port 465 wants security = \"tls\", port 587 \"starttls\""
        elif isinstance(error, smtplib.SMTPAuthenticationError):
            words = f"{where} refuses the login {self.settings.login}: {_said(error.smtp_code, error.smtp_error)}; check login and password"
        elif isinstance(error, smtplib.SMTPNotSupportedError):
            words = f"{where} does not offer what the settings ask for ({_short(error)}); check port, `security` and `login`"
        elif isinstance(error, smtplib.SMTPResponseException):
            words = f"{where} refuses the connection: {_said(error.smtp_code, error.smtp_error)}"
        elif isinstance(error, smtplib.SMTPServerDisconnected):
            words = f"{where} closed the connection or did not answer in time ({_short(error)}); is it a mail server, and `security` right?"
        elif isinstance(error, TimeoutError):
            words = f"no answer from {where} within {self.settings.timeout_seconds:g} s; check host, port and firewall"
        elif isinstance(error, socket.gaierror):
            words = f"there is no server {host}: {error.strerror}; check the name and the network"
        else:
            words = f"no connection to {where}: {_short(error)}; check host and port"
        return Failed(words, whole_target=True)


def _context(where: str, ca_file: str) -> ssl.SSLContext:
    if not ca_file:
        return ssl.create_default_context()
    path = Path(ca_file).expanduser()
    try:
        return ssl.create_default_context(cafile=str(path))
    except (OSError, ssl.SSLError):
        raise ConfigError(f"{where} ca_file: {ca_file} is no file of certificates in PEM", code="config.no_file") from None


def _said(code: int, answer: bytes | str) -> str:
    """The server's own words on one line."""
    text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer
    return " ".join(f"{code} {text}".split())[:300]


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__


def _in_base64(sealed: Sealed) -> str:
    return base64.b64encode(sealed.reveal().encode()).decode()


def _as_plain(login: str, sealed: Sealed) -> str:
    """As AUTH PLAIN sends it (RFC 4616)."""
    return base64.b64encode(f"\0{login}\0{sealed.reveal()}".encode()).decode()
