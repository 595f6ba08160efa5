"""Make a bundle the running release, or go back: verify, stage, switch, examine, start, confirm."""

from __future__ import annotations

import json
import os
import platform
import pwd
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device.maintenance.update import database_copy
from device.maintenance.update import environment as environments
from device.maintenance.update.bundle import Bundle
from device.maintenance.update.manifest import TARGETS, BundleError, Manifest
from device.maintenance.update.releases import STARTS, Installation, ReleaseError, TrialRelease, read_manifest
from device.maintenance.update.signatures import read_trusted
from device.storage.database_files import remove
from device.system import hardware
from device.system.ownership import owner_of
from device.system.systemd import Service

PROGRAM = "clockface.py"  # in each release: runs it from any folder
DOCTOR_SECONDS = 300.0  # a Raspberry Pi 4 measures its models within this time
EMULATED_DOCTOR_SECONDS = 3600.0  # an emulated PC starts Python and loads the models that many times slower
SPARE = 200_000_000  # bytes that stay free on the disk
BOARDS = {"rpi": "Raspberry Pi", "jetson": "NVIDIA"}  # target -> what the device tree calls it
Say = Callable[[str], None]


@dataclass(frozen=True)
class Host:
    """The properties of a board that decide whether a bundle fits."""

    machine: str  # of the Python that runs, such as aarch64
    model: str  # from the device tree; empty where there is none
    python: str  # such as 3.11

    @classmethod
    def here(cls) -> Host:
        machine = platform.machine() if struct.calcsize("P") == 8 else f"{platform.machine()} with a 32-bit system"
        return cls(machine, hardware.board(), f"{sys.version_info.major}.{sys.version_info.minor}")


def check_fits(manifest: Manifest, board: Host, current: Manifest | None, database: Path, older: bool = False) -> None:
    """Check that a bundle is for this board and not older than the release in force.

    Raises:
        BundleError: it is for another board or Python, built before the release in force, or its store is older than the database.
    """
    machine = TARGETS[manifest.target]
    name = next((target for target, vendor in BOARDS.items() if vendor.lower() in board.model.lower()), "")
    if machine not in ("", board.machine) or (name and manifest.target in BOARDS and manifest.target != name):
        raise BundleError(f"bundle: made for {manifest.target}, this is {board.model or board.machine}; fetch the bundle for this board", code="update.board")
    if manifest.python and board.python not in manifest.python:
        raise BundleError(
            f"bundle: it has wheels for Python {', '.join(manifest.python)}, this is Python {board.python}; build it with --python {board.python}",
            code="update.python",
        )
    if current is not None and manifest.built < current.built and not older:
        raise BundleError(
            f"bundle: {manifest.release_id} was built before the release in force ({current.release_id}); add --older to go back on purpose",
            code="update.older",
        )
    if (version := database_copy.schema_of(database)) > manifest.database_schema:
        raise BundleError(f"bundle: its store supports schema {manifest.database_schema}, {database} has {version}; take a newer bundle", code="update.schema")


def stage(bundle: Bundle, folder: Path, installation: Installation) -> None:
    """Fill the folder of a release: files, Python environment, byte code."""
    bundle.unpack(folder)
    (folder / ".venv").symlink_to(environment(folder, bundle.manifest, installation))
    compiling = [str(folder / ".venv/bin/python3"), "-m", "compileall", "-q", str(folder / "device")]
    done = subprocess.run(compiling, capture_output=True, text=True, env=clean_environment())
    if done.returncode:
        raise BundleError(f"bundle: the program does not compile with this Python ({done.stdout.strip().splitlines()[:1]})", code="update.environment")


def environment(release: Path, manifest: Manifest, installation: Installation) -> str:
    """The path of a staged release's Python environment: made from its wheels, which are then removed, or the running one."""
    if not manifest.python:
        return str(Path(sys.prefix).resolve())
    wheels = release / environments.WHEELS
    try:
        name = environments.provide(installation.root, wheels, release / environments.REQUIREMENTS, manifest.target, installation.disk.sync_tree)
    except environments.CannotMake as error:
        raise BundleError(f"bundle: its Python environment cannot be made ({error})", code="update.environment") from error
    shutil.rmtree(wheels)
    return f"../../environments/{name}"


def install(installation: Installation, path: Path, database: Path, *, older: bool = False, board: Host | None = None) -> str:
    """Verify a bundle and put its release beside the others, without switching to it. Returns the release's id.

    Raises:
        BundleError: it is not signed by a trusted key, changed, or not for this board; nothing was unpacked.
    """
    with Bundle.open(path, read_trusted(installation.trusted)) as bundle:
        bundle.verify()
        current = installation.named("current")
        check_fits(bundle.manifest, board or Host.here(), read_manifest(installation.path(current)) if current else None, database, older)
        release = bundle.manifest.release_id
        if not installation.path(release).exists():
            size = sum(file.size for file in bundle.manifest.files)
            needed = size * (4 if bundle.manifest.python else 1) + SPARE  # wheels unpack to three times their size
            if (free := shutil.disk_usage(installation.root).free) < needed:
                raise BundleError(
                    f"bundle: {needed // 1_000_000} MB are needed at {installation.root}, {free // 1_000_000} MB are free; make room", code="update.no_room"
                )
            installation.add(release, lambda folder: stage(bundle, folder, installation))
    return release


def switch(installation: Installation, release: str, database: Path, service: Service | None, say: Say) -> bool:
    """Switch to a release on disk, examine it and start it; go back if one of these fails. Returns whether it stays.

    Without a service the release stays on trial until the terminal has been started by hand and confirms it.
    """
    manifest = read_manifest(installation.path(release))
    if manifest is None:
        raise ReleaseError(f"release {release} is not on this device; `python -m device update list` shows which are", code="release.unknown")
    before = examine(installation.path(current), database) if (current := installation.named("current")) else None
    copy = database_copy.keep_copy(database, manifest.database_schema)
    installation.start_trial(TrialRelease(release, 0, str(database), str(copy or "")))
    say(f"switched to {release}")
    fault = new_faults(before, examine(installation.root / "current", database))
    if fault is None and service is not None:
        fault = service.restart()
    if fault is None:
        if service is not None or installation.named("proven") is None:
            confirm(installation, say)
        else:
            say(f"{release} is on trial: start the terminal; it is kept once it has processed its first picture")
        return True
    say(f"{release} is not kept: {fault}")
    if service is not None:
        service.stop()
    put_back(installation, say)
    if service is not None and installation.named("current") and (second_fault := service.restart()):
        say(f"the previous release does not start either: {second_fault}")
    return False


def new_faults(before: Mapping[str, str] | None, after: Mapping[str, str]) -> str | None:
    """Faults that a release has and the previous one has not, as text; a fault of the machine itself is no reason to go back."""
    new = [f"{check}: {fault}" for check, fault in after.items() if before is None or check not in before]
    return f"its doctor reports {'; '.join(new)}" if new else None


def examine(release: Path, database: Path) -> dict[str, str]:
    """Run the doctor of a release with its own code and Python; returns check -> what is wrong, empty if nothing is.

    The camera is left out: the running terminal still uses it. The first start shows whether it works.
    """
    command = [str(release / ".venv/bin/python3"), str(release / PROGRAM), "doctor", "--skip", "camera", "--db", str(database), "--json"]
    seconds = EMULATED_DOCTOR_SECONDS if hardware.emulated() else DOCTOR_SECONDS
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, cwd=release, env=clean_environment(), **as_owner_of(database))
        checks = json.loads(done.stdout)["checks"]
        return {check["check"]: check["words"] for check in checks if check["state"] == "FAULT"}
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"doctor": f"does not run ({error})"}
    except (ValueError, KeyError, TypeError):
        return {"doctor": f"gives no report ({' '.join(done.stderr.strip().splitlines()[-1:]) or f'exit {done.returncode}'})"}


def confirm(installation: Installation, say: Say, keep: int = 3) -> None:
    """End the trial and keep its release."""
    trial = installation.trial()
    if trial is None:
        return
    installation.confirm()
    if trial.copy:
        remove(Path(trial.copy))
    say(f"{trial.release} is kept")
    for removed in installation.prune(keep):
        say(f"{removed} is removed")


def guard(installation: Installation, say: Say) -> None:
    """To be called before each start: go back if the release on trial was started too often without being confirmed."""
    trial = installation.trial()
    if trial is None or installation.named("proven") is None:
        return
    if trial.starts >= STARTS or installation.named("current") is None:
        say(f"{trial.release} did not become healthy in {trial.starts} starts")
        put_back(installation, say)
        return
    installation.count_start(trial)


def put_back(installation: Installation, say: Say) -> None:
    """End a failed trial: the proven release, and a database that it can read, are in force again."""
    trial = installation.trial()
    if trial is None:
        return
    if trial.copy and not database_copy.restore(Path(trial.database), Path(trial.copy)):
        say(f"people or punches have changed under {trial.release}: it stays, since the previous release cannot read this database")
        installation.confirm()
        return
    proven = installation.go_back()
    say(f"back to {proven}" if proven else "no release is in force")
    if trial.copy:
        remove(Path(trial.copy))


def rollback(installation: Installation, database: Path, service: Service | None, say: Say) -> bool:
    """Go back on request: end the trial, or switch to the release that was proven before."""
    if installation.on_trial:
        if service is not None:
            service.stop()
        put_back(installation, say)
        return service is None or service.restart() is None
    previous = installation.named("previous")
    if previous is None or previous == installation.named("current"):
        raise ReleaseError("there is no release to go back to; `python -m device update list` shows which are here", code="release.no_previous")
    manifest, version = read_manifest(installation.path(previous)), database_copy.schema_of(database)
    if manifest is not None and version > manifest.database_schema:
        raise ReleaseError(
            f"{previous} supports database schema {manifest.database_schema}, {database} has {version}: install a newer bundle instead", code="release.schema"
        )
    return switch(installation, previous, database, service, say)


def clean_environment() -> dict[str, str]:
    """The environment without variables that would make a release use modules, models or settings of another."""
    return {key: value for key, value in os.environ.items() if not key.startswith("PYTHON") and key not in ("CLOCKFACE_MODELS", "VIRTUAL_ENV")}


def as_owner_of(database: Path) -> dict[str, Any]:
    """Arguments that let `subprocess.run` run as the owner of the data, when root updates for a service user."""
    owner = owner_of(database)
    if os.geteuid() != 0 or owner == 0:
        return {}
    entry = pwd.getpwuid(owner)
    return {"user": owner, "group": entry.pw_gid, "extra_groups": os.getgrouplist(entry.pw_name, entry.pw_gid)}
