"""No word of the pages on people and on the terminal comes from beside the catalogue: neither from a template nor from Python.

As in test_hours_words.py: the desk's texts have no letters here, so that every letter on a page is a word that has no translation.
"""

from __future__ import annotations

import re

import pytest

from device.attendance import merging
from device.storage.records import PunchDraft
from device.system.clock import ClockState
from device.web.access import pins
from device.web.messages import Messages
from tests.device.web.conftest import Desk
from tests.device.web.untranslated import beside, blanked

DATA = (
    "Clockface|CSV|XLSX|Etc/UTC|UTC|door|hr|admin|viewer|operator|English|Deutsch|Español|Français|Türkçe|EN|DE|system-wide|"
    r"name|code|photo|xlsx|jpg|front|Ada|first_day|x86_64|aarch64|Python|GB|MB|min|ms|px|TensorRT|CUDA|SHA|liveness|en|de|es|fr|tr|ar|zh|GPIO|erased|"
    r"dev|gpiochip0|yunet|outbox|replay|python|device|العربية|中文|in|out|break_start|break_end"
)
PAGES = (
    "/people", "/people?q=zzz", "/people?show=all", "/people/1", "/people/2", "/people/bulk", "/import", "/import?kind=holidays", "/health", "/audit",
    "/audit?action=pin+set", "/plots", "/plots?days=30&day=2026-09-20", "/settings", "/users",
)  # fmt: skip


@pytest.fixture
def silent(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """The desk with blanked German, and two people without letters in their names."""
    with desk.store() as store:
        for number in (1, 2, 3):
            person = store.add_person(f"{number}{number}", f"{number}00")
        pins.set_pin(store, 1, "4711")
        for hour in range(3):
            state = ClockState(True, "b", hour)
            store.record_punch(PunchDraft(1, desk.clock.now - 7200 + hour * 60, ("in", "break_start", "out")[hour], "door", "pin", state))  # type: ignore[arg-type]
        merging.merge(store, 1, person.id, "user:1")
    blank = blanked("de")
    monkeypatch.setattr(Messages, "load", staticmethod(lambda language: blank))
    return desk


def letters(page: str) -> list[str]:
    page = re.sub(r'title="\[[a-z]+\] [a-z_0-9]+"', "", page)  # the key of a setting, for those who edit the file
    page = re.sub(r"<(code|datalist)\b.*?</\1>", "", page, flags=re.DOTALL)
    return beside(page, DATA)


def test_the_pages_have_no_words_of_their_own(silent: Desk) -> None:
    admin = silent.browser("admin")
    found = {path: letters(admin.get(path).text) for path in PAGES}
    assert {path: words for path, words in found.items() if words} == {}
