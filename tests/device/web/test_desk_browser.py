"""The review desk in real Chromium: by keyboard, live, on a phone, on paper."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from device.storage.store import PunchDraft, Store
from device.system.clock import ClockState
from device.web.access import accounts, passwords, sessions
from tests.device.web import browser, pictures
from tests.device.web.browser import chromium, complaints, resize, wait
from tests.device.web.pictures import NOW, PHONE, WIDE, enter

ADDRESSES = sorted(
    {*pictures.PAGES.values(), "/log?from=2026-11-24&to=2026-11-25", "/plots?day=2026-11-24", "/today?state=absent", "/corrections?state=refused"}
)
GERMAN = (
    "/timesheets", "/timesheets/day?day=2026-11-24", "/timesheets/12", "/timesheets/overtime", "/timesheets/accounts", "/timesheets/law", "/schedule",
    "/schedule/plans/1", "/corrections/{open}", "/periods",
)  # fmt: skip


@dataclass
class Site:
    database: Path
    url: str
    token: str  # of somebody from HR
    other: str  # of somebody else, who approves


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    browser.needed_chromium()
    database = tmp_path_factory.mktemp("desk") / "site.db"
    with pictures.desk(database, people=24, punches=900) as (url, token):
        with Store.open(database) as store:
            admin = accounts.add(store, "admin", "admin", passwords.invented())
            with store.transaction() as db:
                db.execute("UPDATE users SET must_change = 0, elsewhere = 1")
            other = sessions.start(store, admin, "desk", NOW)
        yield Site(database, url, token, other)


@pytest.fixture(scope="module")
def page(site: Site) -> Iterator[Any]:
    with chromium(*WIDE) as driver:
        enter(driver, site.url, site.token)
        yield driver


def keys(page: Any, *what: str) -> None:
    """Type into whatever has the focus."""
    from selenium.webdriver import ActionChains

    ActionChains(page).send_keys(*what).perform()


def focused(page: Any) -> Any:
    return page.switch_to.active_element


def tab_to(page: Any, selector: str, most: int = 60) -> None:
    from selenium.webdriver.common.keys import Keys

    for _ in range(most):
        if page.execute_script("return document.activeElement.matches(arguments[0])", selector):
            return
        keys(page, Keys.TAB)
    raise AssertionError(f"{selector} is not reached with the Tab key")


def loaded(page: Any, path: str) -> None:
    wait(lambda: path in page.current_url and page.execute_script("return document.readyState === 'complete'"), words=path)


def test_a_correction_by_keyboard_alone(site: Site, page: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    page.get(f"{site.url}/log?from=2026-11-24&to=2026-11-24&person=E9")
    tab_to(page, "a.skip")
    keys(page, Keys.ENTER)
    tab_to(page, "tbody a[aria-label^='Correct punch']")
    number = int(str(focused(page).get_attribute("aria-label")).split()[-1])
    keys(page, Keys.ENTER)
    loaded(page, "/corrections/new")
    with Store.open(site.database) as store, store.reading() as db:
        at, direction = db.execute("SELECT occurred_at / 1000, direction FROM punches WHERE id = ?", [number]).fetchone()
    clock = time.strftime("%H:%M", time.gmtime(at + 3600))  # Berlin in winter
    given = {name: page.find_element("name", name).get_attribute("value") for name in ("punch_day", "time", "direction")}
    assert given == {"punch_day": "2026-11-24", "time": clock, "direction": direction}  # what it says now is filled in
    tab_to(page, "[name=action]")
    keys(page, Keys.ARROW_DOWN)
    assert not page.find_element("name", "time").is_enabled()  # a punch that does not count needs no time
    tab_to(page, "[name=reason]")
    keys(page, "recorded by mistake", Keys.ENTER)
    loaded(page, "/corrections/")
    wait(lambda: "recorded by mistake" in page.find_element("tag name", "main").text)
    request = page.current_url.rpartition("/")[2]
    assert not page.find_element("css selector", "button[value=approve]").is_enabled()  # nobody approves a request of their own
    enter(page, site.url, site.other)
    page.get(f"{site.url}/corrections/{request}")
    page.find_element("css selector", "button[value=approve]").click()
    loaded(page, "/corrections")
    wait(lambda: "is approved" in page.find_element("css selector", ".said").text)
    page.get(f"{site.url}/log?from=2026-11-24&to=2026-11-24&person=E9")
    row = page.find_element("xpath", f"//tr[td[1][normalize-space()='{number}']]")
    assert "does not count" in row.text and clock in row.text  # nothing is overwritten
    enter(page, site.url, site.token)


def test_today_follows_a_punch_and_keeps_the_focus(site: Site, page: Any) -> None:
    page.get(f"{site.url}/today")
    page.execute_script("document.querySelectorAll('#board .person')[3].focus()")
    here = focused(page).get_attribute("href")
    with Store.open(site.database) as store:
        person = next(person for person in store.people() if person.name not in page.find_element("css selector", ".feed").text)
        store.record_punch(PunchDraft(person.id, NOW, "break_start", "Gate 9", "manual", ClockState(True, "boot", 1)))
    wait(lambda: "Gate 9" in page.find_element("css selector", ".feed").text, words="the new punch")
    assert focused(page).get_attribute("href") == here
    assert page.find_element("id", "live").text == "live"


def test_a_session_that_ended_sends_today_to_the_login(site: Site, page: Any) -> None:
    page.get(f"{site.url}/today")
    page.delete_cookie("clockface_desk")
    wait(lambda: "/login" in page.current_url, words="the login")
    enter(page, site.url, site.token)


def spoken(site: Site, language: str) -> None:
    """Let the pages be in this language for every login."""
    with Store.open(site.database) as store, store.transaction() as db:
        db.execute("UPDATE users SET language = ?", [language])


@pytest.mark.parametrize(("size", "language"), [(WIDE, ""), (PHONE, ""), (WIDE, "de"), (PHONE, "de")])
def test_every_page_fits_its_width(site: Site, page: Any, size: tuple[int, int], language: str) -> None:
    """The page itself never scrolls sideways, tables about hours do not in the longer words of German either, and no script complains."""
    resize(page, *size)
    spoken(site, language)
    too_wide, cut = [], []
    for address in ADDRESSES if not language else GERMAN:
        page.get(site.url + address.format(open=7))
        assert "That cannot be done" not in page.title and page.find_element("tag name", "h1").text, address
        if page.execute_script("return document.documentElement.scrollWidth > innerWidth"):
            too_wide.append(address)
        if language and page.execute_script("return [...document.querySelectorAll('.scroll')].some(table => table.scrollWidth > table.clientWidth + 1)"):
            cut.append(address)
    resize(page, *WIDE)
    spoken(site, "")
    assert (too_wide, cut) == ([], [])
    assert complaints(page) == []


def test_countries_in_the_language_and_an_audit_that_stacks(site: Site, page: Any) -> None:
    """Of an administrator, on a phone: the browser names the countries, and no table scrolls sideways."""
    resize(page, *PHONE)
    spoken(site, "de")
    enter(page, site.url, site.other)
    page.get(f"{site.url}/setup?step=country&country=AT")
    names = page.execute_script("return [...document.querySelector('[data-countries]').options].map(one => one.textContent)")
    assert {"Österreich", "Ägypten", "Schweiz"} <= set(names) and names.index("Ägypten") < names.index("Albanien") < names.index("Österreich")
    assert page.execute_script("return document.querySelector('[data-countries]').value") == "AT"
    page.get(f"{site.url}/audit")
    assert page.execute_script("return [...document.querySelectorAll('.scroll')].every(table => table.scrollWidth <= table.clientWidth + 1)")
    resize(page, *WIDE)
    spoken(site, "")
    enter(page, site.url, site.token)


@pytest.mark.parametrize("language", ["", "de"])
def test_a_month_prints_on_one_page(site: Site, page: Any, language: str) -> None:
    spoken(site, language)
    page.get(f"{site.url}/timesheets/9/print?month=2026-11")
    spoken(site, "")
    assert page.find_element("tag name", "h1").text == ("Stundenzettel November 2026" if language else "Timesheet November 2026")
    printed = page.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True, "printBackground": True})
    data = base64.b64decode(printed["data"])
    assert len(re.findall(rb"/Type\s*/Page\b", data)) == 1
    assert re.search(rb"/MediaBox\s*\[\s*0 0 59[45][.\d]* 84[12]", data)  # A4, in points
