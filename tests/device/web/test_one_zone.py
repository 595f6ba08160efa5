"""All pages and commands on a machine whose time zone is not the site's: no time of the machine's zone is found anywhere.

Everything happens 7 minutes past an hour in UTC. The site is 5:45 ahead of that, the machine 9:30 behind: what shows 52 minutes
is in the site's zone, what shows 37 minutes in the machine's.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

import pytest

from device.__main__ import main
from device.attendance.planning import Planning
from device.attendance.policy import AttendancePolicy
from device.attendance.timesheet.shifts import Schedule
from device.attendance.timesheet.windows import Windows
from device.attendance.timesheet.worksite import Site
from device.config import AttendanceSettings
from device.maintenance.zone_check import check_zone
from device.storage.records import LastPunch
from device.storage.site_clock import EVERY_SECONDS, KeptClock
from device.storage.store import PunchDraft, Store
from device.system.clock import ClockState
from device.web.access import pins
from device.web.app import pages
from device.web.kiosk.view import recorded
from tests.device.web.conftest import Desk
from tests.device.web.test_own import PIN

NOW = datetime(2026, 9, 21, 14, 7, tzinfo=timezone.utc).timestamp()  # 19:52 at the site, 04:37 on the machine
SITE, MACHINE = "Asia/Kathmandu", "Pacific/Marquesas"
OF_THE_MACHINE, OF_THE_SITE = re.compile(r"(?<!\d)\d\d:37(?!\d)"), re.compile(r"(?<!\d)\d\d:52(?!\d)")
NO_PAGE = ("/kiosk/events", "/kiosk/picture", "/kiosk/enrol/progress", "/kiosk/enrol/trial", "/kiosk/enrol/capture", "/kiosk/enrol/test", "/today/part")
COMMANDS = (
    ("log",), ("log", "--format", "csv"), ("log", "--from", "2026-09-21", "--person", "1"), ("people", "list"), ("people", "show", "1"), ("outbox",),
    ("timesheet", "--month", "2026-09"), ("timesheet", "--day", "2026-09-21"), ("timesheet", "--month", "2026-09", "--format", "csv"), ("schedule", "show"),
    ("users", "list"), ("settings", "list"),
)  # fmt: skip
TELL_TIMES = {"/today", "/log", "/timesheets/day", "/timesheets/{id:int}", "/people", "/people/{id:int}", "/audit", "/corrections", "/periods", "/health"}


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", MACHINE)
    time.tzset()
    assert time.strftime("%H:%M", time.localtime(NOW)) == "04:37"
    monkeypatch.setattr(time, "time", lambda: NOW)
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def staffed(desk: Desk, elsewhere: None) -> Desk:
    desk.clock.now = NOW
    with desk.store() as store:
        Planning(store).set_site(Site(SITE, four_eyes=False), "user:4")
        store.add_person("Ann", "E1")
        pins.set_pin(store, 1, PIN)
        for hours, direction in ((26, "in"), (20, "out"), (2, "in")):
            store.record_punch(PunchDraft(1, NOW - hours * 3600, direction, "door", "manual", ClockState(True, "boot", 1)))  # type: ignore[arg-type]
        with store.transaction() as db:
            db.execute("INSERT INTO sightings (occurred_at, count, best_score) VALUES (?, 2, 0.1)", [round((NOW - 7200) * 1000)])
    hr = desk.browser("hr")
    given = {"person": "1", "day": "2026-09-21", "target": "new", "action": "replace", "punch_day": "2026-09-21", "time": "18:52", "direction": "out"}
    assert hr.post("/corrections", "/corrections/new?person=E1", {**given, "reason": "forgotten"}).status_code == 303
    return desk


def test_no_page_shows_a_time_of_the_machine(staffed: Desk) -> None:
    admin = staffed.browser("admin")
    kiosk = staffed.browser("operator", "kiosk")
    kiosk.post("/kiosk/own", "/kiosk/own", {"code": "E1", "pin": PIN})
    assert admin.post("/periods", "/periods", {"month": "2026-08"}).status_code == 303
    told = set()
    for page in pages():
        if page.method == "GET" and page.path not in NO_PAGE:
            browser = kiosk if page.place == "kiosk" else admin
            text = browser.get(page.path.replace("{id:int}", "1"), follow_redirects=True).text
            assert not OF_THE_MACHINE.search(text), f"{page.path}: {OF_THE_MACHINE.findall(text)}"
            told |= {page.path} if OF_THE_SITE.search(text) else set()
    assert told >= TELL_TIMES | {"/kiosk/own"}, TELL_TIMES - told


def test_no_command_prints_a_time_of_the_machine(staffed: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    told = 0
    for command in COMMANDS:
        assert main([*command, "--db", str(staffed.terminal.database)]) == 0
        said = "".join(capsys.readouterr())
        assert not OF_THE_MACHINE.search(said), f"{command}: {said}"
        told += bool(OF_THE_SITE.search(said))
    assert told == 7  # a month's sums, absences, users and settings have no times
    skipped = [word for check in ("camera", "models", "artefact", "card", "provider", "liveness", "templates", "keys") for word in ("--skip", check)]
    main(["doctor", *skipped, "--json", "--db", str(staffed.terminal.database)])
    said = capsys.readouterr().out
    [zone] = [check for check in json.loads(said)["checks"] if check["check"] == "zone"]
    assert zone["state"] == "warning" and SITE in zone["words"] and MACHINE in zone["words"] and "19:52" in zone["words"]
    assert not OF_THE_MACHINE.search(said)


def test_days_and_times_on_the_command_line_are_the_sites(staffed: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    """The punch of the day before, 11:52 UTC and 17:52 at the site, is on the 20th there."""

    def log(*limits: str) -> list[int]:
        assert main(["log", "--json", "--db", str(staffed.terminal.database), *limits]) == 0
        return [punch["punch_id"] for punch in json.loads(capsys.readouterr().out)]

    assert log("--to", "2026-09-20") == [1, 2] and log("--from", "2026-09-21") == [3]
    assert log("--from", "2026-09-20T17:53") == [2, 3] and log("--from", "2026-09-20T12:08:00Z") == [2, 3]
    assert log("--from", "2026-09-20T12:07:00Z") == [1, 2, 3]
    with pytest.raises(SystemExit):
        main(["log", "--db", str(staffed.terminal.database), "--from", "2026-09-21T10:00", "--to", "2026-09-21T05:00+05:45"])
    assert "--from lies after --to" in capsys.readouterr().err


def test_a_time_on_the_command_line_that_comes_twice_asks_for_its_offset(staffed: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    with staffed.store() as store:
        Planning(store).set_site(Site("Europe/Berlin"), "test")
    for text, word in (("2026-10-25T02:30", "2026-10-25T02:30+01:00"), ("2026-03-29T02:30", "03:00")):
        assert main(["log", "--db", str(staffed.terminal.database), "--from", text]) == 1
        assert word in capsys.readouterr().err
    assert main(["log", "--db", str(staffed.terminal.database), "--from", "2026-10-25T02:30+01:00"]) == 0


def test_the_cards_the_clock_and_the_schedule_of_the_kiosk_are_the_sites(staffed: Desk) -> None:
    live = staffed.terminal.live
    staffed.browser("viewer")  # makes the application, which gives the pages their clock
    assert live.time() == {"now": NOW, "ahead": 345, "zone": "UTC+0545"}
    with staffed.store() as store:
        [punch, *_] = store.punches()
        assert recorded(store.person(1), punch, NOW, live.local()).time == "17:52"
    windows = partial(Windows, Schedule(), Site(SITE))
    policy = AttendancePolicy(AttendanceSettings(direction="schedule", schedule="05:00 in, 17:00 out"))
    assert policy.decide(None, NOW, windows=windows) == "out"  # at 19:52; the machine's 04:37 says "out" of the day before, so another hour as well
    assert policy.decide(None, NOW - 9 * 3600, windows=windows) == "in"  # 10:52; 19:37 on the machine
    refused = AttendancePolicy(AttendanceSettings()).decide(LastPunch(NOW - 5, "in"), NOW, windows=windows)
    assert "19:51:55" in str(refused)


def test_a_clock_without_a_store_follows_the_sites_rules(tmp_path: Path) -> None:
    now = [0.0]
    path = tmp_path / "clockface.db"
    with Store.open(path) as store:
        Planning(store).set_site(Site("Asia/Tokyo"), "test")
        clock = KeptClock(path, lambda: now[0])
        assert clock().name == "Asia/Tokyo"
        Planning(store).set_site(Site("Asia/Seoul"), "test")
        assert clock().name == "Asia/Tokyo"
        now[0] += EVERY_SECONDS + 1
        assert clock().name == "Asia/Seoul"
    path.write_bytes(b"no database")
    now[0] += EVERY_SECONDS + 1
    assert clock().name == "Asia/Seoul", "it goes on with what it knows"


def test_doctor_is_content_where_both_zones_show_the_same_time(desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TZ", "Europe/Paris")
    with desk.store() as store:
        Planning(store).set_site(Site("Europe/Berlin"), "test")
    assert check_zone(desk.terminal.database, NOW).state == "ok" and check_zone(tmp_path / "none.db", NOW).state == "ok"
    monkeypatch.setenv("TZ", "Africa/Lagos")
    assert check_zone(desk.terminal.database, NOW).state == "warning", "in summer they differ"


def test_health_says_that_the_machine_is_elsewhere(staffed: Desk) -> None:
    page = staffed.browser("admin").get("/health").text
    assert f"this machine is set to {MACHINE}" in page and "timedatectl set-timezone Asia/Kathmandu" in page


# corrections of nights in which the clocks are changed


def ask(desk: Desk, day: str, at: str, **more: str) -> tuple[int, str]:
    """Ask at the desk for an added punch; the status, and the page or the words."""
    values = {"person": "1", "day": day, "target": "new", "action": "replace", "punch_day": day, "time": at, "direction": "in", "reason": "forgotten", **more}
    answer = desk.browser("hr").post("/corrections", f"/corrections/new?person=E1&day={day}", values)
    return answer.status_code, answer.text


@pytest.fixture
def berlin(desk: Desk) -> Desk:
    with desk.store() as store:
        Planning(store).set_site(Site("Europe/Berlin"), "test")
        store.add_person("Ann", "E1")
        pins.set_pin(store, 1, PIN)
    desk.clock.now = datetime(2026, 10, 26, 12, tzinfo=timezone.utc).timestamp()
    return desk


def requested(desk: Desk) -> list[int]:
    with desk.store() as store, store.reading() as db:
        return [row[0] // 1000 for row in db.execute("SELECT occurred_at FROM correction_requests ORDER BY id")]


def utc(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp())


def test_a_correction_at_a_time_that_was_skipped_is_refused_with_the_nearest_two(berlin: Desk) -> None:
    status, page = ask(berlin, "2026-03-29", "02:30")
    assert status == 400 and "01:59" in page and "03:00" in page and 'value="02:30"' in page and 'value="forgotten"' in page
    assert requested(berlin) == []


def test_a_correction_at_a_time_that_came_twice_asks_which(berlin: Desk) -> None:
    status, page = ask(berlin, "2026-10-25", "02:30")
    assert status == 400 and 'name="which"' in page and "the first, CEST" in page and "the second, CET" in page and requested(berlin) == []
    assert ask(berlin, "2026-10-25", "02:30", which="second")[0] == 303 and ask(berlin, "2026-10-25", "02:30", which="first")[0] == 303
    assert requested(berlin) == [utc("2026-10-25T01:30"), utc("2026-10-25T00:30")]
    assert ask(berlin, "2026-10-25", "04:30")[0] == 303  # is not asked
    assert 'name="which"' not in berlin.browser("hr").get("/corrections/new?person=E1&day=2026-10-25").text


def test_the_kiosk_asks_as_well(berlin: Desk) -> None:
    ann = berlin.browser()
    ann.post("/kiosk/own", "/kiosk/own", {"code": "E1", "pin": PIN})

    def at(day: str, hour: str, **more: str) -> tuple[int, str]:
        values = {"day": day, "target": "new", "direction": "out", "hour": hour, "minute": "30", "next_day": "", "reason": "elsewhere", "action": "replace"}
        answer = ann.post("/kiosk/own/correct", f"/kiosk/own/correct?day={day}", {**values, **more})
        return answer.status_code, answer.text

    status, page = at("2026-10-25", "02")
    assert status == 400 and 'name="which"' in page and "CEST" in page and "<option selected>30</option>" in page and '"out" selected' in page
    assert at("2026-10-25", "02", which="second")[0] == 303 and requested(berlin) == [utc("2026-10-25T01:30")]
    status, page = at("2026-03-29", "02")
    assert status == 400 and "01:59" in page and "03:00" in page
