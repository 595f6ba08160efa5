"""Backup and restore: download an encrypted file, or upload one, which is checked before the terminal restarts with it."""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack

from starlette.background import BackgroundTask
from starlette.datastructures import UploadFile
from starlette.responses import FileResponse, Response

from device.config.places import HOME, ROOT, installed_file
from device.contract import ClockfaceError
from device.maintenance import backup, key_export
from device.storage.audit import Action
from device.storage.database_files import working_folder
from device.web.call import Call
from device.web.desk import key_files
from device.web.pages import get, post

LARGEST_UPLOAD = 2_000_000_000  # bytes


def backup_page(call: Call, status: int = 200, problem: str = "") -> Response:
    return call.page("backup.html", status, problem=problem, keys=key_files.state(call))


def download(call: Call) -> Response:
    """Everything in one encrypted file. It holds biometrics, and is audited as such."""
    passphrase = call.field("passphrase")
    if passphrase != call.field("again"):
        return backup_page(call, 400, call.texts.text("backup.differ"))
    with ExitStack() as kept:
        target = kept.enter_context(working_folder(call.terminal.database, ".download-")) / "sealed"
        try:
            file = call.terminal.config_file or installed_file(HOME, ROOT)
            backup.create(call.terminal.database, file, target, passphrase)
        except ClockfaceError as error:
            return backup_page(call, 400, call.words(error))
        call.store.audit(call.who.actor, Action.BACKUP_MADE, {"bytes": target.stat().st_size})
        name = f"clockface-{call.clock.said(call.terminal.now(), '%Y-%m-%d-%H%M')}.backup"
        return FileResponse(target, filename=name, media_type="application/octet-stream", background=BackgroundTask(kept.pop_all().close))


def upload(call: Call) -> Response:
    """Open and check a backup. The terminal restarts at once, and the backup replaces the database."""
    file = call.form.get("file")
    if not isinstance(file, UploadFile) or not file.filename:
        return backup_page(call, 400, call.texts.text("backup.choose"))
    if call.field("confirm").strip() != call.terminal.device:
        return backup_page(call, 400, call.texts.text("backup.not_typed"))
    with working_folder(call.terminal.database, ".upload-") as folder:
        copy = folder / "sealed"
        with os.fdopen(os.open(copy, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as target:
            shutil.copyfileobj(file.file, target)
        try:
            contents = backup.stage(copy, call.field("passphrase"), call.terminal.database)
        except ClockfaceError as error:
            call.store.audit(call.who.actor, Action.RESTORE_REFUSED, {})
            return backup_page(call, 400, call.words(error))
    call.store.audit(call.who.actor, Action.RESTORE_ASKED, {"made_at": contents.made_at, "people": contents.people, "punches": contents.punches})
    call.terminal.live.restart.set()
    return call.page("restarting.html")


ROUTES = (
    get("/backup", backup_page, "admin"),
    post("/backup", download, "admin"),
    post("/restore", upload, "admin", largest_body=LARGEST_UPLOAD),
    post("/backup/keys", key_files.download, "admin", guesses="password", form=backup_page),
    post("/backup/keys/import", key_files.bring, "admin", guesses="password", form=backup_page, largest_body=key_export.LARGEST),
)
