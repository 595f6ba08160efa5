"""CSV drop folder: one file per day, `clockface-2026-11-24.csv`, that is replaced as a whole.

A punch is in the file of its day in local time, a correction in the file of the day on which it was made. A line that a
file already has, by its first column, is not written again. A reader may move files away; later lines for such a day go
into a new file of that name. A file whose header is not ours any more (edited, saved by a spreadsheet, another program's)
is left as it is: later lines of its day go into `clockface-2026-11-24-2.csv`, and this is told.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from device.config import ConnectorSettings
from device.config.fields import ConfigError, chosen, needed, written
from device.delivery.connectors import Connector, Queue
from device.delivery.connectors.local_time import naive, zone
from device.delivery.outcomes import Delivered, Failed, Outcome, Refused, expect
from device.delivery.tables import COLUMNS, harmless
from device.storage.events import Event
from device.system.foreign_files import write_whole

HEADER = ("id", "event", *COLUMNS, "local_time", "correction_id", "reason", "corrected_by", "corrected_at")
KEY = re.compile(r"[\"\ufeff]*((?:punch|correction|test)-[0-9a-f-]+)\"?[,;\t]")  # the first column of one of our lines, whoever saved it
FILES = 9  # of one day
SHOWN_SECONDS = 86_400.0  # how long a changed file stands on the health page
PREFIX = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, kw_only=True)
class Settings(ConnectorSettings):
    folder: str = needed("path", "Folder that the files are written to")
    timezone: str = needed("time zone", "Time zone of the days and of the column local_time, such as Europe/Berlin")
    delimiter: str = chosen(",", ",", ";", help="Character between two columns; a semicolon where the spreadsheet's language wants it")
    prefix: str = written("clockface", "letters, digits, - and _", "First part of the files' names")


class Folder(Protocol):
    """A folder of files: on this machine, or on another one by SFTP."""

    def read(self, name: str) -> bytes | None:
        """The content of a file; None if it does not exist. Raises: OSError."""

    def replace(self, name: str, data: bytes) -> None:
        """Write a file so that readers see the old one or the new one, never a part. Raises: OSError."""

    def close(self) -> None: ...


class LocalFolder:
    """A folder on this machine, or one that is mounted."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, name: str) -> bytes | None:
        try:
            return (self._path / name).read_bytes()
        except FileNotFoundError:
            return None

    def replace(self, name: str, data: bytes) -> None:
        """The file is on disk when this returns; mode 640, for a reader in the folder's group, where the file system keeps modes."""
        write_whole(self._path / name, data, 0o640)

    def close(self) -> None:
        pass


class Target(Connector):
    settings: Settings
    batch: ClassVar[int] = 500

    def __init__(self, settings: Settings, folder: Folder | None = None) -> None:
        super().__init__(settings)
        self._zone = zone(f"[connectors.{self.name}] timezone", settings.timezone)
        if not PREFIX.fullmatch(settings.prefix):
            raise ConfigError(f"[connectors.{self.name}] prefix = {settings.prefix!r}: expected letters, digits, - and _", code="config.name")
        self._folder = folder or LocalFolder(Path(settings.folder).expanduser())
        self._noted_at = float("-inf")
        self._notes: list[str] = []  # what was found changed, to be told

    def deliver(self, events: Sequence[Event]) -> Iterator[Outcome | None]:
        """Add all lines of a day in one replacement of its file."""
        days: dict[str, list[Event]] = {}
        for event in events:
            days.setdefault(self._day(event), []).append(event)
        written: dict[str, Outcome] = {day: self._append(f"{self.settings.prefix}-{day}", lines) for day, lines in days.items()}
        for event in events:
            yield written[self._day(event)]

    def test(self, event: Event) -> str:
        return expect(self._append(f"{self.settings.prefix}-test", [event]))

    def tick(self, now: float, queue: Queue) -> Outcome | None:
        """Tell once what was found changed; it is shown for a day."""
        notes, self._notes = self._notes, []
        if notes:
            self._noted_at = now
            return Refused("; ".join(dict.fromkeys(notes)))
        return Delivered() if now - self._noted_at > SHOWN_SECONDS else None

    def close(self) -> None:
        self._folder.close()

    def _day(self, event: Event) -> str:
        moment = event.corrected_at if event.kind == "correction" else event.occurred_at
        assert moment is not None
        return naive(moment, self._zone)[: len("2026-11-24")]

    def _append(self, stem: str, events: Sequence[Event]) -> Outcome:
        """Add lines to the first file of a day that is still ours."""
        known: set[str] = set()
        name = f"{stem}.csv"
        try:
            for number in range(2, FILES + 2):
                before = self._folder.read(name) or b""
                known |= self._keys(before)
                if not before.strip(b"\xef\xbb\xbf\r\n ") or before.startswith(self._header()):
                    self._add(name, before, [event for event in events if event.key not in known])
                    return Delivered(f"in {name}")
                following = f"{stem}-{number}.csv"
                self._notes.append(f"{name} was changed or not written by a terminal; later lines are in {following}")
                name = following
        except OSError as error:
            return Failed(f"{name} cannot be written: {error.strerror or type(error).__name__}", whole_target=True)
        return Failed(f"{FILES} files of {stem} were changed by another program; stop it, then move them away", whole_target=True)

    def _add(self, name: str, before: bytes, events: Sequence[Event]) -> None:
        if not events:
            return
        text = io.StringIO(newline="")
        writer = csv.writer(text, delimiter=self.settings.delimiter)
        if not before.startswith(self._header()):
            if before:
                self._notes.append(f"{name} was emptied by another program; it begins anew")
            before = b""
            writer.writerow(HEADER)
        elif not before.endswith(b"\n"):
            text.write("\r\n")  # somebody took the last line end away
        writer.writerows(self._line(event) for event in events)
        self._folder.replace(name, before + text.getvalue().encode())

    def _header(self) -> bytes:
        return self.settings.delimiter.join(HEADER).encode()

    def _keys(self, content: bytes) -> set[str]:
        """The events that a file has; not one whose line was cut off at the end of the file."""
        lines = content.decode("utf-8", "replace").splitlines(keepends=True)
        whole = [line for line in lines if line.endswith(("\n", "\r")) or len(next(csv.reader([line], delimiter=self.settings.delimiter))) >= len(HEADER)]
        return {found[1] for line in whole if (found := KEY.match(line))}

    def _line(self, event: Event) -> list[object]:
        columns = event.columns()
        columns["local_time"] = "" if event.occurred_at is None else naive(event.occurred_at, self._zone)
        columns |= {"id": event.key, "event": event.kind}
        return [harmless(columns.get(key, "")) for key in HEADER]
