"""Every connector through an HTTP proxy: of the settings or of the environment, and past it where the environment says so."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from device.delivery.connectors.proxy import credentials, proxy_for
from device.storage.store import Store
from tests.device.fakes.places import KINDS, place
from tests.device.fakes.terminal import Clock, courier, punch
from tests.refused import refused

NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


class ProxyServer:
    """An HTTP proxy for plain requests with an absolute address and for CONNECT, which keeps the first line of each."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.allowed = True
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def _start(self, target: Callable[..., None], *args: socket.socket) -> threading.Thread:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near = self._listener.accept()[0]
                self._open.append(near)
                self._start(self._serve, near)

    def _serve(self, near: socket.socket) -> None:
        with near, suppress(OSError, ValueError, IndexError):
            head = b""
            while b"\r\n\r\n" not in head:
                if not (more := near.recv(1)):
                    return
                head += more
            method, target, *_ = head.decode().split(" ")
            self.asked.append(f"{method} {target}")
            if not self.allowed:
                near.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                return
            host, _, port = target.removeprefix("http://").split("/")[0].partition(":")
            with socket.create_connection((host, int(port))) as far:
                self._open.append(far)
                if method == "CONNECT":
                    near.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                else:
                    far.sendall(head.replace(target.encode(), ("/" + target.split("/", 3)[3]).encode(), 1))
                back = self._start(self._pass_on, far, near)
                self._pass_on(near, far)
                back.join()

    @staticmethod
    def _pass_on(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(4096):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """End everything, so that no socket is left to be collected during another test."""
        for one in (self._listener, *self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ProxyServer]:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    made = ProxyServer()
    yield made
    made.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "csv"])
def test_through_the_proxy_of_the_settings(kind: str, server: ProxyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "place"
    folder.mkdir()
    with place(kind, folder, monkeypatch) as target, Store.open(tmp_path / "clockface.db") as store:
        store.add_person("Ann", "101")
        store.outbox.set_targets(["target"])
        punch(store, 1)
        clock = Clock()
        with courier(store.path, target.connector(proxy=server.url), clock=clock) as made:
            server.allowed = False
            made.drain()
            assert store.outbox.summary()[0].waiting == 1 and store.outbox.dead_letters() == []
            server.allowed = True
            clock.now += 100
            made.drain()
        assert store.outbox.summary()[0].waiting == 0 and len(server.asked) >= 2


@pytest.mark.parametrize(
    ("environment", "scheme", "host", "found"),
    [
        ({}, "https", "hr.example.com", ""),
        ({"HTTPS_PROXY": "http://p:3128"}, "https", "hr.example.com", "http://p:3128"),
        ({"https_proxy": "http://p:3128", "no_proxy": ".example.com"}, "https", "hr.example.com", ""),
        ({"HTTPS_PROXY": "http://p:3128"}, "https", "127.0.0.1", ""),
        ({"HTTPS_PROXY": "http://p:3128"}, "all", "broker.example.com", ""),
        ({"ALL_PROXY": "http://p:3128"}, "all", "broker.example.com", "http://p:3128"),
        ({"HTTP_PROXY": "http://p:3128"}, "https", "hr.example.com", ""),
    ],
)
def test_the_environment(server: ProxyServer, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], scheme: str, host: str, found: str) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert proxy_for("[connectors.x] proxy", "", scheme, host) == found
    assert proxy_for("[connectors.x] proxy", "none", scheme, host) == ""
    assert proxy_for("[connectors.x] proxy", "http://own:8080", scheme, host) == "http://own:8080"


def test_what_is_no_proxy_is_refused() -> None:
    wrong: list[tuple[Any, str]] = [("proxy.example.com", "config.address"), ("socks5://x:1", "config.address"), ("http://me:pw@x:1", "config.secret")]
    for text, code in wrong:
        with refused(code, "[connectors.x] proxy"):
            proxy_for("[connectors.x] proxy", text, "https", "hr.example.com")
    assert credentials("http://me:p%40w@x:1") == "Basic bWU6cEB3" and credentials("http://x:1") == ""
