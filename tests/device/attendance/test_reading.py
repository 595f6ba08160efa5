"""What the review site reads, on a generated site: log pages, Today and the numbers of the plots, each compared with a plain count."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from device.attendance import distributions
from device.attendance.distributions import BIN
from device.attendance.log import PAGE, LogFilter, devices, log_page, sightings
from device.attendance.planning import Planning
from device.attendance.sheets import company_sheets
from device.attendance.timesheet.absences import Absence
from device.attendance.timesheet.worksite import Site
from device.attendance.today import Board
from device.commands.benchmark import sample_data
from device.storage.audit import Action
from device.storage.records import LastPunch
from device.storage.store import Punch, PunchDraft, Store
from device.system.clock import ClockState

ZONE = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 25, 14, 20, tzinfo=ZONE).timestamp()
DAY = date(2026, 11, 24)
SITE = Site("Europe/Berlin")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("generated") / "site.db"
    sample_data.fill(path, people=24, punches=900, now=NOW, seed=7)
    return path


@pytest.fixture
def own_copy(filled: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "copy.db"
    with closing(sqlite3.connect(filled)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    return copy


def local(punch: Punch) -> datetime:
    return datetime.fromtimestamp(punch.occurred_at, ZONE)


def test_the_hash_chains_of_a_generated_site_are_intact(filled: Path) -> None:
    with Store.open(filled) as store:
        assert all(store.verify_chain(table).ok for table in ("punches", "corrections", "audit"))
        assert len(store.punches()) == 900 and all(punch.occurred_at < NOW for punch in store.punches())


@pytest.mark.parametrize(
    "chosen",
    [
        LogFilter(DAY, DAY),
        LogFilter(date(2026, 11, 1), date(2026, 11, 25)),
        LogFilter(date(2026, 11, 16), DAY, person_id=9),
        LogFilter(date(2026, 11, 16), DAY, device="Workshop"),
        LogFilter(date(2026, 11, 1), DAY, method="pin"),
        LogFilter(date(2026, 11, 16), DAY, 3, "Front door", "face"),
        LogFilter(date(2026, 12, 1), date(2026, 12, 2)),
    ],
)
def test_log_pages_hold_what_the_filter_selects_newest_first(filled: Path, chosen: LogFilter) -> None:
    with Store.open(filled) as store:
        selected = [
            punch.id
            for punch in sorted(store.punches(), key=lambda punch: (punch.occurred_at, punch.id), reverse=True)
            if chosen.first <= local(punch).date() <= chosen.last
            and chosen.person_id in (None, punch.person_id)
            and chosen.device in ("", punch.device)
            and chosen.method in ("", punch.method)
        ]
        pages = [log_page(store, chosen, SITE, number) for number in range(1, max(1, -(-len(selected) // PAGE)) + 1)]
        assert [line.punch.id for page in pages for line in page.lines] == selected
        assert {page.total for page in pages} == {len(selected)} and [page.more for page in pages] == [*[True] * (len(pages) - 1), False]
        assert all(line.chain == "" for page in pages for line in page.lines)
        assert log_page(store, chosen, SITE, 99).number == len(pages)  # beyond the end: the last page


def test_a_correction_stands_beside_its_punch(own_copy: Path) -> None:
    with Store.open(own_copy) as store:
        punch = next(punch for punch in store.punches() if local(punch).date() == DAY and punch.direction == "out")
        moved = LastPunch(punch.occurred_at - 600, "out")
        store.correct(punch.person_id, punch.id, moved, "test", "test")
        line = next(line for line in log_page(store, LogFilter(DAY, DAY, punch.person_id), SITE).lines if line.punch.id == punch.id)
        assert line.corrected and line.counts == moved and line.punch == punch
        store.correct(punch.person_id, punch.id, None, "test", "test")
        line = next(line for line in log_page(store, LogFilter(DAY, DAY, punch.person_id), SITE).lines if line.punch.id == punch.id)
        assert line.corrected and line.counts is None


def test_a_removed_punch_shows_at_the_one_after_it(own_copy: Path) -> None:
    with Store.open(own_copy) as store:
        removed = [punch for punch in store.punches() if local(punch).date() == DAY][3].id
        with store.transaction() as db:
            db.execute("DROP TRIGGER punches_no_delete")
            db.execute("DELETE FROM punches WHERE id = ?", [removed])
        lines = {line.punch.id: line.chain for line in log_page(store, LogFilter(DAY, DAY), SITE).lines}
        assert lines[removed + 1] == "does not follow the one before it" and removed not in lines
        assert [number for number, fault in lines.items() if fault] == [removed + 1]


def test_devices_and_unknown_faces_are_counted(filled: Path) -> None:
    with Store.open(filled) as store:
        assert devices(store) == sorted({punch.device for punch in store.punches()})
        with store.reading() as db:
            times = [datetime.fromtimestamp(at / 1000, ZONE).date() for (at,) in db.execute("SELECT occurred_at FROM sightings")]
        chosen = LogFilter(min(times), max(times))
        assert sightings(store, chosen, SITE) == dict(Counter(times))


def test_today_read_step_by_step_is_the_same_as_read_at_once(own_copy: Path) -> None:
    """Punches, corrections, plans and people one after the other: a board that reads only what is new shows the same as a fresh one."""
    clock = [NOW]
    following = Board(lambda: clock[0])
    with Store.open(own_copy) as store:
        planning = Planning(store)
        serials = [following.picture(store).serial]

        def same() -> bool:
            picture, fresh = following.picture(store), Board(lambda: clock[0]).picture(store)
            serials.append(picture.serial)
            return picture.lines == fresh.lines and picture.counts == fresh.counts and sum(picture.counts.values()) == len(store.people(active_only=True))

        def punch(person: int, seconds: float, direction: str) -> int:
            draft = PunchDraft(person, NOW + seconds, direction, "door", "manual", ClockState(True, "boot", 1))  # type: ignore[arg-type]
            return store.record_punch(draft).id

        number = punch(1, 0, "in")
        assert same()
        store.audit("user:1", Action.LOG_EXPORTED, {})
        store.audit("user:1", Action.LOGGED_IN, {})
        assert same() and serials[-1] == serials[-2]  # nobody's presence has changed
        store.correct(1, number, LastPunch(NOW - 300, "out"), "test", "test")
        assert same() and serials[-1] > serials[-2]
        person = store.add_person("Somebody new")
        assert same()
        punch(person.id, 10, "in")
        planning.add_absence(2, Absence(DAY, date(2026, 11, 26), "vacation"), "test")
        assert same()
        store.deactivate(3)
        store.rename(4, "Aaron First")
        assert same()
        planning.set_site(replace(planning.site(), day_start=time(4)), "test")
        assert same()
        clock[0] += 86400
        assert same()
        clock[0] += 60
        assert same()


@pytest.mark.parametrize("day", [DAY, date(2026, 11, 22), date(2026, 10, 25), date(2026, 3, 29)])
def test_presence_counts_who_is_at_work_in_each_quarter(filled: Path, day: date) -> None:
    with Store.open(filled) as store:
        _, sheets = company_sheets(store, [day - timedelta(days=1), day], int(NOW // 60))
    found = distributions.presence_over_day((sheet.days for sheet in sheets.values()), day, SITE, int(NOW // 60))
    begin = SITE.begins(day)
    spans = [span for sheet in sheets.values() for one in sheet.days for span in one.spans if span.kind == "work"]
    assert len(found) == {date(2026, 10, 25): 100, date(2026, 3, 29): 92}.get(day, 96)
    assert found == [sum(span.start <= begin + 15 * k < span.end for span in spans) for k in range(len(found))]


def test_arrivals_and_scores_equal_a_count_of_the_punches(filled: Path) -> None:
    first, last = date(2026, 11, 1), date(2026, 11, 25)
    with Store.open(filled) as store:
        punches = [punch for punch in store.punches() if first <= local(punch).date() <= last]
        quarters = Counter((local(punch).hour * 60 + local(punch).minute) // 15 for punch in punches if punch.direction == "in")
        assert distributions.arrivals(store, first, last, SITE) == [quarters[k] for k in range(96)]
        scores = distributions.scores(store, first, last, SITE)
    faces = sorted(punch.score for punch in punches if punch.score is not None)
    for edge, count in scores.genuine.items():
        assert count == sum(edge * BIN - 1e-9 <= score < (edge + 1) * BIN - 1e-9 for score in faces)
    assert sum(scores.genuine.values()) == len(faces) and scores.thresholds == (sample_data.THRESHOLD,)
    assert scores.nearest_genuine is not None and abs(scores.nearest_genuine - faces[len(faces) // 20]) <= BIN
