"""Processes that watch each other: if one is gone, the others end within seconds, and say which one and how to go on.

Without it they would wait for it, for half an hour with gloo, in a collective operation that no Python code can leave. A thread of each process counts
up in the store that torch opens at the start; the first process reads the counts of all, the others that of the first.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from types import TracebackType

from torch.distributed import PrefixStore, Store  # type: ignore[attr-defined]

from device.contract import ClockfaceError
from training.distributed import Group

EXIT_LOST = 76  # exit code of the processes that are left
EVERY_SECONDS = 0.5
GRACE_SECONDS = 3.0  # that the first process waits, so that the others read what it found; it may hold the store


class Heard:
    """Which processes have not been heard of for too long, by the count that each of them keeps."""

    def __init__(self, limit_seconds: float) -> None:
        self._limit = limit_seconds
        self._last: dict[int, tuple[str, float]] = {}

    def silent(self, rank: int, count: str, now: float) -> bool:
        """Note a count; whether it has stood still for longer than the limit."""
        if self._last.get(rank, ("", 0.0))[0] != count:
            self._last[rank] = (count, now)
        return now - self._last[rank][1] > self._limit


def here() -> str:
    """The machine and the processes that are numbered together: a PID means the same process wherever this is equal."""
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()}/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:  # not Linux
        return socket.gethostname() + str(time.time_ns())


def is_gone(pid: int) -> bool:
    """Whether a process of this machine has ended, even if nobody has asked for its exit status yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def watched(group: Group, limit_seconds: float, go_on: str) -> AbstractContextManager[object]:
    """The watch of the processes of a group; none where there is one process. The numbers are those of `RankWatch`."""
    return nullcontext() if group.store is None else RankWatch(group.store, group.rank, group.world, limit_seconds, go_on)


class RankWatch:
    """Open during the steps of a run of several processes.

    Args:
        store: of the group.
        rank, world: of this process.
        limit_seconds: after which a process on another machine that is not heard of counts as gone.
        go_on: the command that resumes the run.
    """

    def __init__(self, store: Store, rank: int, world: int, limit_seconds: float, go_on: str) -> None:
        self._rank, self._go_on, self._limit = rank, go_on, limit_seconds
        self._others = [other for other in range(world) if other != rank] if rank == 0 else [0]
        self._heard, self._done, self._here = Heard(limit_seconds), threading.Event(), here()
        self._store = PrefixStore("watch", store.clone())  # type: ignore[attr-defined]
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> RankWatch:
        self._store.set(f"process/{self._rank}", f"{os.getpid()} {self._here} {socket.gethostname()}")
        self._store.set(f"count/{self._rank}", "0")
        if self._rank == 0:
            self._store.set("gone", "")
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if isinstance(error, RuntimeError):  # of a collective operation, perhaps: the thread finds out who is gone, and ends this process
            self._done.wait(self._limit + 2 * GRACE_SECONDS)
        self._done.set()
        self._thread.join()
        ended = str(error) if isinstance(error, ClockfaceError) else "" if kind is None else kind.__name__
        with suppress(RuntimeError, ConnectionError):  # the store may be gone as well
            self._store.set(f"count/{self._rank}", f"ended {ended}")

    def _watch(self) -> None:
        processes = {other: self._store.get(f"process/{other}").decode().split(" ") for other in self._others}
        count = 0
        while not self._done.wait(EVERY_SECONDS):
            count += 1
            try:
                self._store.set(f"count/{self._rank}", str(count))
                found = self._store.get("gone").decode() or next(filter(None, (self._found(other, *processes[other]) for other in self._others)), "")
            except (RuntimeError, ConnectionError):  # the store is with the first process, or with what started it
                found = "rank 0, or the machine it runs on, no longer answers"
            if found and not self._done.is_set():
                self._end(found)

    def _found(self, rank: int, pid: str, place: str, host: str) -> str:
        """What happened to a process; "" while it works or has ended as it should."""
        count = self._store.get(f"count/{rank}").decode()
        name = f"rank {rank} (process {pid} on {host})"
        if count.startswith("ended"):
            return f"{name} has ended: {count[6:]}" if count[6:] else ""
        if place == self._here and is_gone(int(pid)):
            return f"{name} is gone: it was killed, or ran out of memory"
        return f"{name} has not answered for {self._limit:g} s" if self._heard.silent(rank, count, time.monotonic()) else ""

    def _end(self, found: str) -> None:
        if self._rank == 0:
            self._store.set("gone", found)
        if self._rank == 0 or found.startswith("rank 0"):
            lost = "all processes of the run end, and what was done since the last checkpoint is lost"
            print(f"error: {found}; {lost}. Go on with: {self._go_on}", file=sys.stderr, flush=True)
        if self._rank == 0:
            time.sleep(GRACE_SECONDS)
        os._exit(EXIT_LOST)
