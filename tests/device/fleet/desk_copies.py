"""How fast a desk takes over a company's log, and what its database weighs then; prints the figures of docs/decisions/0008-a-desk-copies.md.

python -m tests.device.fleet.desk_copies --punches 100000
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import tempfile
import time
from pathlib import Path

from psycopg.types.json import Jsonb

from device.fleet import membership, owner, server
from device.fleet.courier import FleetCourier
from device.storage.hash_chain import GENESIS
from device.storage.store import Store
from tests.device.fleet.cluster import cluster
from tests.device.fleet.test_server import joined

PEOPLE = 500
SCORES = {"score": 0.61, "lead": 0.4, "threshold": 0.37, "liveness": 0.98, "model_id": "a" * 64}
CLOCK = {"clock_synchronised": 1, "boot_id": "b" * 36, "monotonic_ms": 1}


def main(punches: int) -> None:
    with cluster() as postgres, tempfile.TemporaryDirectory() as folder:
        os.environ["CLOCKFACE_KEYS"] = folder + "/keys"
        url = postgres.database("company")
        server.migrate(url)
        with server.connected(url) as connection:
            owner.add_site(connection, "North")
        people = sent(url, punches)
        invitation = owner.invite(url, "Desk", "", "desk")
        with Store.open(Path(folder) / "desk.db") as store:
            member = membership.join(store, owner.Invitation(**{**invitation.__dict__, "sslmode": "disable"}))
            courier, begin = FleetCourier(store, member), time.monotonic()
            with membership.opened(store, member) as connection:
                while courier.round(connection):
                    pass
            seconds = time.monotonic() - begin
            assert len(store.people()) == people and store.verify_chain().count == punches
        megabytes = sum(file.stat().st_size for file in Path(folder).glob("desk.db*")) / 1e6
    rate, size = punches / seconds, 1e6 * megabytes / punches
    print(f"{punches:,} punches of {people} people: {seconds:.1f} s, {rate:,.0f} punches/s, {megabytes:.0f} MB, {size:.0f} bytes each")


def sent(url: str, punches: int) -> int:
    """Let one terminal have recorded so many punches; returns how many people there are."""
    previous, rows = GENESIS, []
    people = [f"00000000-0000-4000-8000-{number:012d}" for number in range(PEOPLE)]
    with joined(url, "Gate A") as gate:
        for number, person in enumerate(people):
            gate.execute("SELECT put('person', %s, NULL, %s)", [person, Jsonb({"name": f"Person {number}", "code": f"E{number}", "created_at": 0})])
        for number in range(1, punches + 1):
            fields = {"id": number, "person_id": 1, "occurred_at": 1_790_000_000_000 + number * 1000, "direction": "in", "device": "gate", "method": "face"}
            content = json.dumps({**fields, **SCORES, **CLOCK, "previous_hash": previous}, sort_keys=True, separators=(",", ":"))
            previous = hashlib.sha256(content.encode()).hexdigest()
            rows.append({"content": content, "hash": previous, "person": people[number % PEOPLE]})
            if len(rows) == 2000 or number == punches:
                gate.execute("SELECT push('punches', %s)", [Jsonb(rows)])
                rows = []
    return PEOPLE


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--punches", type=int, default=100_000)
    main(parser.parse_args().punches)
