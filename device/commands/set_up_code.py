"""What `settings --code`, `settings --from-code` and `fleet invite --setup` share: options, the codes in this window or as a picture, and reading them."""

from __future__ import annotations

import argparse
import getpass
import os
import time
from dataclasses import replace
from pathlib import Path

from device.attendance.planning import Planning
from device.config import LANGUAGES
from device.maintenance.set_up_code import HEAD, SetUpCode, SetUpCodeError, opened, sealed
from device.storage import settings as stored_settings
from device.storage.store import Store
from device.system import qr_codes
from device.system.clock import read_clock_state
from device.system.files import Disk

WIFI_PASSWORD = "CLOCKFACE_WIFI_PASSWORD"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What goes into a code."""
    password = f"its password is asked for, or in {WIFI_PASSWORD}"
    parser.add_argument("--wifi", metavar="SSID", default="", help=f"with --code or --setup: the network to join; {password}")
    parser.add_argument("--zone", default="", help="with --code or --setup: time zone, such as Europe/Berlin")
    parser.add_argument("--language", default="", choices=LANGUAGES, help="with --code or --setup: of the kiosk")


def asked(args: argparse.Namespace) -> SetUpCode:
    """The code of the options."""
    secret = ""
    if args.wifi:
        given = os.environ.get(WIFI_PASSWORD)
        secret = given if given is not None else getpass.getpass(f"password of the Wi-Fi {args.wifi!r} (empty: an open network): ")
    return SetUpCode(args.zone, args.language, args.wifi, secret)


def like(store: Store, file: Path | None, code: SetUpCode) -> SetUpCode:
    """The code, with zone and language of this terminal where it has none of its own."""
    language = stored_settings.in_force(store, file).web.language
    return replace(code, zone=code.zone or Planning(store).site().zone, language=code.language or language)


def show(code: SetUpCode, out: Path | None) -> None:
    """Write the codes as a picture, or draw them in this window. They are stored nowhere else."""
    texts = sealed(code, time.time())
    if out:
        Disk().write(out, qr_codes.picture(texts), 0o600)
        print(f"{out}: good for one hour; whoever has it reads all that is in it, passwords too. Delete it afterwards.")
        return
    for number, text in enumerate(texts, 1):
        print(qr_codes.drawn(text))
        print(f"code {number} of {len(texts)}, good for one hour")
    print("hold them before the camera of the terminal that is to be set up; its screen says what they will do")


def read(file: Path) -> SetUpCode:
    """The code in a picture.

    Raises:
        SetUpCodeError: there is none, a part of it is missing, or it is not to be taken.
    """
    from device.vision.images import read_image  # needs OpenCV: only here

    reader = qr_codes.PartsReader(HEAD)
    text = reader.take(read_image(file))
    if text is None:
        raise SetUpCodeError(f"{file}: {_missing(reader)}; make one with `python -m device settings --code`", code="set_up_code.incomplete")
    return opened(text, time.time(), read_clock_state())


def _missing(reader: qr_codes.PartsReader) -> str:
    if reader.torn:
        return "its codes are torn"
    return f"only {reader.found} of {reader.wanted} codes are in it" if reader.found else "there is no set-up code in it"


def told(code: SetUpCode) -> str:
    """What a code does, in words; no password is among them."""
    admin = "a one-time password of the first administrator" if code.admin_password else ""
    fleet = f"fleet: {code.device} in {code.site}" if code.invitation else ""
    parts = (code.zone and f"time zone {code.zone}", code.language and f"language {code.language}", code.ssid and f"Wi-Fi {code.ssid}", fleet, admin)
    return "; ".join(part for part in parts if part)
