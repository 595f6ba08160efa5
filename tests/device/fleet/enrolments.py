"""How soon somebody who is enrolled at one terminal is known at another, and refused there after they were deactivated; through a real PostgreSQL.

    python -m tests.device.fleet.enrolments --people 50
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from device.config import Settings
from device.fleet import membership, owner, server
from device.fleet.courier import exchanging
from device.fleet.settings_down import Running
from device.storage.records import TemplateDraft
from device.storage.store import Store
from tests.device.fleet.cluster import cluster

MODEL = "a" * 64
LIMIT_SECONDS = 60.0


def until(done: Callable[[], bool]) -> float:
    """Seconds until it is done."""
    began = time.monotonic()
    while not done():
        if time.monotonic() - began > LIMIT_SECONDS:
            raise TimeoutError(f"not done within {LIMIT_SECONDS:.0f} s")
        time.sleep(0.01)
    return time.monotonic() - began


def recognises(store: Store, face: NDArray[np.float32]) -> bool:
    found = store.templates(MODEL)
    return bool(len(found.ids)) and float(np.max(found.matrix @ face)) > 0.99


def trial(url: str, folder: Path, people: int) -> tuple[list[float], list[float]]:
    """Enrol `people` at A, one at a time, then deactivate them there; returns the seconds until B knows, and until B refuses."""
    chance, known, refused = np.random.default_rng(5), [], []
    with ExitStack() as parts:
        stores = []
        for name in ("A", "B"):
            os.environ["CLOCKFACE_KEYS"] = str(folder / name)
            stores.append(parts.enter_context(Store.open(folder / f"{name}.db")))
            membership.join(stores[-1], replace(owner.invite(url, name, "North"), sslmode="disable"))
            parts.enter_context(exchanging(stores[-1].path, Running(None, Settings()), lambda line: None))
            time.sleep(1)  # its thread has read where its keys are
        a, b = stores
        for number in range(people):
            values = chance.normal(size=128).astype(np.float32)
            face = np.asarray(values / np.linalg.norm(values), np.float32)
            person = a.add_person_with_templates(f"Person {number}", f"E{number}", [TemplateDraft(MODEL, face, 0.9, None, "camera")])
            known.append(until(lambda face=face: recognises(b, face)))  # type: ignore[misc]
            time.sleep(random.uniform(0, 1))  # enrolments do not keep step with polls
            a.deactivate(person.id)
            refused.append(until(lambda code=f"E{number}": not b.person(code).active))  # type: ignore[misc]
    return known, refused


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=50)
    args = parser.parse_args()
    with cluster() as made, tempfile.TemporaryDirectory() as folder:
        url = made.database("enrolments")
        server.migrate(url)
        with server.connected(url) as connection:
            owner.add_site(connection, "North")
        known, refused = trial(url, Path(folder), args.people)
    for what, seconds in (("recognised at B", known), ("refused at B after deactivation", refused)):
        print(f"{what}: {len(seconds)} people, median {np.median(seconds):.2f} s, p95 {np.quantile(seconds, 0.95):.2f} s, longest {max(seconds):.2f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
