"""A set-up code for a new terminal: made for somebody who gives their password again, shown as QR codes on this one page, and stored nowhere."""

from __future__ import annotations

import base64
from zoneinfo import available_timezones

from starlette.responses import Response

from device.attendance.planning import Planning
from device.config import LANGUAGES
from device.maintenance.set_up_code import SetUpCode, sealed
from device.storage import settings as stored_settings
from device.storage.audit import Action
from device.system import qr_codes
from device.web.access import passwords
from device.web.call import Call
from device.web.desk.key_files import check_password
from device.web.messages import Messages
from device.web.pages import get, post


def page(call: Call, codes: tuple[str, ...] = (), code: SetUpCode | None = None) -> Response:
    """`codes` are pictures as data addresses; of the code that they say."""
    language = stored_settings.in_force(call.store, call.terminal.config_file).web.language
    return call.page(
        "setup_code.html", codes=codes, code=code, zones=sorted(available_timezones()), zone=Planning(call.store).site().zone,
        languages={name: Messages.load(name).name for name in LANGUAGES}, kiosk_language=language,
    )  # fmt: skip


def make(call: Call) -> Response:
    check_password(call)
    admin = passwords.invented() if call.field("admin", "") == "1" else ""
    zone, ssid = call.field("zone").strip(), call.field("ssid", "")
    code = SetUpCode(zone, call.field("language"), ssid, call.field("wifi_password", "") if ssid else "", admin)
    texts = sealed(code, call.terminal.now())
    call.store.audit(call.who.actor, Action.SET_UP_CODE_MADE, code.gives)
    pictures = (base64.b64encode(qr_codes.picture([text])).decode() for text in texts)
    return page(call, tuple(f"data:image/png;base64,{picture}" for picture in pictures), code)


ROUTES = (
    get("/setup/code", page, "admin"),
    post("/setup/code", make, "admin", form=page),
)
