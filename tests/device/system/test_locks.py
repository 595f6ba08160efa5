"""A lock keeps a second holder out until it is released, or until its process ends."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from device.system.locks import FileLock, signature

HOLDER = """
import sys, time
from pathlib import Path
from device.system.locks import FileLock
lock = FileLock(Path(sys.argv[1]), wait=False)
lock.sign()
print("held", flush=True)
time.sleep(60)
"""


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    file = tmp_path / "one.lock"
    with FileLock(file, wait=False):
        with pytest.raises(BlockingIOError):
            FileLock(file, wait=False)
        assert file.stat().st_mode & 0o777 == 0o600
    FileLock(file, wait=False).release()


def test_a_waiting_lock_is_acquired_after_the_release(tmp_path: Path) -> None:
    file, order = tmp_path / "one.lock", list[str]()

    def second() -> None:
        with FileLock(file):
            order.append("second")

    with FileLock(file):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.1)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


def test_it_is_released_by_an_error_in_its_block(tmp_path: Path) -> None:
    file = tmp_path / "one.lock"
    with pytest.raises(KeyError), FileLock(file, wait=False):
        raise KeyError("of the block")
    FileLock(file, wait=False).release()


def test_it_ends_with_its_process_and_names_that_process(tmp_path: Path) -> None:
    file = tmp_path / "one.lock"
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(file)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        with pytest.raises(BlockingIOError):
            FileLock(file, wait=False)
        assert signature(file) == str(process.pid)
        process.kill()
        process.wait(10)
    with FileLock(file, wait=False) as lock:
        lock.sign()
        assert signature(file) == str(os.getpid())


def test_an_unsigned_lock_names_no_process(tmp_path: Path) -> None:
    with FileLock(tmp_path / "one.lock"):
        assert signature(tmp_path / "one.lock") == "unknown"


def test_a_file_that_cannot_be_created_raises_the_system_s_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        FileLock(tmp_path / "missing" / "one.lock")
