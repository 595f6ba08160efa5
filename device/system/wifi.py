"""Joins a Wi-Fi network through NetworkManager's `nmcli`. Name and password go as arguments of their own, past any shell."""

from __future__ import annotations

import shutil
import subprocess

from device.contract import ClockfaceError

SECONDS = 45  # for scan, association and an address
REASONS = {  # exit statuses, nmcli(1)
    3: "it took too long: is the network in reach?",
    4: "it could not be joined: is the password right?",
    8: "NetworkManager is not running",
    10: "there is no network of this name in reach",
}  # fmt: skip


class WifiError(ClockfaceError):
    """The Wi-Fi network cannot be joined."""

    code = "wifi"


def join(ssid: str, password: str, profile: str) -> None:
    """Join a network and keep it, under the name of `profile`. An empty password is for an open network.

    Raises:
        WifiError: NetworkManager is missing, or the network cannot be joined; nothing of it is kept then.
    """
    if shutil.which("nmcli") is None:
        raise WifiError("this system has no NetworkManager (nmcli): join the Wi-Fi by the system's own means, or use a cable", code="wifi.no_networkmanager")
    secret = ["password", password] if password else []
    status = _nmcli("--wait", str(SECONDS), "device", "wifi", "connect", ssid, *secret, "name", profile)
    if status:
        forget(profile)
        reason = REASONS.get(status, f"nmcli ended with {status}")
        raise WifiError(f"the Wi-Fi {ssid!r} was not joined: {reason}", code="wifi.not_joined")


def forget(profile: str) -> None:
    """Remove what `join` kept, if it is there."""
    _nmcli("connection", "delete", "id", profile)


def _nmcli(*arguments: str) -> int:
    """Its exit status. What it prints is not kept, as it may have the password in it."""
    try:
        return subprocess.run(["nmcli", *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS + 15, check=False).returncode
    except subprocess.TimeoutExpired:
        return 3
    except OSError as error:
        raise WifiError(f"nmcli cannot be run ({error.strerror}); join the Wi-Fi by the system's own means", code="wifi.no_networkmanager") from error
