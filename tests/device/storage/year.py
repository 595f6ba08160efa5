"""A year of a large site, to measure with: 2,000 people, 2.9 million punches, by default until the end of last month.

    python -m tests.device.storage.year fill DB [--people 2000] [--days 365]      1.4 GB
    python -m tests.device.storage.year pages DB        the log of the year from the pages: what the terminal and the process apart take (docs/endurance.md)
    python -m tests.device.storage.year commands DB     the same by `log --format`, and `log --verify`

Four punches per person and day; content, hash chain and indexes are those of a terminal. Nobody in it exists.
"""

from __future__ import annotations

import argparse
import http.client
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

from device.attendance.planning import Planning
from device.attendance.timesheet.worksite import Site
from device.config import Settings
from device.storage.hash_chain import GENESIS, Value, row_hash
from device.storage.records import PunchDraft
from device.storage.store import Store
from device.system.clock import ClockState
from device.web.access import accounts, passwords, sessions
from device.web.context import Terminal
from device.web.server import Address, WebServer

MODEL = "0" * 64
TURNS = (("in", 7, "Front door"), ("break_start", 12, "Workshop"), ("break_end", 12.6, "Workshop"), ("out", 16, "Gate 2"))


def fill(path: Path, people: int, days: int) -> int:
    """Returns how many punches there are."""
    site, dice = Site("Europe/Berlin"), random.Random(1)
    last = date.today().replace(day=1) - timedelta(days=1)
    with Store.open(path, actor="invented") as store:
        Planning(store).set_site(site, "invented")
        with store.transaction() as db:
            rows = [(f"Person {number} of the plant", f"E{number}", 0) for number in range(1, people + 1)]
            db.conn.executemany("INSERT INTO people (name, code, created_at) VALUES (?, ?, ?)", rows)
        number, previous = 0, GENESIS
        for ago in reversed(range(days)):
            drafts = list(_day(site.begins(last - timedelta(days=ago)) * 60, people, dice))
            made = []
            for draft in sorted(drafts, key=lambda draft: draft.occurred_at):
                number += 1
                row: dict[str, Value] = {"id": number, **draft.row(), "previous_hash": previous}
                row["hash"] = previous = row_hash(row)
                made.append(row)
            with store.transaction() as db:
                db.conn.executemany(f"INSERT INTO punches ({', '.join(made[0])}) VALUES ({', '.join(f':{key}' for key in made[0])})", made)
    return number


def _day(begins: int, people: int, dice: random.Random) -> Iterator[PunchDraft]:
    for person in range(1, people + 1):
        for direction, hour, device in TURNS:
            at = begins + hour * 3600 + dice.randrange(1_800_000) / 1000
            score = min(0.97, max(0.43, dice.gauss(0.72, 0.08)))
            yield PunchDraft(person, at, direction, device, "face", ClockState(True, "invented", round(at)), score, score - 0.25, 0.417, dice.random(), MODEL)


def pages(path: Path) -> None:
    """One download after the other from a server in this process; a year that ends with the last punch."""
    with Store.open(path) as store:
        last = Planning(store).site().day_of(int(store.newest_punch() // 60))
        user = accounts.add(store, f"measure {time.time_ns()}", "hr", passwords.invented())
        with store.transaction() as db:
            db.execute("UPDATE users SET must_change = 0 WHERE id = ?", [user.id])
        token = sessions.start(store, user, "desk", time.time())
    address = f"/exports/log?from={last - timedelta(days=364)}&to={last}&format="
    with WebServer(Terminal(Settings(), path, "measure"), [Address("127.0.0.1", 0)]) as server:
        for form in ("csv", "json", "xlsx"):
            began, before, own, held = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN), time.process_time(), resident()
            with closing(http.client.HTTPConnection("127.0.0.1", server.addresses[0].port)) as connection:
                connection.request("GET", address + form, headers={"cookie": f"clockface_desk={token}"})
                size, largest, apart = _read(connection.getresponse())
            here = f"here, with the client, {time.process_time() - own:.1f} s of CPU and {largest - held:+.0f} MB resident"
            print(f"{form}: {size / 1e6:.0f} MB in {time.monotonic() - began:.0f} s; {_since(before)} and at most {apart:.0f} MB; {here}", flush=True)


def _read(answer: http.client.HTTPResponse) -> tuple[int, float, float]:
    """Bytes, and the largest size of this process and of the one apart meanwhile, MB."""
    size, largest, apart = 0, 0.0, 0.0
    while piece := answer.read1(1 << 20):
        size, largest, apart = size + len(piece), max(largest, resident()), max(apart, resident_apart())
    return size, largest, apart


def resident() -> float:
    """MB of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def resident_apart() -> float:
    """MB of the largest process that this one has started."""
    children = " ".join(path.read_text() for path in Path("/proc/self/task").glob("*/children")).split()
    pages = [Path(f"/proc/{child}/statm").read_text().split()[1] for child in children if Path(f"/proc/{child}/statm").exists()]
    return max([int(count) for count in pages], default=0) * resource.getpagesize() / 2**20


def _since(before: resource.struct_rusage) -> str:
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = now.ru_utime + now.ru_stime - before.ru_utime - before.ru_stime
    return f"apart {spent:.1f} s of CPU"


def commands(path: Path) -> None:
    """Run each command by itself, and print what it took."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        for form in ("csv", "json", "xlsx"):
            out = Path(folder) / f"log.{form}"
            _told(f"log --format {form}", "log", "--db", str(path), "--format", form, "--out", str(out))
            print(f"  {out.stat().st_size / 1e6:.0f} MB")
            out.unlink()
    _told("log --verify", "log", "--db", str(path), "--verify")


def _told(what: str, *arguments: str) -> None:
    began = time.monotonic()
    child = subprocess.Popen([sys.executable, "-m", "device", *arguments], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    print(f"{what}: {_spent(used)}, {time.monotonic() - began:.0f} s, exit {child.returncode}", flush=True)


def _spent(used: resource.struct_rusage) -> str:
    return f"{used.ru_utime + used.ru_stime:.1f} s of CPU, peak memory {used.ru_maxrss / 1024:.0f} MB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("fill", "pages", "commands"))
    parser.add_argument("db", type=Path)
    parser.add_argument("--people", type=int, default=2_000)
    parser.add_argument("--days", type=int, default=365)
    args = parser.parse_args()
    if args.what == "fill":
        print(f"{fill(args.db, args.people, args.days):,} punches in {args.db}, {args.db.stat().st_size / 1e9:.2f} GB")
    else:
        {"pages": pages, "commands": commands}[args.what](args.db)


if __name__ == "__main__":
    main()
