"""first-start.sh after a reset to factory, run in a folder in place of a machine: it works once more, and leaves the installed release alone."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "device/packaging/image/first-start.sh"
PLACES = ("/usr/share/clockface", "/srv/clockface", "/opt/clockface", "/proc/sys/kernel/hostname", "/etc", "/tmp", "/var")
TOOLS = ("systemctl", "mount", "findmnt", "sfdisk", "partx", "resize2fs", "lsblk", "ssh-keygen")  # of the machine: none of them may be called here


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    text = SCRIPT.read_text()
    for number, place in enumerate(PLACES):
        text = text.replace(place, f"@{number}@")
    for number, place in enumerate(PLACES):
        text = text.replace(f"@{number}@", f"{tmp_path}{place}")
    assert not any(place in text.replace(str(tmp_path) + "/", "@") for place in ("/proc/sys", " /etc", "=/srv"))
    (tmp_path / "script.sh").write_text(text)
    for folder in ("usr/share/clockface", "srv/clockface/data", "opt/clockface", "proc/sys/kernel", "etc", "tools"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "usr/share/clockface/image.env").write_text("IMAGE=one\nNAME=gate\nBOOT=/nowhere\nREAD_ONLY=no\nAPART=no\n")
    (tmp_path / "usr/share/clockface/install.sh").write_text(f"echo installed >> {tmp_path}/log\nmkdir -p {tmp_path}/opt/clockface/current\n")
    (tmp_path / "etc/machine-id").write_text("0123456789abcdef\n")
    (tmp_path / "tools" / "sync").symlink_to("/bin/true")
    for tool in TOOLS:
        (tmp_path / "tools" / tool).write_text(f"#!/bin/sh\necho {tool} $* >> {tmp_path}/log\n")
        (tmp_path / "tools" / tool).chmod(0o755)
    return tmp_path


def start(machine: Path) -> str:
    """What it says."""
    environment = os.environ | {"PATH": f"{machine}/tools:{os.environ['PATH']}"}
    return subprocess.run(["sh", str(machine / "script.sh")], env=environment, capture_output=True, text=True, check=True, timeout=30).stdout


def log(machine: Path) -> list[str]:
    return (machine / "log").read_text().splitlines()


def test_a_reset_asks_for_one_more_first_start_and_keeps_the_release(machine: Path) -> None:
    asked = machine / "srv/clockface/data/first-start"
    assert "done after" in start(machine) and log(machine) == ["installed"]
    assert start(machine) == ""  # the next boot
    asked.write_text("reset\n")
    said = start(machine)
    assert "this machine is gate-" in said and "done after" in said and log(machine) == ["installed"] and not asked.exists()
    assert start(machine) == ""


def test_a_new_image_installs_its_release_also_after_a_reset(machine: Path) -> None:
    start(machine)
    (machine / "srv/clockface/data/first-start").write_text("reset\n")
    (machine / "srv/clockface/started").write_text("older\n")
    assert "done after" in start(machine) and log(machine) == ["installed", "installed"]
    assert not (machine / "srv/clockface/data/first-start").exists()
