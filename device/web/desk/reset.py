"""Back to factory: told first, then behind the administrator's own password, the terminal's name and the number of rows that would be lost."""

from __future__ import annotations

from datetime import datetime, timezone

from starlette.responses import Response

from device.fleet.farewell import farewell
from device.maintenance import factory_reset, reset_request
from device.storage.audit import Action
from device.web.access import first_admin
from device.web.call import Call
from device.web.desk.key_files import check_password
from device.web.pages import get, post


def reset_page(call: Call, status: int = 200) -> Response:
    found = factory_reset.to_erase(call.store)
    return call.page("reset.html", status, found=found, backup=_day(call, found.backup_at), keys=_day(call, found.keys_at))


def reset(call: Call) -> Response:
    """Decide the reset; the terminal restarts at once, and erases before it opens anything."""
    check_password(call)
    found = factory_reset.to_erase(call.store)
    lost = call.field("lost", "").strip()
    factory_reset.check(found, call.terminal.device, call.field("confirm"), int(lost) if lost.isdecimal() else None)
    call.store.audit(call.who.actor, Action.RESET_ASKED, {"people": found.people, "punches": found.punches, "undelivered": found.undelivered})
    told = call.texts.text("reset.begun", login=first_admin.LOGIN, file=str(first_admin.password_file(call.terminal.database)))
    tell = farewell(call.store, to_factory=True)
    factory_reset.begin(call.terminal.database, found.store)
    if tell is not None:
        told = f"{told} {call.texts.text('reset.fleet_told' if tell() else 'reset.fleet_not_told')}"
    answer = call.page("restarting.html", told=told, after="/login")
    call.terminal.live.restart.set()
    return answer


def stick(call: Call) -> Response:
    """The file for a stick that resets this terminal, for whoever has lost the password by then."""
    check_password(call)
    content = reset_request.new_file(call.store, call.terminal.device, call.who.actor)
    headers = {"content-disposition": f'attachment; filename="{reset_request.FILE}"'}
    return Response(content, media_type="text/plain; charset=utf-8", headers=headers)


def _day(call: Call, at: float | None) -> str:
    return call.texts.long_day(datetime.fromtimestamp(at, timezone.utc).date()) if at else ""


ROUTES = (
    get("/reset", reset_page, "admin"),
    post("/reset", reset, "admin", guesses="password", form=reset_page),
    post("/reset/stick", stick, "admin", guesses="password", form=reset_page),
)
