"""An installation for tests of updates: small bundles, a service that records its starts, a check of the release in force."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from device.maintenance.update import install
from device.maintenance.update.releases import Installation, read_manifest
from device.system.systemd import Service
from device.vision.catalogue import sha256
from tests.device.maintenance.update.bundles import contents, made


class Terminal(Service):
    """A service that records its starts; a release is healthy unless it is among the bad ones."""

    def __init__(self, installation: Installation, *bad: str) -> None:
        super().__init__("test")
        self.installation, self.bad = installation, bad
        self.started: list[str | None] = []

    def restart(self) -> str | None:
        current = self.installation.named("current")
        self.started.append(current)
        return "it ended" if current in self.bad else None

    def stop(self) -> str | None:
        return None


def bundled(tmp_path: Path, built: int, faults: tuple[str, ...] = (), **fields: Any) -> tuple[Path, str]:
    """A bundle and the id of its release."""
    path = tmp_path / f"{built}.bundle"
    return path, made(path, contents(faults, f"build {built}"), built=built, **fields).release_id


def updated(installation: Installation, bundle: Path, database: Path, service: Service | None, said: list[str] | None = None) -> bool:
    with installation.changing():
        release = install.install(installation, bundle, database)
        return install.switch(installation, release, database, service, (said if said is not None else []).append)


def whole(installation: Installation) -> str:
    """The id of the release in force, after a check of all its files against its manifest."""
    folder = installation.root / "current"
    manifest = read_manifest(folder)
    assert manifest is not None
    assert {file.path: sha256(folder / file.path) for file in manifest.files} == {file.path: file.sha256 for file in manifest.files}
    return manifest.release_id
