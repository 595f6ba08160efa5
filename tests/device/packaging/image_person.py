"""Somebody at the screen of the terminal, inside the machine of image.sh: python3 image_person.py set-up | log-in PASSWORD. The standard library only.

`set-up` reads what the kiosk says of the code before its camera and taps where it asks; it ends with 0 once the terminal starts again, with 3 where it waits
for no code.
"""

from __future__ import annotations

import html
import re
import sys
import time
import urllib.parse
import urllib.request
from contextlib import suppress
from http.cookiejar import CookieJar

PAGES = "http://127.0.0.1:8080"
PATIENCE = 1800.0  # s


class Browser:
    """Keeps cookies and sends forms with their token."""

    def __init__(self) -> None:
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))

    def get(self, path: str, fields: dict[str, str] | None = None) -> tuple[str, str]:
        """The path where it leads, and the page."""
        data = None if fields is None else urllib.parse.urlencode(fields).encode()
        with self._opener.open(PAGES + path, data, timeout=300) as answer:
            return urllib.parse.urlsplit(answer.url).path, answer.read().decode()

    def send(self, path: str, page: str, **fields: str) -> tuple[str, str]:
        """Send the form of a page to `path`."""
        found = re.search(r'name="form_token" value="([0-9a-f]+)"', page)
        return self.get(path, {"form_token": found[1] if found else "", **fields})


def words(page: str) -> str:
    """What a page says of the code, in a line."""
    guide = page.partition('class="guide"')[2].partition(">")[2].partition("<script")[0]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", guide)).split())


def patiently(browser: Browser, path: str) -> str:
    """A page of a terminal that may be starting again."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return browser.get(path)[1]
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(1)


def set_up() -> int:
    browser, last, until = Browser(), "", time.monotonic() + PATIENCE
    where, page = browser.get("/kiosk/set-up")
    if where != "/kiosk/set-up":
        return 3
    while time.monotonic() < until:
        said = re.sub(r"\d+", "", words(page))
        if said != last:
            print(f"screen: {words(page)}", flush=True)
            last = said
        tap = next((action for action in ("begin", "finish") if f"/kiosk/set-up/{action}" in page), "")
        if tap:
            print(f"tap: {tap}", flush=True)
            if tap == "finish":
                with suppress(OSError):  # it starts again, and may be gone before it has answered
                    browser.send(f"/kiosk/set-up/{tap}", page)
                return 0
            where, page = browser.send(f"/kiosk/set-up/{tap}", page)
        time.sleep(0.5)
        where, page = browser.get("/kiosk/set-up")
    return 1


def log_in(password: str) -> int:
    browser = Browser()
    page = patiently(browser, "/login")
    where, _ = browser.send("/login", page, login="admin", password=password)
    print(f"login of admin leads to {where}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(set_up() if sys.argv[1] == "set-up" else log_in(sys.argv[2]))
    except OSError as error:
        sys.exit(f"the pages do not answer: {error}")
