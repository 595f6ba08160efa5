"""Bulk enrolment: assigns photos to people, from sub-folders or a list, and enrols one person of the plan."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from device.contract import ClockfaceError, phrase, phrases
from device.storage.consents import ConsentDraft
from device.storage.records import LONGEST_CODE, LONGEST_NAME, UNSEEN, Person, clean_text
from device.storage.store import Store
from device.system import table_file
from device.terminal.enrolled import EnrolledGallery
from device.terminal.enrolment import EnrolmentError, check_new, check_room, check_same, look_alike_words, sample_picture, template_drafts
from device.terminal.photo_names import PhotoNames, unclear
from device.vision.heif import HEIC_SUFFIXES
from device.vision.images import HEIC, IMAGE_SUFFIXES, is_litter, picture
from device.vision.recogniser import Recogniser, Sample
from device.vision.upright import turned_words

MOST_PEOPLE = 5000  # in one list
MOST_ROWS = 20_000
COLUMNS = {  # of a list -> what its header may say
    "name": (
        "employee", "employee name", "full name", "person", "mitarbeiter", "mitarbeiterin", "vor- und nachname", "nombre", "nombre completo", "empleado",
        "nom", "nom complet", "employé", "ad soyad", "adı soyadı", "personel", "الاسم", "الاسم الكامل", "اسم الموظف",
        "姓名", "名字", "员工姓名", "員工姓名",
    ),
    **table_file.NAME_PARTS,
    "code": (
        "employee code", "employee id", "id", "number", "personalnummer", "nummer", "ausweis", "código", "número", "matricule", "numéro", "sicil no",
        "الرمز", "الرقم الوظيفي", "رقم الموظف", "工号", "工號", "员工编号", "编号",
    ),
    "photo": (
        "photos", "picture", "image", "file", "foto", "fotos", "bild", "datei", "imagen", "fotoğraf", "resim", "الصورة", "صورة", "照片", "相片", "图片",
    ),
}  # fmt: skip
CHANGED_CODE = re.compile(r"\d(?:[.,]\d+)?E\+\d+")  # what a spreadsheet writes for 1E5, and for a number of many digits
MOST_PHOTOS = 12  # of one person; more do not improve recognition
NAMED_WITH_CODE = re.compile(r"(.+?)\s*[(\uff08]([^()\uff08\uff09]+)[)\uff09]")  # "Ada Kern (E17)", also with the brackets of a Chinese keyboard


class BulkError(ClockfaceError):
    """A list cannot be read; the message gives the reason."""

    code = "bulk"


@dataclass(frozen=True)
class Enrollee:
    """One person to enrol."""

    name: str
    code: str
    photos: tuple[str, ...]  # paths inside the chosen folder
    problem: str = ""  # why this person cannot be enrolled


def from_folders(paths: Sequence[str]) -> list[Enrollee]:
    """One sub-folder per person, named like the person, optionally with the code in brackets: "Ada Kern (E17)".

    Folders of one name in different places are different people. A folder without a picture that can be read is a person with a problem.

    Args:
        paths: of files, from the folder that holds the people; one that ends with / is an empty folder.
    """
    found: dict[PurePosixPath, list[str]] = {}
    for path in sorted((path for path in paths if not is_litter(path)), key=lambda path: PurePosixPath(path).parts):
        parts = PurePosixPath(path)
        folder = parts if path.endswith("/") else parts.parent
        if folder.parts:
            found.setdefault(folder, []).extend([] if path.endswith("/") else [path])
    above = {parent for folder in found for parent in folder.parents}
    entries = []
    for folder, files in found.items():
        name, code = named(folder.name)
        photos = [path for path in files if PurePosixPath(path).suffix.lower() in IMAGE_SUFFIXES]
        if photos or folder not in above:  # one that only holds folders is nobody
            entries.append(_checked(name, code, photos, "" if photos else _no_picture(files)))
    return _each_once(entries)


def named(folder: str) -> tuple[str, str]:
    """Name and code of a folder: "Ada Kern (E17)"."""
    folder = folder.translate(UNSEEN).strip()
    found = NAMED_WITH_CODE.fullmatch(folder)
    return (found[1], found[2].strip()) if found else (folder, "")


def _no_picture(files: Sequence[str]) -> str:
    if not files:
        return phrase("folder.empty", "no photo: the folder is empty")
    phone = [PurePosixPath(path).name for path in files if PurePosixPath(path).suffix.lower() in HEIC_SUFFIXES]
    if phone:  # where HEIC is not read
        return phrase("folder.heic", "no photo that can be read: {file} {why}", file=phone[0], why=HEIC)
    listed = ", ".join(PurePosixPath(path).name for path in files[:3])
    return phrase("folder.unreadable", "no photo that can be read: {files}", files=listed)


def from_list(data: bytes, paths: Sequence[str]) -> tuple[list[Enrollee], str]:
    """A list with a header line: name (or first and last name), and code and photo if there are such columns; returns the people and how the list was read.

    `photo` (or photo1, photo2, ...) holds paths from the chosen folder or file names, several with | or ; between them, or in further lines of the same
    person. Without it, the photos of a person are those in a sub-folder named like the person or the code, and files named by the code: E17.jpg, E17-2.jpg.
    A name that fits several files or folders is a problem of that person.

    Raises:
        BulkError, ListError: no such list.
    """
    table = table_file.read(data, COLUMNS, ["name"])
    if len(table.rows) > MOST_ROWS:
        words = phrase("bulk.lines", "the list has {number} lines, at most {most} are taken at once; split it", number=len(table.rows), most=MOST_ROWS)
        raise BulkError(words, code="bulk.too_many")
    files = PhotoNames([path for path in paths if not is_litter(path)])
    people: dict[tuple[str, str], list[str]] = {}
    for row in table.rows:
        name, code = table_file.whole_name(row), row.get("code", "")
        listed = [part.strip() for key, cell in row.items() if key.startswith("photo") for part in re.split(r"[|;]", cell) if part.strip()]
        alone = str(PurePosixPath(listed[0].replace("\\", "/")).parent) if listed else str(len(people))  # without a code, a folder tells two people apart
        people.setdefault((code.casefold() or alone, name), [code]).extend(listed)
    if len(people) > MOST_PEOPLE:
        words = phrase("bulk.people", "the list has {number} people, at most {most} are taken at once; split it", number=len(people), most=MOST_PEOPLE)
        raise BulkError(words, code="bulk.too_many")
    entries = []
    for (_, name), (code, *listed) in people.items():
        photos, problem = _listed(listed, files) if listed else _unlisted(name, code, files)
        entries.append(_checked(name, code, photos, problem))
    return _each_once(entries), table.told


def _listed(listed: Sequence[str], names: PhotoNames) -> tuple[list[str], str]:
    """The photos that a row of a list names, and what is wrong with these names."""
    found = {file: names.find(file) for file in listed}
    missing = [file for file, paths in found.items() if not paths]
    problems: list[str] = [phrase("bulk.missing", "not in the folder: {files}", files=", ".join(missing))] if missing else []
    problems += [unclear(file, paths) for file, paths in found.items() if len(paths) > 1]
    return list(dict.fromkeys(paths[0] for paths in found.values() if len(paths) == 1)), phrases("; ", problems)


def _unlisted(name: str, code: str, names: PhotoNames) -> tuple[list[str], str]:
    """The photos of a person whose row names none, and what is wrong with them."""
    photos, folders = names.of_person(name, code)
    return photos, unclear(phrase("bulk.folder", "the folder"), folders) if len(folders) > 1 else ""


def against(store: Store, entries: Sequence[Enrollee]) -> list[Enrollee]:
    """The same people, with the problem of those whose code is somebody's, or who are enrolled already."""
    owners = {(person.code or "").casefold(): person for person in store.people() if person.code}
    enrolled = store.template_counts_by_person()
    return [replace(entry, problem=entry.problem or _taken(entry, owners.get(entry.code.casefold()), enrolled)) for entry in entries]


def _taken(entry: Enrollee, owner: Person | None, enrolled: Collection[int]) -> str:
    if not entry.code or owner is None:
        return ""
    if owner.name != entry.name:
        return phrase("bulk.code_of", "the code {code} belongs to {name}", code=entry.code, name=owner.name)
    if owner.id in enrolled:
        return phrase("bulk.enrolled", "enrolled already")
    return "" if owner.active else phrase("bulk.not_active", "not active")


def _checked(name: str, code: str, photos: Sequence[str], problem: str = "") -> Enrollee:
    try:
        name = clean_text("name", name, LONGEST_NAME)
        code = clean_text("code", code, LONGEST_CODE) if code else ""
    except ClockfaceError as error:
        problem = error.message
    if CHANGED_CODE.fullmatch(code):
        english = "the code {code} is what a spreadsheet made of another one; give the column of codes the format Text there, and type this code again"
        problem = problem or phrase("bulk.code_changed", english, code=code)
    if not photos:
        problem = problem or phrase("bulk.no_photo", "no photo")
    elif len(photos) > MOST_PHOTOS:
        problem = problem or phrase("bulk.many", "{number} photos, at most {most} are taken", number=len(photos), most=MOST_PHOTOS)
    return Enrollee(name, code, tuple(photos), problem)


def _each_once(entries: Sequence[Enrollee]) -> list[Enrollee]:
    """Report codes and photos that occur twice in the list."""
    codes, photos = Counter(entry.code.casefold() for entry in entries if entry.code), Counter(photo for entry in entries for photo in entry.photos)
    twice = {code for code, count in codes.items() if count > 1}
    shared = {photo for photo, count in photos.items() if count > 1}
    checked = []
    for entry in entries:
        problem = entry.problem
        if entry.code.casefold() in twice:
            problem = problem or phrase("bulk.code_twice", "the code {code} stands there twice", code=entry.code)
        elif theirs := [photo for photo in entry.photos if photo in shared]:
            problem = problem or phrase("bulk.photo_twice", "{photo} belongs to somebody else as well", photo=theirs[0])
        checked.append(Enrollee(entry.name, entry.code, entry.photos, problem))
    return checked


@dataclass(frozen=True)
class Enrolled:
    person: Person
    templates: int
    left_out: tuple[str, ...]  # photos that were not good enough, with the reason
    remarks: tuple[str, ...] = ()  # somebody enrolled who looks much like them, photos that had to be turned


def enrol_one(
    store: Store,
    recogniser: Recogniser,
    name: str,
    code: str,
    photos: Mapping[str, bytes],
    consent: ConsentDraft,
    enrolled: EnrolledGallery | None = None,
    read: Callable[[bytes, str], NDArray[np.uint8]] = picture,
) -> Enrolled:
    """Enrol one person from photos; poor photos are left out if at least one is good, and photos of somebody else if most show the person.

    A code that is there already names somebody who gets templates now, if the name is the same and there are none yet.

    Args:
        photos: name -> bytes of the file; each is asked for once, one after the other.
        enrolled: kept from one person of a list to the next.
        read: decodes a photo; for those of others, that of a `PictureProcess`.

    Raises:
        EnrolmentError: no good photo, different people in them, the face or the person is enrolled already, or nobody more can be recognised.
        StoreError: name or code cannot be kept.
    """
    gallery = (enrolled or EnrolledGallery(recogniser)).current(store)
    check_room(recogniser, gallery)
    samples, left_out = good_ones(recogniser, photos, read)
    known = _known(store, name, code)
    embeddings, sources = recogniser.embed(list(samples.values())), list(samples)
    kept, odd = check_same(embeddings, recogniser.same_person(), sources)
    embeddings, sources = embeddings[kept], [sources[index] for index in kept]
    threshold = recogniser.threshold(len(gallery))
    check_new(store, gallery, embeddings, threshold, sources)
    remarks = look_alike_words(store, gallery, embeddings, threshold)
    remarks += [phrases(": ", (source, turned_words(samples[source].picture_turn))) for source in sources if samples[source].picture_turn]
    drafts = template_drafts(recogniser, embeddings, [samples[source] for source in sources], sources)
    if known is None:
        person = store.add_person_with_templates(name, code or None, drafts, consent)
    else:
        store.add_templates(known.id, drafts, consent)
        person = known
    return Enrolled(person, len(sources), (*left_out, *odd), tuple(remarks))


def good_ones(
    recogniser: Recogniser, photos: Mapping[str, bytes], read: Callable[[bytes, str], NDArray[np.uint8]] = picture
) -> tuple[dict[str, Sample], list[str]]:
    """The faces of the good photos, by name, and why the others are not good."""
    samples: dict[str, Sample] = {}
    left_out = []
    for file, data in photos.items():
        try:
            samples[file] = sample_picture(recogniser, read(data, file), file)
        except ClockfaceError as error:
            left_out.append(error.message)
    if not samples:
        raise EnrolmentError(phrases("; ", left_out or [phrase("bulk.none_came", "no photo came")]), code="enrolment.no_photo")
    return samples, left_out


def _known(store: Store, name: str, code: str) -> Person | None:
    found = next((person for person in store.people() if code and (person.code or "").casefold() == code.casefold()), None)
    if found is None:
        return None
    if found.name != name or not found.active:
        words = phrase("bulk.code_taken", "the code {code} belongs to somebody with another name, or not active; give another code", code=code)
        raise EnrolmentError(words, code="enrolment.code_taken")
    if store.template_counts_by_person().get(found.id):
        english = "{name} is enrolled already; give new pictures on their page under People, or with `enroll --again`"
        raise EnrolmentError(phrase("person.enrolled", english, name=name), code="enrolment.has_templates")
    return found
