"""Whole or not at all on sticks and shares: without modes, full, vanished, killed while writing. Real file systems where this user may mount them."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from device.delivery.connectors import Connector, build, read_settings
from device.maintenance import backup
from device.storage.store import Store
from device.system import foreign_files
from device.system.foreign_files import whole_file, write_whole
from tests.device.fakes.terminal import sample_event
from tests.refused import refused

PASSPHRASE = "seven red kites over the yard"
SIZE = 8 << 20  # bytes of the stick


def mounted(*command: str) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"needs {command[0]}")
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"this user cannot do `{' '.join(command[:2])}` here: {done.stderr.strip()[:200]}")


@pytest.fixture(params=["vfat", "bindfs", "tmpfs"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A stick of 8 MB: the root of a vfat, a folder whose modes cannot be changed, or a small disk."""
    if os.geteuid():
        pytest.skip("only root may mount")
    folder = tmp_path / "stick"
    folder.mkdir()
    try:
        if request.param == "vfat":
            with (tmp_path / "image").open("wb") as image:
                image.truncate(SIZE)
            mounted("mkfs.vfat", str(tmp_path / "image"))
            if subprocess.run(["mount", "-o", "loop", str(tmp_path / "image"), str(folder)], capture_output=True).returncode:
                mounted("fusefat", "-o", "rw+", str(tmp_path / "image"), str(folder))  # a kernel without vfat
        else:
            mounted("mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=755", "tmpfs", str(folder))
        if request.param == "bindfs":
            mounted("bindfs", "--chmod-deny", "--chown-deny", str(folder), str(folder))
        yield folder
    finally:
        for _ in range(2):
            subprocess.run(["umount", str(folder)], capture_output=True)


@pytest.fixture(autouse=True)
def nothing_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign_files, "_told", set())


@pytest.fixture
def database(tmp_path: Path) -> Path:
    with Store.open(tmp_path / "site/clockface.db") as store:
        store.add_person("Ann", "E17")
    return tmp_path / "site/clockface.db"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def drop(folder: Path) -> Connector:
    return build(read_settings("drop", {"kind": "csv", "folder": str(folder), "timezone": "Europe/Berlin"}))


def filled(folder: Path) -> Path:
    """Fill the file system to the last byte."""
    opened = os.open(folder / "filling", os.O_WRONLY | os.O_CREAT)
    with suppress(OSError):
        while os.write(opened, bytes(4096)):
            pass
    os.close(opened)
    return folder / "filling"


def test_a_csv_file_and_a_backup_get_there_and_modes_are_told_once(place: Path, database: Path, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        drop(place).test(sample_event("E17"))
    assert b"E17" in (place / "clockface-test.csv").read_bytes()
    backup.create(database, None, place / "monday.backup", PASSPHRASE)
    assert backup.stage(place / "monday.backup", PASSPHRASE, database).people == 1
    assert names(place) == ["clockface-test.csv", "monday.backup"]
    keeps = [path.stat().st_mode & 0o777 for path in sorted(place.iterdir())] == [0o640, 0o600]
    assert sum("keeps no modes" in line.message for line in caplog.records) == (0 if keeps else 1)


def test_a_full_stick_keeps_what_it_has(place: Path, database: Path) -> None:
    write_whole(place / "a.csv", b"old", 0o640)
    (place / "monday.backup").write_bytes(b"former")
    filling = filled(place)
    with pytest.raises(OSError, match="No space|not permitted"):  # the second is how fusefat says it
        write_whole(place / "a.csv", bytes(1 << 20), 0o640)
    with refused("backup.not_written", "monday.backup", "room"):
        backup.create(database, None, place / "monday.backup", PASSPHRASE)
    assert names(place) == ["a.csv", "filling", "monday.backup"]
    assert (place / "a.csv").read_bytes() == b"old" and (place / "monday.backup").read_bytes() == b"former"
    filling.unlink()
    backup.create(database, None, place / "monday.backup", PASSPHRASE)
    assert backup.stage(place / "monday.backup", PASSPHRASE, database).people == 1


@pytest.mark.parametrize("place", ["bindfs"], indirect=True)
def test_a_share_that_vanishes_is_a_failure_and_comes_back(place: Path, database: Path) -> None:
    """The process that serves the share is killed in the middle of a file."""
    with pytest.raises(OSError) as caught, whole_file(place / "a.csv", 0o640) as file:
        file.write(b"half")
        served = subprocess.run(["pgrep", "-f", f"bindfs --chmod-deny --chown-deny {place}"], capture_output=True, text=True).stdout.split()
        os.kill(int(served[0]), signal.SIGKILL)
        time.sleep(0.2)
        file.write(bytes(1 << 20))
    assert caught.value.errno in (errno.ENOTCONN, errno.ECONNABORTED, errno.EIO)
    with refused("backup.not_written"):
        backup.create(database, None, place / "monday.backup", PASSPHRASE)
    subprocess.run(["umount", "-l", str(place)], check=True)
    write_whole(place / "a.csv", b"again", 0o640)
    assert (place / "a.csv").read_bytes() == b"again"


KILLED = """
import os, sys
from pathlib import Path
from device.system.foreign_files import whole_file
with whole_file(Path(sys.argv[1]), 0o600) as file:
    file.write(b"half")
    file.flush()
    print("written", flush=True)
    sys.stdin.read()
"""


def test_the_draft_of_a_killed_process_is_removed_and_that_of_another_stays(tmp_path: Path) -> None:
    command, file = [sys.executable, "-c", KILLED, str(tmp_path / "a.csv")], tmp_path / "a.csv"
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as killed,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other,
    ):
        assert killed.stdout and other.stdout and killed.stdout.readline() and other.stdout.readline()
        killed.kill()
        killed.wait()
        assert len(names(tmp_path)) == 2 and not file.exists()
        write_whole(tmp_path / "other.csv", b"", 0o600)  # of whatever name
        (tmp_path / "other.csv").unlink()
        write_whole(file, b"whole", 0o600)
        left = [name for name in names(tmp_path) if name != "a.csv"]
        assert len(left) == 1 and f"-{other.pid}-" in left[0]
        os.utime(tmp_path / left[0], (0, 0))  # older than any process writes
        write_whole(file, b"whole", 0o600)
        assert names(tmp_path) == ["a.csv"] and file.read_bytes() == b"whole"
        other.kill()


def test_a_system_that_refuses_modes_and_flushes_is_used_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def refusing(number: int) -> Callable[..., None]:
        def refuse(*_: object) -> None:
            raise OSError(number, os.strerror(number))

        return refuse

    monkeypatch.setattr(os, "fchmod", refusing(errno.EPERM))
    monkeypatch.setattr(os, "fsync", refusing(errno.EINVAL))
    for content in (b"one", b"two"):
        write_whole(tmp_path / "a.csv", content, 0o400)
    assert (tmp_path / "a.csv").read_bytes() == b"two" and names(tmp_path) == ["a.csv"]
    assert [(record.levelno, record.name) for record in caplog.records] == [(logging.WARNING, "device.system.foreign_files")]
    monkeypatch.setattr(os, "fsync", refusing(errno.EIO))
    with pytest.raises(OSError, match="Input/output"):
        write_whole(tmp_path / "a.csv", b"three", 0o400)
    assert (tmp_path / "a.csv").read_bytes() == b"two" and names(tmp_path) == ["a.csv"]


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "none/target", b"", 0o600)
