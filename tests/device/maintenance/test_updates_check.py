"""Security updates of the base: on only if apt's setting says so and the program is there."""

from __future__ import annotations

import shutil

import pytest

from device.maintenance.updates_check import check_updates, dumped, security_updates

DUMP = 'APT "";\nAPT::Periodic "";\n{lines}APT::Periodic::Update-Package-Lists "1";\n'
ON = 'APT::Periodic::Unattended-Upgrade "1";\n'


@pytest.mark.parametrize(("lines", "program", "found"), [
    (ON, True, "on"), (ON, False, "off"), ("", True, "off"), (ON.replace("1", "0"), True, "off"), (ON.replace("1", "7d"), True, "on"),
    (ON + 'APT::Periodic::Enable "0";\n', True, "off"), (ON + 'APT::Periodic::Enable "1";\n', True, "on"),
])  # fmt: skip
def test_apt_says_it(lines: str, program: bool, found: str) -> None:
    assert security_updates(lambda: DUMP.format(lines=lines), program) == found


def test_elsewhere_it_is_not_known_and_nothing_is_a_fault() -> None:
    assert security_updates(lambda: None, True) == "unknown"
    assert {check_updates(found).state for found in ("on", "off", "unknown")} == {"ok"} and "apt install" in check_updates("off").words  # type: ignore[arg-type]


@pytest.mark.skipif(shutil.which("apt-config") is None, reason="no apt here")
def test_this_machine_is_asked() -> None:
    assert "APT" in (dumped() or "") and security_updates() in ("on", "off")
