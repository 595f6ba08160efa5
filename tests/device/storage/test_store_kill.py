"""kill -9 at random moments: every announced punch is there once and the chain is intact."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

from device.storage.store import Store

ROOT = Path(__file__).resolve().parents[3]
KILLS = 100

# One process forks the victims: a fork is cheap when Python and numpy are already loaded.
FORKING = """
import os, signal, sys, time
from pathlib import Path
from device.system.clock import ClockState
from device.storage.store import PunchDraft, Store

def record(path, ready, number):
    with Store.open(path) as store:
        os.write(ready, b".")
        for i in range(1_000_000):
            at = number * 1_000_000 + i
            punch = store.record_punch(PunchDraft(1, float(at), "in", "kiosk", "manual", ClockState(True, "boot", i)), ["payroll"])
            os.write(1, f"{punch.id} {at}\\n".encode())  # announced, like the tick on the screen

for number, delay in enumerate(map(float, sys.argv[2:])):
    reader, writer = os.pipe()
    victim = os.fork()
    if victim == 0:
        record(Path(sys.argv[1]), writer, number)
    os.close(writer)
    if number % 4:
        os.read(reader, 1)  # every fourth is killed while it opens the store
    time.sleep(delay)
    os.kill(victim, signal.SIGKILL)
    _, status = os.waitpid(victim, 0)
    assert os.WIFSIGNALED(status), "the victim ended by itself"
    os.close(reader)
"""


def test_kill_9_in_the_middle_of_a_punch(tmp_path: Path) -> None:
    path = tmp_path / "clockface.db"
    with Store.open(path) as store:
        store.add_person("Ann")
    chance = random.Random(7)
    delays = [f"{chance.uniform(0, 0.06):.6f}" for _ in range(KILLS)]
    forking = subprocess.run([sys.executable, "-c", FORKING, str(path), *delays], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert forking.returncode == 0, forking.stderr
    announced = [tuple(map(int, line.split())) for line in forking.stdout.splitlines()]

    with Store.open(path) as store:
        stored = [(punch.id, int(punch.occurred_at)) for punch in store.punches()]
        report = store.verify_chain()
        with store.reading() as db:
            outbox = [row[0] for row in db.execute("SELECT punch_id FROM outbox ORDER BY punch_id")]
        assert store.faults() == []
    assert len(announced) > KILLS
    assert set(announced) <= set(stored)
    assert len(stored) - len(announced) <= KILLS  # at most one unannounced punch per kill
    assert len({at for _, at in stored}) == len(stored)
    assert (report.ok, report.count) == (True, len(stored))
    assert outbox == sorted(number for number, _ in stored)
