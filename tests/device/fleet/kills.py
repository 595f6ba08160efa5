"""Terminals, their exchange, the wire and PostgreSQL itself are killed while punches are recorded; then: none lost, none twice, every chain whole.

    python -m tests.device.fleet.kills --terminals 20 --punches 1000 --kills 200
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from device.fleet import membership, owner, server
from device.storage.store import Store
from tests.device.fleet.cluster import Cluster, cluster
from tests.device.fleet.wire import wire

QUIET_SECONDS = 300.0  # after the last kill everything must have arrived within


@dataclass
class Terminal:
    """One process of `tests.device.fleet.worker` and its folder."""

    name: str
    folder: Path
    punches: int
    process: subprocess.Popen[bytes] | None = None

    def run(self) -> None:
        command = [sys.executable, "-m", "tests.device.fleet.worker", str(self.folder / "clockface.db"), self.name, str(self.punches)]
        environment = {**os.environ, "CLOCKFACE_KEYS": str(self.folder / "keys")}
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def recorded(self) -> int:
        with Store.open(self.folder / "clockface.db") as store:
            return len(store.punches())


@dataclass(frozen=True)
class Outcome:
    recorded: int
    arrived: int
    distinct: int
    broken: list[str]
    harms: dict[str, int]
    seconds: float


def trial(made: Cluster, folder: Path, terminals: int, punches: int, kills: int, seed: int = 0) -> Outcome:
    """Run it all; see the head of this file."""
    chance, harms = random.Random(seed), dict[str, int]()
    url = made.database(f"kills_{seed}")
    server.migrate(url)
    with server.connected(url) as connection:
        owner.add_site(connection, "North")
    began = time.monotonic()
    with wire(made.port) as line:
        doors = [_terminal(url, folder, f"Gate {number}", punches, line.port) for number in range(terminals)]
        for door in doors:
            door.run()
        for _ in range(kills):
            time.sleep(chance.uniform(0.05, 0.4))
            kind = chance.choices(["terminal", "wire", "postgres"], [6, 3, 1])[0]
            if kind == "terminal":
                door = chance.choice(doors)
                door.kill()
                door.run()
            elif kind == "wire":
                kind = line.harm(chance)
            else:
                made.stop("immediate")
                made.start()
            harms[kind] = harms.get(kind, 0) + 1
        _wait(doors)
        recorded = sum(door.recorded() for door in doors)
    with server.connected(url) as connection:
        row = connection.execute("SELECT count(*) AS arrived, count(DISTINCT (device_id, id)) AS known FROM punches").fetchone()
        assert row is not None
        broken = [f"{proof.device} {proof.chain}: {proof.fault}" for proof in owner.verify(connection) if proof.fault]
        broken += [f"{found['name']}: {found['faults']}" for found in owner.overview(connection) if found["faults"]]
    return Outcome(recorded, row["arrived"], row["known"], broken, harms, time.monotonic() - began)


def _terminal(url: str, folder: Path, name: str, punches: int, port: int) -> Terminal:
    place = folder / name
    place.mkdir(parents=True)
    invitation = replace(owner.invite(url, name, "North"), sslmode="disable")
    before = os.environ.get("CLOCKFACE_KEYS", "")
    os.environ["CLOCKFACE_KEYS"] = str(place / "keys")
    try:
        with Store.open(place / "clockface.db") as store:
            for number in range(5):
                store.add_person(f"Person {number} of {name}")
            membership.join(store, replace(invitation, port=port))
    finally:
        os.environ["CLOCKFACE_KEYS"] = before
    return Terminal(name, place, punches)


def _wait(doors: list[Terminal]) -> None:
    """Until each worker has recorded and sent everything and ended by itself."""
    until = time.monotonic() + QUIET_SECONDS
    for door in doors:
        assert door.process is not None
        code = door.process.wait(timeout=max(1.0, until - time.monotonic()))
        assert code == 0, (door.folder / "log").read_text()[-2000:]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--terminals", type=int, default=20)
    parser.add_argument("--punches", type=int, default=1000, help="of each terminal")
    parser.add_argument("--kills", type=int, default=200)
    args = parser.parse_args()
    with cluster(safe=True) as made, tempfile.TemporaryDirectory() as folder:
        found = trial(made, Path(folder), args.terminals, args.punches, args.kills)
    print(f"{found.recorded} recorded, {found.arrived} arrived, {found.distinct} distinct; {found.harms}; {found.seconds:.0f} s")
    print("\n".join(found.broken) or "all chains are whole")
    return 0 if found.recorded == found.arrived == found.distinct == args.terminals * args.punches and not found.broken else 1


if __name__ == "__main__":
    sys.exit(main())
