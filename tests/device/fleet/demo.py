"""A company with three gates and a desk on this machine, around a PostgreSQL of its own; everything lies in one temporary folder and goes with it.

    make fleet-demo                                    or: python -m tests.device.fleet.demo [--seconds 60]

With CLOCKFACE_SHARED the gates play real clips: people are enrolled at Gate A alone, and the others know them. Without it they play the demo.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread

from device.fleet import owner, server
from tests.device.fleet.clips import playing
from tests.device.fleet.cluster import ACCOUNT, cluster, programs

GATES = {"Gate A": "North", "Gate B": "North", "Gate C": "South"}
DESK = "Desk"
ENROLLED = {"Person A": "again", "Person D": "eat"}  # at Gate A; name -> clip
CLIPS = {"Gate A": "brother", "Gate B": "night", "Gate C": "learn"}  # of A, of D, and of somebody whom South does not know
SETTINGS = '[liveness]\nmode = "off"\n[camera]\nrate = 10\n'  # what is played are recordings
FIRST_PORT = 8080
ENROL_SECONDS = 180.0
END_SECONDS = 10.0


@dataclass
class Door:
    """One terminal, or the desk: a folder with its database and keys, and its process."""

    name: str
    folder: Path
    port: int
    process: subprocess.Popen[str] | None = field(default=None)

    def device(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "device", *words, "--db", str(self.folder / "clockface.db"), "--config", str(self.folder / "settings.toml")]

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "CLOCKFACE_KEYS": str(self.folder / "keys"), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}

    def do(self, *words: str) -> str:
        done = subprocess.run(self.device(*words), env=self.environment, capture_output=True, text=True, timeout=ENROL_SECONDS)
        if done.returncode:
            sys.exit(f"{self.name}: {' '.join(words)}: {done.stderr or done.stdout}")
        return done.stdout

    def join(self, url: str, site: str) -> None:
        self.folder.mkdir()
        (self.folder / "settings.toml").write_text(SETTINGS)
        file = self.folder / "invitation.join"
        file.write_text(owner.invite(url, self.name, site, "terminal" if site else "desk").to_json())
        print(self.do("fleet", "join", str(file)).strip().partition(";")[0], flush=True)

    def start(self, *words: str) -> None:
        """Run it, with its lines among the others' under its name."""
        command = self.device("run", "--headless", "--web", f"127.0.0.1:{self.port}", *words)
        self.process = subprocess.Popen(command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
        Thread(target=self._repeat, daemon=True).start()

    def _repeat(self) -> None:
        assert self.process is not None and self.process.stdout is not None
        for line in self.process.stdout:
            print(f"{self.name} | {line.strip()}", flush=True)


def end(doors: list[Door]) -> None:
    """End all of them at once."""
    running = [door.process for door in doors if door.process is not None]
    for process in running:
        process.send_signal(signal.SIGINT)
    for process in running:
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="end by itself after this long")
    args = parser.parse_args()
    if programs() is None:
        sys.exit("no PostgreSQL 15 or later on this machine: `sudo apt install postgresql`; the demo starts one of its own, without root")
    if os.geteuid() == 0 and subprocess.run(["id", ACCOUNT], capture_output=True).returncode:
        sys.exit(f"PostgreSQL does not run as root, and there is no account {ACCOUNT!r} to run it: start the demo as an ordinary user")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with company() as doors:
            _wait(doors, args.seconds)
    except KeyboardInterrupt:
        print("\nended; nothing is left behind")
    return 0


@contextmanager
def company() -> Iterator[list[Door]]:
    with ExitStack() as parts:
        made = parts.enter_context(cluster())
        folder = Path(tempfile.mkdtemp(prefix="clockface-fleet-"))
        parts.callback(shutil.rmtree, folder, ignore_errors=True)
        url = made.database("company")
        server.migrate(url)
        with server.connected(url) as connection:
            for site in dict.fromkeys(GATES.values()):
                owner.add_site(connection, site)
        doors = [Door(name, folder / name.replace(" ", "-").lower(), port) for name, port in zip([*GATES, DESK], _ports(), strict=False)]
        parts.callback(end, doors)
        for door in doors:
            door.join(url, GATES.get(door.name, ""))
        sources = parts.enter_context(_sources())
        if any(source != "demo" for source in sources.values()):
            _enrol(doors[0])
        _start(doors, sources, url)
        yield doors


@contextmanager
def _sources() -> Iterator[dict[str, str]]:
    """What each gate plays."""
    clips = Path(os.environ.get("CLOCKFACE_SHARED", "")) / "clips"
    if clips.is_dir():
        with playing({gate: clips / f"{clip}.mkv" for gate, clip in CLIPS.items()}) as addresses:
            yield addresses
    else:
        yield dict.fromkeys(GATES, "demo")


def _enrol(gate: Door) -> None:
    for name, clip in ENROLLED.items():
        print(f"{gate.name}: {gate.do('enroll', name, '--camera', str(Path(os.environ['CLOCKFACE_SHARED']) / 'clips' / f'{clip}.mkv')).strip()}", flush=True)


def _start(doors: list[Door], sources: dict[str, str], url: str) -> None:
    """The first gate before the others, so that they know already whom it has enrolled."""
    for number, door in enumerate(doors):
        door.start(*(["--desk"] if door.name == DESK else ["--source", sources[door.name]]))
        if number == 0:
            _until_sent(url)
    print("\n" + "\n".join(f"{door.name:8} http://127.0.0.1:{door.port}   log: python -m device {' '.join(door.device('log')[3:])}" for door in doors))
    print(f"\nowner    export CLOCKFACE_FLEET_URL='{url}'; python -m device fleet status")
    print("Ctrl-C ends everything and deletes it\n", flush=True)


def _until_sent(url: str) -> None:
    until = time.monotonic() + ENROL_SECONDS
    with server.connect(url) as connection:
        while time.monotonic() < until:
            row = connection.execute("SELECT count(*) AS found FROM wrapped_keys").fetchone()
            if row and row["found"]:
                return
            time.sleep(0.5)


def _ports() -> Iterator[int]:
    """Ports of this machine that nobody uses, from 8081 on."""
    port = FIRST_PORT
    while True:
        port += 1
        with socket.socket() as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if tried.connect_ex(("127.0.0.1", port)):
                yield port


def _wait(doors: list[Door], seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.5)
        for door in doors:
            if door.process is not None and door.process.poll() is not None:
                sys.exit(f"{door.name} has ended; its last lines stand above")


if __name__ == "__main__":
    sys.exit(main())
