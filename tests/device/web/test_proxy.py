"""Proxies: what is believed of whom, and the configurations of docs/proxy.md with Debian's nginx and Caddy."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from device.config import Settings, WebSettings
from device.web.access import certificate, rate_limit
from device.web.access.proxies import Trusted
from device.web.server import Address, WebServer
from tests.device.web.conftest import PASSWORD, TOKEN, Desk
from tests.refused import refused

PAGE = Path(__file__).resolve().parents[3] / "docs/proxy.md"
TRUSTED = "127.0.0.2, 10.1.0.0/24"


def behind(desk: Desk, trusted: str = TRUSTED, **more: Any) -> Desk:
    return replace(desk, terminal=replace(desk.terminal, settings=Settings(web=WebSettings(trusted_proxies=trusted, hosts="clock.example", **more))))


def kiosk(desk: Desk, address: str, headers: Mapping[str, str]) -> int:
    return int(desk.browser(address=address).get("/kiosk", headers=dict(headers)).status_code)


@pytest.mark.parametrize(
    ("address", "headers", "status"),
    [
        ("127.0.0.1", {}, 200),
        ("::1", {"host": "[::1]:8080"}, 421),  # reached at 127.0.0.1
        ("127.0.0.1", {"host": "localhost:8080"}, 200),
        ("127.0.0.1", {"x-forwarded-for": "10.0.0.9"}, 403),  # the attack: any proxy on the same machine
        ("127.0.0.1", {"x-forwarded-for": "127.0.0.1"}, 403),
        ("127.0.0.1", {"forwarded": "for=127.0.0.1"}, 403),
        ("127.0.0.1", {"x-real-ip": "127.0.0.1"}, 403),
        ("127.0.0.1", {"via": "1.1 proxy"}, 403),
        ("127.0.0.1", {"host": "clock.example"}, 403),  # a proxy that says nothing, but keeps the name
        ("127.0.0.2", {}, 403),  # one that is trusted and says nothing
        ("127.0.0.2", {"x-forwarded-for": "127.0.0.1"}, 403),  # such as another tunnel before it
        ("10.1.0.5", {"x-forwarded-for": "127.0.0.1"}, 403),
        ("10.0.0.9", {}, 403),
    ],
)
def test_who_opens_the_kiosk(desk: Desk, address: str, headers: dict[str, str], status: int) -> None:
    assert kiosk(behind(desk), address, headers) == status


def test_a_proxy_that_shares_the_screens_address_is_told_from_it(desk: Desk) -> None:
    office = behind(desk, "127.0.0.1")
    found = [kiosk(office, "127.0.0.1", headers) for headers in ({}, {"x-forwarded-for": "10.0.0.9"}, {"x-forwarded-for": "127.0.0.1"})]
    assert found == [200, 403, 403]


@pytest.mark.parametrize(
    ("headers", "counted"),
    [
        ({"x-forwarded-for": "10.0.0.9"}, "10.0.0.9"),
        ({"x-forwarded-for": "6.6.6.6, 10.0.0.9"}, "10.0.0.9"),  # what the browser invented stands before what the proxy saw
        ({"x-forwarded-for": "6.6.6.6, 10.0.0.9, 10.1.0.5"}, "10.0.0.9"),  # two proxies
        ({"x-forwarded-for": "10.0.0.9:5123"}, "10.0.0.9"),
        ({"x-forwarded-for": "[2001:db8::7]:5123"}, "2001:db8::/64"),
        ({"forwarded": 'for="[2001:db8::7]:4711";by=10.1.0.5'}, "2001:db8::/64"),
        ({"forwarded": "for=6.6.6.6, for=10.0.0.9;by=10.1.0.5"}, "10.0.0.9"),
        ({"forwarded": "for=10.0.0.9", "x-forwarded-for": "10.0.0.9"}, "10.0.0.9"),
        ({"forwarded": "for=_hidden"}, "by proxy"),
        ({"forwarded": "for=unknown"}, "by proxy"),
    ],
)
def test_a_guess_counts_for_whoever_made_it(desk: Desk, headers: dict[str, str], counted: str) -> None:
    office = behind(desk)
    browser = office.browser(address="10.1.0.5")
    page = browser.get("/login", headers=headers)
    token = TOKEN.search(page.text)
    assert token is not None
    answer = browser.http.post("/login", data={"form_token": token[1], "login": "hr", "password": "wrong"}, headers=headers)
    assert answer.status_code == 401
    with office.store() as store, store.reading() as db:
        assert db.execute("SELECT address FROM attempts").fetchall() == [(counted,)]


@pytest.mark.parametrize(
    "headers",
    [
        {"x-forwarded-proto": "https"},  # nobody named
        {"forwarded": "for=10.0.0.9", "x-forwarded-for": "10.0.0.8"},
        {"forwarded": "for"},
        {"forwarded": 'for="10.0.0.9'},
        {"forwarded": ","},
        {"x-forwarded-for": "10.0.0.9", "x-forwarded-proto": "javascript"},
        {"x-forwarded-for": "10.0.0.9", "x-forwarded-host": "a b"},
        {"forwarded": ",".join(["for=10.0.0.9"] * 30)},
    ],
)
def test_a_trusted_proxy_that_contradicts_itself_is_refused(desk: Desk, headers: dict[str, str]) -> None:
    assert behind(desk).browser(address="10.1.0.5").get("/login", headers=headers).status_code == 400


def test_strangers_headers_change_nothing(desk: Desk) -> None:
    browser = behind(desk).browser(address="10.0.0.9")
    headers = {"x-forwarded-for": "10.0.0.8", "x-forwarded-proto": "https", "x-forwarded-host": "clock.example"}
    for number in range(rate_limit.BURST + 1):
        answer = browser.http.post("/login", data={"form_token": browser.token("/login"), "login": f"x{number}", "password": "wrong"}, headers=headers)
    assert answer.status_code == 429
    with desk.store() as store, store.reading() as db:
        assert db.execute("SELECT DISTINCT address FROM attempts").fetchall() == [("10.0.0.9",)]


def test_a_silent_proxy_shares_one_rate_and_is_not_only_slowed(desk: Desk) -> None:
    browser = behind(desk).browser()
    headers = {"via": "1.1 proxy"}
    codes = [
        browser.http.post("/login", data={"form_token": browser.token("/login"), "login": f"x{number}", "password": "wrong"}, headers=headers).status_code
        for number in range(rate_limit.BURST + 1)
    ]
    assert codes == [401] * rate_limit.BURST + [429]


def test_scheme_and_host_are_the_proxys(desk: Desk) -> None:
    browser = behind(desk).browser(address="10.1.0.5")
    headers = {"x-forwarded-for": "10.0.0.9", "x-forwarded-proto": "https", "x-forwarded-host": "clock.example", "origin": "https://clock.example"}
    browser.http.base_url = "https://clock.example"  # what the browser sees, and keeps its cookies by
    data = {"form_token": TOKEN.search(browser.get("/login", headers=headers).text)[1], "login": "hr", "password": PASSWORD}  # type: ignore[index]
    answer = browser.http.post("/login", data=data, headers=headers)
    assert answer.status_code == 303 and "; Secure" in answer.headers["set-cookie"]
    assert browser.http.get("/login", headers={**headers, "x-forwarded-host": "evil.example"}).status_code == 421


@pytest.mark.parametrize("text", ["proxy.example", "10.0.0.0/40", "10.0.0.5/8"])
def test_a_proxy_is_an_address(text: str) -> None:
    with refused("config.address", "trusted_proxies"):
        WebSettings(trusted_proxies=text)


def test_networks_of_proxies() -> None:
    trusted = Trusted.parsed("10.1.0.0/24,2001:db8::/32 , 192.168.0.7")
    assert [address in trusted for address in ("10.1.0.9", "::ffff:10.1.0.9", "2001:db8::7", "192.168.0.7", "10.2.0.1", "unknown")] == [True] * 4 + [False] * 2


# the real ones


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Message
    text: str


@dataclass(frozen=True)
class Site:
    """A terminal behind a proxy with TLS."""

    desk: Desk
    port: int  # of the proxy

    def ask(self, path: str, data: str | None = None, **headers: str) -> Reply:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        form = {"content-type": "application/x-www-form-urlencoded"} if data else {}
        with closing(http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=10, source_address=("127.0.0.9", 0))) as connection:
            connection.request("POST" if data else "GET", path, data, {"host": f"clock.example:{self.port}", **form, **headers})
            with connection.getresponse() as answer:
                return Reply(answer.status, answer.headers, answer.read().decode() if answer.status == 200 else "")


def block(kind: str) -> str:
    found = re.search(rf"```{kind}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    return found[1]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def nginx(folder: Path, backend: int, port: int) -> list[str]:
    text = block("nginx").replace("443 ssl", f"127.0.0.1:{port} ssl").replace("127.0.0.1:8080", f"127.0.0.1:{backend}")
    text = text.replace("clock.example.com", "clock.example").replace("/etc/nginx/clockface", str(folder / "a"))
    temporary = "".join(f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    main = f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;"
    (folder / "nginx.conf").write_text(f"{main} events {{}} http {{ access_log off; {temporary}\n{text}}}")
    return ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")]


def caddy(folder: Path, backend: int, port: int) -> list[str]:
    text = block("caddyfile").replace("127.0.0.1:8080", f"127.0.0.1:{backend}").replace("/etc/caddy/clockface", str(folder / "a"))
    text = text.replace("clock.example.com {", f"clock.example:{port} {{\n    bind 127.0.0.1")
    (folder / "Caddyfile").write_text(f"{{\n    admin off\n    auto_https off\n}}\n{text}")
    return ["caddy", "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]


@contextmanager
def running(command: list[str], folder: Path, port: int) -> Iterator[None]:
    program = shutil.which(command[0], path=os.environ.get("PATH", "") + ":/usr/sbin")
    if program is None:
        pytest.skip(f"{command[0]} is not installed (apt install {'nginx-light' if command[0] == 'nginx' else command[0]})")
    environment = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    with open(folder / "said", "wb") as said:
        process = subprocess.Popen([program, *command[1:]], env=environment, stdout=said, stderr=said)
    try:
        deadline = time.monotonic() + 20
        while process.poll() is None and time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        assert process.poll() is None, (folder / "said").read_text()
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


@pytest.fixture(params=[nginx, caddy], ids=["nginx", "caddy"])
def site(desk: Desk, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    certificate.make(certificate.Certificate(tmp_path / "a.crt", tmp_path / "a.key"), ["clock.example"])
    port = free_port()
    trusted = "127.0.0.1" if request.param is caddy else TRUSTED
    office = behind(desk, trusted)
    with WebServer(office.terminal, [Address("127.0.0.1", 0)]) as server:
        command = request.param(tmp_path, server.addresses[0].port, port)
        with running(command, tmp_path, port):
            yield Site(office, port)


def test_a_real_proxy_opens_no_kiosk_and_names_the_browser(site: Site) -> None:
    for path in ("/kiosk", "/kiosk/picture", "/kiosk/events"):
        for headers in ({}, {"x-forwarded-for": "127.0.0.1"}, {"X-Real-IP": "127.0.0.1"}):
            assert site.ask(path, **headers).status == 403, (path, headers)
    page = site.ask("/login", accept="text/html")
    assert page.status == 200 and page.headers["strict-transport-security"]
    cookies = "; ".join(value.partition(";")[0] for value in page.headers.get_all("set-cookie") or [])
    token = TOKEN.search(page.text)
    assert token is not None
    origin = f"https://clock.example:{site.port}"
    wrong = site.ask("/login", f"form_token={token[1]}&login=hr&password=wrong", cookie=cookies, origin=origin)
    assert wrong.status == 401
    with site.desk.store() as store, store.reading() as db:
        assert db.execute("SELECT address FROM attempts").fetchall() == [("127.0.0.9 by proxy",)]  # in this test the browser is on this machine, too
    right = site.ask("/login", f"form_token={token[1]}&login=hr&password={PASSWORD.replace(' ', '+')}", cookie=cookies, origin=origin)
    assert right.status == 303 and all("; Secure" in value for value in right.headers.get_all("set-cookie") or ["none"])


def test_a_header_that_the_browser_invents_is_not_passed_on(site: Site) -> None:
    for headers in ({"forwarded": "for=6.6.6.6"}, {"x-forwarded-for": "6.6.6.6"}, {"x-forwarded-host": "evil.example"}):
        answer = site.ask("/login", **headers)
        assert answer.status in (200, 400), headers  # 400: refused, where the proxy passes it on beside its own
        assert site.ask("/kiosk", **headers).status in (400, 403)


def test_nginx_as_it_comes_opens_no_kiosk(desk: Desk, tmp_path: Path) -> None:
    """A `proxy_pass` alone: no header that says so, host name of the terminal, HTTP/1.0."""
    port = free_port()
    with WebServer(desk.terminal, [Address("127.0.0.1", 0)]) as server:
        command = nginx(tmp_path, server.addresses[0].port, port)
        main = f"daemon off; master_process off; pid {tmp_path}/pid; error_log {tmp_path}/error.log; events {{}}"
        plain = f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://127.0.0.1:{server.addresses[0].port}; }} }}"
        (tmp_path / "nginx.conf").write_text(f"{main} http {{ access_log off; {plain} }}")
        with running(command, tmp_path, port):
            with pytest.raises(HTTPError) as caught:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/kiosk", timeout=10)
            caught.value.close()
            assert caught.value.code == 403
