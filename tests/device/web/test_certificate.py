"""Beyond this machine only TLS, unless told: with the terminal's own certificate or a given one."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509

from device.config import Settings, WebSettings
from device.maintenance.certificate_check import check_certificate
from device.system.certificates import ends
from device.web import server as server_module
from device.web.access import certificate
from device.web.server import Address, WebServer
from tests.device.web.conftest import Desk
from tests.refused import refused

HERE, EVERYWHERE = Address("127.0.0.1", 0), Address("0.0.0.0", 0)


def test_localhost_needs_none_and_the_network_gets_one(tmp_path: Path) -> None:
    database = tmp_path / "c.db"
    assert certificate.for_addresses(WebSettings(), [HERE], database) is None
    assert certificate.for_addresses(WebSettings(plain_http=True), [EVERYWHERE], database) is None  # told so: a proxy adds TLS
    own = certificate.for_addresses(WebSettings(), [HERE, EVERYWHERE], database)
    assert own is not None and own.key.stat().st_mode & 0o777 == 0o600
    before = own.certificate.read_bytes()
    again = certificate.for_addresses(WebSettings(), [EVERYWHERE], database)
    assert again is not None and again.certificate.read_bytes() == before  # browsers that trust it go on doing so


def test_a_certificate_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    with refused("web.certificate", "broken.pem"):
        certificate.for_addresses(WebSettings(certificate=str(broken), key=str(broken)), [HERE], tmp_path / "c.db")


def answer(port: int, tls: ssl.SSLContext | None) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
        link = tls.wrap_socket(plain, server_hostname="127.0.0.1") if tls else plain
        link.sendall(b"GET /login HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        try:
            return link.recv(200)
        except ConnectionError:
            return b""
        finally:
            link.close()


def test_no_tls_before_1_2(desk: Desk) -> None:
    files = certificate.Certificate(desk.terminal.database.with_name("a.crt"), desk.terminal.database.with_name("a.key"))
    certificate.make(files, ["127.0.0.1"])
    server = WebServer(desk.terminal, [EVERYWHERE], files)
    try:
        config = server._server(EVERYWHERE).config
        config.load()
        assert config.ssl is not None and config.ssl.minimum_version >= ssl.TLSVersion.TLSv1_2
    finally:
        for listener in server._sockets:
            listener.close()


def test_plain_http_is_not_answered_beyond_localhost(desk: Desk) -> None:
    own = certificate.for_addresses(WebSettings(), [EVERYWHERE], desk.terminal.database)
    assert own is not None
    trusting = ssl.create_default_context(cafile=str(own.certificate))  # checks the name as well
    with WebServer(desk.terminal, [EVERYWHERE], own) as server:
        assert server.urls[0].startswith("https://")
        assert answer(server.addresses[0].port, trusting).startswith(b"HTTP/1.1 200")
        assert not answer(server.addresses[0].port, None).startswith(b"HTTP/1.1 2")


def serial(port: int) -> int:
    """Of the certificate that is served there."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain, ssl._create_unverified_context().wrap_socket(plain) as link:
        return x509.load_der_x509_certificate(link.getpeercert(binary_form=True) or b"").serial_number


def test_a_renewed_certificate_is_served_without_a_restart(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "WATCH_SECONDS", 0.05)
    files = certificate.Certificate(desk.terminal.database.with_name("a.crt"), desk.terminal.database.with_name("a.key"))
    certificate.make(files, ["127.0.0.1"])
    with WebServer(desk.terminal, [EVERYWHERE], files) as server:
        port = server.addresses[0].port
        before = serial(port)
        whole = files.certificate.read_bytes()
        files.certificate.write_text("cut off")
        until(lambda: server._served != () and serial(port) == before)  # the former stays in force
        files.certificate.write_bytes(whole)
        certificate.make(files, ["127.0.0.1"])
        until(lambda: serial(port) != before)


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_the_terminals_own_is_renewed_before_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = certificate.for_addresses(WebSettings(), [EVERYWHERE], tmp_path / "c.db")
    assert own is not None
    first, end = own.certificate.read_bytes(), ends(own.certificate)
    monkeypatch.setattr(certificate.time, "time", lambda: end - 31 * 86400)
    certificate.for_addresses(WebSettings(), [EVERYWHERE], tmp_path / "c.db")
    assert own.certificate.read_bytes() == first
    monkeypatch.setattr(certificate.time, "time", lambda: end - 29 * 86400)
    certificate.for_addresses(WebSettings(), [EVERYWHERE], tmp_path / "c.db")
    assert own.certificate.read_bytes() != first


def test_doctor_says_when_it_ends(tmp_path: Path) -> None:
    own = certificate.for_addresses(WebSettings(), [EVERYWHERE], tmp_path / "c.db")
    assert own is not None
    end = ends(own.certificate)
    states = [check_certificate(Settings(), tmp_path / "c.db", end - days * 86400).state for days in (31, 29, -1)]
    assert states == ["ok", "warning", "FAULT"]
    assert check_certificate(Settings(), tmp_path / "none.db", end).state == "ok"
    given = Settings(web=WebSettings(certificate=str(tmp_path / "missing.pem"), key="k"))
    with refused("certificate", "missing.pem"):
        check_certificate(given, tmp_path / "c.db", end)
