"""The kiosk of a terminal that nobody has set up: hold the code before the camera, what it says, and where the terminal's pages are then."""

from __future__ import annotations

import platform
import socket
from functools import partial
from urllib.parse import urlsplit

from starlette.responses import Response

from device.config import LANGUAGES
from device.maintenance.set_up_code import SetUpCode
from device.web.call import Call
from device.web.kiosk.code_watch import CodeWatch
from device.web.messages import Messages
from device.web.pages import get, post

PATH = "/kiosk/set-up"
WORDS = {  # code of an error -> its words; any other says its reason
    code: code.replace(".", "_")
    for code in (
        "torn", "foreign", "set_up_code.altered", "set_up_code.expired", "set_up_code.clock", "set_up_code.early", "set_up_code.version", "set_up_code.content",
        "set_up_code.set_up", "wifi.no_networkmanager", "wifi.no_radio", "wifi.off", "wifi.not_joined", "wifi.enterprise", "wifi.open", "wifi.protected",
        "fleet.away", "fleet.invitation",
    )
}  # fmt: skip
ANYWHERE = ("0.0.0.0", "::")  # addresses that stand for all of a machine's


def watched(call: Call) -> CodeWatch | None:
    """The watch of a terminal that waits for a code, or has just taken one."""
    codes = call.terminal.live.codes
    return codes if codes is not None and codes.wanted(call.store) else None


def page(call: Call) -> Response:
    codes = watched(call)
    if codes is None:
        return call.goto("/kiosk")
    key, reason = codes.wrong
    wrong = call.texts.text(f"set_up_code.wrong_{WORDS.get(key, 'other')}", reason=reason) if key else ""
    found, wanted = codes.read
    return call.page(
        "kiosk/set_up_code.html", codes=codes, state=codes.state, wrong=wrong, found=found, wanted=wanted,
        rows=_rows(call, codes.code) if codes.code else [], pages=reached(call.terminal.live.pages), fingerprint=call.terminal.live.fingerprint,
    )  # fmt: skip


def _rows(call: Call, code: SetUpCode) -> list[tuple[str, str]]:
    """What the code will do, as (name, words); no password is among them."""
    language = Messages.load(code.language).name if code.language in LANGUAGES else ""
    admin = call.texts.text("set_up_code.admin_once") if code.admin_password else ""
    fleet = f"{code.device} · {code.site}" if code.invitation else ""
    rows = {"zone": code.zone, "language": language, "network": code.ssid, "fleet": fleet, "admin": admin}
    return [(call.texts.text(f"set_up_code.of_{name}"), words) for name, words in rows.items() if words]


def reached(pages: tuple[str, ...]) -> list[str]:
    """The addresses as another machine types them: those that stand for all of this machine's by its name and its address in the network."""
    found: list[str] = []
    for url in pages:
        parts = urlsplit(url)
        names = [f"{platform.node()}.local", *_own_address()] if parts.hostname in ANYWHERE else [parts.netloc.rpartition(":")[0]]
        found += [f"{parts.scheme}://{name}:{parts.port}" for name in names]
    return list(dict.fromkeys(found))


def _own_address() -> list[str]:
    """This machine's IPv4 address towards other networks. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # of documentation (RFC 5737)
        except OSError:
            return []
        return [str(probe.getsockname()[0])]


def read_again(call: Call) -> Response:
    """An administrator, logged in at the kiosk, lets a terminal that is set up read a code, for two minutes."""
    terminal = call.terminal
    if watched(call) is None:
        store, mirrored = partial(terminal.store, "kiosk"), terminal.settings.camera.mirror
        terminal.live.codes = CodeWatch(store, terminal.config_file, terminal.live.restart.set, mirrored, opened_by=call.who.actor)
    return call.goto(PATH)


def begin(call: Call) -> Response:
    if codes := watched(call):
        codes.begin()
    return call.goto(PATH)


def cancel(call: Call) -> Response:
    if codes := watched(call):
        codes.cancel()
    return call.goto(PATH)


def finish(call: Call) -> Response:
    if codes := watched(call):
        codes.finish()
    return call.goto("/kiosk")


ROUTES = (
    get(PATH, page, None, "kiosk"),
    post(f"{PATH}/open", read_again, "admin", "kiosk"),
    post(f"{PATH}/begin", begin, None, "kiosk"),
    post(f"{PATH}/cancel", cancel, None, "kiosk"),
    post(f"{PATH}/finish", finish, None, "kiosk"),
)
