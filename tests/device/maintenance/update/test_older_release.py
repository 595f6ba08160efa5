"""A board installed before `device/` had rooms updates to a bundle of today and back: real bundles, real programs, one real face."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from device.vision import catalogue

ROOT = Path(__file__).resolve().parents[4]
OLDER = "daa2cadcd0368c2bbc2c6d75a591c8f6fe12a6e6"  # the last commit with all of `device/` in one folder
BUILT = 1_790_000_000  # s since the epoch of the older bundle; the one of today is built later

Run = Callable[..., str]


def ended(*command: str | Path, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")} | more
    return subprocess.run([str(word) for word in command], cwd=cwd, env=environment, capture_output=True, text=True, timeout=250)


def run(*command: str | Path, cwd: Path, **more: str) -> str:
    """Standard output of a command that must succeed."""
    done = ended(*command, cwd=cwd, **more)
    assert done.returncode == 0, f"{command}: {done.stdout[-1500:]}{done.stderr[-1500:]}"
    return done.stdout


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source of the older release, as its commit has it."""
    if subprocess.run(["git", "cat-file", "-e", f"{OLDER}^{{commit}}"], cwd=ROOT, capture_output=True).returncode:
        pytest.skip(f"the history has no commit {OLDER[:7]}: fetch it all (git fetch --unshallow)")
    folder = tmp_path_factory.mktemp("older")
    parts = ("device", "export", "training", "models", "pyproject.toml", "LICENSE")
    archive = subprocess.run(["git", "archive", OLDER, *parts], cwd=ROOT, capture_output=True, check=True)
    subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
    for file in (ROOT / "models").iterdir():  # those that were pulled; the older release builds its own SFace from the published one
        if file.name != "sface.onnx" and not (folder / "models" / file.name).exists():
            (folder / "models" / file.name).symlink_to(file.resolve())
    return folder


def named(release: Path, picture: Path, database: Path) -> str | None:
    """The name of the person whom a release recognises in a picture."""
    lines = run(release / ".venv/bin/python3", release / "clockface.py", "identify", picture, "--db", database, "--json", cwd=release)
    name: str | None = json.loads(lines)["faces"][0]["name"]
    return name


def test_an_older_board_updates_to_today_and_back(older: Path, tmp_path: Path) -> None:
    for name in ("yunet", "sface-original", "portrait-hopper"):
        if (fault := catalogue.Catalogue.load().fault(catalogue.Catalogue.load().entries[name])) is not None:
            pytest.skip(f"{fault}: python -m device models pull")
    picture, root, key = ROOT / "models/grace_hopper.jpg", tmp_path / "clockface", tmp_path / "key"
    database = tmp_path / "data/clockface.db"
    run(sys.executable, "-m", "device", "models", "pull", "sface", cwd=older)
    run(sys.executable, "-m", "export", "keygen", key, cwd=ROOT)
    bundles = []
    for source, built in ((older, BUILT), (ROOT, BUILT + 1)):
        out = tmp_path / source.name
        run(sys.executable, "-m", "export", "bundle", "--out", out, "--key", key, cwd=source, SOURCE_DATE_EPOCH=str(built))
        bundles += out.glob("*.bundle")
    first, second = bundles

    program = [sys.executable, "-m", "device"]  # of the older source, as its installer would start it
    run(*program, "update", "trust", f"{key}.pub", "--root", root, cwd=older)
    run(*program, "update", first, "--root", root, "--db", database, cwd=older)
    before = (root / "current").resolve()
    enrolling = [before / ".venv/bin/python3", before / "clockface.py", "enroll", "Grace", picture, "--db", database]
    run(*enrolling, cwd=before)

    assert "is on trial" in run(root / "clockface", "update", second, "--db", database, cwd=tmp_path)  # by the program of the older release
    after = (root / "current").resolve()
    assert after != before and (after / "device/vision/catalogue.py").is_file()
    run(after / ".venv/bin/python3", after / "clockface.py", "people", "list", "--db", database, cwd=after)  # migrates the database
    assert f"back to {before.name}" in run(root / "clockface", "update", "rollback", "--db", database, cwd=tmp_path)  # by the program of today
    assert (root / "current").resolve() == before and named(before, picture, database) == "Grace"

    assert "is on trial" in run(root / "clockface", "update", second, "--db", database, cwd=tmp_path)
    run(after / ".venv/bin/python3", after / "clockface.py", "run", "--source", picture, "--once", "--headless", "--db", database, cwd=after)  # another model
    assert named(after, picture, database) == "Grace"
    for path in called_by_units(older):
        assert os.access(after / path, os.X_OK), path

    run(after / ".venv/bin/python3", after / "clockface.py", "update", "confirm", "--root", root, "--db", database, cwd=after)
    done = ended(root / "clockface", "update", "rollback", "--db", database, cwd=tmp_path)  # the older release cannot read the database any more
    assert done.returncode == 1 and "install a newer bundle instead" in done.stderr and (root / "current").resolve() == after


def called_by_units(source: Path) -> list[str]:
    """The scripts of the release in force that the systemd units of a source start."""
    units = "".join(path.read_text(encoding="utf-8") for path in (source / "device/board").glob("clockface*"))
    found = re.findall(r"/opt/clockface/current/(\S+\.sh)", units)
    assert len(found) >= 2
    return found
