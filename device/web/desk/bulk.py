"""Bulk enrolment from photos. The browser sends one person at a time, so that the camera loop keeps running and the user can stop at any point."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import PurePosixPath

from starlette.datastructures import UploadFile
from starlette.responses import JSONResponse, Response

from device.contract import ClockfaceError
from device.terminal import bulk_enrolment
from device.vision.picture_process import PictureProcess
from device.web.call import Call, Problem
from device.web.consent_text import Wording, wording
from device.web.pages import get, post

PLAN_BYTES = 4_000_000  # a list of people and the names of their photos
PERSON_BYTES = 100_000_000  # the photos of one person
MOST_PATHS = 20_000


class Uploaded(Mapping[str, bytes]):
    """Uploaded files by name, read when asked for: one is in memory at a time."""

    def __init__(self, files: Mapping[str, UploadFile]) -> None:
        self._files = files

    def __getitem__(self, name: str) -> bytes:
        self._files[name].file.seek(0)
        return self._files[name].file.read()

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def bulk_page(call: Call) -> Response:
    using = call.terminal.live.booth.recogniser
    return call.page("bulk.html", ready=using is not None, wording=_wording(call), most=bulk_enrolment.MOST_PHOTOS)


def plan(call: Call) -> Response:
    """Preview: who would be enrolled from which photos. Nothing is stored."""
    try:
        paths = json.loads(call.field("paths"))
    except ValueError as error:
        raise Problem("paths: expected a list in JSON") from error
    if not isinstance(paths, list) or len(paths) > MOST_PATHS or not all(isinstance(path, str) for path in paths):
        raise Problem(f"paths: expected a list of at most {MOST_PATHS} texts")
    listed = call.form.get("list")
    if isinstance(listed, UploadFile) and listed.filename:
        entries, told = bulk_enrolment.from_list(listed.file.read(), paths)
    else:
        entries, told = bulk_enrolment.from_folders(paths), ""
    people = [asdict(entry) | {"problem": call.texts.said(entry.problem)} for entry in bulk_enrolment.against(call.store, entries)]
    return JSONResponse({"people": people, "read_as": call.texts.said(told)})


def enrol_person(call: Call) -> Response:
    """Enrol one person of the plan; the user confirms the consent on paper."""
    using, shown = call.terminal.live.booth.recogniser, _wording(call)
    if using is None:
        raise Problem(call.texts.text("person.no_model"), 409)
    if call.field("consent", "") != shown.version:
        raise Problem(call.texts.text("bulk.no_consent"))
    consent = shown.given("paper", call.terminal.now())
    photos = sent_photos(call)
    try:
        enrolled, name, code = call.terminal.live.booth.enrolled(), call.field("name").strip(), call.field("code", "").strip()
        with PictureProcess() as apart:
            done = bulk_enrolment.enrol_one(call.store, using.for_thread(), name, code, photos, consent, enrolled, apart.read)
    except ClockfaceError as error:
        return JSONResponse({"state": "refused", "reason": call.words(error), "code": error.code})
    left_out, remarks = ([call.texts.said(words) for words in listed] for listed in (done.left_out, done.remarks))
    return JSONResponse({"state": "enrolled", "person_id": done.person.id, "templates": done.templates, "left_out": left_out, "remarks": remarks})


def sent_photos(call: Call) -> Uploaded:
    """The photos of one person in a form, by number and name.

    Raises:
        Problem: too many.
    """
    files = [file for file in call.form.getlist("photo") if isinstance(file, UploadFile) and file.filename][: bulk_enrolment.MOST_PHOTOS + 1]
    if len(files) > bulk_enrolment.MOST_PHOTOS:
        raise Problem(call.texts.text("person.too_many_photos", most=bulk_enrolment.MOST_PHOTOS))
    return Uploaded({f"{index}: {PurePosixPath(file.filename or '').name[:100]}": file for index, file in enumerate(files, 1)})


def _wording(call: Call) -> Wording:
    return wording(call.terminal.settings.web.language, call.terminal.settings.web.consent)


ROUTES = (
    get("/people/bulk", bulk_page, "hr"),
    post("/people/bulk/plan", plan, "hr", largest_body=PLAN_BYTES),
    post("/people/bulk", enrol_person, "hr", largest_body=PERSON_BYTES),
)
