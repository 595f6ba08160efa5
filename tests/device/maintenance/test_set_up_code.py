"""Set-up codes: read by the detector from pictures at an angle, in any order; torn, altered, foreign, old and early ones are told apart."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from device.maintenance import set_up_code
from device.maintenance.set_up_code import HEAD, VALID_SECONDS, SetUpCode, opened, sealed
from device.system.clock import ClockState
from device.system.qr_codes import PartsReader, modules, parts
from tests.device.code_views import seen, two_in_view
from tests.refused import refused

NOW = 1_790_000_000.0
SET, UNSET = ClockState(True, "boot", 1), ClockState(False, "boot", 1)
INVITED = ["f" * 36, "Tor Süd", "Werk Nord", "db.example", 5432, "clockface", "verify-full", [], "clockface_0123456789ab", "x" * 32, "2026", "terminal"]
LONG = SetUpCode("Europe/Berlin", "de", 'Büro "Süd" -- 5', "x" * 63, "boats on a quiet lake", INVITED)


def whole(texts: list[str]) -> str:
    return "".join(text.split(":", 3)[3] for text in texts)


@pytest.mark.parametrize("seed", range(3))
def test_a_camera_reads_them_in_any_order(seed: int) -> None:
    code = replace(LONG, invitation=[*INVITED[:7], ["A" * 300], *INVITED[8:]])  # with a certificate
    texts = sealed(code, NOW)
    assert len(texts) == 4
    reader = PartsReader(HEAD)
    found = [reader.take(seen(modules(text), seed + 10 * number)) for number, text in enumerate(reversed(texts))]
    assert found[:-1] == [None] * (len(texts) - 1) and reader.wanted == len(texts)
    read = opened(found[-1] or "", NOW, SET)
    assert (read.zone, read.ssid, read.admin_password, read.device, read.site) == (code.zone, code.ssid, code.admin_password, "Tor Süd", "Werk Nord")
    assert read.until - read.made == 3600


def test_two_codes_in_one_picture() -> None:
    texts = sealed(LONG, NOW)
    assert len(texts) == 2
    found = PartsReader(HEAD).take(two_in_view([modules(text) for text in texts], 3))
    assert opened(found or "", NOW, SET).ssid == LONG.ssid


def test_foreign_torn_and_incomplete_are_told_apart() -> None:
    first, second = sealed(LONG, NOW)
    reader = PartsReader(HEAD)
    assert reader.take(seen(modules("https://example.org"), 0)) is None and reader.foreign and not reader.torn
    assert reader.take(seen(modules("clockface:1/2:01234567:an invitation"), 0)) is None and reader.foreign
    assert reader.take(seen(modules(first), 0)) is None and not reader.foreign and (reader.found, reader.wanted) == (1, 2)
    assert reader.take(seen(modules(second[:-20] + "x" * 20), 0)) is None and reader.torn and reader.found == 0
    assert reader.take(np.full((480, 640, 3), 90, np.uint8)) is None and not reader.foreign


def test_an_altered_code_is_refused_wherever_it_was_altered() -> None:
    text = whole(sealed(LONG, NOW))
    for at in range(0, len(text), 7):
        with refused("set_up_code.altered"):
            opened(text[:at] + chr(ord(text[at]) ^ 1) + text[at + 1 :], NOW, SET)
    for at in (0, 5, 32, len(text) - 1):
        with refused("set_up_code.altered"):
            opened(text[:at], NOW, SET)


def test_it_is_good_for_an_hour() -> None:
    text = whole(sealed(LONG, NOW))
    for clock in (SET, UNSET):
        assert opened(text, NOW + VALID_SECONDS, clock).zone == "Europe/Berlin"
        with refused("set_up_code.expired" if clock.synchronised else "set_up_code.clock"):
            opened(text, NOW + VALID_SECONDS + 1, clock)
    assert opened(text, NOW - 200, SET)
    with refused("set_up_code.early"):
        opened(text, NOW - 86400, SET)
    assert opened(text, NOW - 86400, UNSET) and opened(text, 0.0, UNSET)  # a clock that is not set yet runs behind, or begins with 1970


def resealed(**changed: object) -> str:
    """A code with a right tag and other content, as somebody would make it who read the programs."""
    values = json.loads(whole(sealed(LONG, NOW))[set_up_code.TAG_LENGTH :])
    names = ["version", "zone", "language", "ssid", "wifi_password", "admin_password", "invitation", "made", "until"]
    body = json.dumps([changed.get(name, value) for name, value in zip(names, values, strict=True)])
    return set_up_code._tag(body) + body


@pytest.mark.parametrize(
    "changed",
    [
        {"zone": "../../etc/passwd"}, {"zone": "/etc/localtime"}, {"language": "xx"}, {"ssid": "a\nb"}, {"ssid": "ü" * 17}, {"ssid": ""}, {"ssid": 5},
        {"wifi_password": "short"}, {"wifi_password": "new\nline\nhere"}, {"admin_password": "short"}, {"invitation": ["x"]}, {"invitation": {}},
        {"invitation": [*INVITED[:-1], "desk"]}, {"made": "1"}, {"until": None},
        {"zone": "Europe/Atlantis"}, {"zone": "Europe"}, {"zone": "a\0b"}, {"zone": "\ud800"}, {"ssid": "\ud83d"}, {"ssid": "x" * 65}, {"ssid": "😀" * 9},
        {"ssid": "\u202ellaH"}, {"admin_password": "\ud800" * 12}, {"invitation": [INVITED[0], "a\x1b[31mb", *INVITED[2:]]},
        {"invitation": [INVITED[0], "\udfff", *INVITED[2:]]}, {"invitation": [*INVITED[:4], 10**30, *INVITED[5:]]},
        {"invitation": [*INVITED[:4], 0, *INVITED[5:]]},
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_is_refused(changed: dict[str, object]) -> None:
    with refused("set_up_code.content"):
        opened(resealed(**changed), NOW, SET)


@pytest.mark.parametrize("ssid", ['Büro "Süd"', "😀👩\u200d🔧", "会议室", " ", "-a", "it's \\ 5 GHz", "x" * 32])
def test_any_name_of_a_network_is_taken(ssid: str) -> None:
    assert opened(whole(sealed(SetUpCode(ssid=ssid, wifi_password=""), NOW)), NOW, SET).ssid == ssid


VIEWS = {
    "90": lambda view: np.rot90(view).copy(), "180": lambda view: np.rot90(view, 2).copy(), "270": lambda view: np.rot90(view, 3).copy(),
    "mirrored": lambda view: view[:, ::-1].copy(),
    "dark": lambda view: np.clip(view * 0.1 + np.random.default_rng(5).normal(0, 4, view.shape), 0, 255).astype(np.uint8),
}  # fmt: skip


@pytest.mark.parametrize("name", VIEWS)
def test_a_picture_may_be_turned_mirrored_or_dark(name: str) -> None:
    assert opened(PartsReader(HEAD).take(VIEWS[name](seen(modules(sealed(SetUpCode("Asia/Tokyo"), NOW)[0]), 4))) or "", NOW, SET).zone == "Asia/Tokyo"


def test_parts_of_two_codes_and_parts_twice_never_mix() -> None:
    ours, others = sealed(LONG, NOW), sealed(replace(LONG, zone="Asia/Tokyo"), NOW)
    reader = PartsReader(HEAD)
    shown = [ours[0], ours[0], others[1], ours[0], others[1]]
    assert [reader.take(seen(modules(text), number)) for number, text in enumerate(shown)] == [None] * 5 and not reader.torn and reader.found == 1
    assert opened(reader.take(seen(modules(others[0]), 9)) or "", NOW, SET).zone == "Asia/Tokyo"
    assert opened(reader.take(seen(modules(ours[1]), 9)) or "", NOW, SET).zone == "Europe/Berlin"


def test_five_codes_in_one_picture_of_which_one_is_ours() -> None:
    """An address, a visiting card, a Wi-Fi as telephones know it, a ticket, and the set-up code."""
    texts = ["https://example.org/a", "BEGIN:VCARD\nVERSION:3.0\nN:Kern;Ada\nEND:VCARD", "WIFI:T:WPA;S:Hall;P:secret;;", "12345678"]
    view = np.full((960, 1920, 3), 120, np.uint8)
    for number, text in enumerate([*texts, sealed(SetUpCode("Asia/Tokyo"), NOW)[0]]):
        row, column = divmod(number, 3)
        view[row * 480 : row * 480 + 480, column * 640 : column * 640 + 640] = seen(modules(text), number)
    reader = PartsReader(HEAD)
    assert opened(reader.take(view) or "", NOW, SET).zone == "Asia/Tokyo" and not reader.foreign
    view[480:, 640:1280] = 120
    assert reader.take(view) is None and reader.foreign


def test_another_version_and_a_longer_life_are_refused() -> None:
    with refused("set_up_code.version"):
        opened(resealed(version=2), NOW, SET)
    with refused("set_up_code.expired"):
        opened(resealed(until=int(NOW) + 100_000), NOW, SET)
    for body in ("[]", "{", "5", "[" * 2000):
        with refused("set_up_code.content"):
            opened(set_up_code._tag(body) + body, NOW, SET)


def test_secrets_are_in_no_text_of_it() -> None:
    assert "boats" not in repr(LONG) and "xxx" not in repr(LONG)
    assert parts("a", HEAD)[0].startswith("clockface-setup:1/1:")
