"""Enrolment at the kiosk: unlock, name and code, consent, guided capture, check, store, test. Without consent there is no template."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from starlette.responses import JSONResponse, RedirectResponse, Response

from device.storage.audit import Action
from device.storage.records import LONGEST_CODE, LONGEST_NAME, Person, clean_text
from device.storage.store import StoreError
from device.terminal.capture_session import Booth, Draft
from device.terminal.enrolment import EnrolmentError, alike, check_room, look_alike, template_drafts
from device.terminal.returning import looks_as_before
from device.vision.recogniser import Recogniser
from device.web.access import pins, sessions
from device.web.access.login import checked
from device.web.access.pins import PinError
from device.web.access.rate_limit import LockedOut
from device.web.call import Call, Problem, cleared
from device.web.consent_text import wording
from device.web.pages import get, post


def unlock_page(call: Call) -> Response:
    if call.user is not None:
        return RedirectResponse("/kiosk/enrol", 303)
    return call.page("kiosk/unlock.html", problem="", login="")


def unlock(call: Call) -> Response:
    """Log an operator in at the kiosk, for the pages of the kiosk only and for a few minutes."""
    login = call.field("login").strip()
    try:
        user = checked(call.store, login, call.field("password"), call.address, call.terminal.now())
    except LockedOut as locked:
        return call.page("kiosk/unlock.html", 429, problem=call.texts.text("kiosk.pin_locked", count=locked.minutes), login=login)
    text = call.texts.text
    if user is None:
        return call.page("kiosk/unlock.html", 401, problem=text("enrol.wrong"), login=login)
    if user.must_change or not user.may("operator"):
        return call.page("kiosk/unlock.html", 403, problem=text("enrol.must_change" if user.must_change else "enrol.not_operator"), login=login)
    sessions.end_others(call.store, user, "kiosk", call.cookie("clockface_kiosk"))
    call.cookies["clockface_kiosk"] = sessions.start(call.store, user, "kiosk", call.terminal.now())
    return call.goto("/kiosk/enrol")


def lock(call: Call) -> Response:
    """End the session, with a camera or without one."""
    if call.terminal.live.booth.draft(call.who.id) is not None:
        call.terminal.live.booth.end()
    sessions.end(call.store, call.cookie("clockface_kiosk"))
    call.cookies["clockface_kiosk"] = None
    return cleared(call.goto("/kiosk"))


def person_page(call: Call) -> Response:
    draft = booth(call).draft(call.who.id)
    fresh = draft is None or draft.stored_id is not None
    return call.page("kiosk/person.html", problem="", name="" if fresh or draft is None else draft.name, code="" if fresh or draft is None else draft.code)


def take_person(call: Call) -> Response:
    """Take name and code. A code that exists already belongs to a person who gets templates now."""
    name, code = call.field("name"), call.field("code", "").strip()
    try:
        draft = Draft(call.who.id, cleaned(call, "name", name, LONGEST_NAME), cleaned(call, "code", code, LONGEST_CODE) if code else "")
        known = [person for person in call.store.people() if code and person.code and person.code.casefold() == code.casefold()]
        if known:
            draft = _of_known(call, draft, known[0].id)
        if not draft.again:
            _check_room(call)
    except Problem as problem:
        return call.page("kiosk/person.html", 400, problem=str(problem), name=name, code=code)
    booth(call).end()
    booth(call).keep(draft)
    return call.goto("/kiosk/enrol/consent")


def _check_room(call: Call) -> None:
    using = recogniser(call)
    try:
        check_room(using, booth(call).enrolled().current(call.store))
    except EnrolmentError:
        raise Problem(call.texts.text("enrol.full", count=using.capacity)) from None


def cleaned(call: Call, what: str, text: str, most: int) -> str:
    try:
        return clean_text(what, text, most)
    except StoreError:
        raise Problem(call.texts.text(f"enrol.{what}_wrong", count=most)) from None


def _of_known(call: Call, draft: Draft, person_id: int) -> Draft:
    person = call.store.person(person_id)
    if person.name != draft.name or not person.active:
        raise Problem(call.texts.text("enrol.code_taken"))
    again = bool(call.store.template_counts_by_person().get(person.id))
    if not again and not may_replace_pin(call, person.id):
        raise Problem(call.texts.text("enrol.face_by_hr"), 403)
    return replace(draft, person_id=person.id, again=again)


def may_replace_pin(call: Call, person_id: int) -> bool:
    """Whether this user may give somebody who has a PIN a face or another PIN: only HR, for with the PIN that person is known already."""
    return call.who.may("hr") or person_id not in pins.who_have_one(call.store)


def consent_page(call: Call) -> Response:
    draft = drafted(call)
    return call.page("kiosk/consent.html", draft=draft, wording=wording(call.language, call.terminal.settings.web.consent))


def take_consent(call: Call) -> Response:
    """Store the consent that was shown: the version in the form must be the one in force."""
    draft, shown = drafted(call), wording(call.language, call.terminal.settings.web.consent)
    if call.field("agree") != "yes":
        booth(call).end()
        return call.page("kiosk/declined.html", draft=draft)
    if call.field("version") != shown.version or call.field("language") != shown.language:
        raise Problem(call.texts.text("enrol.consent_changed"), 409)
    consent = shown.given("screen", call.terminal.now())
    booth(call).keep(replace(draft, consent=consent))
    return call.goto("/kiosk/enrol/capture")


def capture_page(call: Call) -> Response:
    """Show the capture; each time the page is opened it starts anew."""
    consented(call)
    booth(call).begin_capture()
    return call.page("kiosk/capture.html", draft=drafted(call))


def progress(call: Call) -> Response:
    found = booth(call).progress()
    if found is None:
        raise Problem("no capture runs", 409)
    return JSONResponse({"state": found.state, "view": found.view, "taken": found.taken, "wanted": found.wanted, "reason": found.reason})


def check(call: Call) -> Response:
    """Compare with everybody enrolled; if nobody is similar, store at once."""
    draft, using = consented(call), recogniser(call)
    if not draft.samples:
        return call.goto("/kiosk/enrol/capture")
    kept, embeddings = alike(draft.samples, using.embed(draft.samples), using.same_person())
    gallery = booth(call).enrolled().current(call.store)
    threshold = using.threshold(len(gallery))
    if draft.again and draft.person_id is not None:
        _check_again(call, using, call.store.person(draft.person_id), embeddings)
    found = look_alike(gallery, embeddings, threshold, without=draft.person_id)
    near = None if found is None else (found.person_id, found.score)
    drafts = template_drafts(using, embeddings, kept, ["kiosk"] * len(kept))
    draft = replace(draft, samples=tuple(kept), templates=tuple(drafts), look_alike=near)
    booth(call).keep(draft)
    if near is None:
        return stored(call, draft)
    other = call.store.person(near[0])
    call.store.audit(call.who.actor, Action.LOOK_ALIKE_FOUND, {"person_id": other.id, "score": round(near[1], 3)})
    return call.page("kiosk/look_alike.html", draft=draft, other=other, score=near[1], threshold=threshold)


def _check_again(call: Call, using: Recogniser, person: Person, embeddings: NDArray[np.float32]) -> None:
    """Refuse an operator who gives somebody the face of another; HR may let a changed face take the place of the earlier one."""
    if not looks_as_before(call.store, using, person, embeddings) and not (call.user and call.user.may("hr")):
        booth(call).end()
        raise Problem(call.texts.text("enrol.another_face", name=person.name))


def decide(call: Call) -> Response:
    """Take the operator's decision on whether it is the same person; both answers are audited."""
    draft = consented(call)
    if draft.look_alike is None or not draft.templates:
        return call.goto("/kiosk/enrol/capture")
    same = call.field("same") == "yes"
    details = {"person_id": draft.look_alike[0], "score": round(draft.look_alike[1], 3), "same": same}
    call.store.audit(call.who.actor, Action.LOOK_ALIKE_DECIDED, details)
    if same:
        booth(call).end()
        return call.goto("/kiosk/enrol", call.texts.text("enrol.not_enrolled_twice"))
    return stored(call, draft)


def stored(call: Call, draft: Draft) -> Response:
    """Store person, consent and templates in one transaction."""
    if not draft.templates or draft.consent is None:
        raise Problem(call.texts.text("enrol.start_again"), 409)
    if draft.person_id is None:
        person_id = call.store.add_person_with_templates(draft.name, draft.code or None, draft.templates, draft.consent).id
    else:
        person_id = draft.person_id
        call.store.enrol_again(person_id, draft.templates, replace=True, consent=draft.consent)
    booth(call).keep(replace(draft, samples=(), templates=(), stored_id=person_id))
    return call.goto("/kiosk/enrol/test")


def test_page(call: Call) -> Response:
    draft, using = drafted(call), recogniser(call)
    if draft.stored_id is None:
        return call.goto("/kiosk/enrol")
    gallery = booth(call).enrolled().current(call.store)
    booth(call).begin_trial(using, gallery)
    return call.page("kiosk/test.html", draft=draft, has_pin=draft.stored_id in pins.who_have_one(call.store))


def pin_page(call: Call) -> Response:
    return call.page("kiosk/pin.html", draft=drafted(call), problem="")


def trial(call: Call) -> Response:
    """The state of the test recognition: this person, another person, or not yet."""
    draft, outcome = drafted(call), booth(call).trial()
    if outcome is None:
        raise Problem("no test runs", 409)
    result = "yes" if outcome.person_id is not None and outcome.person_id == draft.stored_id else "other" if outcome.person_id is not None else "waiting"
    return JSONResponse({"state": "no" if outcome.state == "unknown" else result, "score": round(outcome.score, 2)})


def give_pin(call: Call) -> Response:
    """Set a PIN in addition to the face, chosen by the person."""
    draft = drafted(call)
    if draft.stored_id is None:
        raise Problem(call.texts.text("enrol.start_again"), 409)
    if not may_replace_pin(call, draft.stored_id):
        raise Problem(call.texts.text("enrol.pin_by_hr"), 403)
    try:
        pins.set_pin(call.store, draft.stored_id, call.field("pin"))
    except PinError:
        return call.page("kiosk/pin.html", 400, draft=draft, problem=call.texts.text("enrol.pin_rule"))
    return call.goto("/kiosk/enrol/test", call.texts.text("enrol.pin_set"))


def booth(call: Call) -> Booth:
    found = call.terminal.live.booth
    if found.recogniser is None:
        raise Problem(call.texts.text("enrol.no_camera"), 409)
    return found


def recogniser(call: Call) -> Recogniser:
    found = booth(call).recogniser
    assert found is not None
    return found


def drafted(call: Call) -> Draft:
    draft = booth(call).draft(call.who.id)
    if draft is None:
        raise Problem(call.texts.text("enrol.start_again"), 409)
    return draft


def consented(call: Call) -> Draft:
    draft = drafted(call)
    if draft.consent is None:
        raise Problem(call.texts.text("enrol.no_consent"), 409)
    return draft


ROUTES = (
    get("/kiosk/unlock", unlock_page, None, "kiosk"),
    post("/kiosk/unlock", unlock, None, "kiosk", guesses="password"),
    post("/kiosk/lock", lock, "operator", "kiosk"),
    get("/kiosk/enrol", person_page, "operator", "kiosk"),
    post("/kiosk/enrol", take_person, "operator", "kiosk"),
    get("/kiosk/enrol/consent", consent_page, "operator", "kiosk"),
    post("/kiosk/enrol/consent", take_consent, "operator", "kiosk"),
    get("/kiosk/enrol/capture", capture_page, "operator", "kiosk"),
    get("/kiosk/enrol/progress", progress, "operator", "kiosk"),
    post("/kiosk/enrol/check", check, "operator", "kiosk"),
    post("/kiosk/enrol/decide", decide, "operator", "kiosk"),
    get("/kiosk/enrol/test", test_page, "operator", "kiosk"),
    get("/kiosk/enrol/trial", trial, "operator", "kiosk"),
    get("/kiosk/enrol/pin", pin_page, "operator", "kiosk"),
    post("/kiosk/enrol/pin", give_pin, "operator", "kiosk"),
)
