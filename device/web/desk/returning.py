"""People who come back: new pictures of somebody enrolled, and two records of one person that become one."""

from __future__ import annotations

from starlette.responses import Response

from device.attendance import merging
from device.contract import ClockfaceError
from device.storage import consents
from device.storage.consents import ConsentDraft
from device.terminal.bulk_enrolment import good_ones
from device.terminal.returning import check_alike, enrol_again
from device.vision.picture_process import PictureProcess
from device.web.call import Call, Problem
from device.web.consent_text import wording
from device.web.desk.bulk import PERSON_BYTES, sent_photos
from device.web.desk.people import person_page, somebody
from device.web.pages import post


def new_pictures(call: Call) -> Response:
    """Add photos of somebody enrolled, or let them replace the earlier ones."""
    person, booth = somebody(call), call.terminal.live.booth
    if booth.recogniser is None:
        raise Problem(call.texts.text("person.no_model"), 409)
    using = booth.recogniser.for_thread()
    try:
        consent = _consent(call, person.id)
        with PictureProcess() as apart:
            samples, left_out = good_ones(using, sent_photos(call), apart.read)
        replace, known = call.field("replace", "") == "yes", person.id in call.store.template_counts_by_person()
        made = enrol_again(call.store, using, person, list(samples.values()), list(samples), replace, consent, booth.enrolled())
    except ClockfaceError as error:
        return person_page(call, 400, error)
    left = call.texts.text("person.left_out", files="; ".join(map(call.texts.said, left_out))) if left_out else ""
    how = "replaced" if replace else "added" if known else "first"
    done = call.texts.text(f"person.pictures_{how}", count=made)
    return call.goto(f"/people/{person.id}", f"{done} {left}".strip())


def _consent(call: Call, person_id: int) -> ConsentDraft | None:
    """The consent on paper to the wording in force, where the person has given none to it.

    Raises:
        Problem: it is not confirmed.
    """
    shown = wording(call.terminal.settings.web.language, call.terminal.settings.web.consent)
    with call.store.reading() as db:
        if not consents.asked_again(db, person_id, shown.text):
            return None
    if call.field("consent", "") != shown.version:
        raise Problem(call.texts.text("person.not_agreed", version=shown.version))
    return shown.given("paper", call.terminal.now())


def merge(call: Call) -> Response:
    """Let everything of another record count for this person."""
    person, using = somebody(call), call.terminal.live.booth.recogniser
    other = call.store.person(call.field("other"))
    if using is not None and call.field("anyway", "") != "yes":
        check_alike(call.store, using, person, other, call.texts.text("person.tick_box"))
    done = merging.merge(call.store, person.id, other.id, call.who.actor)
    return call.goto(f"/people/{person.id}", f"{call.texts.said(done.words)}. {call.texts.text('person.can_undo')}")


def undo(call: Call) -> Response:
    person = somebody(call)
    try:
        done = merging.undo(call.store, person.id, call.who.actor, call.terminal.now())
    except ClockfaceError as error:
        return person_page(call, 400, error)
    return call.goto(f"/people/{person.id}", f"{call.texts.said(done.words)}.")


ROUTES = (
    post("/people/{id:int}/again", new_pictures, "hr", largest_body=PERSON_BYTES),
    post("/people/{id:int}/merge", merge, "hr", form=person_page),
    post("/people/{id:int}/merge/undo", undo, "hr"),
)
