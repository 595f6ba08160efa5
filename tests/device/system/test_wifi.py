"""Joining a Wi-Fi by `nmcli`: the password reaches it over standard input alone, and what cannot be joined is told apart.

`nmcli` is a stand-in. The real one (1.42.4), with its NetworkManager, polkit and a WPA2 network, is used in an emulated machine:
`WIFI=yes tests/device/packaging/image.sh amd64`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from device.system import wifi
from tests.device.fakes.nmcli import Nmcli, placed
from tests.refused import refused

SECRET = " it's \\a \"secret\"! "
WAITS: list[float] = []


@pytest.fixture
def nmcli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Nmcli:
    WAITS.clear()
    return placed(tmp_path / "bin", monkeypatch)


def join(ssid: str = "Hall", password: str = SECRET) -> None:
    wifi.join(ssid, password, "clockface-7", WAITS.append)


def test_no_other_process_sees_the_password(nmcli: Nmcli) -> None:
    join()
    arguments, said = [call[0] for call in nmcli.recorded], [call[1] for call in nmcli.recorded]
    assert said.count(f"{SECRET}\n") == 1 and set(said) == {"", f"{SECRET}\n"}
    assert said[nmcli.recorded.index(next(call for call in nmcli.recorded if "connect" in call[0]))] == f"{SECRET}\n"
    assert "secret" not in str(arguments) and all(SECRET not in value for _, _, environment in nmcli.recorded for value in environment.values())
    assert nmcli.calls == [["--ask", "--wait", "45", "device", "wifi", "connect", "Hall", "name", "clockface-7"]]


def test_an_open_network_is_asked_for_no_password(nmcli: Nmcli) -> None:
    nmcli.answers(seen="Hall:\n")
    join(password="")
    assert nmcli.calls == [["--wait", "45", "device", "wifi", "connect", "Hall", "name", "clockface-7"]]


def test_a_hidden_network_is_looked_for_by_its_name(nmcli: Nmcli) -> None:
    nmcli.answers(status="10 10 0")
    join()
    assert [call[-2:] == ["hidden", "yes"] for call in nmcli.calls] == [False, True, True] and WAITS == [5.0, 5.0]


@pytest.mark.parametrize(
    ("answers", "password", "words"),
    [
        ({"status": "10"}, SECRET, "no network of this name in reach"),
        ({"status": "4"}, SECRET, "is the password right"),
        ({"status": "8"}, SECRET, "NetworkManager is not running"),
        ({"status": "0", "active": "other:activated\n"}, SECRET, "is the password right"),  # it asked again, and standard input had ended
        ({"status": "0", "active": "clockface-7:activating\n"}, SECRET, "is the password right"),
    ],
)
def test_a_network_that_is_not_joined_leaves_nothing(nmcli: Nmcli, answers: dict[str, str], password: str, words: str) -> None:
    nmcli.answers(**answers)
    with refused("wifi.not_joined", words) as caught:
        join(password=password)
    assert SECRET not in str(caught.value) and nmcli.calls[-1] == ["connection", "delete", "id", "clockface-7"]


@pytest.mark.parametrize(
    ("seen", "password", "code"),
    [
        ("Hall:WPA2 802.1X\n", SECRET, "wifi.enterprise"), ("Hall:WPA2 802.1X\n", "", "wifi.enterprise"),
        ("a\\:b\\\\c:WPA3 802.1X\n", SECRET, "wifi.enterprise"),
        ("Hall:WPA2\n", "", "wifi.protected"), ("Hall:WPA2\nHall:\n", SECRET, "wifi.open"), ("Hall:\n", SECRET, "wifi.open"),
    ],
)  # fmt: skip
def test_a_network_that_the_code_does_not_fit_is_not_tried(nmcli: Nmcli, seen: str, password: str, code: str) -> None:
    nmcli.answers(seen=seen)
    with refused(code):
        join("a:b\\c" if "\\" in seen else "Hall", password)
    assert nmcli.calls == []


@pytest.mark.parametrize("seen", ["Hall:WPA2 WPA3\nHall:WPA2 802.1X\n", "Hall:WPA3\n", "Hall2:\nHal:WPA2 802.1X\n", "", "Hall:WPA1 WPA2\n"])
def test_other_networks_and_wpa3_do_not_hinder(nmcli: Nmcli, seen: str) -> None:
    nmcli.answers(seen=seen)
    join()


@pytest.mark.parametrize(
    ("answers", "code", "words"),
    [
        ({"devices": "ethernet:connected\n"}, "wifi.no_radio", "has no Wi-Fi radio"),
        ({"devices": "wifi:unmanaged\nethernet:connected\n"}, "wifi.no_radio", "unmanaged"),
        ({"devices": "wifi:unavailable\n", "radio": "enabled:disabled\n"}, "wifi.off", "raspi-config nonint do_wifi_country"),
        ({"radio": "disabled:enabled\n"}, "wifi.off", "switched off"),
        ({"devices": "", "running": "8"}, "wifi.not_joined", "NetworkManager is not running"),
    ],
)
def test_a_machine_whose_radio_cannot_be_used_says_so(nmcli: Nmcli, answers: dict[str, str], code: str, words: str) -> None:
    nmcli.answers(**answers)
    with refused(code, words):
        join()
    assert nmcli.calls == []


def test_a_radio_that_is_not_ready_yet_is_tried(nmcli: Nmcli) -> None:
    nmcli.answers(devices="wifi:unavailable\nwifi-p2p:disconnected\n")
    join()
