"""Every language has the same keys with the same values in braces, and every key used in a page or script exists."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest

from device.terminal.guided_capture import UNLIKE_A_PERSON
from device.terminal.subject import ADVICE
from device.vision.quality import GUIDANCE
from device.web.appearance import HERE
from device.web.messages import LANGUAGES, Messages
from tests.refused import refused


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_the_same_keys_and_values(language: str) -> None:
    english, other = Messages.load("en").texts, Messages.load(language).texts
    assert english.keys() == other.keys()
    assert [key for key in english if fields(english[key]) != fields(other[key])] == []
    assert all(text.strip() for text in other.values())


def files(*suffixes: str) -> list[Path]:
    return [path for path in HERE.rglob("*") if path.suffix in suffixes]


def test_every_key_used_in_a_template_exists() -> None:
    used = {
        key for path in files(".html", ".py") for key in re.findall(r"\bt\(\"([a-z_.]+)\"\)|\.text\(\"([a-z_.]+)\"", path.read_text()) for key in key if key
    }
    assert used and used - Messages.load("en").texts.keys() == set()


def test_every_key_a_script_says_exists() -> None:
    areas = {"kiosk.js": "kiosk", "enrol.js": "enrol"}
    for path in files(".js"):
        if path.name in areas:
            used = set(re.findall(r"\bsay\(\"([a-z_]+)\"", path.read_text()))
            assert used and used - Messages.load("en").area(areas[path.name]).keys() == set()


def test_every_advice_has_words() -> None:
    assert set(GUIDANCE) < set(ADVICE) <= Messages.load("en").area("kiosk").keys()
    assert {*GUIDANCE, *UNLIKE_A_PERSON} <= Messages.load("en").area("enrol").keys()


def test_a_missing_key_or_language_is_an_error() -> None:
    with refused("message.missing", "kiosk.nothing", "en.toml"):
        Messages.load("en").text("kiosk.nothing")
    with refused("message.language", "'../en'"):
        Messages.load("../en")
