"""The log of another terminal as a file: our own columns, the exports of ZKTeco and Hikvision programs, and `attlog.dat` of a ZKTeco terminal.

Column names as these programs write them: iVMS-4200 and HikCentral ("Original Records Report"), ZKTime 5, ZKBioTime, and the columns of ZKTeco's table
CHECKINOUT. `attlog.dat` has no header: user id, time, number of the terminal, status, verification, work code (ZKTeco's SDK, GetAttLogFromDat).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from device.attendance.imports.moments import MOMENT, Order, order_of
from device.contract import phrase
from device.storage.records import Direction
from device.system.table_stream import TableStream, stream

COLUMNS = {  # our name -> what the header may say, best first
    "code": (
        "person id", "employee id", "employee code", "emp code", "emp id", "user id", "userid", "ac-no.", "ac no.", "ac-no", "enroll no.", "enrollnumber",
        "badge number", "badgenumber", "pin", "id number", "personalnummer", "ausweisnummer", "ausweis", "nummer", "matricule", "código", "sicil no",
        "card no.", "id", "no.",
    ),
    "date": ("attendance date", "punch date", "datum", "fecha", "tarih", "tag"),
    "time": (
        "date/time", "datetime", "date time", "date and time", "punch time", "checktime", "check time", "timestamp", "time stamp", "occurred_at", "clock time",
        "event time", "datum/zeit", "zeitpunkt", "zeit", "uhrzeit", "fecha y hora", "hora",
    ),
    "direction": (
        "attendance status", "punch state", "checktype", "check type", "in/out", "state", "status", "type", "punch type", "richtung", "art", "tipo",
    ),
    "device": ("attendance check point", "device name", "location id", "terminal", "machine", "device id", "sensorid", "gerät", "dispositivo"),
    "name": ("person name", "employee name", "full name", "first name", "mitarbeiter", "nombre", "nom", "ad soyad"),
}  # fmt: skip
WORDS: dict[Direction, str] = {  # without anything but letters and digits
    "in": "in i cin checkin clockin entry entrance entrada entrée kommen ein eingang dutyon overtimein otin 0 4 giriş masuk",
    "out": "out o cout checkout clockout exit salida sortie gehen aus ausgang dutyoff overtimeout otout 1 5 çıkış keluar",
    "break_start": "breakstart breakout pause pausenbeginn pausestart 2",
    "break_end": "breakend breakin backfrombreak outback pausenende pauseende 3",
    "auto": "auto none undefined unknown 255",
}
DIRECTION = {word: direction for direction, words in WORDS.items() for word in words.split()} | {"": "auto"}
ATTLOG = ("code", "time", "device", "direction", "verification", "work code")
ONE_WAY = 20  # punches that all say the same: then nobody has pressed a key


@dataclass(frozen=True)
class LogRow:
    """A row of the file, as it stands there."""

    line: int
    code: str
    time: str  # with the day
    direction: str
    device: str
    name: str

    @property
    def says(self) -> Direction | None:
        """The direction; None: it is a word that is not known."""
        return DIRECTION.get(re.sub(r"[\W_]", "", self.direction).casefold())


@dataclass(frozen=True)
class LogFile:
    """A file that is a log."""

    table: TableStream
    order: Order | None  # of day and month; None: it need not be said, or nobody can tell
    total: int  # rows
    one_way: str = ""  # the direction that all rows have, where they are many

    def rows(self) -> Iterator[LogRow]:
        return _rows(self.table)

    @property
    def told(self) -> str:
        return self.table.told

    @property
    def remark(self) -> str:
        """What somebody should know before anything is imported; "" if nothing."""
        if self.one_way not in ("in", "out", "break_start", "break_end"):
            return ""
        english = "every row says {direction!r}: if nobody pressed a key at that terminal, leave the directions open (--directions open)"
        return phrase("import.one_way", english, direction=self.one_way)


def read(path: Path, order: Order | None = None) -> LogFile:
    """Look through a file. `order`: what stands first, day or month, where the file does not tell.

    Raises:
        ListError: it is no list, or has no columns for code and time.
        WrongTime: it writes days in two ways.
    """
    table = stream(path, COLUMNS, ("code", "time"), _attlog)
    total, ways = 0, set[str]()

    def times() -> Iterator[str]:
        nonlocal total
        for row in _rows(table):
            total += 1
            if len(ways) < 2:
                ways.add(row.says or "?")
            yield row.time

    found = order_of(times())
    return LogFile(table, order or found, total, next(iter(ways)) if total >= ONE_WAY and len(ways) == 1 else "")


def _rows(table: TableStream) -> Iterator[LogRow]:
    numbered = table.titles[:2] == ATTLOG[:2] and "verification" in table.titles
    for line, cells in table.rows():
        time = " ".join(filter(None, (cells.get("date", "").split(" ")[0] if "date" in cells else "", cells.get("time", ""))))
        device = cells.get("device", "")
        device = f"terminal {device}" if numbered and device else device
        yield LogRow(line, cells.get("code", ""), time, cells.get("direction", ""), device, cells.get("name", ""))


def _attlog(cells: Sequence[str]) -> Sequence[str] | None:
    """The columns of `attlog.dat`, of which short ones end early."""
    if len(cells) >= 2 and cells[0] and MOMENT.fullmatch(cells[1]):
        return (*ATTLOG[: len(cells)], *(f"column {number}" for number in range(len(ATTLOG), len(cells))))
    return None
