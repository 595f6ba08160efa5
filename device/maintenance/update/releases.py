"""An installation: releases side by side and links that say which one is in force; every change is one rename.

releases/ID/    a complete release, never changed
current      -> the release that starts
proven       -> the last one that started well; if `current` is another, that one is on trial
previous     -> the one that was proven before
clockface    -> the proven release's launcher: what people and the service call
trial.json      how often the release on trial was started
trusted/        public keys whose bundles are installed
environments/   Python environments, shared by releases with the same requirements
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from device.config.places import HOME, RELEASES, ROOT
from device.contract import ClockfaceError
from device.maintenance.update.manifest import MANIFEST, BundleError, Manifest
from device.system.files import Disk
from device.system.locks import FileLock

LAUNCHER = "clockface"  # in each release; in the installation a link to that of the proven one
STARTS = 3  # starts of a release on trial that may fail before it is given up


class ReleaseError(ClockfaceError):
    """An operation on the installation failed; the message says what to do."""

    code = "release"


@dataclass(frozen=True)
class TrialRelease:
    """The release on trial."""

    release: str
    starts: int = 0
    database: str = ""  # copied before the switch if the release changes its schema
    copy: str = ""


@dataclass(frozen=True)
class Release:
    """One release on disk."""

    id: str
    manifest: Manifest | None  # None: of a schema this program does not know
    state: str  # "current", "on trial", "proven" (to go back to), "previous" or ""


class Installation:
    """The folder of an installation; made if it is missing."""

    def __init__(self, root: Path, disk: Disk | None = None) -> None:
        self.root = root.absolute()
        self.disk = disk or Disk()

    @classmethod
    def here(cls) -> Installation | None:
        """The installation this code runs in; None in a checkout."""
        return None if HOME == ROOT else cls(HOME)

    @property
    def trusted(self) -> Path:
        return self.root / "trusted"

    def path(self, release: str) -> Path:
        return self.root / RELEASES / release

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Lock the installation for changes by one process; what a killed process left is removed first."""
        try:
            for folder in (self.root, self.root / RELEASES, self.trusted):
                folder.mkdir(mode=0o755, parents=True, exist_ok=True)
            lock = FileLock(self.root / ".lock", wait=False)
        except BlockingIOError as error:
            raise ReleaseError(f"{self.root} is being changed by another update; wait until it has ended", code="release.busy") from error
        except OSError as error:
            raise ReleaseError(
                f"{self.root} cannot be changed by this user ({error.strerror}); run it with sudo, or give another folder to --root", code="release.not_written"
            ) from error
        with lock:
            for left in (self.root / RELEASES).glob(".*"):
                shutil.rmtree(left, ignore_errors=True)
            yield

    def named(self, link: str) -> str | None:
        """The release that `current`, `proven` or `previous` points to; None if there is none, or it is no longer on disk."""
        place = self.root / link
        return Path(os.readlink(place)).name if place.is_symlink() and place.is_dir() else None

    @property
    def on_trial(self) -> str | None:
        current = self.named("current")
        return current if current != self.named("proven") else None

    def releases(self) -> list[Release]:
        """All complete releases, the newest build first."""
        current, proven, previous = (self.named(link) for link in ("current", "proven", "previous"))
        states = {previous: "previous", proven: "proven", current: "current" if current == proven else "on trial"}
        folders = (self.root / RELEASES).glob("[!.]*")
        found = [Release(folder.name, read_manifest(folder), states.get(folder.name, "")) for folder in folders]
        return sorted(found, key=lambda release: (release.manifest.built if release.manifest else 0, release.id), reverse=True)

    def add(self, release: str, fill: Callable[[Path], None]) -> None:
        """Add a release: filled under a temporary name, flushed, then renamed."""
        staging = self.root / RELEASES / f".staging-{release}"  # as deep as a release, so that its relative links are valid already
        try:
            fill(staging)
            self.disk.sync_tree(staging)
            self.disk.rename(staging, self.path(release))
        except OSError as error:
            raise ReleaseError(
                f"release {release} cannot be written ({error}): check the disk's space and health; nothing was switched", code="release.not_written"
            ) from error
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def start_trial(self, trial: TrialRelease) -> None:
        """Make a release current, on trial: unless it is confirmed, the proven one becomes current again."""
        self._write_trial(trial)
        self._point("current", trial.release)

    def trial(self) -> TrialRelease | None:
        """The current trial with its number of starts; None: no release is on trial."""
        release = self.on_trial
        if release is None:
            return None
        try:
            trial = TrialRelease(**json.loads((self.root / "trial.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            trial = TrialRelease(release)
        return trial if trial.release == release else TrialRelease(release)

    def count_start(self, trial: TrialRelease) -> TrialRelease:
        """Count one more start of the release on trial, before it happens."""
        counted = TrialRelease(trial.release, trial.starts + 1, trial.database, trial.copy)
        self._write_trial(counted)
        return counted

    def confirm(self) -> str | None:
        """Make the release on trial the proven one, and the one before the previous. Returns its id; None: no trial."""
        release, before = self.on_trial, self.named("proven")
        if release is None:
            return None
        if before is not None:
            self._point("previous", before)
        self._point("proven", release)
        if not (self.root / LAUNCHER).is_symlink():
            self.disk.link(self.root / LAUNCHER, f"proven/{LAUNCHER}")
        return release

    def go_back(self) -> str | None:
        """Make the proven release current again; None: there is none, and no release is current."""
        proven = self.named("proven")
        if proven is not None:
            self._point("current", proven)
        else:
            (self.root / "current").unlink(missing_ok=True)
            self.disk.sync(self.root)
        return proven

    def remove(self, release: str) -> None:
        """Remove a release; it is renamed first, so that an incomplete one is never taken for a release."""
        renamed = self.root / RELEASES / f".gone-{release}"
        self.disk.rename(self.path(release), renamed)
        shutil.rmtree(renamed, ignore_errors=True)

    def prune(self, keep: int) -> list[str]:
        """Remove old releases except those in use and the newest `keep`; returns their ids."""
        removed = [release.id for place, release in enumerate(self.releases()) if place >= keep and not release.state]
        for release in removed:
            self.remove(release)
        used = {Path(os.readlink(place)).name for place in (self.root / RELEASES).glob("*/.venv") if place.is_symlink()}
        for folder in (self.root / "environments").glob("*"):
            if folder.name not in used:
                shutil.rmtree(folder, ignore_errors=True)
        return removed

    def _point(self, link: str, release: str) -> None:
        self.disk.link(self.root / link, f"{RELEASES}/{release}")

    def _write_trial(self, trial: TrialRelease) -> None:
        self.disk.write(self.root / "trial.json", json.dumps(trial.__dict__).encode(), 0o600)


def read_manifest(release: Path) -> Manifest | None:
    """The manifest of a release on disk; None if this program cannot read it."""
    try:
        return Manifest.from_bytes((release / MANIFEST).read_bytes())
    except (OSError, BundleError):
        return None
