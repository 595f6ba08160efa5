"""A set-up code: what a terminal needs that was just hung up, as QR codes for its camera, valid for one hour.

It is data alone: fields of a fixed list, each checked; it names no file and no command. Its tag tells a code that was torn or altered from one that
is none; the key of the tag stands in the programs and is no secret, so the tag does not say who made the code. A terminal that nobody has set up
takes one from whoever stands before it, as it would at its pages; any other terminal takes none.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from dataclasses import dataclass, field, replace
from typing import Any

from device.config import LANGUAGES
from device.contract import ClockfaceError
from device.system import qr_codes
from device.system.clock import ClockState
from device.system.time_zones import TimeZoneError, zone

HEAD = "clockface-setup"
VERSION = 1
VALID_SECONDS = 3600
EARLY_SECONDS = 300  # the clocks of two machines may differ by so much
TAG_KEY = b"Clockface set-up code, version 1"  # public: it tells torn from foreign, not friend from foe
TAG_LENGTH = 32  # hex digits
UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")  # controls, turned text, halves of characters
SSID_BYTES = 32  # IEEE 802.11
PASSPHRASE = re.compile(r"[\x20-\x7e]{8,63}|[0-9a-fA-F]{64}")  # WPA: a passphrase, or a key in hex
ADMIN_PASSWORD = (10, 64)  # characters; also what a login's password needs


class SetUpCodeError(ClockfaceError):
    """A set-up code is not taken."""

    code = "set_up_code"


@dataclass(frozen=True)
class SetUpCode:
    """What a code says; an empty field is left as it is on the terminal."""

    zone: str = ""  # IANA name
    language: str = ""  # of the kiosk
    ssid: str = ""
    wifi_password: str = field(default="", repr=False)
    admin_password: str = field(default="", repr=False)  # of the first administrator, changed at the first login
    invitation: list[Any] = field(default_factory=list, repr=False)  # to a fleet, as device/fleet/invitation_code.py lists it
    made: int = 0  # s since the epoch
    until: int = 0

    @property
    def device(self) -> str:
        """The terminal's name in the fleet; "" without an invitation."""
        return str(self.invitation[1]) if self.invitation else ""

    @property
    def site(self) -> str:
        """The site in the fleet; "" without an invitation."""
        return str(self.invitation[2]) if self.invitation else ""

    @property
    def gives(self) -> dict[str, Any]:
        """What it gives, for the audit: no password is among it, and nothing of an invitation but whom and where it invites."""
        values = {"zone": self.zone, "language": self.language, "network": self.ssid, "device": self.device, "site": self.site}
        return {name: value for name, value in values.items() if value} | ({"first_password": True} if self.admin_password else {})

    def checked(self) -> SetUpCode:
        """This code.

        Raises:
            SetUpCodeError: a field has a value that it cannot have.
        """
        for name, fault in _faults(self).items():
            if fault:
                raise SetUpCodeError(f"the set-up code's {name} cannot be used: {fault}", code="set_up_code.content")
        return self


def _faults(code: SetUpCode) -> dict[str, str]:
    shortest, longest = ADMIN_PASSWORD
    secret, admin, ssid = code.wifi_password, code.admin_password, code.ssid
    return {
        "time zone": "there is no such zone; give one such as Europe/Berlin" if code.zone and not _is_zone(code.zone) else "",
        "language": f"expected one of {', '.join(LANGUAGES)}" if code.language and code.language not in LANGUAGES else "",
        "network name": f"expected 1 to {SSID_BYTES} bytes without control characters" if UNSEEN.search(ssid) or len(ssid.encode()) > SSID_BYTES else "",
        "network password": "expected 8 to 63 ASCII characters, or 64 hex digits" if secret and not PASSPHRASE.fullmatch(secret) else "",
        "network": "there is a password without a name" if secret and not ssid else "",
        "admin password": f"expected {shortest} to {longest} characters" if admin and (not shortest <= len(admin) <= longest or UNSEEN.search(admin)) else "",
        "invitation": "it is for a desk or none" if code.invitation and not _is_invitation(code.invitation) else "",
        "content": "it is empty" if not (code.zone or code.language or ssid or admin or code.invitation) else "",
    }


def _is_zone(name: str) -> bool:
    try:
        return zone(name).key == name
    except TimeZoneError:
        return False


def _is_invitation(values: list[Any]) -> bool:
    """As `device/fleet/invitation_code.py` lists it: twelve texts, of which one is the port and one a list of certificates."""
    if len(values) != 12 or type(values[4]) is not int or not 0 < values[4] < 65536 or not isinstance(values[7], list):
        return False
    texts = (*values[:4], *values[5:7], *values[8:], *values[7])
    return all(isinstance(text, str) and not UNSEEN.search(text) for text in texts) and values[11] == "terminal"


def sealed(code: SetUpCode, now: float) -> list[str]:
    """The texts of the QR codes of a code made now (s since the epoch) and valid for an hour.

    Raises:
        SetUpCodeError: a field has a value that it cannot have.
    """
    made = replace(code, made=int(now), until=int(now) + VALID_SECONDS).checked()
    values = [VERSION, made.zone, made.language, made.ssid, made.wifi_password, made.admin_password, made.invitation, made.made, made.until]
    text = json.dumps(values, separators=(",", ":"), ensure_ascii=True)
    return qr_codes.parts(_tag(text) + text, HEAD)


def _tag(text: str) -> str:
    return hmac.new(TAG_KEY, text.encode(), hashlib.sha256).hexdigest()[:TAG_LENGTH]


def opened(text: str, now: float, clock: ClockState) -> SetUpCode:
    """The code of a text that was read, checked against the clock.

    Args:
        now: s since the epoch.

    Raises:
        SetUpCodeError: altered or torn, of another version, expired, made in the future, or with a value that cannot be.
    """
    tag, body = text[:TAG_LENGTH], text[TAG_LENGTH:]
    if UNSEEN.search(text) or not hmac.compare_digest(tag.encode(), _tag(body).encode()):
        raise SetUpCodeError("this set-up code was altered or is damaged; make a new one", code="set_up_code.altered")
    code = _of_values(body)
    check_time(code, now, clock)
    return code.checked()


def check_time(code: SetUpCode, now: float, clock: ClockState, grace: float = 0.0) -> None:
    """Whether a code is good at this moment.

    A clock that no time server has set yet mostly runs behind: then a code from the future counts, and is looked at again once the network of the code
    has set the clock. One that seems to have expired does not count; where the clock may be to blame, it is said.

    Args:
        now: s since the epoch.
        grace: s that it may have expired ago, as it was good when it was read.

    Raises:
        SetUpCodeError: it has expired, or was made in the future.
    """
    if not 0 < code.until - code.made <= VALID_SECONDS or (clock.synchronised and now > code.until + grace):
        raise SetUpCodeError("this set-up code has expired: it is good for one hour; make a new one", code="set_up_code.expired")
    if now > code.until + grace:
        words = "this set-up code has expired by this terminal's clock, which no time server has set; make a new one, and set the clock if it is wrong"
        raise SetUpCodeError(words, code="set_up_code.clock")
    if clock.synchronised and now < code.made - EARLY_SECONDS:
        raise SetUpCodeError("this set-up code was made by a machine whose clock is ahead; set its clock and make a new one", code="set_up_code.early")


def _of_values(body: str) -> SetUpCode:
    try:
        version, *values = json.loads(body)
        if version != VERSION:
            raise SetUpCodeError("this set-up code was made by another version; make one with the version of this terminal", code="set_up_code.version")
        zone_name, language, ssid, secret, admin, invitation, made, until = values
    except (ValueError, TypeError, RecursionError) as error:
        raise SetUpCodeError("this set-up code has other fields than it should; make a new one", code="set_up_code.content") from error
    whole = all(isinstance(text, str) for text in (zone_name, language, ssid, secret, admin)) and isinstance(invitation, list)
    if not whole or type(made) is not int or type(until) is not int:
        raise SetUpCodeError("this set-up code has fields of another kind than it should; make a new one", code="set_up_code.content")
    return SetUpCode(zone_name, language, ssid, secret, admin, invitation, made, until)
