"""Forms that take a person: one field for all, which finds people; a refused form comes back as it was filled in."""

from __future__ import annotations

import re
from datetime import date, time
from typing import Any

import pytest

from device.attendance.planning import Planning
from device.attendance.timesheet.shifts import Shift
from device.storage.people_search import MOST
from device.web.access import accounts
from device.web.kept_form import kept
from tests.device.web.conftest import Desk

TAKES_A_PERSON = ("/log", "/exports", "/corrections/new", "/schedule", "/schedule/plans/1", "/people/1", "/users")


@pytest.fixture
def staffed(desk: Desk) -> Desk:
    with desk.store() as store:
        planning = Planning(store)
        shift = planning.add_shift(Shift("day", time(8), time(16)), "test")
        planning.add_plan("week", [shift] * 5 + [None, None], date(2026, 8, 31), "test")
        for name, code in (("Jörg Müller", "E17"), ("Anna Groß", None), ("Eva Mueller", "E18")):
            store.add_person(name, code)
    return desk


def field(page: str, name: str) -> str:
    found = re.search(rf'<input[^>]*name="{name}"[^>]*>', page)
    assert found, name
    return found[0]


def test_every_form_that_takes_a_person_uses_the_one_field(staffed: Desk) -> None:
    admin = staffed.browser("admin")
    for path in TAKES_A_PERSON:
        page = admin.get(path).text
        fields = re.findall(r'<input[^>]*name="(?:person|other)"[^>]*>', page)
        fields = [one for one in fields if 'type="hidden"' not in one]
        assert fields and all("data-people" in one for one in fields), path
        assert "/static/people.js" in page


def test_people_are_found_by_the_server_for_who_may_see_them(staffed: Desk) -> None:
    answer = staffed.browser("viewer").get("/people/find?q=muller")
    assert answer.json() == {"people": [{"text": "Jörg Müller (E17)", "name": "Jörg Müller", "code": "E17", "note": ""}]}
    assert [one["text"] for one in staffed.browser("hr").get("/people/find?q=ss").json()["people"]] == ["Anna Groß (id:2)"]
    assert staffed.browser("hr").get("/people/find?q=").json() == {"people": []} == staffed.browser("hr").get("/people/find").json()
    with staffed.store() as store:
        for number in range(30):
            store.add_person(f"Müller {number}")
    assert len(staffed.browser("hr").get("/people/find?q=m%C3%BCll").json()["people"]) == MOST
    assert staffed.browser().get("/people/find?q=muller", headers={"accept": "application/json"}).status_code == 401


def test_what_the_field_says_is_understood_everywhere(staffed: Desk) -> None:
    hr = staffed.browser("hr")
    chosen = {"person": "Jörg Müller (E17)"}
    assert hr.post("/schedule/assignments", "/schedule", {**chosen, "plan": "1", "since": "2026-09-01"}).headers["location"] == "/schedule"
    absence = {"person": "Anna Groß (id:2)", "first": "2026-09-01", "last": "2026-09-02", "kind": "vacation"}
    assert hr.post("/schedule/absences", "/schedule", absence).status_code == 303
    assert 'value="Jörg Müller (E17)"' in field(hr.get("/log?person=E17").text, "person")
    assert "Jörg Müller" in hr.get("/corrections/new?person=J%C3%B6rg M%C3%BCller (E17)&day=2026-09-01").text
    assert hr.get("/exports/timesheet?person=E17&month=2026-09&format=json").status_code == 200


def test_a_plan_lists_who_works_it_and_a_person_leads_to_plan_sheet_and_log(staffed: Desk) -> None:
    hr = staffed.browser("hr")
    given = {"person": "E17", "plan": "1", "since": "2026-12-01", "from_plan": "1"}
    assert hr.post("/schedule/assignments", "/schedule/plans/1", given).headers["location"] == "/schedule/plans/1"
    page = hr.get("/schedule/plans/1").text
    assert "Jörg Müller" in page and "not yet" in page and "Anna Groß" not in page
    person = hr.get("/people/1").text
    for address in ("/schedule/plans/1", "/timesheets/1", "/log?person=id:1&amp;from=2026-09-01&amp;to=2026-09-21"):
        assert f'href="{address}"' in person
    assert hr.get("/schedule/plans/99").status_code == 404
    viewer = staffed.browser("viewer").get("/people/1").text
    assert "week" in viewer and "/schedule/plans" not in viewer


REFUSED: list[tuple[str, str, dict[str, Any], str]] = [
    ("/schedule/absences", "/schedule", {"person": "muller", "first": "2026-09-03", "last": "2026-09-04", "kind": "sick"}, "do you mean Jörg Müller (E17)"),
    ("/schedule/assignments", "/schedule", {"person": "E17", "plan": "", "since": "no day"}, "no day"),
    ("/schedule/assignments", "/schedule/plans/1", {"person": "xyz", "plan": "1", "since": "2026-09-07", "from_plan": "1"}, "xyz"),
    ("/schedule/shifts", "/schedule", {"name": "late", "start": "14:00", "end": "", "break_rule": "paid", "grace_minutes": "9"}, "14:00"),
    ("/schedule/plans", "/schedule", {"name": "week", "anchor": "2026-09-07", "weeks": "1", **{f"day_{n}": "" for n in range(7)}}, "taken"),
    ("/schedule/holidays", "/schedule", {"day": "never", "name": "Feast"}, "never"),
    ("/people", "/people", {"name": "Other", "code": "E17"}, "E17"),
    ("/people/1", "/people/1", {"name": "Jörg M", "code": "E18", "department": "Gate"}, "E18"),
    ("/people/1/merge", "/people/1", {"other": "Nobody At All"}, "Nobody At All"),
]


@pytest.mark.parametrize(("path", "page", "given", "word"), REFUSED, ids=[f"{path} {given}"[:60] for path, _, given, _ in REFUSED])
def test_a_refused_form_comes_back_as_it_was_filled_in(staffed: Desk, path: str, page: str, given: dict[str, str], word: str) -> None:
    answer = staffed.browser("hr").post(path, page, given)
    assert answer.status_code == 400
    form = re.search(rf'<form[^>]*action="{path}"[^>]*>(.*?)</form>', answer.text, re.S)
    assert form and 'role="alert"' in form[1] and word in form[1]
    for name, value in given.items():
        if select := re.search(rf'<select name="{name}"[^>]*>(.*?)</select>', form[1], re.S):
            assert re.search(rf'<option(?: value="{value}")? selected>' if value else r'<option value="" selected>', select[1]), name
        else:
            assert f'value="{value}"' in field(form[1], name)
    assert answer.text.count('role="alert"') == 1


def test_a_refused_filter_or_export_comes_back_as_well(staffed: Desk) -> None:
    hr = staffed.browser("hr")
    for path in ("/log?from=2026-09-01&to=2026-09-02", "/exports/timesheet?month=2026-08&format=csv", "/corrections/new?day=2026-09-02"):
        answer = hr.get(f"{path}&person=muller")
        assert answer.status_code == 400 and "Jörg Müller (E17)" in answer.text and 'value="muller"' in answer.text
    assert 'value="2026-09-02"' in answer.text


def test_a_role_is_still_refused_and_nothing_of_another_form_is_filled_in(staffed: Desk) -> None:
    assert staffed.browser("viewer").post("/schedule/absences", "/people", {"person": "E17"}).status_code == 403
    page = staffed.browser("hr").post("/schedule/absences", "/schedule", {"person": "zzz", "first": "2026-09-03", "last": "2026-09-04", "kind": "sick"}).text
    others = re.findall(r'<form[^>]*action="/schedule/(?!absences")[^"]*".*?</form>', page, re.S)
    assert len(others) > 3 and not any("zzz" in other for other in others)


def test_a_form_is_filled_in_and_nothing_else_is_changed() -> None:
    page = """<header></header><form method="post" action="/a"><input type="hidden" name="form_token" value="t"><input name="x" value="1 &gt; 0" required>
<input type="checkbox" name="c" value="1" checked><input type="radio" name="r" value="a" checked><input type="radio" name="r" value="b">
<input type="password" name="p"><select name="s"><option>one</option><option value="2" selected>two</option></select></form>
<form method="post" action="/b"><input name="x" value="other"></form>"""
    given = {"form_token": ["stolen"], "x": ['"><script>'], "r": ["b"], "p": ["secret"], "s": ["one"]}
    got = kept(page, "POST", "/a", given, "<p>why</p>")
    assert '<form method="post" action="/a"><p>why</p>' in got and "secret" not in got and "stolen" not in got
    assert '<input name="x" required value="&#34;&gt;&lt;script&gt;" autofocus>' in got and '<input name="x" value="other">' in got
    assert '<input type="checkbox" name="c" value="1">' in got and '<input type="radio" name="r" value="b" checked>' in got
    assert "<option selected>one</option>" in got and '<option value="2">two</option>' in got
    folded = f"<details><summary>s</summary></details><details class='c'><summary>s</summary>{page}</details>"
    assert kept(folded, "POST", "/a", given, "").startswith("<details><summary>s</summary></details><details open class='c'>")
    assert kept(page, "POST", "/none", given, "<p>why</p>") == page.replace("</header>", "</header><p>why</p>")


def test_a_team_lead_finds_the_people_of_the_team_alone(staffed: Desk) -> None:
    with staffed.store() as store, store.transaction() as db:
        db.execute("UPDATE people SET department = 'Gate' WHERE id = 1")
        db.execute("UPDATE people SET department = 'Yard' WHERE id = 3")
    admin = staffed.browser("admin")
    with staffed.store() as store:
        found = accounts.by_login(store, "hr")
    assert found and admin.post(f"/users/{found[0].id}/departments", "/users", {"department": "Gate"}).status_code == 303
    lead = staffed.browser("hr")
    assert [one["code"] for one in lead.get("/people/find?q=m").json()["people"]] == ["E17"]
    page = lead.get("/log?person=mueller").text
    assert "E17" in page and "E18" not in page
