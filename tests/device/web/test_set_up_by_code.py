"""What a set-up code says is done whole or not at all, and only on a terminal that nobody has set up; `nmcli` is a stand-in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from device.attendance.planning import Planning
from device.maintenance import set_up
from device.maintenance.set_up_code import SetUpCode
from device.storage import settings as stored_settings
from device.storage.audit import Action
from device.storage.store import Store
from device.system.clock import ClockState
from device.web.access import accounts, first_admin, passwords, set_up_by_code
from tests.device.fakes.nmcli import Nmcli, placed
from tests.refused import refused

ONCE = "boats on a quiet lake"
SSIDS = ['Büro "Süd"', "-rf --help", "$(reboot); `id`", "it's 5 GHz", "会议室"]
INVITED = ["f" * 36, "Gate A", "North", "127.0.0.1", 1, "clockface", "verify-full", [], "clockface_0123456789ab", "x" * 32, "2026", "terminal"]

@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store.open(tmp_path / "a.db")
    first_admin.create(made, to_terminal=False)
    return made


@pytest.fixture
def nmcli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Nmcli:
    return placed(tmp_path / "bin", monkeypatch)


def untouched(store: Store) -> bool:
    return set_up.fresh(store) and stored_settings.read(store) == {} and first_admin.password_file(store.path).exists()


def test_all_of_it_is_done(store: Store, nmcli: Nmcli) -> None:
    set_up_by_code.do(store, None, SetUpCode("Asia/Tokyo", "de", "Hall", "secret of the hall", ONCE, made=7))
    assert Planning(store).site().zone == "Asia/Tokyo" and stored_settings.read(store) == {"web": {"language": "de"}}
    found = accounts.by_login(store, "admin")
    assert found is not None and found[0].must_change and passwords.matches(found[1], ONCE)
    assert not first_admin.password_file(store.path).exists()
    assert nmcli.calls == [["--ask", "--wait", "45", "device", "wifi", "connect", "Hall", "name", "clockface-7"]]
    with store.reading() as db:
        rows = db.execute("SELECT actor, action, details FROM audit").fetchall()
    taken = {"zone": "Asia/Tokyo", "language": "de", "network": "Hall", "first_password": True}
    assert [(actor, json.loads(details)) for actor, action, details in rows if action == Action.SET_UP_CODE_TAKEN] == [("kiosk", taken)]
    assert ONCE not in str(rows) and "secret of" not in str(rows)


@pytest.mark.parametrize("ssid", SSIDS)
def test_a_network_name_is_one_argument_whatever_is_in_it(store: Store, nmcli: Nmcli, ssid: str) -> None:
    set_up_by_code.do(store, None, SetUpCode("Europe/Berlin", ssid=ssid))
    assert nmcli.calls == [["--wait", "45", "device", "wifi", "connect", ssid, "name", "clockface-0"]]


def test_nothing_is_kept_where_the_network_refuses(store: Store, nmcli: Nmcli) -> None:
    nmcli.answers(status="4")
    with refused("wifi.not_joined", "Hall", "password right") as caught:
        set_up_by_code.do(store, None, SetUpCode("Europe/Berlin", "de", "Hall", "secret of the hall", ONCE))
    assert "secret" not in str(caught.value) and untouched(store)
    assert nmcli.calls[-1] == ["connection", "delete", "id", "clockface-0"]


def test_without_networkmanager_it_is_told(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with refused("wifi.no_networkmanager", "cable"):
        set_up_by_code.do(store, None, SetUpCode("Europe/Berlin", ssid="Hall"))
    assert untouched(store)


@pytest.mark.parametrize("wrong", [{"admin_password": "password123"}, {"invitation": INVITED}])
def test_a_step_that_fails_takes_the_others_back(store: Store, nmcli: Nmcli, wrong: dict[str, object]) -> None:
    """A common password, and a company's database that does not answer: the network is forgotten, nothing is stored."""
    code = SetUpCode(**{"zone": "Europe/Berlin", "language": "de", "ssid": "Hall", "admin_password": ONCE, **wrong})  # type: ignore[arg-type]
    with refused("fleet.away" if "invitation" in wrong else "password.common"):
        set_up_by_code.do(store, None, code)
    assert untouched(store) and nmcli.calls[-1] == ["connection", "delete", "id", "clockface-0"]
    assert not passwords.matches((accounts.by_login(store, "admin") or (None, ""))[1], ONCE)


def test_a_terminal_that_is_set_up_takes_none(store: Store, nmcli: Nmcli) -> None:
    code = SetUpCode("Asia/Tokyo", ssid="Hall", admin_password=ONCE)
    assert set_up_by_code.waiting(store)
    set_up.skip(store, "site", True)
    assert not set_up_by_code.waiting(store)
    with refused("set_up_code.set_up"):
        set_up_by_code.do(store, None, code)
    set_up.skip(store, "site", False)
    accounts.set_password(store, accounts.users(store)[0].id, "four quiet paper boats", must_change=False)  # somebody has logged in
    with refused("set_up_code.set_up"):
        set_up_by_code.do(store, None, code)
    assert nmcli.calls == [] and "Tokyo" not in Planning(store).site().zone


def test_a_language_of_the_file_stays(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "clockface.toml"
    file.write_text('[web]\nlanguage = "fr"\n', encoding="utf-8")
    set_up_by_code.do(store, file, SetUpCode("Europe/Berlin", "de"))
    assert stored_settings.in_force(store, file).web.language == "fr"


NOW = 1_790_000_000


@pytest.mark.parametrize(("set_after", "ahead", "taken"), [(0, 0, True), (3, 3800, True), (3, 86400, False), (3, -86400, False), (None, 86400, True)])
def test_a_network_that_sets_the_clock_shows_an_old_code(store: Store, nmcli: Nmcli, set_after: int | None, ahead: int, taken: bool) -> None:
    """A board without a battery begins years behind. Once a time server has set its clock, a code of yesterday is refused and its network forgotten."""
    code, waited = SetUpCode("Asia/Tokyo", ssid="Hall", made=NOW, until=NOW + 3600), []

    def do() -> None:
        state = lambda: ClockState(set_after is not None and len(waited) >= set_after, "boot", 1)  # noqa: E731
        set_up_by_code.do(store, None, code, now=lambda: NOW + ahead, clock=state, wait=waited.append)

    if taken:
        do()
        assert Planning(store).site().zone == "Asia/Tokyo" and len(waited) == (20 if set_after is None else set_after)
        return
    with refused("set_up_code.expired" if ahead > 0 else "set_up_code.early"):
        do()
    assert untouched(store) and nmcli.calls[-1] == ["connection", "delete", "id", f"clockface-{NOW}"]
