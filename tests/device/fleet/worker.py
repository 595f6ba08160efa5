"""One terminal without a camera: records punches until it has so many, while its exchange runs; ends when everything has arrived."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

from device.config import Settings
from device.fleet import up
from device.fleet.courier import exchanging
from device.fleet.settings_down import Running
from device.storage.records import PunchDraft
from device.storage.store import Store
from device.system.clock import ClockState


def main(path: Path, name: str, count: int) -> None:
    with Store.open(path) as store, exchanging(path, Running(None, Settings()), lambda line: print(line, flush=True)):
        people = [person.id for person in store.people(active_only=True)]
        own = {person for person in people if store.person(person).name.endswith(name)}
        done = len(store.punches())
        while done < count:
            at = time.time()
            store.record_punch(PunchDraft(sorted(own)[done % len(own)], at, "in", name, "pin", ClockState(True, "boot", int(at * 1000))))
            done += 1
            time.sleep(0.002)
        pause = threading.Event()
        while up.health(store)["waiting"]:
            pause.wait(0.2)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
