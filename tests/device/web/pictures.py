"""Make the pictures of the documentation, from an invented site in which nobody exists: `python -m tests.device.web.pictures`.

With names, only these pages of the desk; those of the kiosk, of people and of health one by one: `python -m tests.device.web.kiosk_pictures NAME`.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from PIL import Image

from device.commands.benchmark import sample_data
from device.config import Settings
from device.storage.store import Store
from device.web.access import accounts, passwords, sessions
from device.web.context import Terminal
from device.web.live import Live
from device.web.server import Address, WebServer
from tests.device.web.browser import chromium, needed_chromium, resize

OUT = Path(__file__).resolve().parents[3] / "docs/pictures"
NOW = datetime(2026, 11, 25, 14, 20, tzinfo=ZoneInfo("Europe/Berlin")).timestamp()
WIDE, PHONE = (1280, 860), (390, 844)
COLOURS = 128  # of a picture: pages are flat, so a palette keeps the files small
PAGES = {  # name -> address at the desk
    "today": "/today",
    "log": "/log",
    "timesheets": "/timesheets",
    "timesheet": "/timesheets/12",
    "timesheet-day": "/timesheets/day?day=2026-11-24",
    "timesheet-print": "/timesheets/12/print",
    "corrections": "/corrections?state=all",
    "correction": "/corrections/{open}",
    "correction-new": "/corrections/new?person=id:12&day=2026-11-24",
    "schedule": "/schedule",
    "exports": "/exports",
    "plots": "/plots?days=30",
    "periods": "/periods",
}
LONG = ("plots",)  # shown whole
SHOWN = ("today", "log", "timesheet", "correction", "plots")  # stand in the documentation


@contextmanager
def desk(database: Path, people: int = 64, punches: int = 4200, now: float = NOW) -> Iterator[tuple[str, str]]:
    """An invented site's pages: address, and the session of somebody from HR."""
    sample_data.fill(database, people, punches, now, seed=7)
    with Store.open(database) as store:
        user = accounts.add(store, "a.sander", "hr", passwords.invented())
        with store.transaction() as db:
            db.execute("UPDATE users SET must_change = 0")
        token = sessions.start(store, replace(user, must_change=False), "desk", now)
    terminal = Terminal(Settings(), database, "Front door", Live(now=lambda: now), now=lambda: now)
    with WebServer(terminal, [Address("127.0.0.1", 0)]) as server:
        yield server.urls[0], token


def enter(driver: Any, url: str, token: str) -> None:
    driver.get(f"{url}/login")
    driver.add_cookie({"name": "clockface_desk", "value": token, "httpOnly": True, "sameSite": "Strict"})


def picture(driver: Any, whole: bool = False) -> bytes:
    """What the browser shows, as a small PNG."""
    if whole:
        width, height = driver.execute_script("return [innerWidth, document.documentElement.scrollHeight]")
        resize(driver, width, height)
    shot = Image.open(io.BytesIO(driver.get_screenshot_as_png())).convert("RGB")
    data = io.BytesIO()
    shot.quantize(COLOURS, method=Image.Quantize.MEDIANCUT, kmeans=2, dither=Image.Dither.NONE).save(data, "PNG", optimize=True)
    return data.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *PAGES], metavar="NAME", help=", ".join(PAGES))
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR")
    parser.add_argument("--phone", action="store_true", help="at the width of a phone, the whole page")
    parser.add_argument("--dark", action="store_true")
    args = parser.parse_args()
    needed_chromium()
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, desk(Path(folder) / "site.db") as (url, token), chromium(*WIDE, dark=args.dark) as driver:
        enter(driver, url, token)
        for name in args.names or SHOWN:
            resize(driver, *(PHONE if args.phone else WIDE))
            driver.get(url + PAGES[name].format(open=7))
            (args.out / f"{name}.png").write_bytes(picture(driver, whole=args.phone or name in LONG))
            print(args.out / f"{name}.png")
    if not args.names and not args.phone:
        from tests.device.web import kiosk_pictures  # which uses this module

        kiosk_pictures.take(kiosk_pictures.SHOWN, args.out, dark=args.dark)
        kiosk_pictures.take(["idle"], args.out, "ar", dark=args.dark, ending="-ar")


if __name__ == "__main__":
    main()
