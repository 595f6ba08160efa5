"""Settings by group: previewed, checked at the terminal as the settings file is, taken together or not at all, and told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from device.__main__ import main
from device.config import Settings
from device.fleet import groups, membership, server
from device.fleet.courier import UNSET, FleetCourier
from device.fleet.settings_down import Running
from device.storage import settings as stored_settings
from tests.device.fleet.test_exchange import Door, door
from tests.refused import refused

__all__ = ["door"]  # a fixture
WAIT, DIRECTION = "attendance.refractory_seconds", "attendance.direction"


def set_for(company: str, group: str, *texts: str, **more: object) -> list[str]:
    with server.connected(company) as connection:
        return [change.words for change in groups.change(connection, group, groups.values(texts), **more)]  # type: ignore[arg-type]


def exchange(one: Door, file: Path | None = None, settings: Settings = UNSET.settings) -> None:
    with membership.opened(one.store, one.member) as connection:
        FleetCourier(one.store, one.member, running=Running(file, settings)).round(connection)


def in_force(one: Door, file: Path | None = None) -> float:
    return stored_settings.in_force(one.store, file).attendance.refractory_seconds


def told(company: str) -> list[str]:
    with server.connected(company) as connection:
        return groups.troubles(connection)


def test_a_narrower_group_counts_more(company: str, door: Callable[..., Door]) -> None:
    a, b, c = door("A"), door("B"), door("C", "South")
    for one in (a, b, c):
        exchange(one)
    assert set_for(company, "all", f"{WAIT}=90") == [f"{name}: {WAIT}: 60.0 -> 90.0" for name in "ABC"]
    assert set_for(company, "North", f"{WAIT}=100") == [f"{name}: {WAIT}: 60.0 -> 100.0" for name in "AB"]
    assert set_for(company, "Outdoors", f"{WAIT}=110", add=["B"]) == [f"B: {WAIT}: 60.0 -> 110.0"]
    for one in (a, b, c):
        exchange(one)
    assert [in_force(one) for one in (a, b, c)] == [100.0, 110.0, 90.0]
    assert told(company) == ["A: in force after a restart", "B: in force after a restart", "C: in force after a restart"]
    assert set_for(company, "Outdoors", remove=["B"]) == [f"B: {WAIT}: 110.0 -> 100.0"]
    exchange(b, settings=Settings())
    assert in_force(b) == 100.0
    assert set_for(company, "all", unset=[WAIT]) == [f"C: {WAIT}: 90.0 -> its own value again"]
    exchange(c)
    assert in_force(c) == 60.0 and told(company)[-1].startswith("B")


def test_a_preview_changes_nothing(company: str, door: Callable[..., Door], capsys: pytest.CaptureFixture[str]) -> None:
    a = door("A")
    exchange(a)
    assert main(["fleet", "settings", "--url", company, "--group", "North", "--set", f"{WAIT}=90", "--preview"]) == 0
    assert capsys.readouterr().out.splitlines() == [f"A: {WAIT}: 60.0 -> 90.0", "a preview: nothing was changed"]
    exchange(a)
    assert in_force(a) == 60.0
    assert main(["fleet", "settings", "--url", company]) == 0
    assert capsys.readouterr().out == "nothing is set from above\n"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("config.unknown", ["attendance.no_such=1"]),
        ("config.unknown", ["web.plain_http=true"]),
        ("config.range", [f"{WAIT}=-1"]),
        ("config.type", [f"{WAIT}=soon"]),
    ],
)
def test_what_cannot_be_set_is_refused_at_once(company: str, code: str, words: list[str]) -> None:
    with refused(code):
        set_for(company, "all", *words)


def test_names_are_checked(company: str) -> None:
    with refused("fleet.group"):
        set_for(company, "No such", f"{WAIT}=1")
    with refused("fleet.group"):
        set_for(company, "North", add=["A"])
    with refused("fleet.unknown"):
        set_for(company, "Outdoors", add=["No such"])


def test_a_terminal_refuses_all_where_one_is_not_allowed_and_tells(company: str, door: Callable[..., Door]) -> None:
    a = door("A")
    exchange(a)
    set_for(company, "all", f"{WAIT}=90")
    exchange(a)
    with server.connected(company) as connection:  # as a newer version's owner may set them
        connection.execute("INSERT INTO group_settings VALUES ('all', 'attendance.of_tomorrow', '1'), ('all', %s, '\"out\"')", [DIRECTION])
    exchange(a)
    assert in_force(a) == 90.0 and stored_settings.in_force(a.store, None).attendance.direction == "alternate"
    assert told(company)[0].startswith("A: refused: attendance.of_tomorrow: this terminal has no such setting")
    with server.connected(company) as connection:
        connection.execute("DELETE FROM group_settings WHERE key = 'attendance.of_tomorrow'")
    exchange(a)
    assert stored_settings.in_force(a.store, None).attendance.direction == "out" and told(company) == ["A: in force after a restart"]
    exchange(a, settings=stored_settings.in_force(a.store, None))  # after the restart
    assert told(company) == []


def test_local_values_that_do_not_count_are_named(
    company: str, door: Callable[..., Door], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, file = door("A"), tmp_path / "clockface.toml"
    file.write_text("[attendance]\nrefractory_seconds = 70.0\n")
    stored_settings.change(a.store, file, {DIRECTION: "out"})
    exchange(a, file)
    assert set_for(company, "all", f"{WAIT}=90", f"{DIRECTION}=in") == [f'A: {DIRECTION}: "out" -> "in"', f"A: {WAIT}: 70.0 -> 90.0"]
    exchange(a, file)
    assert in_force(a, file) == 90.0
    with a.own():
        assert main(["settings", "list", "--db", str(a.store.path), "--config", str(file)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{DIRECTION} = 'in' (of the fleet's group 'all'; 'out', set here, does not count)",
        f"{WAIT} = 90.0 (of the fleet's group 'all'; 70.0, set here, does not count)",
    ]
    with refused("config.set_above"):
        stored_settings.change(a.store, None, {WAIT: 5.0})
    changes = [json.loads(row[0]) for row in a.store._db.execute("SELECT details FROM audit WHERE action = 'setting changed' AND actor = 'fleet'")]
    assert {change["setting"]: (change["after"], change["group"]) for change in changes} == {WAIT: (90.0, "all"), DIRECTION: ("in", "all")}
    membership.leave(a.store)
    assert in_force(a, file) == 70.0
