"""How fast a long queue drains: `python -m tests.device.fakes.rate` prints it.

A database of so many queued punches of 200 people, drained by the webhook connector to a receiver in another process.
"""

from __future__ import annotations

import argparse
import base64
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from device.config import OutboxSettings
from device.delivery.connectors import build, read_settings
from device.delivery.courier import Courier
from device.storage import hash_chain
from device.storage.store import PunchDraft, Store
from tests.device.fakes.terminal import CLOCK, START

ROOT = Path(__file__).resolve().parents[3]


def filled(path: Path, count: int, people: int, connector: str) -> None:
    """Many punches in one transaction, queued as for a target that was added later."""
    with Store.open(path) as store:
        ids = [store.add_person(f"Person {number}", f"E{number}").id for number in range(people)]
        with store.transaction() as db:
            for number in range(count):
                row = PunchDraft(ids[number % people], START + number, "in", "front door", "face", CLOCK, 0.61, 0.33, 0.42, None, "m1").row()
                hash_chain.append(db, "punches", row)
        store.outbox.set_targets([connector])
        assert store.outbox.fill(connector, 0.0) == count


@contextmanager
def receiver(file: Path) -> Iterator[str]:
    """A receiver in a process of its own that appends each new event to the file; gives its address."""
    command = [sys.executable, "-m", "tests.device.fakes.webhook", str(file)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--punches", type=int, default=100_000)
    parser.add_argument("--people", type=int, default=200)
    parser.add_argument("--parallel", type=int, default=4)
    args = parser.parse_args()
    os.environ["RATE_KEY"] = "whsec_" + base64.b64encode(os.urandom(32)).decode()
    with tempfile.TemporaryDirectory() as folder:
        path, file = Path(folder) / "clockface.db", Path(folder) / "received"
        filled(path, args.punches, args.people, "payroll")
        with receiver(file) as url, Store.open(path) as store:
            table = {"kind": "webhook", "url": url, "secret": "env:RATE_KEY", "parallel": args.parallel}
            with closing(build(read_settings("payroll", table))) as connector:
                courier = Courier(store, connector, OutboxSettings())
                begin, used = time.monotonic(), time.process_time()
                done = courier.drain()
                seconds, used = time.monotonic() - begin, time.process_time() - used
                courier.close()
            lines = file.read_text().split("\n")[:-1]
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}")
    print(f"{used:.1f} s of processor time of the sender")
    print(f"{done} punches in {seconds:.1f} s: {done / seconds:.0f} a second; the receiver has {len(lines)}, {len(set(lines))} of them different")


if __name__ == "__main__":
    main()
