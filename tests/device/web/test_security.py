"""Headers, host names, foreign forms, sizes."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from device.config import Settings, WebSettings
from device.web.access.security import host_names, known_host
from device.web.access.sessions import form_token
from device.web.appearance import STATIC
from tests.device.web.conftest import Browser, Desk
from tests.refused import refused


@pytest.mark.parametrize("path", ["/login", "/static/site.css", "/nowhere", "/users"])
def test_every_answer_has_the_strict_headers(desk: Desk, path: str) -> None:
    headers = desk.browser().get(path).headers
    assert "default-src 'none'" in headers["content-security-policy"] and "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff" and headers["x-frame-options"] == "DENY"
    assert "cache-control" in headers and "server" not in headers


def test_cookies_are_out_of_reach_of_scripts_and_other_sites(desk: Desk) -> None:
    browser = desk.browser()
    browser.log_in("admin")
    answer = browser.post("/login", "/login", {"login": "admin", "password": "four quiet paper boats"})
    cookies = [value.lower() for value in answer.headers.get_list("set-cookie") if "clockface_desk" in value]
    assert cookies and all("httponly" in cookie and "samesite=strict" in cookie for cookie in cookies)


def over_tls(desk: Desk, **web: str) -> Browser:
    browser = replace(desk, terminal=replace(desk.terminal, settings=Settings(web=WebSettings(**web)))).browser()  # type: ignore[arg-type]
    browser.http.base_url = "https://localhost"
    return browser


def test_over_tls_cookies_belong_to_this_host_alone(desk: Desk) -> None:
    """A name with __Host- is taken from this host by TLS only (RFC 6265bis), so nothing planted without TLS or by a neighbouring host counts."""
    browser = over_tls(desk)
    answer = browser.log_in("admin")
    cookies = answer.headers.get_list("set-cookie")
    assert cookies and all(cookie.startswith("__Host-") and "secure" in cookie.lower() and "path=/;" in cookie.lower() for cookie in cookies)
    assert not any("domain" in cookie.lower() for cookie in cookies) and browser.get("/users").status_code == 200
    thief = over_tls(desk)
    thief.http.cookies.set("clockface_desk", browser.http.cookies["__Host-clockface_desk"], domain="localhost.local")
    assert thief.get("/users").status_code == 303


def test_browsers_are_told_to_use_tls_alone_where_the_certificate_is_the_companys_own(desk: Desk) -> None:
    for web, wanted in (({"certificate": "a.pem", "key": "a.key"}, True), ({}, False)):
        found = over_tls(desk, **web).get("/login").headers.get("strict-transport-security", "")
        assert ("max-age=31536000" in found and "includeSubDomains" in found) == wanted and bool(found) == wanted
    assert "strict-transport-security" not in desk.browser().get("/login").headers  # nothing without TLS (RFC 6797, 7.2)


def test_whoever_logs_out_leaves_nothing_in_the_browser(desk: Desk) -> None:
    browser = desk.browser("admin")
    page = browser.get("/users").text
    assert re.search(r'src="/static/idle\.js[^"]*" data-seconds="1805"', page)  # leaves the page when the login has ended: 30 minutes
    assert browser.post("/logout", "/users").headers["clear-site-data"] == '"cache", "storage"'
    kiosk = desk.browser("operator", place="kiosk")
    token = form_token(kiosk.http.cookies["clockface_kiosk"])
    assert kiosk.http.post("/kiosk/lock", data={"form_token": token}).headers["clear-site-data"] == '"cache", "storage"'


def test_scripts_name_no_property_after_something_they_were_given() -> None:
    """`object[text] = value` with a text of somebody else's could change what all objects inherit (prototype pollution)."""
    scripts = {path.name: path.read_text(encoding="utf-8") for path in STATIC.glob("*.js")}
    found = {name: re.findall(r"[\w)]\[[^\]]+\]\s*=[^=].*|Object\.assign.*|__proto__|eval\(|new Function", text) for name, text in scripts.items()}
    assert len(found) > 5 and {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1:8080", 200), ("localhost", 200), ("192.168.0.7", 421), ("[::1]:8080", 421), ("127.0.0.9", 421), ("evil.example", 421), ("", 421)],
)
def test_only_names_of_this_machine_are_answered(desk: Desk, host: str, status: int) -> None:
    assert desk.browser().get("/login", headers={"host": host}).status_code == status


@pytest.mark.parametrize(
    ("host", "reached", "known"),
    [
        ("192.168.0.7:8443", "192.168.0.7", True),
        ("192.168.0.8:8443", "192.168.0.7", False),
        ("[2001:db8:0::7]:8443", "2001:db8::7", True),
        ("192.168.0.7", "::ffff:192.168.0.7", True),
        ("0.0.0.0", "127.0.0.1", False),
        ("x", "", False),
    ],
)
def test_an_address_is_known_where_the_connection_came_in_at_it(host: str, reached: str, known: bool) -> None:
    assert known_host(host, host_names(WebSettings(), "0.0.0.0"), reached) == known


def test_no_redirect_names_the_host_that_the_request_gave(desk: Desk) -> None:
    answer = desk.browser("admin").get("/people/", headers={"host": "localhost"})
    assert answer.status_code == 404 and "location" not in answer.headers


def test_further_names_come_from_the_settings() -> None:
    names = host_names(WebSettings(hosts="clock.example, Door.example"), "0.0.0.0")
    assert known_host("door.example:8443", names) and known_host("CLOCK.example.", names) and not known_host("example", names)


@pytest.mark.parametrize("headers", [{"origin": "https://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}])
def test_forms_of_other_sites_are_refused(desk: Desk, headers: dict[str, str]) -> None:
    browser = desk.browser("admin")
    answer = browser.http.post("/logout", data={"form_token": browser.token("/users")}, headers=headers)
    assert answer.status_code == 403
    assert browser.get("/users").status_code == 200


def test_a_body_beyond_the_limit_is_cut_off(desk: Desk) -> None:
    browser = desk.browser("admin")
    assert browser.post("/users", "/users", {"login": "x" * 300_000, "role": "viewer"}).status_code == 413


def test_a_half_multipart_form_is_refused(desk: Desk) -> None:
    browser = desk.browser("admin")
    answer = browser.http.post("/users", content=b"--x\r\nContent-Disposition: form-data; name=", headers={"content-type": "multipart/form-data; boundary=x"})
    assert answer.status_code in (400, 403)


@pytest.mark.parametrize("path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py"])
def test_static_files_are_those_of_the_folder(desk: Desk, path: str) -> None:
    assert desk.browser().get(path).status_code == 404


def test_a_static_file_is_kept_by_the_browser(desk: Desk) -> None:
    browser = desk.browser()
    first = browser.get("/static/site.css?1")
    assert "immutable" in first.headers["cache-control"] and first.headers["content-type"].startswith("text/css")
    assert browser.get("/static/site.css", headers={"if-none-match": first.headers["etag"]}).status_code == 304
    assert browser.get("/static/site.css").headers["cache-control"] == "no-cache"
    assert browser.http.head("/static/site.css").status_code == 200 and browser.http.post("/static/site.css").status_code == 404
    assert browser.get("/static/kiosk.js").headers["content-type"].partition(";")[0] in ("text/javascript", "application/javascript")


def test_certificate_and_key_come_together() -> None:
    with refused("config.together", "certificate"):
        Settings(web=WebSettings(certificate="a.pem"))
