"""Back to factory: everything that a terminal has learnt is erased, the installed release stays, and the next start is a first start.

It is decided by a mark beside the database (`device/storage/reset_mark.py`). From then on nobody opens the database, and `go_on` erases: the keys first, so
that templates and crops that are left on the cells of a card, or in any copy, cannot be read; then all files of the database; the mark last. Every step may be
repeated, so a power cut meanwhile does no harm: the next start goes on. Files are overwritten before they are removed; docs/privacy.md says what that is worth.
"""

from __future__ import annotations

import glob
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from device.contract import ClockfaceError
from device.maintenance import key_export
from device.maintenance.update.releases import Installation
from device.storage import key_folder, keys
from device.storage.audit import Action
from device.storage.database import TerminalLock
from device.storage.database_files import WORKING, logs_of
from device.storage.fleet_state import fleet_state
from device.storage.key_folder import DEVICE_KEY, NEXT_KEY
from device.storage.reset_mark import ResetError, mark_file, read_mark, set_mark
from device.storage.store import Store
from device.system.files import Disk
from device.system.ownership import acting_as_owner, open_file

IMAGE = Path("/usr/share/clockface/image.env")  # on a terminal that was made from an image (docs/image.md)
FIRST_START = "first-start"  # in the data folder: asks first-start.sh to work at the next boot as it does on a new card
KEPT = (".lock", ".reset")  # endings that stay meanwhile: empty locks, and the mark itself
BESIDE = ("fleet-ca.pem", "clockface.toml.restored")  # further files in the folder of the database that belong to it
BLOCK = 1 << 20  # bytes
REVOKE = "revoke it there: `python -m device fleet revoke`"
UNREADABLE = ("store", "store.damaged", "store.no_database")  # errors of a database that is erased without being told of

Step = Callable[[], None]


@dataclass(frozen=True)
class ToErase:
    """What a reset would erase, to be told before it."""

    store: str  # identity of the database; "" where it cannot be read
    people: int = 0
    punches: int = 0
    undelivered: int = 0  # rows that a system of the company, or the fleet's database, does not have yet
    backup_at: float | None = None  # when the last back-up was made here, s since the epoch; None: never
    keys_at: float | None = None  # when people's keys were exported last; None: never
    fleet: str = ""  # the name and site in its fleet; "": it stands alone
    fleet_away: bool = False  # the fleet does not answer, so that it will not be told
    readable: bool = True


def to_erase(store: Store) -> ToErase:
    with store.reading() as db:
        people = db.execute("SELECT count(*) FROM people WHERE erased_at IS NULL").fetchone()[0]
        punches = db.execute("SELECT count(*) FROM punches").fetchone()[0]
        made = db.execute("SELECT max(at) FROM audit WHERE action = ?", [Action.BACKUP_MADE.value]).fetchone()[0]
        member = fleet_state(db)
    waiting = sum(target.waiting + target.dead for target in store.outbox.summary()) + (member.waiting if member else 0)
    exported = key_export.given_out(store.keys.store)
    return ToErase(
        store.keys.store, people, punches, waiting, made / 1000 if made else None, exported.made_at if exported else None,
        member.place if member else "", bool(member and member.trouble),
    )  # fmt: skip


def looked_at(database: Path) -> ToErase:
    """What is in a database; one that cannot be read is erased as well, and where it does not say which keys are its own, with all keys of their folder.

    Raises:
        ResetError: there is neither a database nor anything of one.
        StoreError: another process uses it, or it belongs to another user or program.
    """
    if not os.path.isfile(database):
        if not os.access(database.parent, os.R_OK | os.X_OK):
            raise ResetError(f"{database.parent} does not exist or belongs to another user: `sudo -u clockface clockface reset`", code="reset.nothing")
        if not _files(database):
            words = f"there is no database {database}, so there is nothing to erase; give the right file to --db"
            raise ResetError(words, code="reset.nothing")
        return ToErase("", readable=False)
    try:
        with Store.open(database, must_exist=True, actor="reset") as store:
            return to_erase(store)
    except ClockfaceError as error:
        if error.code not in UNREADABLE and not error.code.startswith("keys."):
            raise
        return ToErase(_identity(database), readable=False)


def _identity(database: Path) -> str:
    """The identity in a database that is too damaged for anything else; "" where that cannot be read either."""
    try:
        with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as db:
            return str(db.execute("SELECT id FROM identity").fetchone()[0])
    except (sqlite3.Error, TypeError):
        return ""


def check(found: ToErase, name: str, given: str, lost: int | None) -> None:
    """Whether somebody has confirmed the reset of this terminal.

    Args:
        name: of the terminal.
        given: the name that was typed.
        lost: the number of undelivered rows that was typed; None: none was.

    Raises:
        ResetError: another name, or not the number of undelivered rows.
    """
    if given.strip() != name:
        raise ResetError(f"the name is not that of this terminal, {name}; nothing was erased", code="reset.name")
    if found.undelivered and lost != found.undelivered:
        words = f"{found.undelivered} rows are not delivered yet and would be lost; nothing was erased: deliver them first, or confirm this number"
        raise ResetError(words, code="reset.undelivered")


def check_release(installation: Installation | None) -> None:
    """Refuse a reset while a release is on trial: if that one fails, the one before it needs the database.

    Raises:
        ResetError: a release is on trial.
    """
    if installation is not None and installation.on_trial:
        raise ResetError("a release is on trial; reset once it runs well, or after `update rollback`; nothing was erased", code="reset.on_trial")


def begin(database: Path, store: str) -> None:
    """Decide the reset. Whoever calls this starts the terminal again, or calls `go_on`.

    Raises:
        ResetError: a release is on trial.
    """
    check_release(Installation.here())
    with acting_as_owner(database):
        set_mark(database, store)


def go_on(database: Path, image: Path = IMAGE, after: Callable[[int], None] = lambda step: None) -> list[str]:
    """Erase, if a reset was decided; before anything else opens the database. Returns the lines to report.

    Args:
        image: the file that tells a terminal made from an image.
        after: called with the number of each step that is done; for tests.

    Raises:
        ResetError: a file cannot be erased; the mark stays, so the terminal does not run on what is left.
        StoreError: a terminal runs on the database.
        KeysError: the keys of another database in the same folder cannot be kept.
    """
    with acting_as_owner(database):
        if (mark := read_mark(database)) is None:
            return []
        lock = TerminalLock(database)
        try:
            for number, step in enumerate(_steps(database, mark.store, image)):
                step()
                after(number)
        except OSError as error:
            words = f"the reset cannot go on ({error}): make the file writable for this user and start again; nothing runs here before that"
            raise ResetError(words) from error
        finally:
            lock.release()
    return ["reset: all people, punches, keys, logins and settings of the pages are erased; this is a first start"]


def _steps(database: Path, store: str, image: Path) -> Iterator[Step]:
    place = key_folder.folder()
    yield lambda: _destroy_device_key(place, store)
    yield lambda: _wipe_all(_keys_of(place, store))
    for file in _files(database):
        yield lambda file=file: _wipe_all([file])  # type: ignore[misc]
    yield lambda: _remove_folders(database)
    yield lambda: _ask_for_first_start(database, image)
    yield lambda: _wipe_all([mark_file(database)])


def _destroy_device_key(place: Path, store: str) -> None:
    """Where other databases keep keys in the same folder, these are wrapped with a new one first."""
    ours = set(_keys_of(place, store))
    if set(place.glob("*.keys")) - ours and (place / DEVICE_KEY).is_file():
        with os.fdopen(open_file(place / DEVICE_KEY, os.O_RDWR), "r+b", buffering=0) as former:
            keys.rotate(place)
            _overwrite(former.fileno())
        return
    _wipe_all([path for name in (DEVICE_KEY, NEXT_KEY) for path in (place / name, place / f".{name}.new")])


def _keys_of(place: Path, store: str) -> list[Path]:
    """The files of a store's keys; of every store where its identity is not known."""
    names = glob.escape(store) if store else "*"
    return sorted({path for form in (f"{names}.keys*", f"{names}.exported", f".{names}.*") for path in place.glob(form) if path.name != ".lock"})


def _files(database: Path) -> list[Path]:
    """Every file of a database that is there: older states, its own with logs, and what lies beside it for it."""
    name = glob.escape(database.name)
    beside = [path for form in (f"{name}.*", f".{name}.*") for path in sorted(database.parent.glob(form)) if not path.name.endswith(KEPT)]
    real = database.resolve()
    own = [*logs_of(real), *logs_of(database), real, database, *(database.with_name(other) for other in BESIDE)]
    return [path for path in dict.fromkeys([*beside, *own]) if os.path.lexists(path) and (path.is_symlink() or not path.is_dir())]


def _wipe_all(files: list[Path]) -> None:
    """Overwrite, then remove; a link is removed alone."""
    for file in files:
        if file.is_file() and not file.is_symlink():
            opened = open_file(file, os.O_RDWR)
            try:
                _overwrite(opened)
            finally:
                os.close(opened)
        file.unlink(missing_ok=True)
    for folder in {file.parent for file in files if file.parent.is_dir()}:
        Disk().sync(folder)


def _overwrite(opened: int) -> None:
    left = os.lseek(opened, 0, os.SEEK_END)
    os.lseek(opened, 0, os.SEEK_SET)
    while left > 0:
        left -= os.write(opened, bytes(min(left, BLOCK)))
    os.fsync(opened)


def _remove_folders(database: Path) -> None:
    """Folders with copies that a killed process left."""
    for folder in [path for beginning in WORKING for path in database.parent.glob(f"{beginning}*") if path.is_dir() and not path.is_symlink()]:
        _wipe_all([path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()])
        shutil.rmtree(folder)


def _ask_for_first_start(database: Path, image: Path) -> None:
    if image.is_file():
        Disk().write(database.with_name(FIRST_START), b"reset\n")


def said(found: ToErase) -> list[str]:
    """What would be erased, one line each, in English."""
    if not found.readable:
        own = "its keys" if found.store else "every key in the folder of keys, also those of other databases"
        return [f"the database cannot be read: it is erased, whatever is in it, with {own}"]
    lines = [f"people: {found.people}", f"punches: {found.punches}", f"not delivered yet, and lost for ever: {found.undelivered}"]
    lines += [f"last back-up made here: {_day(found.backup_at)}", f"last export of the keys of faces: {_day(found.keys_at)}"]
    lines += [f"member of a fleet as {found.fleet}, which is told if it answers; else {REVOKE}"] if found.fleet else []
    return [*lines, "erased with them: logins, PINs, certificate, settings of the pages, older states; kept: the installed release and the settings file"]


def _day(at: float | None) -> str:
    return datetime.fromtimestamp(at, timezone.utc).date().isoformat() if at else "none"
