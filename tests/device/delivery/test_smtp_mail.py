"""The connector for mail against a real SMTP server: TLS, login, and each thing that can go wrong as a sentence."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from device.delivery.connectors import Connector, build, read_settings, takes_notices, takes_punches
from device.delivery.connectors.smtp_mail import check_mailbox
from device.delivery.outcomes import Delivered, Failed, Outcome, Refused
from device.storage.events import Event, Letter
from tests.device.fakes import mail
from tests.device.fakes.mail import Mailboxes
from tests.device.fleet.authority import Authority
from tests.refused import refused

TO = "hr@example.com"
TEXT = "First line\n.\n..\nMüller, 日本 \nlast"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Files: the authority, a certificate for localhost, its key."""
    folder, authority = tmp_path_factory.mktemp("mail"), Authority("Example mail authority")
    files = (folder / "ca.pem", folder / "server.crt", folder / "server.key")
    for file, text in zip(files, (authority.pem, *authority.sign(["localhost"])), strict=True):
        file.write_text(text)
    return files


@pytest.fixture
def server(certificate: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailboxes]:
    monkeypatch.setenv("MAIL_PASSWORD", mail.PASSWORD)
    monkeypatch.setenv("WRONG_PASSWORD", "not the right one")
    with mail.serving(certificate[1:], login=True) as made:
        yield made


def connector(server: Mailboxes, certificate: tuple[Path, ...], **changes: Any) -> Connector:
    table = {"kind": "email", "host": "localhost", "port": server.port, "sender": "clock@example.com", "login": mail.LOGIN, "password": "env:MAIL_PASSWORD"}
    settings = {**table, "ca_file": str(certificate[0]), "timeout_seconds": 2.0, **changes}
    return build(read_settings("mail", {key: value for key, value in settings.items() if value is not None}))


def event(to: str = TO, subject: str = "door: 1 open matter") -> Event:
    letter = Letter(to, subject, TEXT, "<p>Müller</p>", {})
    return Event("notice", 1, "notice-1-abcdef", None, "", None, None, None, "door", "", True, letter=letter)


def send(made: Connector, what: Event | None = None) -> Outcome:
    with closing(made):
        return made.send(what or event())  # type: ignore[attr-defined]


def test_a_letter_arrives_by_tls_and_login_as_text_and_html(server: Mailboxes, certificate: tuple[Path, ...]) -> None:
    assert send(connector(server, certificate)) == Delivered("250 2.0.0 queued as 4711")
    [taken] = server.taken
    assert (taken.sender, taken.to, taken.tls, taken.login) == ("clock@example.com", [TO], True, mail.LOGIN)
    assert taken.part("plain").splitlines() == TEXT.splitlines() and taken.part("html").strip() == "<p>Müller</p>"
    heads = {name: str(taken.message[name]) for name in ("Subject", "To", "From", "Message-ID", "Auto-Submitted")}
    assert heads == {
        "Subject": "door: 1 open matter", "To": TO, "From": "Clockface <clock@example.com>",
        "Message-ID": "<notice-1-abcdef@example.com>", "Auto-Submitted": "auto-generated",
    }  # fmt: skip
    assert not list(taken.message.iter_attachments())


def test_tls_from_the_first_byte(certificate: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAIL_PASSWORD", mail.PASSWORD)
    with mail.serving(certificate[1:], at_once=True, login=True) as made:
        assert isinstance(send(connector(made, certificate, security="tls")), Delivered)
        assert made.taken[0].login == mail.LOGIN
        said = send(connector(made, certificate, security="starttls"))
        assert isinstance(said, Failed) and "did not answer in time" in said.answer


def test_a_server_without_tls_gets_mail_only_where_the_settings_say_so(certificate: tuple[Path, ...]) -> None:
    plain = {"login": None, "password": None, "ca_file": None}
    with mail.serving() as made:
        said = send(connector(made, certificate, **plain))
        assert isinstance(said, Failed) and said.whole_target and "does not offer what the settings ask for" in said.answer and not made.taken
        assert isinstance(send(connector(made, certificate, security="none", **plain)), Delivered)


WRONG = {  # settings -> what the sentence says
    "an unknown authority": ({"ca_file": None}, "is not valid for localhost: unable to get local issuer certificate; check the name, or give `ca_file`"),
    "another host": ({"host": "127.0.0.1"}, "the certificate of 127.0.0.1:{port} is not valid for 127.0.0.1"),
    "a wrong password": ({"password": "env:WRONG_PASSWORD"}, "login terminal: 535 5.7.8 Authentication credentials invalid; check login and password"),
    "no login": ({"login": None, "password": None}, "refuses the sender clock@example.com: 530 5.7.0 Authentication required; check `sender` and `login`"),
    "the other kind of TLS": ({"security": "tls"}, 'port 465 wants security = "tls", port 587 "starttls"'),
    "no such server": ({"host": "nowhere.invalid"}, "there is no server nowhere.invalid: "),
}


@pytest.mark.parametrize(("changes", "words"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_said_in_a_sentence_and_every_message_waits(
    server: Mailboxes, certificate: tuple[Path, ...], changes: dict[str, Any], words: str
) -> None:
    said = send(connector(server, certificate, **changes))
    assert isinstance(said, Failed) and said.whole_target and words.format(port=server.port) in said.answer
    assert not server.taken and "not the right one" not in said.answer and mail.PASSWORD not in said.answer


def test_nothing_listens(certificate: tuple[Path, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAIL_PASSWORD", mail.PASSWORD)
    said = send(connector(Mailboxes(port=mail.free_port()), certificate))
    assert isinstance(said, Failed) and said.whole_target and "Connection refused; check host and port" in said.answer


@pytest.mark.parametrize(
    ("answer", "kind", "whole"), [("550 5.1.1 no such mailbox", Refused, False), ("450 4.2.1 later", Failed, False), ("421 4.3.2 closing", Failed, True)]
)
def test_a_refused_recipient_concerns_that_recipient_alone(server: Mailboxes, certificate: tuple[Path, ...], answer: str, kind: type, whole: bool) -> None:
    server.refuse[TO] = answer
    said = send(connector(server, certificate))
    assert isinstance(said, kind) and getattr(said, "whole_target", False) == whole
    assert said.answer == f"localhost:{server.port} refuses the message to {TO}: {answer}"  # type: ignore[union-attr]
    assert isinstance(send(connector(server, certificate), event("it@example.com")), Delivered)


def test_a_message_refused_after_its_text(server: Mailboxes, certificate: tuple[Path, ...]) -> None:
    server.data = "552 5.3.4 too large"
    assert isinstance(send(connector(server, certificate)), Refused)
    server.data = "451 4.3.0 later"
    assert isinstance(send(connector(server, certificate)), Failed)


NO_ADDRESS = ("a@example.com\nBcc: b@example.com", "a@example.com, b@example.com", "<a@example.com>", "Ann <a@example.com>", "a@b c", "", "a@")


@pytest.mark.parametrize("to", NO_ADDRESS)
def test_an_address_is_one_address(server: Mailboxes, certificate: tuple[Path, ...], to: str) -> None:
    said = send(connector(server, certificate), event(to))
    assert isinstance(said, Refused) and not server.taken
    with refused("config.mailbox"):
        check_mailbox("address", to)


def test_a_line_feed_in_the_subject_makes_no_header(server: Mailboxes, certificate: tuple[Path, ...]) -> None:
    said = send(connector(server, certificate), event(subject="door\r\nBcc: b@example.com"))
    assert isinstance(said, Refused) and not server.taken


def test_a_server_that_answers_by_single_bytes_ends_in_time(certificate: tuple[Path, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAIL_PASSWORD", mail.PASSWORD)
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def drip() -> None:
            with listening.accept()[0] as one:
                while not stop.wait(0.05):
                    try:
                        one.sendall(b"2")
                    except OSError:
                        return

        threading.Thread(target=drip, daemon=True).start()
        begun = time.monotonic()
        said = send(connector(Mailboxes(port=listening.getsockname()[1]), certificate, timeout_seconds=0.3, security="none", host="127.0.0.1"))
        stop.set()
    assert isinstance(said, Failed) and time.monotonic() - begun < 5


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"sender": "clock"}, "config.mailbox"), ({"password": None}, "config.together"), ({"security": "none", "host": "mail.example.com"}, "config.together"),
        ({"ca_file": "/nowhere/ca.pem"}, "config.no_file"), ({"password": "secret"}, "config.secret"), ({"pages": "desk"}, "config.address"),
    ],
)  # fmt: skip
def test_settings_that_cannot_work_stop_the_start(server: Mailboxes, certificate: tuple[Path, ...], changes: dict[str, Any], code: str) -> None:
    with refused(code):
        connector(server, certificate, **changes)


def test_the_command_that_tests_connectors_logs_in_and_sends_nothing(server: Mailboxes, certificate: tuple[Path, ...]) -> None:
    with closing(connector(server, certificate)) as made:
        said = made.test(Event("test", 0, "test-1", 0, "Test", "T", 1.0, "in", "door", "manual", True))
        assert "terminal is logged in; no message was sent" in said and not server.taken
    with closing(connector(server, certificate, password="env:WRONG_PASSWORD")) as made, refused("connector"):
        made.test(Event("test", 0, "test-1", 0, "Test", "T", 1.0, "in", "door", "manual", True))


def test_mail_takes_notices_and_no_punches(server: Mailboxes, certificate: tuple[Path, ...]) -> None:
    settings = connector(server, certificate).settings
    assert takes_notices(settings) and not takes_punches(settings)
