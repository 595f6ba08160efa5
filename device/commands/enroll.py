"""Enrol a person from images, a clip or the camera, or many from a folder (one sub-folder each) or a list.

Who enrols declares that the person has consented to the wording that `--wording` prints; its version and the time are stored with the templates.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from device.commands.database import store_to_fill
from device.commands.options import add_config, add_database, add_json
from device.config import Settings, loader
from device.contract import ClockfaceError
from device.storage import consents
from device.storage import settings as stored_settings
from device.storage.consents import ConsentDraft
from device.storage.records import Person
from device.storage.store import Store
from device.terminal.bulk_enrolment import Enrollee, against, enrol_one, from_folders, from_list
from device.terminal.enrolled import EnrolledGallery
from device.terminal.enrolment import EnrolmentError, capture, enrol, sample_picture
from device.terminal.model_in_force import make_all, recogniser_in_force
from device.terminal.returning import enrol_again
from device.vision.camera.source import open_source
from device.vision.images import bytes_of
from device.vision.picture_process import PictureProcess
from device.vision.recogniser import Recogniser, Sample
from device.vision.upright import turned_words
from device.web.consent_text import Wording, wording

USAGE = """usage: enroll NAME IMAGE...   or   enroll NAME --camera SOURCE   or   enroll --wording
       enroll --folder DIR [--check]   or   enroll --list FILE [--check]
       enroll --again REF [--replace] IMAGE...   or   enroll --again REF [--replace] --camera SOURCE"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="name of the person")
    parser.add_argument("images", nargs="*", type=Path, metavar="IMAGE", help="pictures of this one person; each makes a template")
    parser.add_argument("--code", help="the employee's code, such as E17")
    parser.add_argument("--camera", metavar="SOURCE", help="capture from a camera (0), an address or a clip")
    parser.add_argument("--again", metavar="REF", help="new pictures of somebody enrolled (id, code, exact name, id:17) in place of NAME; the history stays")
    parser.add_argument("--replace", action="store_true", help="with --again: in place of the earlier pictures, also where the face has changed")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="enrol many: one sub-folder per person, named like the person")
    parser.add_argument("--list", type=Path, metavar="FILE", help="enrol many: a list (.xlsx or CSV) with name, code, photo (paths from the list's folder)")
    parser.add_argument("--check", action="store_true", help="with --folder or --list: say who would be enrolled from which photos, and store nothing")
    parser.add_argument("--wording", action="store_true", help="print the consent that the person must have given, and enrol nobody")
    add_database(parser)
    add_config(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    if args.wording:
        shown = _wording(loader.load(args.config))
        print(f"{shown.title} ({shown.version})\n{shown.text}")
        return 0
    many = args.folder is not None or args.list is not None
    ways = [bool(args.images), args.camera is not None, args.folder is not None, args.list is not None]
    if args.again is not None and args.name is not None:
        args.images, args.name = [Path(args.name), *args.images], None  # the first word is a picture
        ways[0] = True
    named = args.name is not None or args.again is not None
    if sum(ways) != 1 or many == named or (args.check and not many) or (args.again is not None and args.code) or (args.replace and args.again is None):
        print(USAGE, file=sys.stderr)
        return 2
    listed = _read(args)
    with store_to_fill(args, "enroll") as store:
        settings = stored_settings.in_force(store, args.config)
        consent = _wording(settings).given("declared", time.time())
        recogniser = _recogniser(store, settings)
        if args.camera is None and settings.liveness.mode != "off":
            _note("from files it cannot be judged whether a person or a picture was in front of the camera")
        if args.folder is not None or args.list is not None:
            return _enrol_many(store, recogniser, args, listed, consent)
        if args.camera is not None:
            with open_source(args.camera, settings.camera) as source:
                samples = capture(recogniser, source)
            sources = ["camera"] * len(samples)
        else:
            with PictureProcess() as pictures:
                samples = [_sampled(recogniser, pictures, path) for path in args.images]
            sources = [path.name for path in args.images]
        if args.again is not None:
            return _enrol_again(store, recogniser, args, samples, sources, consent)
        person = enrol(store, recogniser, args.name, args.code, samples, sources, consent, _note)
    _say(person, len(samples), args.json)
    _say_consent(consent)
    return 0


def _enrol_again(store: Store, recogniser: Recogniser, args: argparse.Namespace, samples: list[Sample], sources: list[str], consent: ConsentDraft) -> int:
    """New pictures of somebody enrolled; consent is declared again where its wording is another one now."""
    person = store.person(args.again)
    with store.reading() as db:
        asked = consent if consents.asked_again(db, person.id, consent.wording) else None
    enrol_again(store, recogniser, person, samples, sources, args.replace, asked)
    _say(person, len(samples), args.json)
    if asked is not None:
        _say_consent(consent)
    return 0


def _recogniser(store: Store, settings: Settings) -> Recogniser:
    """The recogniser in force. Without a former model, missing templates are made first: otherwise a person who is already enrolled would not be noticed."""
    recogniser = recogniser_in_force(store, settings, _note)
    if recogniser.coming is None:
        make_all(store, recogniser, _note)
    return recogniser


def _enrol_many(store: Store, recogniser: Recogniser, args: argparse.Namespace, listed: tuple[Path, list[Enrollee]], consent: ConsentDraft) -> int:
    """Enrol everybody in a folder or a list, as the pages do: each one's fate is told, and who cannot be enrolled holds nobody up."""
    from rich.console import Console
    from rich.progress import track

    root, people = listed[0], against(store, listed[1])
    if args.check:
        _show_plan(people)
        return 1 if any(one.problem for one in people) else 0
    refused, enrolled = 0, EnrolledGallery(recogniser)
    with PictureProcess() as pictures:
        for one in track(people, "enrolling", console=Console(stderr=True)):
            try:
                if one.problem:
                    raise EnrolmentError(one.problem, code="enrolment.no_photo")
                photos = {path: bytes_of(root / path) for path in one.photos}
                done = enrol_one(store, recogniser, one.name, one.code, photos, consent, enrolled, pictures.read)
                for line in (*done.left_out, *done.remarks):
                    _note(f"{_whom(one)}: {line}")
            except ClockfaceError as error:
                refused += 1
                print(f"refused: {_whom(one)}: {error}", file=sys.stderr)
    print(f"{len(people) - refused} enrolled, {refused} refused")
    _say_consent(consent)
    return 1 if refused else 0


def _read(args: argparse.Namespace) -> tuple[Path, list[Enrollee]]:
    """What the command line names, before a database is begun for it: the folder that the photos' paths begin in, and whom to enrol from which."""
    for path in args.images:
        _content(path, "name a picture")
    if args.folder is None and args.list is None:
        return Path(), []
    root: Path = args.folder if args.folder is not None else args.list.parent
    if not root.is_dir():
        raise EnrolmentError(f"{root}: is no folder; name one that holds a sub-folder for each person", code="enrolment.no_photo")
    paths = sorted(_files(root))
    if args.folder is not None:
        people = from_folders(paths)
    else:
        people, told = from_list(_content(args.list, "name a list in .xlsx or CSV"), paths)
        _note(f"{args.list} was read as {told}")
    if not people:
        raise EnrolmentError(f"{root}: no sub-folder with pictures; make one for each person, named like the person", code="enrolment.no_photo")
    return root, people


def _files(root: Path) -> Iterator[str]:
    """The files below a folder as a browser gives them, also those in linked folders; one that ends with / is a folder without any file or folder."""
    seen: set[Path] = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        here, real = Path(folder), Path(folder).resolve()
        if real in seen or (here != root and root.resolve().is_relative_to(real)):  # a link to a folder further up
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        yield from (str((here / name).relative_to(root)) for name in files if (here / name).is_file())
        if not folders and not files and here != root:
            yield f"{here.relative_to(root)}/"


def _content(file: Path, remedy: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise EnrolmentError(f"{file} cannot be read ({error.strerror}): {remedy}", code="enrolment.no_photo") from error


def _whom(one: Enrollee) -> str:
    return f"{one.name} ({one.code})" if one.code else one.name


def _show_plan(people: list[Enrollee]) -> None:
    for one in people:
        print(f"{_whom(one)}: {one.problem or ', '.join(one.photos)}")
    problems = sum(bool(one.problem) for one in people)
    print(f"{len(people) - problems} of {len(people)} could be enrolled; nothing was stored")


def _sampled(recogniser: Recogniser, pictures: PictureProcess, path: Path) -> Sample:
    """The face of a photo; a photo that had to be turned is named."""
    sample = sample_picture(recogniser, pictures.read_file(path), path.name)
    if sample.picture_turn:
        print(f"{path.name}: {turned_words(sample.picture_turn)}", file=sys.stderr)
    return sample


def _note(line: str) -> None:
    print(f"note: {line}", file=sys.stderr)


def _wording(settings: Settings) -> Wording:
    return wording(settings.web.language, settings.web.consent)


def _say_consent(consent: ConsentDraft) -> None:
    print(f"consent to version {consent.version} is stored as declared by you (`enroll --wording` prints it)", file=sys.stderr)


def _say(person: Person, templates: int, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"person_id": person.id, "name": person.name, "code": person.code, "templates": templates}))
    else:
        print(f"enrolled {person.name} (id {person.id}) with {templates} template{'s' if templates != 1 else ''}")
