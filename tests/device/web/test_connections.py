"""Connections: caps, whose is closed for whom, and sockets that say nothing or read nothing."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from device.web import listener
from device.web.access import certificate
from device.web.access.pace import Paced
from device.web.body_limit import TooSlow, limited
from device.web.connections import Connections, Held, household, most_connections, own_machine
from device.web.context import WORKERS
from device.web.server import Address, WebServer, _listening
from tests.device.web.conftest import Desk


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def connections(**more: int) -> tuple[Connections, list[str]]:
    return Connections(**{"most": 10, "of_one_address": 4, "reserved": 2, "clock": Clock(), **more}), []  # type: ignore[arg-type]


def come(held: Connections, closed: list[str], address: str, busy: bool = False) -> Held | None:
    place = held.admit(address, lambda: closed.append(address))
    if place is not None:
        place.busy = busy
    return place


def test_the_longest_silent_connection_of_an_address_makes_room() -> None:
    held, closed = connections()
    first = come(held, closed, "10.0.0.1")
    for _ in range(20):
        assert come(held, closed, "10.0.0.1") is not None
    assert len(held) == 4 and len(closed) == 17 and first not in held._held


def test_busy_connections_of_an_address_are_kept_and_others_get_in() -> None:
    held, closed = connections()
    assert all(come(held, closed, "10.0.0.1", busy=True) for _ in range(4))
    assert come(held, closed, "10.0.0.1") is None and closed == []
    assert come(held, closed, "10.0.0.2") is not None


def test_the_last_places_are_this_machines() -> None:
    held, closed = connections()
    assert [come(held, closed, f"10.0.0.{number}", busy=True) is not None for number in range(9)] == [True] * 8 + [False]
    assert [come(held, closed, "127.0.0.1", busy=True) is not None for _ in range(3)] == [True, True, False]


def test_who_waits_again_goes_to_the_end_of_the_line() -> None:
    held, closed = connections(of_one_address=2)
    first, second = come(held, closed, "10.0.0.1", busy=True), come(held, closed, "10.0.0.1")
    assert first is not None and second is not None
    held.waits(first)
    come(held, closed, "10.0.0.1")
    assert second not in held._held and first in held._held


def test_a_proxy_is_many_people() -> None:
    held, closed = connections()
    held.proxy = lambda address: address == "10.0.0.1"
    assert [come(held, closed, "10.0.0.1", busy=True) is not None for _ in range(9)] == [True] * 8 + [False]


def test_a_proxy_on_this_machine_takes_none_of_its_places() -> None:
    held, closed = connections()
    held.proxy = lambda address: address.startswith("127.")
    assert [come(held, closed, "127.0.0.2", busy=True) is not None for _ in range(9)] == [True] * 8 + [False]
    assert come(held, closed, "127.0.0.1") is not None


def test_a_flood_is_said_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    held, closed = connections()
    for second in range(0, 120, 2):
        held.clock.now = float(second)  # type: ignore[attr-defined]
        come(held, closed, "10.0.0.1")
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(said) == 2 and "30 closed" in said[1] and "10.0.0.1" in said[1]


@pytest.mark.parametrize(
    ("address", "one", "own"),
    [
        ("10.0.0.7", "10.0.0.7", False),
        ("::ffff:10.0.0.7", "10.0.0.7", False),
        ("2001:db8:0:1:aaaa::1", "2001:db8:0:1::/64", False),
        ("2001:db8:0:1:bbbb::2", "2001:db8:0:1::/64", False),
        ("127.0.0.1", "127.0.0.1", True),
        ("::1", "::1", True),
        ("::ffff:127.0.0.1", "127.0.0.1", True),
        ("unknown", "unknown", False),
    ],
)
def test_what_counts_as_one_address(address: str, one: str, own: bool) -> None:
    assert household(address) == one and own_machine(address) == own


def test_the_cap_is_below_the_limit_of_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for limit in (100, 1024, 10**6):
        monkeypatch.setattr("device.web.connections.resource.getrlimit", lambda which, limit=limit: (limit, limit))
        found.append(most_connections())
    assert found == [50, 512, 512]


@pytest.fixture
def server(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    """With caps that a test reaches, and times that it can wait for; the second address has TLS."""
    monkeypatch.setattr(listener, "HEADER_SECONDS", 0.6)
    monkeypatch.setattr(listener, "READING_SECONDS", 0.6)
    address = Address("127.0.0.1", 0)
    tls = certificate.Certificate(desk.terminal.database.with_name("a.crt"), desk.terminal.database.with_name("a.key"))
    certificate.make(tls, ["127.0.0.1"])
    web = WebServer(desk.terminal, [address, address], tls)
    web._secure = lambda one: one.port == web.addresses[1].port  # type: ignore[method-assign]
    web.connections.most, web.connections.of_one_address = 40, 30
    with web:
        yield web


def opened(server: WebServer, number: int = 0) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.addresses[number].port), 5)


def answer(server: WebServer, request: bytes = b"GET /kiosk HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n") -> bytes:
    with opened(server) as connection:
        connection.sendall(request)
        return connection.recv(15)


def secure_answer(server: WebServer) -> bytes:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with opened(server, 1) as plain, context.wrap_socket(plain) as connection:
        connection.sendall(b"GET /kiosk HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        return connection.recv(15)


def closed_after(connection: socket.socket, seconds: float = 3.0) -> float:
    began = time.monotonic()
    connection.settimeout(seconds)
    try:
        while connection.recv(4096):
            pass
    except ConnectionError:
        pass
    return time.monotonic() - began


@pytest.mark.parametrize("number", [0, 1], ids=["http", "tls"])
def test_silent_connections_lock_nobody_out_and_are_closed(server: WebServer, number: int) -> None:
    with ExitStack() as stack:
        silent = [stack.enter_context(opened(server, number)) for _ in range(120)]
        assert answer(server) == b"HTTP/1.1 200 OK" == secure_answer(server)
        assert len(server.connections) <= 30
        assert closed_after(silent[-1]) < 2
    deadline = time.monotonic() + 5
    while len(server.connections) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(server.connections) == 0


@pytest.mark.parametrize("begins", [b"", b"GET /kiosk HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"], ids=["first request", "second request"])
def test_a_header_that_drips_is_cut_off(server: WebServer, begins: bytes) -> None:
    with opened(server) as slow:
        slow.sendall(begins)
        if begins:
            assert slow.recv(15) == b"HTTP/1.1 200 OK"
            time.sleep(0.1)
        began, end = time.monotonic(), 4.0
        try:
            for byte in b"GET /kiosk HTTP/1.1\r\nX-" + b"a" * 200:
                slow.sendall(bytes([byte]))
                time.sleep(0.05)
        except OSError:
            end = time.monotonic() - began
    assert end < 2.5


def test_an_answer_that_nobody_reads_is_given_up(server: WebServer) -> None:
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        deaf.connect(("127.0.0.1", server.addresses[0].port))
        deaf.sendall(b"GET /static/site.css HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 200)
        deadline = time.monotonic() + 5
        time.sleep(0.3)
        assert len(server.connections) == 1
        while len(server.connections) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(server.connections) == 0


def test_a_request_that_is_sent_ahead_is_answered(server: WebServer) -> None:
    with opened(server) as connection:
        connection.sendall(b"GET /login HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" + b"GET /login HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        connection.settimeout(5)
        text = b""
        while data := connection.recv(65536):
            text += data
    assert text.count(b"HTTP/1.1 200 OK") == 2


def test_a_server_that_starts_again_has_all_its_places(server: WebServer) -> None:
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(opened(server))
        time.sleep(0.2)
        before = server.servers[0]
        before.should_exit = True
        deadline = time.monotonic() + 10
        while server.servers[0] is before and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(server.connections) == 0
        assert answer(server) == b"HTTP/1.1 200 OK"


def test_without_descriptors_the_listener_waits(caplog: pytest.LogCaptureFixture) -> None:
    """It tries again each half second, not in each turn of the event loop, and says so once a minute."""
    tries = []

    class Exhausted(socket.socket):
        def accept(self) -> tuple[socket.socket, object]:
            tries.append(1)
            raise OSError(24, "Too many open files")

    async def run() -> None:
        listening = Exhausted()
        listening.bind(("127.0.0.1", 0))
        listening.listen(5)
        here = listener.Listener(listening, Connections(), lambda: pytest.fail("made"), None)
        with socket.create_connection(listening.getsockname(), 5):
            await asyncio.sleep(1.2)
        here.close()
        await asyncio.sleep(0.6)
        listening.close()

    asyncio.run(run())
    assert 2 <= len(tries) <= 3 and caplog.text.count("Too many open files") == 1


def test_a_body_that_drips_is_given_up() -> None:
    now = 0.0

    async def drip() -> dict[str, object]:
        nonlocal now
        now += 4.0
        return {"type": "http.request", "body": b"a", "more_body": True}

    async def read() -> int:
        receive, count = limited(drip, 10_000, lambda: now), 0  # type: ignore[arg-type]
        while True:
            try:
                await receive()
            except TooSlow:
                return count
            count += 1

    assert asyncio.run(read()) == 4


def test_a_flood_of_requests_begins_at_a_rate_and_the_screen_does_not_wait() -> None:
    begun: list[tuple[str, float]] = []

    async def app(scope: object, receive: object, send: object) -> None:
        begun.append((scope["client"][0], asyncio.get_running_loop().time()))  # type: ignore[index]

    async def run() -> None:
        paced = Paced(app, per_second=100, burst=5)  # type: ignore[arg-type]
        flood = [asyncio.create_task(paced({"type": "http", "client": ("10.0.0.1", 1)}, None, None)) for _ in range(40)]  # type: ignore[arg-type]
        await asyncio.sleep(0)
        await paced({"type": "http", "client": ("127.0.0.1", 1)}, None, None)  # type: ignore[arg-type]
        await asyncio.gather(*flood)

    asyncio.run(run())
    times = [at for who, at in begun if who == "10.0.0.1"]
    own = next(at for who, at in begun if who == "127.0.0.1")
    assert 0.3 < times[-1] - times[0] < 3 and sum(at <= own for at in times) <= 6


def test_a_kiosk_page_does_not_wait_for_the_desks(desk: Desk) -> None:
    with desk.browser().http as http:
        assert http.portal is not None
        for _ in range(WORKERS):
            http.portal.call(desk.terminal.workers.acquire_on_behalf_of, object())  # four pages of the desk that take long
        assert http.get("/kiosk").status_code == 200


def test_hundreds_that_connect_at_once_find_room_to_wait() -> None:
    """Where there is none, the kernel drops the connection, the kiosk's as well, and it is tried again only a second later."""
    listening = _listening(Address("127.0.0.1", 0))
    most = int(Path("/proc/sys/net/core/somaxconn").read_text())
    with listening, ExitStack() as stack:
        for _ in range(min(600, most)):
            stack.enter_context(socket.create_connection(listening.getsockname(), timeout=0.9))
