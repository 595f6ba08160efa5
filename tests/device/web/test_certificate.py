"""Beyond this machine only TLS, unless told: with the terminal's own certificate or a given one."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

from device.config import WebSettings
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
