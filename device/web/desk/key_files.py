"""The keys of faces as one sealed file, to take along and to bring to another board: on the page of back-ups, behind the admin's own password."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import datetime, timezone

from starlette.background import BackgroundTask
from starlette.datastructures import UploadFile
from starlette.responses import FileResponse, Response

from device.contract import phrase
from device.maintenance import key_export
from device.storage.database_files import working_folder
from device.web.access.login import checked
from device.web.access.passwords import WeakPassword
from device.web.call import Call, Problem


def download(call: Call) -> Response:
    """The keys of everybody, sealed with a passphrase. Audited by the export itself."""
    with ExitStack() as kept:
        target = kept.enter_context(working_folder(call.terminal.database, ".download-")) / "sealed"
        check_password(call)
        if call.field("passphrase") != call.field("again"):
            raise Problem(call.texts.text("backup.differ"))
        key_export.export(call.store, target, call.field("passphrase"))
        name = f"clockface-{call.clock.said(call.terminal.now(), '%Y-%m-%d-%H%M')}.keys-export"
        return FileResponse(target, filename=name, media_type="application/octet-stream", background=BackgroundTask(kept.pop_all().close))


def bring(call: Call) -> Response:
    """Bring the keys of an export to this board; the terminal restarts, so that it reads them."""
    file = call.form.get("file")
    check_password(call)
    if not isinstance(file, UploadFile) or not file.filename:
        raise Problem(call.texts.text("keys.choose"))
    found = key_export.take_in(call.store, file.file.read(), call.field("passphrase"))
    call.terminal.live.restart.set()
    said = call.texts.text("keys.imported", count=found.taken)
    without = call.texts.text("keys.without", count=len(found.without), names=", ".join(found.without)) if found.without else ""
    return call.page("restarting.html", told=f"{said} {without}".strip(), after="/people")


def check_password(call: Call) -> None:
    """Ask for the password again: somebody else may sit at this desk.

    Raises:
        WeakPassword, LockedOut: it is wrong; too many were.
    """
    if checked(call.store, call.who.login, call.field("password"), call.address, call.terminal.now()) is None:
        raise WeakPassword(phrase("password.wrong", "the password is wrong"), code="password.wrong")


def state(call: Call) -> str:
    """How the newest export stands, in the page's language; "" where none was made."""
    given = key_export.given_out(call.store.keys.store)
    if given is None:
        return ""
    day = call.texts.long_day(datetime.fromtimestamp(given.made_at, timezone.utc).date())
    if given.erased:
        return call.texts.text("keys.erased", count=given.erased, day=day)
    return call.texts.text("keys.missing", count=given.missing, day=day) if given.missing else call.texts.text("keys.whole", day=day)


def after_erasure(call: Call) -> str:
    """What somebody who erased a person must still do, where an export has that person's key."""
    given = key_export.given_out(call.store.keys.store)
    if not given or not given.erased:
        return ""
    return call.texts.text("keys.after_erasure", day=call.texts.long_day(datetime.fromtimestamp(given.made_at, timezone.utc).date()))

