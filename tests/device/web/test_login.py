"""Passwords, sessions and lock-out, by the application's own pages."""

from __future__ import annotations

import gzip
from dataclasses import replace

import pytest

from device.config import Settings, WebSettings
from device.storage.store import Store
from device.system import common_passwords
from device.web.access import accounts, first_admin, passwords
from tests.device.web.conftest import PASSWORD, Desk
from tests.refused import refused


def test_the_first_admin_is_made_once_and_must_change_the_password(desk: Desk, tmp_path: object) -> None:
    path = desk.terminal.database.with_name("new.db")
    with Store.open(path) as store:
        said = first_admin.create(store, to_terminal=False)
        assert first_admin.create(store, to_terminal=False) == []
    file = first_admin.password_file(path)
    password = file.read_text().strip()
    assert file.stat().st_mode & 0o777 == 0o600 and str(file) in said[0] and password not in said[0]
    browser = Desk(replace(desk.terminal, database=path)).browser()
    answer = browser.log_in("admin", password)
    assert answer.headers["location"] == "/password"
    assert browser.get("/users").headers["location"] == "/password"
    new = {"old": password, "new": PASSWORD, "again": PASSWORD}
    assert browser.post("/password", "/password", {**new, "again": PASSWORD + "x"}).status_code == 400
    assert browser.post("/password", "/password", new).headers["location"] == "/"
    assert browser.get("/users").status_code == 200 and not file.exists()


def test_a_first_password_is_printed_where_somebody_reads_it(desk: Desk) -> None:
    path = desk.terminal.database.with_name("new.db")
    with Store.open(path) as store:
        said = first_admin.create(store, to_terminal=True)[0]
        _, stored = accounts.by_login(store, "admin") or (None, "")
    assert not first_admin.password_file(path).exists()
    assert any(passwords.matches(stored, word.strip(",")) for word in said.split())


def test_a_login_that_does_not_exist_gets_the_same_words(desk: Desk) -> None:
    browser = desk.browser()
    unknown, wrong = browser.log_in("nobody", "wrong password"), browser.log_in("admin", "wrong password")
    assert unknown.status_code == wrong.status_code == 401
    assert unknown.text.replace("nobody", "") == wrong.text.replace("admin", "")


def test_a_session_ends_when_idle_and_in_any_case(desk: Desk) -> None:
    browser = desk.browser()
    browser.log_in("admin")
    for _ in range(23):
        desk.clock.now += 29 * 60
        assert browser.get("/users").status_code == 200
    idle = desk.browser("admin")
    desk.clock.now += 31 * 60
    assert idle.get("/users").status_code == 303
    desk.clock.now += 12 * 3600
    assert browser.get("/users").status_code == 303


def test_the_settings_say_when_a_session_ends(with_settings: object) -> None:
    desk = with_settings(Settings(web=WebSettings(idle_minutes=1)))  # type: ignore[operator]
    browser = desk.browser("admin")
    desk.clock.now += 61
    assert browser.get("/users").status_code == 303


def test_a_clock_set_back_ends_sessions(desk: Desk) -> None:
    browser = desk.browser("admin")
    desk.clock.now -= 3600
    assert browser.get("/users").status_code == 303


def test_logging_out_ends_the_session_for_every_copy_of_the_cookie(desk: Desk) -> None:
    browser = desk.browser()
    browser.log_in("admin")
    cookie = browser.http.cookies["clockface_desk"]
    browser.post("/logout", "/users")
    thief = desk.browser()
    thief.http.cookies.set("clockface_desk", cookie)
    assert thief.get("/users").status_code == 303


def test_the_login_takes_a_new_token_so_that_none_can_be_planted(desk: Desk) -> None:
    browser = desk.browser()
    browser.http.cookies.set("clockface_desk", "planted")
    browser.log_in("admin")
    tokens = {cookie.value for cookie in browser.http.cookies.jar if cookie.name == "clockface_desk"} - {"planted"}
    assert len(tokens) == 1 and len(tokens.pop() or "") > 40


def test_a_second_login_ends_the_first_session(desk: Desk) -> None:
    first, second, other = desk.browser(), desk.browser(), desk.browser("hr")
    first.log_in("admin")
    kiosk = desk.browser("admin", place="kiosk")
    second.log_in("admin")
    assert first.get("/users").status_code == 303 and second.get("/users").status_code == 200
    assert other.get("/people").status_code == 200 and kiosk.get("/kiosk/unlock").status_code == 303  # others, and the same login at the kiosk
    token = second.http.cookies["clockface_desk"]
    second.log_in("hr")  # in the same browser
    thief = desk.browser()
    thief.http.cookies.set("clockface_desk", token)
    assert thief.get("/users").status_code == 303


def test_a_session_of_the_kiosk_opens_no_desk(desk: Desk) -> None:
    browser = desk.browser("admin", place="kiosk")
    browser.http.cookies.set("clockface_desk", browser.http.cookies["clockface_kiosk"])
    assert browser.get("/users").status_code == 303


COMMON = ["1q2w3e4r5t", "Qwertyuiop", "sunshine2026", "!!Password123", "2026dragon!!"]
COMPANYS = ["we build Zeppelins", "meet me at the gasworks", "my clockface rings", "the accounting team", "at the front door"]


@pytest.mark.parametrize("password", ["short", "aaaaaaaaaaaa", "my-viewer-page", "x" * 201, *COMMON, *COMPANYS])
def test_weak_passwords_are_refused(desk: Desk, password: str) -> None:
    """Too short or simple, with the login in it, common, or made of the company's words: those of the settings, its sites, departments and doors."""
    settings = replace(Settings(), web=WebSettings(password_words="Acme, zeppelin"))
    desk = Desk(replace(desk.terminal, settings=settings, device="Front door"), desk.clock)
    with desk.store() as store, store.transaction() as db:
        db.execute("INSERT INTO fleet_sites (id, name) VALUES ('1', 'Gasworks')")
        db.execute("INSERT INTO people (name, created_at, department) VALUES ('Ada', 0, 'Accounting')")
    browser = desk.browser("viewer")
    answer = browser.post("/password", "/password", {"old": PASSWORD, "new": password, "again": password})
    assert answer.status_code == 400


def test_a_login_of_two_letters_can_have_any_password() -> None:
    """Two letters stand in a made-up password by chance."""
    passwords.check_strength("abcd-efgh-jkmn-pqrs", "a")
    passwords.check_strength("abcd-efgh-jkmn-pqrs", "ab", ["", " ", "cd"])
    with refused("password.weak"):
        passwords.check_strength("abcd-efgh-jkmn-pqrs", "efgh")


def test_the_list_holds_what_is_guessed_first() -> None:
    """The first of the lists that are published each year, and the most frequent of ten characters and more."""
    listed = gzip.decompress(common_passwords.COMMON.read_bytes()).decode().splitlines()
    assert listed == sorted(set(listed)) and len(listed) > 30_000
    assert all(common_passwords.common(word) for word in ("123456789012", "1234567890", "qwertyuiop", "password1", "iloveyou", "q1w2e3r4t5y6", "1qaz2wsx3edc"))
    assert not any(common_passwords.common(word) for word in ("five quiet paper boats", "вежливые бумажные лодки", "abcd-efgh-jkmn-pqrs", PASSWORD.casefold()))


def test_a_changed_password_logs_out_the_other_places(desk: Desk) -> None:
    here, there = desk.browser("admin"), desk.browser("admin")
    new = "five quiet paper boats"
    assert here.post("/password", "/password", {"old": PASSWORD, "new": new, "again": new}).status_code == 303
    assert here.get("/users").status_code == 200 and there.get("/users").status_code == 303


def test_a_user_sees_where_they_are_logged_in_and_ends_the_others_with_the_password(desk: Desk) -> None:
    here, there, kiosk, somebody = desk.browser("admin"), desk.browser("admin"), desk.browser("admin", place="kiosk"), desk.browser("hr")
    page = here.get("/password").text
    assert page.count("<td>Desk</td>") == 1 and page.count("<td>Desk (here)</td>") == 1 and page.count("<td>Kiosk</td>") == 1
    assert here.post("/password/sessions", "/password", {"password": "wrong"}).status_code == 400
    assert there.get("/users").status_code == 200
    assert here.post("/password/sessions", "/password", {"password": PASSWORD}).status_code == 303
    assert here.get("/users").status_code == 200 and there.get("/users").status_code == 303
    assert kiosk.get("/kiosk/enrol").status_code == 303 and somebody.get("/people").status_code == 200


@pytest.mark.parametrize("next_page", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "/ok\r\nx: y"])
def test_a_login_leads_nowhere_else(desk: Desk, next_page: str) -> None:
    answer = desk.browser().post("/login", "/login", {"login": "hr", "password": PASSWORD, "next": next_page})
    assert answer.headers["location"] == "/"


def test_users_are_added_changed_and_switched_off(desk: Desk) -> None:
    admin = desk.browser("admin")
    answer = admin.post("/users", "/users", {"login": "Reception", "role": "viewer"})
    password = answer.text.partition('<p class="secret"><code>')[2].partition("<")[0]
    fresh = desk.browser()
    assert fresh.log_in("reception", password).headers["location"] == "/password"
    assert admin.post("/users", "/users", {"login": "reception", "role": "viewer"}).status_code == 400
    assert admin.post("/users", "/users", {"login": "other", "role": "king"}).status_code == 400
    with desk.store() as store:
        user_id = next(user.id for user in accounts.users(store) if user.login == "Reception")
    assert admin.post(f"/users/{user_id}", "/users", {"role": "viewer", "active": "0"}).status_code == 303
    assert fresh.get("/password").status_code == 303 and fresh.log_in("reception", password).status_code == 401


def test_the_last_admin_stays(desk: Desk) -> None:
    admin = desk.browser("admin")
    answer = admin.post("/users/4", "/users", {"role": "viewer", "active": "1"})
    assert answer.status_code == 400 and "at least one active admin is needed" in answer.text
