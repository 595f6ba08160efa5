"""A webhook receiver that keeps an event once a key. Run as a program it serves until killed, the count in a file."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from tests.device.fakes.site import Reply, Request, StandIn, serving


class Receiver(StandIn):
    """Appends each new event to a file, if one is given: it survives whatever happens to the sender."""

    def __init__(self, file: Path | None = None) -> None:
        super().__init__()
        self.events: dict[str, dict[str, object]] = {}  # by idempotency key
        self.duplicates = 0
        self._file = open(file, "a", buffering=1) if file else None  # noqa: SIM115  open as long as the process

    def answer(self, request: Request) -> Reply:
        key = request.headers["webhook-id"]
        if key in self.events:
            self.duplicates += 1
        else:
            event = self.events[key] = request.json
            if self._file:
                self._file.write(f"{event['person_id']} {event['punch_id']} {key}\n")
        return Reply(200, b"ok")


class Forgetful(list[Request]):
    """A long run keeps no requests."""

    def append(self, _: Request) -> None:
        pass


if __name__ == "__main__":
    with serving(Receiver(Path(sys.argv[1]))) as receiver:
        receiver.requests = Forgetful()
        print(receiver.url, flush=True)
        while os.getppid() != 1:
            time.sleep(0.2)
