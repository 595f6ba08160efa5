"""Everybody's timesheets: order, pages and sums, against the sheets computed one by one."""

from __future__ import annotations

import html
import re

import pytest

from device.attendance.sheets import company_sheets
from device.attendance.timesheet.sheet import hours
from device.attendance.timesheet.worksite import month_days
from device.commands.benchmark import sample_data
from device.web.desk import month_table
from tests.device.web.conftest import Browser, Desk


@pytest.fixture
def staffed(desk: Desk) -> Desk:
    sample_data.fill(desk.terminal.database, 45, 900, desk.clock.now, seed=3)
    return desk


def shown(browser: Browser, query: str = "") -> tuple[list[str], list[str], str]:
    """Names in order, the sums, and the whole page."""
    page = html.unescape(browser.get(f"/timesheets?{query}").text)
    sums = re.findall(r"<tfoot>(.*?)</tfoot>", page, re.S)[0]
    return re.findall(r'class="person" href="/timesheets/\d+[^>]*>([^<]*)<', page), re.findall(r"[+-]?\d+:\d\d", sums), page


def test_order_pages_and_sums(staffed: Desk) -> None:
    browser = staffed.browser("viewer")
    first, sums, page = shown(browser)
    rest, again, _ = shown(browser, "page=2")
    every, all_sums, _ = shown(browser, "rows=all")
    assert (len(first), len(rest)) == (40, 5) and every == first + rest == sorted(every, key=str.casefold)
    assert sums == again == all_sums and "All 45 on one page" in page and 'aria-sort="ascending"' in page
    with staffed.store() as store:
        month = re.findall(r'name="month" value="(\d{4}-\d\d)"', page)[0]
        sheets = company_sheets(store, month_days(month), int(staffed.clock.now // 60))[1]
        names = {person.id: person.name for person in store.people()}
    totals = {names[person]: sheet.totals for person, sheet in sheets.items()}
    assert sums[:2] == [hours(sum(one.due for one in totals.values())), hours(sum(one.worked for one in totals.values()))]
    assert sums[-1].lstrip("+") == hours(sum(one.balance for one in totals.values()))
    for column in ("worked", "balance", "late"):
        up, _, _ = shown(browser, f"rows=all&sort={column}")
        down, _, _ = shown(browser, f"rows=all&sort=-{column}")
        values = [getattr(totals[name], column) for name in up]
        assert values == sorted(values) and [getattr(totals[name], column) for name in down] == values[::-1] and sorted(up) == sorted(every)
    assert shown(browser, "rows=all&sort=nonsense")[0] == every and shown(browser, "rows=all&sort=-name")[0] == every[::-1]


def test_too_many_people_are_not_computed_at_once(staffed: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("device.web.desk.timesheets.ADDED", 10)
    monkeypatch.setattr(month_table, "ADDED", 10)
    names, _, page = shown(staffed.browser("viewer"), "sort=balance&rows=all")
    assert len(names) == 40 and "Sum of this page" in page and 'class="sort"' not in page and "department" in page
