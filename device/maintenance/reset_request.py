"""A reset to factory that somebody asks for at the terminal itself: by a file, or by a button held while it starts (docs/image.md).

The file is `clockface-reset.txt`; its first line is `erase everything on NAME`, with the terminal's name. On a stick it needs the code as well that the desk
gave out for it: everybody in the house can read the name on the screen and plug in a stick. On the card's boot partition the name suffices, since whoever
has the card in hand can erase it anyway. Undelivered rows are lost only where a further line is `and lose what is not delivered`. The same content is
followed once, so a stick that stays does not erase again. It is counted down meanwhile on the kiosk; pulling the stick out, or letting the button go, ends it.
"""

from __future__ import annotations

import glob
import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from device.contract import ClockfaceError
from device.maintenance.factory_reset import REVOKE, ToErase, begin, check_release, to_erase
from device.maintenance.update.releases import Installation
from device.storage.audit import Action
from device.storage.store import Store
from device.system.files import Disk
from device.system.gpio import Button
from device.system.ownership import open_file
from device.system.restart import Say

FILE = "clockface-reset.txt"
STICKS = ("/media/*", "/media/*/*", "/run/media/*/*", "/mnt/*")  # where systems mount them
CARD = ("/boot/firmware", "/boot")  # the boot partition
ORDER, CODE, LOSE = "erase everything on {name}", "code", "and lose what is not delivered"
CODE_KEY = "reset_code"  # in table settings: the SHA-256 of the code of the newest file for a stick; it stays on this terminal
CODE_GROUPS, CODE_GROUP, CODE_LETTERS = 4, 5, "abcdefghjkmnpqrstuvwxyz23456789"  # 99 bits, no letters that look alike
LARGEST = 4000  # bytes
FOLLOWED = "reset-followed"  # beside the database: SHA-256 of each content that was followed; it stays after a reset
LOOKS, BETWEEN_SECONDS = 12, 5.0  # a stick may be mounted some time after the terminal starts


Part = Callable[[Store], Callable[[], bool] | None]  # prepares what tells the fleet of the reset; None: there is none


def alone(store: Store) -> None:
    """Of a terminal without a fleet."""


class ResetRequest(Protocol):
    @property
    def seconds(self) -> int:
        """Counted down before it is carried out."""

    @property
    def lose(self) -> bool:
        """Whether undelivered rows may be lost."""

    def holds(self) -> bool:
        """Whether it is still asked for."""

    def follow(self) -> None:
        """It is about to be carried out."""


@dataclass(frozen=True)
class ResetFile:
    path: Path
    content: bytes
    followed: Path
    seconds: int = 60

    @property
    def lose(self) -> bool:
        return LOSE in _lines(self.content)

    def holds(self) -> bool:
        return _read(self.path) == self.content

    def follow(self) -> None:
        Disk().write(self.followed, f"{_noted(self.followed)}{_digest(self.content)}\n".encode(), 0o600)


@dataclass(frozen=True)
class ResetButton:
    button: Button
    seconds: int = 15
    lose: bool = False

    def holds(self) -> bool:
        return self.button.pressed()

    def follow(self) -> None:
        pass


def new_file(store: Store, name: str, by: str) -> bytes:
    """The content of a file that resets this terminal from a stick; from now on a file that was made before does not.

    Args:
        name: of the terminal.
        by: who asks for it, for the audit.
    """
    letters = "".join(secrets.choice(CODE_LETTERS) for _ in range(CODE_GROUPS * CODE_GROUP))
    code = "-".join(letters[at : at + CODE_GROUP] for at in range(0, len(letters), CODE_GROUP))
    with store.transaction() as db:
        row = [CODE_KEY, json.dumps(_digest(code.encode()))]
        db.execute("INSERT INTO settings (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", row)
        store.note_by(by, Action.RESET_FILE_MADE)
    return f"{ORDER.format(name=name)}\r\n{CODE} {code}\r\n".encode()


def reset_file(name: str, database: Path, sticks: Sequence[str] = STICKS, card: Sequence[str] = CARD, say: Say = print) -> ResetFile | None:
    """The first file that asks for the reset of this terminal and was not followed yet; of others it is said why not."""
    followed = database.with_name(FOLLOWED)
    for path, on_card in ((Path(folder) / FILE, place in card) for place in (*sticks, *card) for folder in sorted(glob.glob(place))):
        if (content := _read(path)) is None:
            continue
        order = ORDER.format(name=name)
        if _lines(content)[:1] != [order]:
            say(f"{path} does not begin with {order!r}, so nothing is erased")
        elif not on_card and not _has_code(content, database):
            say(f"{path} does not have the code that the desk gave out last (*Backup*, *Back to factory*), so nothing is erased")
        elif _digest(content) in _noted(followed):
            say(f"{path} was followed before, so nothing is erased: add a line, such as the day, to follow it again")
        else:
            return ResetFile(path, content, followed)
    return None


def _has_code(content: bytes, database: Path) -> bool:
    """Whether the code of the newest file for a stick is in it; where none was made, no stick has it."""
    with Store.open(database, must_exist=True, actor="reset") as store, store.reading() as db:
        kept = db.execute("SELECT value FROM settings WHERE key = ?", [CODE_KEY]).fetchone()
    given = [line.removeprefix(f"{CODE} ") for line in _lines(content) if line.startswith(f"{CODE} ")]
    return bool(kept) and any(hmac.compare_digest(_digest(code.encode()), json.loads(kept[0])) for code in given)


def carry_out(
    request: ResetRequest, database: Path, show: Callable[[int], None], say: Say = print, wait: Callable[[float], None] = time.sleep, part: Part = alone
) -> bool:
    """Count down, then decide the reset; returns whether the terminal is to start again for it.

    Args:
        show: called with the seconds that are left, and with 0 where it ends without a reset.
        part: prepares what tells the fleet, which the reset does not wait for.
    """
    for left in range(request.seconds, 0, -1):
        if not request.holds():
            say("reset: not asked for any more, nothing is erased")
            show(0)
            return False
        if left % 10 == 0 or left == request.seconds:
            say(f"reset: everything is erased in {left} s; pull the stick out, or let the button go, to keep it")
        show(left)
        wait(1.0)
    with Store.open(database, must_exist=True, actor="reset") as store:
        found = to_erase(store)
        if found.undelivered and not request.lose:
            say(f"reset: {found.undelivered} rows are not delivered yet, so nothing is erased: deliver them, or confirm it in the file with a line {LOSE!r}")
            show(0)
            return False
        tell = part(store)
        _decide(request, store, found)
        if tell is not None and not tell():
            say(f"reset: the fleet was not told, {REVOKE}")
    return True


def _decide(request: ResetRequest, store: Store, found: ToErase) -> None:
    check_release(Installation.here())
    request.follow()
    store.audit("reset", Action.RESET_ASKED, {"people": found.people, "punches": found.punches, "undelivered": found.undelivered})
    begin(store.path, found.store)


def asked_at_start(
    name: str, database: Path, by_file: bool, button: Callable[[], Button | None], show: Callable[[int], None], restart: Callable[[], None], say: Say = print,
    part: Part = alone,
) -> None:  # fmt: skip
    """While a terminal starts, in a thread of its own: look for a button that is held and for a file, and carry out what one of them asks for.

    Args:
        button: opens the button's line; None where none is wired.
        restart: starts the terminal again, which erases.
        part: prepares what tells the fleet.
    """
    try:
        held = button()
        if held is not None:
            with closing(held):
                if held.pressed() and carry_out(ResetButton(held), database, show, say, part=part):
                    restart()
                    return
        for _ in range(LOOKS if by_file else 0):
            if found := reset_file(name, database, say=say):
                if carry_out(found, database, show, say, part=part):
                    restart()
                return
            time.sleep(BETWEEN_SECONDS)
    except (OSError, ClockfaceError) as error:  # the terminal goes on: nothing was decided
        say(f"reset: {error}; nothing is erased")
        show(0)


def _read(path: Path) -> bytes | None:
    """The content; None: there is none, or it is no small plain file."""
    try:
        with os.fdopen(open_file(path, os.O_RDONLY), "rb") as file:
            content = file.read(LARGEST + 1)
    except OSError:
        return None
    return content if len(content) <= LARGEST else None


def _lines(content: bytes) -> list[str]:
    return [" ".join(line.split()) for line in content.decode("utf-8-sig", "replace").splitlines() if line.strip()]


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _noted(followed: Path) -> str:
    return followed.read_text(encoding="ascii") if followed.is_file() else ""
