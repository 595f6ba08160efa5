"""kill -9 at random moments while the outbox drains: the receiver has every punch once, those of each person in order."""

from __future__ import annotations

import base64
import os
import random
import subprocess
import sys
from pathlib import Path

from device.storage.store import Store
from tests.device.fakes.rate import filled, receiver

ROOT = Path(__file__).resolve().parents[3]
KILLS, PUNCHES, PEOPLE = 40, 4000, 12

# One process forks the ones that are killed; each drains what is left until then, and the last one drains the rest.
FORKING = """
import os, signal, sys, time
from pathlib import Path
import urllib3
from device.delivery import courier
from device.config import OutboxSettings
from device.delivery.connectors import build, read_settings
from device.storage.store import Store

path, url = Path(sys.argv[1]), sys.argv[2]
courier.ROUND_EVENTS = 100  # many rounds, so that kills happen in every part of a round

def drain():
    with Store.open(path) as store:
        connector = build(read_settings("payroll", {"kind": "webhook", "url": url, "secret": "env:KILL_KEY"}))
        courier.Courier(store, connector, OutboxSettings()).drain()

for delay in map(float, sys.argv[3:]):
    victim = os.fork()
    if victim == 0:
        drain()
        os._exit(0)
    time.sleep(delay)
    os.kill(victim, signal.SIGKILL)
    _, status = os.waitpid(victim, 0)
    print("killed" if os.WIFSIGNALED(status) else "ended", flush=True)
drain()
"""


def test_kill_9_while_draining(tmp_path: Path) -> None:
    path, file = tmp_path / "clockface.db", tmp_path / "received"
    filled(path, PUNCHES, PEOPLE, "payroll")
    chance = random.Random(11)
    delays = [f"{chance.uniform(0.01, 0.12):.4f}" for _ in range(KILLS)]
    key = "whsec_" + base64.b64encode(bytes(range(32))).decode()
    with receiver(file) as url:
        command = [sys.executable, "-c", FORKING, str(path), url, *delays]
        forking = subprocess.run(command, cwd=ROOT, env={**os.environ, "KILL_KEY": key}, capture_output=True, text=True, timeout=120)
        assert forking.returncode == 0, forking.stderr
        received = [tuple(map(int, line.split()[:2])) for line in file.read_text().splitlines()]  # person, punch
    with Store.open(path) as store:
        punches = [(punch.person_id, punch.id) for punch in store.punches()]
        [health] = store.outbox.summary()
        assert store.faults() == []
    assert forking.stdout.split().count("killed") >= KILLS // 4  # during the work, not after it
    assert sorted(received) == sorted(punches) and len(received) == PUNCHES
    assert (health.waiting, health.dead) == (0, 0)
    for person in {person for person, _ in received}:
        numbers = [number for other, number in received if other == person]
        assert numbers == sorted(numbers)
