"""No word of the pages on people and on the terminal comes from beside the catalogue: neither from a template nor from Python.

As in test_hours_words.py: the desk's texts have no letters here, so that every letter on a page is a word that has no translation.
"""

from __future__ import annotations

import json
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
    "Clockface|check|CSV|XLSX|Etc/UTC|UTC|door|hr|admin|viewer|operator|English|Deutsch|Español|Français|Türkçe|EN|DE|system-wide|"
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


LONG = "5" * 201
FORMS: tuple[tuple[str, str, dict[str, str]], ...] = (  # form, the page it stands on, what a clerk types
    ("/people", "/people", {"name": " ", "code": ""}),
    ("/people", "/people", {"name": LONG, "code": ""}),
    ("/people", "/people", {"name": "4\u00074", "code": ""}),
    ("/people", "/people", {"name": "44", "code": "100"}),
    ("/people/2", "/people/2", {"name": "22", "code": "100"}),
    ("/people/1", "/people/1", {"name": "11", "code": ""}),
    ("/people/1/merge", "/people/1", {"other": "99999"}),
    ("/people/1/merge", "/people/1", {"other": "100"}),
    ("/people/2/merge/undo", "/people/2", {}),
    ("/people/1/erase", "/people/1", {"confirm": "12"}),
    ("/people/1/withdraw", "/people/1", {"confirm": "12"}),
    ("/people/two", "/people", {"key": "1"}),
    ("/people/77", "/people", {"name": "1", "code": ""}),
    ("/people/2/again", "/people/2", {}),
    ("/settings", "/settings", {"attendance.ask_seconds": "9999"}),
    ("/settings", "/settings", {"attendance.ask_seconds": "1,5 1"}),
    ("/users", "/users", {"login": "hr", "role": "hr"}),
    ("/users/1/person", "/users", {"person": ""}),
    ("/backup", "/backup", {"passphrase": "1", "again": "2"}),
)
KEYS = r"attendance.ask_seconds|ask_seconds|attendance"  # a setting is named as in the file


@pytest.mark.parametrize(("form", "page", "fields"), FORMS, ids=lambda value: str(value)[:40])
def test_what_a_form_refuses_has_no_words_of_its_own(silent: Desk, form: str, page: str, fields: dict[str, str]) -> None:
    answer = silent.browser("admin").post(form, page, fields)
    refused = re.findall(r'<p class="problem" role="alert">(.*?)</p>', answer.text, re.DOTALL)
    assert answer.status_code >= 400 and refused and "<small" not in refused[0], answer.text
    assert beside(refused[0], f"{DATA}|{KEYS}") == []


LISTS = {
    "people": "name,code,first_day,plan\n44,,,\n55,100,,\n66,600,31.2.2026,\n77,700,,9\n22,200,2026-01-01,\n88,800,01/02/2026,\n",
    "log": "code,time,direction\n999,2026-09-01 08:00,0\n100,,0\n100,2026-09-01 99:00,0\n100,2026-09-01 08:00,77\n,2026-09-01 08:00,0\n",
    "assignments": "code,plan,since\n999,1,2026-09-01\n100,1,2026-09-01\n",
    "absences": "code,first,last,kind\n999,2026-09-01,2026-09-01,sick\n",
    "holidays": "day,name\n9,9\n",
}


@pytest.mark.parametrize("kind", LISTS)
def test_the_preview_of_a_list_has_no_words_of_its_own(silent: Desk, kind: str) -> None:
    files = {"file": ("list.csv", LISTS[kind].encode(), "text/csv")}
    answer = silent.browser("admin").post("/import/preview", "/import", {"kind": kind}, files=files, headers={"accept": "application/json"})
    said = answer.json()
    assert said["problems"] and said["rows"]
    texts = [said["read_as"], said["remark"], *said["counts"], *(row[key] for row in said["rows"] for key in ("fate", "words"))]
    assert beside("<br>".join(texts), f"{DATA}|UTF|half|sick") == []


@pytest.mark.parametrize("data", [b"", b"1,2\n3,4\n", b"\0\1\2", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"])
def test_a_list_that_cannot_be_read_is_refused_without_words_of_its_own(silent: Desk, data: bytes) -> None:
    sent = {"files": {"file": ("list.csv", data, "text/csv")}, "headers": {"accept": "application/json"}}
    answer = silent.browser("admin").post("/import/preview", "/import", {"kind": "people"}, **sent)
    assert answer.status_code == 400 and beside(answer.json()["error"], f"{DATA}|UTF|utf|be") == []


def test_the_plan_of_a_bulk_enrolment_has_no_words_of_its_own(silent: Desk) -> None:
    paths = ["22 (100)/1.jpg", "33/1.txt", "44/", "55 (5)/1.jpg", "66 (5)/1.jpg", *(f"77/{number}.jpg" for number in range(13))]
    answer = silent.browser("admin").post("/people/bulk/plan", "/people/bulk", {"paths": json.dumps(paths)}, headers={"accept": "application/json"})
    problems = [one["problem"] for one in answer.json()["people"]]
    assert all(problems) and beside("<br>".join(problems), f"{DATA}|txt") == []


def test_audit_and_plots_refuse_a_wrong_day_without_words_of_their_own(silent: Desk) -> None:
    admin = silent.browser("admin")
    for path in ("/audit?from=1", "/plots?day=1", "/log?page=0"):
        found = re.findall(r'<p class="problem" role="alert">(.*?)</p>', admin.get(path).text, re.DOTALL)
        assert found and beside(found[0], DATA) == [], path
