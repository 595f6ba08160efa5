"""The log of another terminal: each row's fate, what is stored, and that a second import adds nothing."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlite_utils import Database

from device.attendance.imports import log_import
from device.attendance.imports.log_file import read
from device.attendance.imports.log_import import Choices, LogImport
from device.attendance.planning import Planning
from device.attendance.review import Desk
from device.attendance.timesheet.worksite import Site
from device.delivery.tables import as_csv, as_xlsx
from device.storage import corrections, outbox_rows
from device.storage.corrections import CorrectionDraft
from device.storage.records import LastPunch, PunchDraft
from device.storage.schema import APPLICATION_ID, MIGRATIONS, SCHEMA_VERSION
from device.storage.store import Store
from device.system.clock import ClockState, iso_utc
from tests.refused import refused

NOW = datetime(2026, 11, 24, 12, tzinfo=timezone.utc).timestamp()
BERLIN = ZoneInfo("Europe/Berlin")
HIKVISION = """Person ID,Name,Department,Time,Attendance Status,Attendance Check Point,Custom Name,Data Source,Handling Type,Temperature,Abnormal
'0001,Ann,Company/Line 1,2026-11-23 08:00:00,Check-in,Door1,,Original Records,None,,No
'0001,Ann,Company/Line 1,2026-11-23 12:00:00,Break-Out,Door1,,Original Records,None,,No
'0001,Ann,Company/Line 1,2026-11-23 12:30:00,Break-In,Door1,,Original Records,None,,No
'0001,Ann,Company/Line 1,2026-11-23 17:00:00,Check-out,Door1,,Original Records,None,,No
'0002,Bob,Company/Line 1,2026-11-23 08:00:00,None,Door2,,Original Records,None,,No
"""
ZKTIME = """AC-No.\tNo.\tName\tTime\tState\tNew State\tException\tOperation
1\t\tAnn\t23/11/2026 8:00 AM\tC/In\t\tOK\t
1\t\tAnn\t23/11/2026 12:00 PM\tOut\t\tOK\t
1\t\tAnn\t23/11/2026 12:30 PM\tC/In\t\tOK\t
1\t\tAnn\t23/11/2026 5:00 PM\tC/Out\t\tOK\t
2\t\tBob\t23/11/2026 8:00 AM\tC/In\t\tOK\t
"""
BIOTIME = """Employee ID;First Name;Date;Time;Punch State
1;Ann;2026-11-23;08:00:00;Check In
1;Ann;2026-11-23;17:00:00;Check Out
"""
ATTLOG = "        1\t2026-11-23 08:00:00\t1\t0\t1\t0\n        1\t2026-11-23 17:00:00\t1\t1\t1\t0\n        2\t2026-11-23 08:00:00\t1\t255\t15\t0\n"
OWN = "code,time,direction\n1,2026-11-23T08:00,in\n1,2026-11-23T16:00:00Z,out\n"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "clockface.db") as opened:
        Planning(opened).set_site(Site("Europe/Berlin"), "test")
        opened.add_person("Ann", "1")
        opened.add_person("Bob", "0002")
        yield opened


def imported(store: Store, tmp_path: Path, text: str, choices: Choices | None = None, check: bool = False) -> Counter[str]:
    file = tmp_path / "log.csv"
    file.write_bytes(text.encode())
    plan = LogImport(store, read(file), choices or Choices(), NOW)
    return Counter(one.fate for one in (plan.check() if check else plan.run()))


def stored(store: Store) -> list[tuple[int, str, str, str]]:
    return [(p.person_id, f"{datetime.fromtimestamp(p.occurred_at, BERLIN):%d %H:%M}", p.direction, p.device) for p in store.punches()]


ANN = [(1, "23 08:00", "in"), (1, "23 12:00", "break_start"), (1, "23 12:30", "break_end"), (1, "23 17:00", "out")]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (HIKVISION, [(1, "23 08:00", "in", "Door1"), (2, "23 08:00", "auto", "Door2"), *((*one, "Door1") for one in ANN[1:])]),
        (ZKTIME, [(p, at, way, "import") for p, at, way in
                  ((1, "23 08:00", "in"), (2, "23 08:00", "in"), (1, "23 12:00", "out"), (1, "23 12:30", "in"), (1, "23 17:00", "out"))]),
        (BIOTIME, [(1, "23 08:00", "in", "import"), (1, "23 17:00", "out", "import")]),
        (ATTLOG, [(1, "23 08:00", "in", "terminal 1"), (2, "23 08:00", "auto", "terminal 1"), (1, "23 17:00", "out", "terminal 1")]),
        (OWN, [(1, "23 08:00", "in", "import"), (1, "23 17:00", "out", "import")]),
    ],
    ids=["hikvision", "zktime", "biotime", "attlog", "own"],
)  # fmt: skip
def test_exports_of_other_systems(store: Store, tmp_path: Path, text: str, wanted: list[tuple[int, str, str, str]]) -> None:
    fates = imported(store, tmp_path, text)
    assert fates == {"imported": len(wanted)} and stored(store) == wanted
    assert {punch.method for punch in store.punches()} == {"imported"} and store.verify_chain().ok
    assert imported(store, tmp_path, text) == {"present": len(wanted)} and len(stored(store)) == len(wanted), "a second import adds nothing"


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_what_one_terminal_exports_another_imports(store: Store, tmp_path: Path, form: str) -> None:
    imported(store, tmp_path, HIKVISION)
    rows = [{"code": "0001" if p.person_id == 1 else "2", "occurred_at": iso_utc(p.occurred_at), "direction": p.direction} for p in store.punches()]
    columns = ("code", "occurred_at", "direction")
    (tmp_path / "out").write_bytes(as_csv(columns, rows) if form == "csv" else as_xlsx("punches", columns, rows))
    with Store.open(tmp_path / "second.db") as second:
        for person in store.people():
            second.add_person(person.name, person.code)
        assert Counter(one.fate for one in LogImport(second, read(tmp_path / "out"), Choices(), NOW).run()) == {"imported": 5}
        assert [(p.person_id, p.occurred_at, p.direction) for p in second.punches()] == [(p.person_id, p.occurred_at, p.direction) for p in store.punches()]


def test_files_that_overlap_and_another_form_of_the_same_file(store: Store, tmp_path: Path) -> None:
    imported(store, tmp_path, ATTLOG)
    assert imported(store, tmp_path, HIKVISION) == {"present": 3, "imported": 2}


def test_each_row_has_a_fate_and_check_tells_the_same(store: Store, tmp_path: Path) -> None:
    Desk(store, NOW).lock(date(2026, 10, 1), date(2026, 10, 31), "test")
    lines = {
        "1,2026-11-23 08:00,in": "imported",
        "1,2026-11-23 07:00Z,out": "twice",
        ",2026-11-23 08:00,in": "no_code",
        "17,2026-11-23 08:00,in": "unknown",
        "1,,in": "time",
        "1,2026-13-23 08:00,in": "time",
        "1,2026-11-23 09:00,sideways": "direction",
        "1,2026-11-25 08:00,in": "future",
        "1,2025-11-23 08:00,in": "too_old",
        "1,2026-10-31 23:59,out": "locked",
        "1,2026-11-01 00:00,in": "imported",
        "0002,2026-10-25 02:30+02:00,in": "locked",
    }
    text = "\n".join(["code,time,direction", *lines])
    wanted = Counter(lines.values())
    assert imported(store, tmp_path, text, Choices(keep_days=300), check=True) == wanted and stored(store) == [], "a check writes nothing"
    assert imported(store, tmp_path, text, Choices(keep_days=300)) == wanted
    assert [punch[1] for punch in stored(store)] == ["01 00:00", "23 08:00"]


def test_rows_of_two_batches(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is twice in the file is imported once, however far apart the two rows are."""
    monkeypatch.setattr(log_import, "BATCH", 2)
    text = "code,time\n" + "".join(f"1,2026-11-23 08:{minute:02}\n" for minute in (0, 1, 2, 0, 1, 2))
    assert imported(store, tmp_path, text, check=True) == {"imported": 3, "twice": 3}
    assert imported(store, tmp_path, text) == {"imported": 3, "present": 3} and len(stored(store)) == 3


def test_an_import_that_was_stopped_goes_on(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_import, "BATCH", 1)
    file = tmp_path / "log.csv"
    file.write_text(HIKVISION, encoding="utf-8")
    running = LogImport(store, read(file), Choices(), NOW).run()
    assert [next(running).fate for _ in range(2)] == ["imported"] * 2
    running.close()  # type: ignore[attr-defined]
    assert imported(store, tmp_path, HIKVISION) == {"present": 2, "imported": 3}


def test_a_punch_that_was_recorded_here_is_there_already(store: Store, tmp_path: Path) -> None:
    at = datetime(2026, 11, 23, 8, tzinfo=BERLIN).timestamp()
    store.record_punch(PunchDraft(1, at, "in", "door", "pin", ClockState(True, "boot", 1)))
    store.correct(1, None, LastPunch(at + 9 * 3600, "out"), "forgotten", "test")
    assert imported(store, tmp_path, OWN) == {"present": 2}


def test_codes_with_leading_zeros(store: Store, tmp_path: Path) -> None:
    store.add_person("Cy", "007")
    store.add_person("Di", "07")
    assert imported(store, tmp_path, "code,time\n2,2026-11-23 08:00\n00001,2026-11-23 08:00\n") == {"imported": 2}
    assert imported(store, tmp_path, "code,time\n7,2026-11-23 09:00\n007,2026-11-23 10:00\n") == {"unknown": 1, "imported": 1}
    assert stored(store)[-1][0] == 3


def test_the_last_punch_is_that_of_the_door(store: Store, tmp_path: Path) -> None:
    """An imported punch has a later number than what was recorded before it, and may lie months back."""
    at = datetime(2026, 11, 24, 8, tzinfo=BERLIN).timestamp()
    store.record_punch(PunchDraft(1, at, "in", "door", "pin", ClockState(True, "boot", 1)))
    imported(store, tmp_path, HIKVISION)
    assert store.last_punch(1) == LastPunch(at, "in")
    assert store.last_punch(2) == LastPunch(datetime(2026, 11, 23, 8, tzinfo=BERLIN).timestamp(), "auto")


def queued(store: Store) -> list[tuple[int | None, int | None]]:
    with store.reading() as db:
        return db.execute("SELECT punch_id, correction_id FROM outbox ORDER BY id").fetchall()  # type: ignore[no-any-return]


def test_nothing_is_delivered_unless_it_is_asked_for(store: Store, tmp_path: Path) -> None:
    with store.transaction() as db:
        outbox_rows.set_targets(db, {"payroll": outbox_rows.Takes()})
    imported(store, tmp_path, OWN)
    store.correct(1, 1, None, "wrong", "test")
    with store.transaction() as db:
        assert outbox_rows.fill(db, "payroll", 0, 2**50, 0) == 0
        assert outbox_rows.never_queued(db, "payroll", 0) is None
    assert queued(store) == []
    imported(store, tmp_path, ATTLOG, Choices(deliver=True))
    assert queued(store) == [(3, None)], "of the three rows one was not there"
    with store.transaction() as db:
        db.execute("UPDATE outbox SET state = 'delivered'")
    store.correct(2, 3, None, "wrong", "test")
    assert queued(store) == [(3, None), (None, 2)]


def test_open_directions_and_the_remark_that_asks_for_them(store: Store, tmp_path: Path) -> None:
    text = "".join(f"1\t2026-11-{day:02} {hour:02}:00:00\t1\t0\t1\t0\n" for day in range(2, 13) for hour in (8, 17))
    file = tmp_path / "attlog.dat"
    file.write_text(text, encoding="utf-8")
    assert "open" in read(file).remark
    assert Counter(one.fate for one in LogImport(store, read(file), Choices(open_directions=True), NOW).run()) == {"imported": 22}
    assert {punch.direction for punch in store.punches()} == {"auto"}


def test_a_correction_of_an_imported_punch_counts(store: Store, tmp_path: Path) -> None:
    imported(store, tmp_path, OWN)
    with store.transaction() as db:
        corrections.append(db, CorrectionDraft(1, 2, None, None, "wrong"), "test")
    assert store.last_punch(1) == LastPunch(datetime(2026, 11, 23, 8, tzinfo=BERLIN).timestamp(), "in")
    assert imported(store, tmp_path, OWN) == {"present": 2}, "what was corrected away does not come back"


def test_a_desk_has_no_log_of_its_own(store: Store, tmp_path: Path) -> None:
    with store.transaction() as db:
        db.execute("""INSERT INTO fleet (key, value) VALUES ('membership', '{"kind": "desk", "name": "Desk", "site": ""}')""")
    with refused("import.desk"):
        imported(store, tmp_path, OWN)


def test_days_in_two_orders_are_refused(store: Store, tmp_path: Path) -> None:
    with refused("import.time", "day first"):
        imported(store, tmp_path, "code,time\n1,23/11/2026 08:00\n1,11/23/2026 08:00\n")


def test_a_log_of_an_older_database_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    db = Database(path, execute_plugins=False)
    MIGRATIONS.apply(db, stop_before="punches_can_be_imported")
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION - 1}")
    db.execute("INSERT INTO people (id, name, code, created_at) VALUES (1, 'Ann', '1', 0)")
    db.execute("INSERT INTO punches VALUES (1, 1, 5000, 'in', 'door', 'pin', NULL, NULL, NULL, NULL, NULL, 1, 'boot', 1, printf('%064d', 0), 'h1')")
    before = db.execute("SELECT * FROM punches").fetchall()
    db.close()
    with Store.open(path) as store:
        with store.reading() as db:
            assert db.execute("SELECT * FROM punches").fetchall() == before
        assert imported(store, tmp_path, OWN) == {"imported": 2} and store.faults() == []
        with store.transaction() as db, pytest.raises(sqlite3.IntegrityError):
            values = "9, 1, 6000, 'in', 'door', 'guess', NULL, NULL, NULL, NULL, NULL, 1, 'b', 1, hash, 'h9'"
            db.execute(f"INSERT INTO punches SELECT {values} FROM punches WHERE id = 3")
