"""ERPNext: corrections change check-ins in place, and leave to HR what HR has changed."""

from __future__ import annotations

import pytest

from device.storage.records import LastPunch
from device.storage.store import Store
from tests.device.delivery.erpnext_terminal import EVENING, MORNING, drained, logs, utc
from tests.device.fakes import site
from tests.device.fakes.erpnext import ErpNext
from tests.device.fakes.terminal import Clock, punch


def test_corrections_change_the_checkin_in_place(store: Store, erpnext: ErpNext) -> None:
    first, second = punch(store, 1, MORNING).id, punch(store, 1, EVENING).id
    drained(store, erpnext)
    store.correct(1, first, LastPunch(MORNING - 600, "in"), "the clock was slow", "Bob")
    store.correct(1, second, LastPunch(EVENING, "out"), "wrong way round", "Bob")
    store.correct(1, None, LastPunch(MORNING + 7200, "out"), "camera was off", "Bob")
    drained(store, erpnext)
    assert logs(erpnext) == [
        ("HR-EMP-00001", "2026-11-24 07:51:02", "IN"),
        ("HR-EMP-00001", "2026-11-24 10:01:02", "OUT"),
        ("HR-EMP-00001", "2026-11-24 17:30:00", "OUT"),
    ]


def test_a_punch_that_does_not_count_is_removed_and_may_count_again(store: Store, erpnext: ErpNext) -> None:
    number = punch(store, 1, MORNING).id
    store.correct(1, number, None, "was not her", "Bob")
    drained(store, erpnext)
    assert logs(erpnext) == []
    store.correct(1, number, None, "still not her", "Bob")
    store.correct(1, number, LastPunch(MORNING, "in"), "it was her", "Bob")
    drained(store, erpnext)
    assert logs(erpnext) == [("HR-EMP-00001", "2026-11-24 08:01:02", "IN")]
    assert store.outbox.dead_letters() == []


def test_a_correction_whose_answer_was_lost(store: Store, erpnext: ErpNext) -> None:
    number = punch(store, 1, MORNING).id
    erpnext.faults.extend([lambda handler: site.GO_ON, site.taken_but_unanswered])  # then the name is found by a search
    drained(store, erpnext, rounds=2)
    store.correct(1, number, None, "was not her", "Bob")
    erpnext.faults.extend([lambda handler: site.GO_ON, lambda handler: site.GO_ON, site.taken_but_unanswered])
    drained(store, erpnext, rounds=2)
    assert logs(erpnext) == [] and store.outbox.dead_letters() == [] and store.outbox.summary()[0].waiting == 0


@pytest.mark.parametrize("instead", [None, LastPunch(MORNING + 60, "in")], ids=["removed", "changed"])
@pytest.mark.parametrize("newer", [False, True])
def test_nothing_is_changed_once_attendance_was_marked_and_hr_is_told(store: Store, erpnext: ErpNext, newer: bool, instead: LastPunch | None) -> None:
    erpnext.newer = newer
    number = punch(store, 1, MORNING).id
    drained(store, erpnext)
    before = logs(erpnext)
    [name] = erpnext.checkins
    erpnext.mark(name)
    store.correct(1, number, instead, "the clock was slow", "Bob")
    store.correct(1, None, LastPunch(MORNING + 300, "out"), "camera was off", "Bob")
    drained(store, erpnext)
    answers = [str(letter.answer) for letter in store.outbox.dead_letters()]
    assert len(answers) == 2 and all("attendance HR-ATT-2026-00001 was already marked" in answer for answer in answers)
    assert logs(erpnext) == before
    erpnext.attendance.clear()  # HR cancels it
    erpnext.checkins[name]["attendance"] = None
    store.outbox.replay()
    drained(store, erpnext, rounds=2)
    assert store.outbox.dead_letters() == []
    kept = [("HR-EMP-00001", "2026-11-24 08:02:02", "IN")] if instead else []
    assert logs(erpnext) == [*kept, ("HR-EMP-00001", "2026-11-24 08:06:02", "OUT")]


@pytest.mark.parametrize("instead", [None, LastPunch(MORNING + 60, "in")], ids=["removed", "changed"])
def test_a_name_that_is_used_again_is_another_persons_checkin(store: Store, erpnext: ErpNext, instead: LastPunch | None) -> None:
    number = punch(store, 1, MORNING).id
    drained(store, erpnext)
    [name] = erpnext.checkins
    erpnext.delete(name)  # by HR
    punch(store, 2, MORNING + 5)
    drained(store, erpnext)
    assert list(erpnext.checkins) == [name]  # Bob's has Ann's name now
    store.correct(1, number, instead, "was not her", "Bob")
    drained(store, erpnext)
    bobs = ("HR-EMP-00002", "2026-11-24 08:01:07", "IN")
    assert logs(erpnext) == ([("HR-EMP-00001", "2026-11-24 08:02:02", "IN")] if instead else []) + [bobs]
    assert store.outbox.dead_letters() == []


def test_a_time_that_another_punch_of_the_person_has_now_is_not_taken_for_this_one(store: Store, erpnext: ErpNext) -> None:
    first = punch(store, 1, MORNING).id
    drained(store, erpnext)
    store.correct(1, first, LastPunch(MORNING + 3600, "in"), "the clock was slow", "Bob")
    store.correct(1, None, LastPunch(MORNING, "in"), "camera was off", "Bob")
    drained(store, erpnext)
    [name] = [name for name, row in erpnext.checkins.items() if row["time"] == "2026-11-24 09:01:02"]
    erpnext.delete(name)  # by HR
    store.correct(1, first, None, "was not her", "Bob")
    drained(store, erpnext)
    assert logs(erpnext) == [("HR-EMP-00001", "2026-11-24 08:01:02", "IN")] and store.outbox.dead_letters() == []


def test_what_hr_changed_by_hand_is_left_to_hr(store: Store, erpnext: ErpNext) -> None:
    number = punch(store, 1, MORNING).id
    drained(store, erpnext)
    [row] = erpnext.checkins.values()
    row["time"] = "2026-11-24 07:45:00"
    store.correct(1, number, LastPunch(MORNING + 60, "in"), "the clock was slow", "Bob")
    store.correct(1, number, None, "was not her", "Bob")
    drained(store, erpnext, rounds=2)
    assert len(erpnext.checkins) == 1 and row["time"] == "2026-11-24 07:45:00"
    assert all("was changed in ERPNext and says 2026-11-24 07:45:00 IN now" in str(letter.answer) for letter in store.outbox.dead_letters())


def test_a_correction_made_while_the_answer_was_lost(store: Store, erpnext: ErpNext) -> None:
    """ERPNext has the first state, and nobody knows its name."""
    number = punch(store, 1, MORNING).id
    erpnext.faults.extend([lambda handler: site.GO_ON, site.taken_but_unanswered])
    drained(store, erpnext)
    store.correct(1, number, LastPunch(MORNING + 60, "out"), "wrong way round", "Bob")
    drained(store, erpnext, rounds=3, clock=Clock(utc("2026-11-25T20:00:00")))
    assert logs(erpnext) == [("HR-EMP-00001", "2026-11-24 08:02:02", "OUT")] and store.outbox.dead_letters() == []
