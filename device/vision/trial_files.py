"""The clips and stills of a liveness trial: in folders by species, or in a table."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from device.vision.evaluation import TrialError
from device.vision.images import IMAGE_SUFFIXES
from device.vision.visit_looks import CLIP_SUFFIXES

BONA_FIDE = ("real", "bonafide", "bona-fide")  # names of folders and species for living faces
COLUMNS = ("file", "species", "source")
FORM = "make a sub-folder `real` and one for each species of attack, with clips in them"


@dataclass(frozen=True)
class TrialFile:
    """A clip or still that is to be presented."""

    path: Path
    name: str  # path from the trial's folder
    species: str
    source: str  # who recorded it, or with what; empty where nothing was said

    @property
    def attack(self) -> bool:
        return self.species.lower() not in BONA_FIDE

    @property
    def still(self) -> bool:
        return self.path.suffix.lower() in IMAGE_SUFFIXES

    @property
    def usable(self) -> bool:
        return self.still or self.path.suffix.lower() in CLIP_SUFFIXES


def listed(folder: Path, table: Path | None = None) -> tuple[list[TrialFile], list[str]]:
    """The clips and stills, and the names of files that are neither.

    Args:
        folder: with one sub-folder for each species; a folder inside one of these names the source.
        table: tab-separated with the columns file, species and source, instead of sub-folders; further columns are ignored.

    Raises:
        TrialError: there is no such folder or table, nothing in it, or a file of the table is missing.
    """
    if not folder.is_dir():
        raise TrialError(f"{folder}: there is no such folder; {FORM}", code="trial.no_folder")
    found = _from_folders(folder) if table is None else _from_table(folder, table)
    files = [file for file in found if file.usable]
    if not files:
        raise TrialError(f"{folder}: there are no clips or stills; {FORM}", code="trial.too_few")
    return files, [file.name for file in found if not file.usable]


def _from_folders(folder: Path) -> list[TrialFile]:
    paths = [path for path in sorted(folder.glob("*/**/*")) if path.is_file()]
    parts = [(path, path.relative_to(folder).parts) for path in paths]
    return [TrialFile(path, "/".join(part), part[0], "/".join(part[1:-1])) for path, part in parts if not any(name.startswith(".") for name in part)]


def _from_table(folder: Path, table: Path) -> list[TrialFile]:
    try:
        rows = list(csv.DictReader(table.read_text(encoding="utf-8-sig").splitlines(), delimiter="\t"))
    except (OSError, UnicodeDecodeError) as error:
        raise TrialError(f"{table} cannot be read ({error}); give a tab-separated file in UTF-8", code="trial.table") from error
    if any(not (row.get("file") and row.get("species")) for row in rows):
        raise TrialError(f"{table}: each row needs a file and a species; the first line has the words {', '.join(COLUMNS)}, tab-separated", code="trial.table")
    files = [TrialFile(folder / row["file"], row["file"], row["species"], row.get("source") or "") for row in rows]
    names = [file.name for file in files]
    for file in files:
        if not file.path.is_file() or names.count(file.name) > 1:
            raise TrialError(f"{table}: {file.name} is not in {folder}, or stands there twice; correct the table", code="trial.table")
    return files
