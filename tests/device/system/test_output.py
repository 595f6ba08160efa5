"""A line that cannot be printed ends no service: a full disk, a reader that is gone, a name outside the character set."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

SERVICE = """
import sys
from device.system.output import expendable_output
with expendable_output():
    for line in ("Ada Kern", "Łukasz Żak 王", "end"):
        print(line, flush=True)
        print(line, file=sys.stderr)
open(sys.argv[1], "w").write("went on")
"""


def service(tmp_path: Path, output: object, **environment: str) -> int:
    """Exit code of a process that prints three lines there, and then leaves a mark."""
    command = [sys.executable, "-c", SERVICE, str(tmp_path / "mark")]
    done = subprocess.run(command, stdout=output, stderr=output, env={**os.environ, "PYTHONPATH": os.getcwd(), **environment}, timeout=60)  # type: ignore[call-overload]
    assert (tmp_path / "mark").read_text() == "went on"
    return int(done.returncode)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk(tmp_path: Path) -> None:
    with open("/dev/full", "wb") as full:
        assert service(tmp_path, full) == 0


def test_a_reader_that_is_gone(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    assert service(tmp_path, writing) == 0
    os.close(writing)


def test_a_name_outside_the_character_set(tmp_path: Path) -> None:
    with open(tmp_path / "log", "wb") as log:
        assert service(tmp_path, log, PYTHONIOENCODING="ascii", LC_ALL="C") == 0
    assert b"Ada Kern" in (tmp_path / "log").read_bytes() and b"\\u0141ukasz" in (tmp_path / "log").read_bytes()


WITH_STATUS = """
import logging, sys
from device.system.output import expendable_output, show_status
with expendable_output():
    show_status("30.0 frames/s  nobody in view")
    print("one")
    show_status("30.0 frames/s  nobody in view")
    show_status("9.0 frames/s  Ada")
    logging.getLogger("device").error("two")
    show_status("30.0 frames/s  nobody in view")
print("three")
"""


def test_what_follows_a_status_line_begins_on_a_clean_line() -> None:
    reading, terminal = pty.openpty()
    subprocess.run([sys.executable, "-c", WITH_STATUS], stdout=terminal, stderr=terminal, env={**os.environ, "PYTHONPATH": os.getcwd()}, timeout=60, check=True)
    written = os.read(reading, 65536).decode()
    os.close(terminal)
    os.close(reading)
    assert "9.0 frames/s  Ada" in written
    assert [line.rsplit("\r\033[K")[-1] for line in written.split("\r\n")] == ["one", "two", "three", ""]
