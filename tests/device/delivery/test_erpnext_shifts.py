"""Last Sync of Checkin of ERPNext's Shift Types: it moves only past what is delivered, never back, and says why it waits."""

from __future__ import annotations

import pytest

from device.delivery.connectors.erpnext import Target
from device.maintenance.doctor import problem_of
from device.storage.store import Store
from device.system.clock import ClockState
from tests.device.delivery.erpnext_terminal import ADRIFT, EVENING, MORNING, SYNCHRONISED, drained, settings, utc
from tests.device.fakes import site
from tests.device.fakes.erpnext import ErpNext
from tests.device.fakes.terminal import Clock, courier, punch


def test_shift_types_advance_only_past_delivered_punches(store: Store, erpnext: ErpNext) -> None:
    clock = Clock(utc("2026-11-24T20:00:00"))
    punch(store, 1, MORNING)
    drained(store, erpnext, clock=clock, shift_types=["Day Shift"])
    assert erpnext.shifts["Day Shift"] == "2026-11-24 20:59:00"  # a minute ago, in Berlin

    clock.now = utc("2026-11-25T20:00:00")
    erpnext.always = site.status(500)
    punch(store, 1, utc("2026-11-25T07:00:00"))
    punch(store, 2, utc("2026-11-25T07:30:00"))
    with courier(store.path, Target(settings(erpnext.url, shift_types=["Day Shift"], parallel=1), lambda: SYNCHRONISED), clock=clock) as made:
        made.round()
        erpnext.always = None
        made.tick()
        assert erpnext.shifts["Day Shift"] == "2026-11-25 07:59:59"  # one second before the punch that waits


def test_dead_letters_hold_shift_types_back_unless_told_otherwise(store: Store, erpnext: ErpNext) -> None:
    punch(store, 3, MORNING)
    drained(store, erpnext, shift_types=["Day Shift"])
    assert erpnext.shifts["Day Shift"] == "2026-11-24 08:01:01"
    drained(store, erpnext, shift_types=["Day Shift"], dead_letters_hold_back=False, sync_lag_minutes=60)
    assert erpnext.shifts["Day Shift"] == "2026-11-24 19:59:00"


@pytest.mark.parametrize(("present", "state"), [("2026-11-24 23:00:00.000000", SYNCHRONISED), (None, ADRIFT)], ids=["never back", "not by a wrong clock"])
def test_shift_types_are_left_alone(store: Store, erpnext: ErpNext, present: str | None, state: ClockState) -> None:
    erpnext.shifts["Day Shift"] = present
    drained(store, erpnext, shift_types=["Day Shift"], state=state)
    assert erpnext.shifts["Day Shift"] == present


def test_a_wrong_shift_type_is_reported_and_holds_no_punch_back(store: Store, erpnext: ErpNext) -> None:
    punch(store, 1, MORNING)
    said = drained(store, erpnext, shift_types=["Night Shift"], rounds=2)
    assert said == ["outbox hr: Shift Type 'Night Shift': ERPNext has none of this name; correct shift_types"]
    assert len(erpnext.checkins) == 1


def test_the_silence_of_an_unset_clock_is_told_once(store: Store, erpnext: ErpNext) -> None:
    punch(store, 1, MORNING)
    said = drained(store, erpnext, shift_types=["Day Shift"], state=ADRIFT, rounds=3, sync_minutes=0.01)
    assert said == ["outbox hr: Last Sync of Checkin does not move while this terminal's clock is not synchronised (`device doctor` says more)"]
    assert "not synchronised" in str(store.outbox.summary()[0].error) and store.outbox.summary()[0].waiting == 0
    assert "hr: Last Sync of Checkin does not move" in problem_of(store.outbox.summary()[0], {"hr"}, EVENING)
    drained(store, erpnext, shift_types=["Day Shift"])
    assert store.outbox.summary()[0].error is None


def test_last_sync_waits_for_punches_that_were_never_queued(store: Store, erpnext: ErpNext) -> None:
    punch(store, 1, MORNING, connectors=[])  # before the connector was configured
    punch(store, 1, EVENING)
    for present, moved in ((None, None), ("2026-11-24 06:00:00", "2026-11-24 08:01:01")):
        erpnext.shifts["Day Shift"] = present
        said = drained(store, erpnext, shift_types=["Day Shift"])
        assert erpnext.shifts["Day Shift"] == moved and "`outbox fill hr --from 2026-11-24`" in said[-1]
    erpnext.shifts["Day Shift"] = "2026-11-24 09:00:00"  # HR leaves the first one out
    assert drained(store, erpnext, shift_types=["Day Shift"]) == [] and erpnext.shifts["Day Shift"] == "2026-11-24 20:59:00"
    erpnext.shifts["Day Shift"] = None
    store.outbox.fill("hr", 0.0)
    assert drained(store, erpnext, shift_types=["Day Shift"]) == [] and erpnext.shifts["Day Shift"] == "2026-11-24 20:59:00"
