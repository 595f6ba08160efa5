"""Joins a Wi-Fi network through NetworkManager's `nmcli`.

The name goes as an argument of its own, past any shell. The password goes over standard input to `nmcli --ask`: every process may read arguments of others.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable

from device.contract import ClockfaceError

SECONDS = 45  # for scan, association and an address
AGAIN_SECONDS = 5.0  # for the scan that looks for a hidden name; nmcli does not wait for its end
OUT_OF_REACH = 10
REASONS = {  # exit statuses, nmcli(1)
    2: "nmcli takes no such name",
    3: "it took too long: is the network in reach?",
    4: "it could not be joined: is the password right?",
    8: "NetworkManager is not running",
    OUT_OF_REACH: "there is no network of this name in reach",
}  # fmt: skip


class WifiError(ClockfaceError):
    """The Wi-Fi network cannot be joined."""

    code = "wifi"


def join(ssid: str, password: str, profile: str, wait: Callable[[float], None] = time.sleep) -> None:
    """Join a network and keep it, under the name of `profile`. An empty password is for an open network.

    Raises:
        WifiError: NetworkManager is missing, or the network cannot be joined; nothing of it is kept then.
    """
    if shutil.which("nmcli") is None:
        raise WifiError("this system has no NetworkManager (nmcli): join the Wi-Fi by the system's own means, or use a cable", code="wifi.no_networkmanager")
    _check_radio()
    _check(ssid, _protections(ssid), password)
    if reason := _joined(ssid, password, profile, wait):
        forget(profile)
        raise WifiError(f"the Wi-Fi {ssid!r} was not joined: {reason}", code="wifi.not_joined")


def forget(profile: str) -> None:
    """Remove what `join` kept, if it is there."""
    _nmcli("connection", "delete", "id", profile)


def _check_radio() -> None:
    """Refuse a machine without a radio that NetworkManager may use; nothing in reach would be the only sign of it."""
    told = _nmcli("--terse", "--fields", "TYPE,STATE", "device")
    if told.returncode:
        raise WifiError(f"the Wi-Fi was not joined: {REASONS.get(told.returncode, f'nmcli ended with {told.returncode}')}", code="wifi.not_joined")
    states = {state for kind, _, state in (line.partition(":") for line in told.stdout.splitlines()) if kind == "wifi"}
    if not states - {"unmanaged"}:
        why = "NetworkManager leaves the Wi-Fi radio of this terminal alone (unmanaged)" if states else "this terminal has no Wi-Fi radio"
        raise WifiError(f"{why}: use a cable, and a code without Wi-Fi", code="wifi.no_radio")
    if "disabled" in _nmcli("--terse", "--fields", "WIFI-HW,WIFI", "radio").stdout:
        words = "Raspberry Pi OS leaves it off until it is told the country: `sudo raspi-config nonint do_wifi_country DE`, or `export image --country DE`"
        raise WifiError(f"the Wi-Fi radio of this terminal is switched off. {words}", code="wifi.off")


def _protections(ssid: str) -> set[str]:
    """How the networks of this name in reach are protected, such as "WPA2 WPA3", "WPA2 802.1X"; "" for an open one."""
    lines = _nmcli("--terse", "--fields", "SSID,SECURITY", "device", "wifi", "list").stdout.splitlines()
    listed = (line.rpartition(":") for line in lines)
    return {protection for name, _, protection in listed if re.sub(r"\\(.)", r"\1", name) == ssid}


def _check(ssid: str, protections: set[str], password: str) -> None:
    """Refuse a network that cannot be joined with this password, before anything of it is kept. One that hides its name has no protections here."""
    if protections and all("802.1X" in one for one in protections):
        words = "asks for a user's name or a certificate (802.1X, WPA Enterprise), which no code can hold; join it by the system's own means"
        raise WifiError(f"the Wi-Fi {ssid!r} {words}", code="wifi.enterprise")
    if password and "" in protections:
        words = "is open, and the code has a password: somebody may imitate yours. If it really is open, make a code without a password"
        raise WifiError(f"a Wi-Fi {ssid!r} {words}", code="wifi.open")
    if protections and not password and "" not in protections:
        raise WifiError(f"the Wi-Fi {ssid!r} asks for a password, and the code has none; make a new one", code="wifi.protected")


def _joined(ssid: str, password: str, profile: str, wait: Callable[[float], None]) -> str:
    """Why the network was not joined; "" where it was. One that is not in reach by its name may hide it."""
    ask = ["--ask"] if password else []
    said = f"{password}\n" if password else ""
    status = OUT_OF_REACH
    for hidden in ([], ["hidden", "yes"], ["hidden", "yes"]):
        status = _nmcli(*ask, "--wait", str(SECONDS), "device", "wifi", "connect", ssid, "name", profile, *hidden, said=said).returncode
        if status != OUT_OF_REACH:
            break
        wait(AGAIN_SECONDS)
    if status == 0 and not _active(profile):  # nmcli ends with 0 where it asks for a password again and standard input has ended
        status = 4
    return REASONS.get(status, f"nmcli ended with {status}") if status else ""


def _active(profile: str) -> bool:
    return f"{profile}:activated" in _nmcli("--terse", "--fields", "NAME,STATE", "connection", "show", "--active").stdout.splitlines()


def _nmcli(*arguments: str, said: str = "") -> subprocess.CompletedProcess[str]:
    """What it printed may have the password in it: it goes into no message.

    Args:
        said: what it reads from standard input.
    """
    command = ["nmcli", *arguments]
    try:
        spoken = {**os.environ, "LC_ALL": "C.UTF-8"}  # states in English
        return subprocess.run(command, input=said, capture_output=True, encoding="utf-8", errors="replace", timeout=SECONDS + 15, check=False, env=spoken)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 3, "", "")
    except OSError as error:
        raise WifiError(f"nmcli cannot be run ({error.strerror}); join the Wi-Fi by the system's own means", code="wifi.no_networkmanager") from error
