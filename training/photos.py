"""Photos as people have them, each with its person: a folder per person, LFW's names, a list, WebDataset shards, InsightFace records."""

from __future__ import annotations

import json
import os
import re
import tarfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath

from device.contract import ClockfaceError
from device.system import table_file
from device.vision.heif import HEIC_SUFFIXES
from device.vision.images import HEIC, IMAGE_SUFFIXES, bytes_of, is_litter
from training import file_kinds
from training.recordio import RecordError, RecordFile

COLUMNS = {  # of a list -> what its header may say
    "path": ("file", "photo", "image", "picture", "filename", "datei", "foto", "bild"),
    "identity": ("person", "name", "label", "id", "class", "subject"),
}
LISTS = (".csv", ".tsv", ".txt", ".xlsx")
LFW = re.compile(r"(.+)_\d{1,6}")  # Ada_Kern_0001
PARTS = ("held_out", "train")
HELD_OUT = 1 / 3  # of the people
OF_A_PERSON = (".cls", ".id", ".txt", ".json")  # files of a WebDataset sample that may say whose it is
KEYS = ("identity", "person", "label", "id", "class", "name")  # of its .json
FORMS = (
    "give a folder with one sub-folder per person, a list (.csv with the columns path and identity), "
    "WebDataset shards (.tar) or an InsightFace .rec with its .idx"
)


class PhotosError(ClockfaceError):
    """There are no photos of a known form; the message lists the forms."""

    code = "photos"


@dataclass(frozen=True)
class LabelledPhoto:
    """One photo."""

    name: str  # where it is, from the source
    person: str
    read: Callable[[], bytes]  # ClockfaceError if it cannot be read
    file: str  # its name among those of its person


@dataclass(frozen=True)
class PhotoSet:
    """The photos of a source, and what is none."""

    photos: list[LabelledPhoto] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)  # name -> why


def listed(source: Path) -> PhotoSet:
    """All photos of a source, in order of name.

    Raises:
        PhotosError: no photo of a known form.
        ListError: a list without the columns path and identity.
        RecordError: a .rec without its index.
    """
    found = _listed(source)
    if not found.photos:
        reasons = "".join(f"; {name}: {reason}" for name, reason in list(found.left_out.items())[:3])
        raise PhotosError(f"{source} has no photos that can be used{reasons}; {FORMS}", code="photos.none")
    return found


def _listed(source: Path) -> PhotoSet:
    suffix = source.suffix.lower()
    if source.is_dir():
        shards = sorted(source.glob("*.tar"))
        return _from_shards(shards) if shards and not any(path.is_dir() for path in source.iterdir()) else _from_folder(source)
    if not source.is_file():
        raise PhotosError(f"{source} does not exist; {FORMS}", code="photos.none")
    if suffix == ".tar":
        return _from_shards([source])
    if suffix == ".rec":
        return _from_records(source)
    if suffix in LISTS:
        return _from_list(source)
    what = f" (it is {found})" if (found := file_kinds.kind(source)) else ""
    raise PhotosError(f"{source} has no photos of a known form{what}; {FORMS}", code="photos.none")


def _from_folder(folder: Path) -> PhotoSet:
    """A sub-folder per person, at any depth; without sub-folders, files named like those of LFW: Ada_Kern_0001.jpg."""
    found = PhotoSet()
    paths = [path for path in sorted(_walked(folder)) if not is_litter(path.relative_to(folder).as_posix())]
    flat = not any(path.is_dir() for path in paths)
    filled = {path.parent for path in paths}
    for path in paths:
        name = path.relative_to(folder).as_posix()
        in_name = LFW.fullmatch(path.stem)
        person = path.parent.relative_to(folder).as_posix() if not flat else in_name[1] if in_name else ""
        if path.is_dir():
            if path not in filled:
                found.left_out[f"{name}/"] = "the folder is empty"
        elif reason := _no_photo(path):
            found.left_out[name] = reason
        elif person in ("", "."):
            found.left_out[name] = f"nobody is named; put it into a folder of its person{', or call it NAME_0001' if flat else ''}"
        else:
            found.photos.append(LabelledPhoto(name, person, partial(bytes_of, path), path.name))
    return found


def _walked(folder: Path) -> Iterable[Path]:
    """Everything below a folder; links are followed, except to where the way came from."""
    for here, folders, files in os.walk(folder, followlinks=True):
        if links := {name for name in folders if os.path.islink(os.path.join(here, name))}:
            above = {Path(here).resolve(), *Path(here).resolve().parents}
            folders[:] = [name for name in folders if name not in links or (Path(here) / name).resolve() not in above]
        yield from (Path(here) / name for name in (*folders, *files))


def _no_photo(path: Path) -> str:
    """Why a file is no photo; empty if it may be one."""
    suffix = path.suffix.lower()
    if not path.exists():
        return "the link leads nowhere" if path.is_symlink() else "does not exist"
    if suffix in IMAGE_SUFFIXES:
        return ""
    return HEIC if suffix in HEIC_SUFFIXES else f"no picture by its name ({suffix or 'without a suffix'})"


def _from_list(path: Path) -> PhotoSet:
    """A list with the columns path and identity; paths are relative to the list."""
    found = PhotoSet()
    rows = table_file.read(path.read_bytes(), COLUMNS, ["path", "identity"]).rows
    people = defaultdict(set)
    for row in rows:
        people[row["path"]].add(row["identity"])
    for name, owners in people.items():
        file = path.parent / name.replace("\\", "/")
        if not name or "" in owners:
            found.left_out[name or "a row without a path"] = "the row has no path or no identity"
        elif len(owners) > 1:
            found.left_out[name] = f"listed for {len(owners)} people: {', '.join(sorted(owners))}"
        elif reason := _no_photo(file):
            found.left_out[name] = reason
        else:
            found.photos.append(LabelledPhoto(name, min(owners), partial(bytes_of, file), name))
    return found


def _from_shards(paths: list[Path]) -> PhotoSet:
    """WebDataset: the files of a sample share a key. Its person is in KEY.cls, KEY.id, KEY.txt or KEY.json, or else the folder in the key."""
    found = PhotoSet()
    for path in paths:
        samples: dict[str, dict[str, tarfile.TarInfo]] = defaultdict(dict)
        for member in _members(path, found.left_out):
            place = PurePosixPath(member.name)
            key, _, rest = place.name.partition(".")
            samples[str(place.parent / key)][f".{rest}".lower()] = member
        for key, files in samples.items():
            _add_sample(found, path, key, files)
    return found


def _members(path: Path, left_out: dict[str, str]) -> Iterable[tarfile.TarInfo]:
    """The files of a shard; one that ends within a file loses that file."""
    size = path.stat().st_size
    try:
        with tarfile.open(path, "r:") as shard:
            for member in shard:
                if member.isfile() and not is_litter(member.name):
                    if member.offset_data + member.size > size:
                        raise tarfile.ReadError("unexpected end of data")
                    yield member
    except tarfile.TarError as error:
        left_out[path.name] = f"the shard cannot be read further ({error}); unpack it if it is compressed, else copy it again"


def _add_sample(found: PhotoSet, shard: Path, key: str, files: dict[str, tarfile.TarInfo]) -> None:
    photos = [suffix for suffix in files if suffix in IMAGE_SUFFIXES]
    person = next((_person(_bytes(shard, files[suffix]), suffix) for suffix in OF_A_PERSON if suffix in files), PurePosixPath(key).parent.name)
    for suffix in photos:
        name = f"{shard.name}/{files[suffix].name}"
        if person:
            found.photos.append(LabelledPhoto(name, person, partial(_bytes, shard, files[suffix]), name))
        else:
            found.left_out[name] = f"nobody is named; add {key}.cls or {key}.json with an identity, or put it into a folder"
    if not photos:
        found.left_out[f"{shard.name}/{key}"] = f"no picture among its files ({', '.join(sorted(files))})"


def _person(data: bytes, suffix: str) -> str:
    """Whose a sample is, from one of its files; empty if that does not say."""
    try:
        text = data.decode("utf-8").strip()
        values = json.loads(text) if suffix == ".json" else text
    except ValueError:
        return ""
    if isinstance(values, dict):
        values = next((values[key] for key in KEYS if key in values), "")
    return str(values) if isinstance(values, (str, int)) else ""


def _bytes(shard: Path, member: tarfile.TarInfo) -> bytes:
    with shard.open("rb") as file:
        file.seek(member.offset_data)
        return file.read(member.size)


def _from_records(path: Path) -> PhotoSet:
    """InsightFace records; the person is the label."""
    found, records = PhotoSet(), RecordFile(path)
    for key in records.keys:
        label = records.label(key)
        if label is None:
            found.left_out[f"record {key}"] = "the record is damaged or cut off"
        else:
            found.photos.append(LabelledPhoto(f"record {key}", str(label), partial(_payload, records, key), str(key)))
    return found


def _payload(records: RecordFile, key: int) -> bytes:
    payload = records.record(key).payload
    if not payload:
        raise RecordError(f"record {key} has no picture; create the .rec file again")
    return payload


@dataclass(frozen=True)
class CropFolder:
    """Where crops are: in a folder per person; with `parts`, these are in `held_out` for a third of the people and in `train` for the others."""

    path: Path
    parts: bool = False

    def file(self, photo: LabelledPhoto) -> Path:
        return self.path / self._part(photo.person) / file_name(photo.person) / f"{file_name(photo.file)}.png"

    def _part(self, person: str) -> str:
        """A function of the name alone: whoever comes later moves nobody else."""
        if not self.parts:
            return ""
        return PARTS[zlib.crc32(person.encode()) >= HELD_OUT * 2**32]

    def check(self) -> None:
        """Refuse a folder whose crops were sorted the other way.

        Raises:
            PhotosError: it has parts and must not, or the reverse.
        """
        found = any((self.path / part).is_dir() for part in PARTS)
        if (self.path / "report.tsv").exists() and found != self.parts:
            raise PhotosError(f"{self.path} was prepared {'with' if found else 'without'} --hold-out; do as then, or name another folder", code="photos.parts")


def file_name(text: str) -> str:
    """A text as one part of a path, different for different texts: signs that a file system may not take are written as %2F."""
    return re.sub(r'^\.|[%/\\:*?"<>|\x00-\x1f]|[. ]$', lambda found: f"%{ord(found[0]):02X}", text)
