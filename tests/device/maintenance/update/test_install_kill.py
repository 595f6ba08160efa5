"""An update that is killed at any step: one complete release is in force, and the next update succeeds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from device.maintenance.update.releases import Installation
from device.system.files import Disk
from tests.device.maintenance.update.installations import Terminal, bundled, updated, whole

ROOT = Path(__file__).resolve().parents[4]

STOPPING = """
import os, shutil, signal, sys
from pathlib import Path
from device.maintenance.update import install
from device.system.files import Disk
from device.maintenance.update.releases import Installation
from tests.device.maintenance.update.installations import Terminal

class Stopping(Disk):
    def __init__(self, left):
        self.left = left

    def step(self):
        self.left -= 1
        if self.left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def sync(self, path):
        self.step()
        super().sync(path)

    def rename(self, source, target):
        self.step()
        super().rename(source, target)  # its own sync comes after the rename: killed there too

    def link(self, place, target):
        self.step()
        super().link(place, target)

base, bundle, database = map(Path, sys.argv[1:])
for step in range(1000):
    root = base.with_name(f"copy{step}")
    shutil.copytree(base, root, symlinks=True)
    victim = os.fork()
    if victim == 0:
        installation = Installation(root, Stopping(step))
        with installation.changing():
            release = install.install(installation, bundle, database)
            install.switch(installation, release, database, Terminal(installation), lambda line: None)
        os._exit(0)
    _, status = os.waitpid(victim, 0)
    if not os.WIFSIGNALED(status):
        sys.exit(os.WEXITSTATUS(status))
"""


def test_killed_at_every_step_one_complete_release_is_in_force(installation: Installation, database: Path, tmp_path: Path) -> None:
    """An update is killed at each flush, rename and link; the next update then succeeds."""
    (first, one), (second, two) = bundled(tmp_path, 1), bundled(tmp_path, 2)
    updated(installation, first, database, Terminal(installation))
    killing = subprocess.run([sys.executable, "-c", STOPPING, str(installation.root), str(second), str(database)], cwd=ROOT, capture_output=True, text=True)
    assert killing.returncode == 0, killing.stderr
    copies = [Installation(folder) for folder in tmp_path.glob("copy*")]
    assert len(copies) > 20
    assert {whole(copy) for copy in copies} == {one, two} and {copy.named("proven") for copy in copies} == {one, two}
    for copy in copies[::5]:
        assert updated(copy, second, database, Terminal(copy)) and whole(copy) == two
        assert not list((copy.root / "releases").glob(".*"))


class Noting(Disk):
    """Records the order of flushes and renames."""

    def __init__(self) -> None:
        self.synced: list[int] = []  # inodes
        self.renamed: list[tuple[str, set[int]]] = []  # name, inodes flushed by then

    def sync(self, path: Path) -> None:
        self.synced.append(path.stat().st_ino)
        super().sync(path)

    def rename(self, source: Path, target: Path) -> None:
        self.renamed.append((target.name, set(self.synced)))
        super().rename(source, target)
        assert self.synced[-1] == target.parent.stat().st_ino  # the name itself is on disk before anything follows


def test_content_is_on_the_disk_before_the_name_that_shows_it(installation: Installation, database: Path, tmp_path: Path) -> None:
    """So a power cut, which loses unflushed data, leaves no incomplete release under the name of a complete one."""
    bundle, release = bundled(tmp_path, 1)
    installation.disk = noting = Noting()
    assert updated(installation, bundle, database, Terminal(installation))
    names = [name for name, _ in noting.renamed]
    assert names == [release, "trial.json", "current", "proven", "clockface"]
    flushed = dict(noting.renamed)[release]
    inside = [path for path in installation.path(release).rglob("*") if not path.is_symlink() and ".venv" not in path.parts]
    assert {path.stat().st_ino for path in inside} <= flushed and len(inside) > 8
