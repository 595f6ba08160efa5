"""A terminal under attack: `python -m tests.device.web.attack [--seconds 30] [--fuzz 120] [NAME...]`, which `make attack` runs.

A terminal of its own plays the demo on 127.0.0.1, with 1,024 descriptors. While one attack after the other runs (`attackers.py`), the kiosk page is asked
for ten times a second from the screen's address. Printed are the times of its answers, how many processors the terminal used and how many more its threads
waited for (much of that for the machine's other programs, as "nobody" shows), the faces recorded meanwhile, the memory of the terminal, and what the attackers
got; then the fuzzers run with new seeds for the rest of the time. It ends with 1 if the kiosk answered later than 300 ms (95 of 100 answers), or not at all,
no face was recorded, the memory grew, a kiosk page opened for a proxy, or a fuzzer found something.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import multiprocessing
import os
import platform
import random
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np

from device.storage.store import Store
from device.web.access import accounts, passwords, sessions
from tests.device.web import attackers
from tests.device.web.attackers import ATTACKS, Aim

ROOT = Path(__file__).resolve().parents[3]
ANSWER_MS = 300.0
GROWTH_MIB = 64.0
VIEWERS = 200
FUZZERS = ("tests/device/test_fuzz.py", "tests/device/web/test_fuzz.py", "tests/device/vision/test_images.py", "tests/device/vision/test_jpeg.py")


def prepared(database: Path) -> tuple[tuple[str, ...], str]:
    """A database with two logins; sessions of a viewer and of HR."""
    with Store.open(database) as store:
        found = [accounts.add(store, role, role, passwords.invented()) for role in ("viewer", "hr")]
        with store.transaction() as db:
            db.execute("UPDATE users SET must_change = 0")
        tokens = [sessions.start(store, found[0], "desk", time.time()) for _ in range(VIEWERS)]
        return tuple(tokens), sessions.start(store, found[1], "desk", time.time())


@contextmanager
def terminal(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    (folder / "clockface.toml").write_text("[attendance]\nrefractory_seconds = 1\n")
    command = ["prlimit", "--nofile=1024:1024", sys.executable, "-m", "device", "run", "--source", "demo", "--headless", "--web", f"127.0.0.1:{port}"]
    files = ["--db", str(folder / "a.db"), "--config", str(folder / "clockface.toml")]
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen([*command, *files], cwd=ROOT, stdout=log, stderr=log, env={**os.environ, "CLOCKFACE_KEYS": str(folder / "keys")})
    try:
        deadline = time.monotonic() + 90
        while ask(port) is None:
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit((folder / "log").read_text())
            time.sleep(0.2)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def ask(port: int) -> float | None:
    """How long the kiosk page takes, ms, on a new connection from the screen's address; None: no answer."""
    began = time.monotonic()
    try:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
            connection.request("GET", "/kiosk")
            with connection.getresponse() as answer:
                answer.read()
                return (time.monotonic() - began) * 1000 if answer.status == 200 else None
    except OSError:
        return None


def probed(port: int, seconds: float) -> list[float | None]:
    found, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        found.append(ask(port))
        time.sleep(0.1)
    return found


def memory_mib(pid: int) -> float:
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    return int(fields["VmRSS"].split()[0]) / 1024


def processor(pid: int) -> tuple[float, dict[str, float]]:
    """s that the terminal has computed since its start, and how long each thread has waited for a processor (proc(5), stat and schedstat)."""
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    waits = {}
    for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with suppress(OSError):  # a thread that has just ended
            waits[path.parent.name] = int(path.read_text().split()[1]) / 1e9
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK"), waits


def since(pid: int, then: tuple[float, dict[str, float]], seconds: float) -> tuple[float, float]:
    """Processors that the terminal used since then, and how many more the threads that lasted waited for."""
    used, waits = processor(pid)
    return (used - then[0]) / seconds, sum(waits[thread] - waited for thread, waited in then[1].items() if thread in waits) / seconds


def settled(pid: int, before: float) -> float:
    """The memory once the last requests are answered: within half a minute, MiB."""
    deadline = time.monotonic() + 30
    while memory_mib(pid) - before > GROWTH_MIB / 4 and time.monotonic() < deadline:
        time.sleep(1)
    return memory_mib(pid)


def faces(database: Path) -> int:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)) as db:
        return int(db.execute("SELECT count(*) FROM punches").fetchone()[0])


def attacked(name: str, aim: dict[str, object], pipe: object) -> None:
    """In a process of its own, which leaves the terminal its processors: an attacker from elsewhere would take none of them."""
    os.nice(15)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    done: Counter[str] = Counter()
    asyncio.run(getattr(attackers, name)(Aim(**aim), done))  # type: ignore[arg-type]
    pipe.send(dict(done))  # type: ignore[attr-defined]


def one(name: str, aim: Aim, process: subprocess.Popen[bytes], database: Path) -> bool:
    before, recorded = memory_mib(process.pid), faces(database)
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    attacker = multiprocessing.get_context("spawn").Process(target=attacked, args=(name, asdict(aim), theirs), daemon=True)
    if name != "nobody":
        attacker.start()
        time.sleep(2)
    spent, began = processor(process.pid), time.monotonic()
    times = probed(aim.port, aim.seconds)
    used, waited = since(process.pid, spent, time.monotonic() - began)
    got = {}
    if name != "nobody":
        attacker.join(60)
        got = ours.recv() if ours.poll(1) else {"attack failed": 1}
    answered = [each for each in times if each is not None]
    late = float(np.percentile(answered, 95)) if answered else float("inf")
    missing, new, grown = len(times) - len(answered), faces(database) - recorded, settled(process.pid, before) - before
    good = late <= ANSWER_MS and not missing and new > 0 and grown < GROWTH_MIB and not {"opened the kiosk", "attack failed"} & set(got)
    figures = f"p50 {np.median(answered or [0]):4.0f}  p95 {late:5.0f}  max {max(answered or [0]):5.0f} ms  {missing}/{len(times)} unanswered"
    figures += f"  {used:.2f} processors used, {waited:.2f} waited for"
    print(f"{name:17}  {figures}  {new} faces  {before:4.0f} {grown:+4.0f} MiB  {json.dumps(got)}  {'' if good else 'FAILED'}", flush=True)
    return good


def fuzzed(seconds: float) -> bool:
    end, rounds = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        seed = random.SystemRandom().randrange(2**32)
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", f"--hypothesis-seed={seed}", *FUZZERS]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        rounds += 1
        if done.returncode:
            print(f"fuzzers: seed {seed} FAILED\n{done.stdout[-4000:]}")
            return False
    print(f"fuzzers: {rounds} rounds with new seeds in {seconds:.0f} s, nothing found")
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(attack.__name__ for attack in ATTACKS))
    parser.add_argument("--seconds", type=float, default=30.0, help="of each attack")
    parser.add_argument("--fuzz", type=float, default=120.0, help="seconds of the fuzzers; 0 for none")
    args = parser.parse_args()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {args.seconds:.0f} s each")
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "a.db"
        os.environ["CLOCKFACE_KEYS"] = str(Path(folder) / "keys")
        viewers, hr = prepared(database)
        with terminal(Path(folder), port) as process:
            aim = Aim(port, args.seconds, viewers, hr)
            probed(port, 5)  # everything is loaded
            good = [one(name, aim, process, database) for name in ("nobody", *(args.names or [attack.__name__ for attack in ATTACKS]))]
            good.append(process.poll() is None)
        log = (Path(folder) / "log").read_text()
    print(f"log: {len(log.splitlines())} lines, {log.count('Traceback')} tracebacks, {log.count('too many connections')} floods")
    good.append("Traceback" not in log)
    if args.fuzz:
        good.append(fuzzed(args.fuzz))
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
