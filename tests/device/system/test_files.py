"""Files are written atomically: interrupted at any step, a file has its old content or its new one, and no draft remains after an error."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from device.system.files import Disk


class Stopped(Exception):
    pass


class Stopping(Disk):
    """Stops after this many steps; each flush and each rename is a step."""

    def __init__(self, remaining: int) -> None:
        self.remaining = remaining

    def step(self) -> None:
        self.remaining -= 1
        if self.remaining < 0:
            raise Stopped

    def sync(self, path: Path) -> None:
        self.step()
        super().sync(path)

    def rename(self, source: Path, target: Path) -> None:
        self.step()
        super().rename(source, target)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize(("step", "content"), [(0, b"old"), (1, b"old"), (2, b"new"), (3, b"new")])
def test_interrupted_at_any_step_a_file_has_one_whole_content(alone: bool, step: int, content: bytes, tmp_path: Path) -> None:
    """The steps: flush the draft, rename it, flush the folder."""
    file = tmp_path / "file"
    file.write_bytes(b"old")
    disk = Stopping(step)
    if step < 3:
        with pytest.raises(Stopped):
            disk.write(file, b"new", alone=alone)
    else:
        disk.write(file, b"new", alone=alone)
    assert file.read_bytes() == content and names(tmp_path) == ["file"]


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
def test_the_mode_does_not_depend_on_the_umask(mode: int, alone: bool, tmp_path: Path) -> None:
    (tmp_path / "file").touch(0o666)
    before = os.umask(0o077)
    try:
        Disk().write(tmp_path / "file", b"x", mode, alone)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode


def test_a_draft_that_a_power_cut_left_behind_is_replaced(tmp_path: Path) -> None:
    (tmp_path / ".file.new").write_bytes(b"half")
    Disk().write(tmp_path / "file", b"whole")
    assert (tmp_path / "file").read_bytes() == b"whole" and names(tmp_path) == ["file"]


def test_two_writers_of_one_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    file = tmp_path / "file"

    class Meanwhile(Disk):
        def sync(self, path: Path) -> None:
            if path.name.startswith(".file."):
                Disk().write(file, b"other", alone=False)
            super().sync(path)

    Meanwhile().write(file, b"mine", alone=False)
    assert file.read_bytes() == b"mine" and names(tmp_path) == ["file"]


def test_a_long_name_has_room_for_its_draft(tmp_path: Path) -> None:
    Disk().write(tmp_path / ("n" * 255), b"x", alone=False)
    assert names(tmp_path) == ["n" * 255]


def test_a_folder_may_be_reached_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    Disk().write(tmp_path / "link" / "file", b"x")
    assert (tmp_path / "real" / "file").read_bytes() == b"x"


def test_a_link_is_not_followed_to_flush_it(tmp_path: Path) -> None:
    """It may lead to a pipe or a device, which would block when it is opened."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "link").symlink_to("../pipe")
    Disk().sync_tree(tmp_path / "tree")
    with pytest.raises(OSError, match="symbolic links"):
        Disk().sync(tmp_path / "tree" / "link")
