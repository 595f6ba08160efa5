"""Lists whose rows are written in one transaction: each row has a fate, and a check writes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from device.attendance.imports.moments import ImportRefused
from device.contract import ClockfaceError, phrase
from device.storage.store import Store

MOST_ROWS = 5000  # in one transaction, in which the terminal waits
Fate = Literal["added", "changed", "present", "left_out", "refused"]
FATES: dict[Fate, str] = {"added": "added", "changed": "changed", "present": "already there", "left_out": "left out", "refused": "refused"}
Cells = Mapping[str, str]


@dataclass(frozen=True)
class RowFate:
    """What becomes of a row."""

    line: int
    about: str  # whom or what the row names
    fate: Fate
    words: str = ""

    @property
    def problem(self) -> bool:
        return self.fate == "refused"


@dataclass(frozen=True)
class Result:
    """What became of a list, or would become of it."""

    rows: tuple[RowFate, ...]
    written: bool

    @property
    def counts(self) -> Counter[Fate]:
        return Counter(row.fate for row in self.rows)

    @property
    def problems(self) -> int:
        return self.counts["refused"]


class _NothingWritten(Exception):
    """Ends a transaction without a trace."""


Act = Callable[[Cells], tuple[Fate, str]]  # carries out one row; a ClockfaceError refuses it


def carry_out(store: Store, rows: Iterable[tuple[int, Cells]], about: Sequence[str], act: Act, *, check: bool, whole: bool) -> Result:
    """Carry out each row of a list in one transaction.

    Args:
        rows: line number and cells.
        about: the columns that name what a row is about.
        check: undo everything.
        whole: undo everything if a row is refused; otherwise that row alone is left out.

    Raises:
        ImportRefused: too many rows.
        StoreError: the database cannot be written.
    """
    fates: list[RowFate] = []
    written = False
    with suppress(_NothingWritten):
        with store.together() as db:
            for line, cells in rows:
                if len(fates) == MOST_ROWS:
                    english = "the list has more than {most} rows, which are taken at once; split it"
                    raise ImportRefused(phrase("import.too_many", english, most=MOST_ROWS), code="import.too_many")
                db.execute("SAVEPOINT a_row")
                try:
                    fate, words = act(cells)
                except ClockfaceError as error:
                    db.execute("ROLLBACK TO a_row")
                    fate, words = "refused", error.message
                db.execute("RELEASE a_row")
                fates.append(RowFate(line, " ".join(cells.get(name, "") for name in about).strip(), fate, words))
            if check or whole and any(row.problem for row in fates):
                raise _NothingWritten
        written = True
    return Result(tuple(fates), written)
