"""The check of fonts, with a fontconfig that has what the test says."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from device.config import LANGUAGES
from device.maintenance.font_check import BROWSERS, check_fonts, has_font


def test_a_language_without_a_font_is_named_with_its_package() -> None:
    latin = ("en", "de", "es", "fr", "tr")
    found = check_fonts(LANGUAGES, lambda code: code in latin, browser=True)
    assert found.state == "warning" and "ar, zh" in found.words and "apt install fonts-noto-cjk fonts-noto-core" in found.words
    assert "zh" not in check_fonts(("en", "ar"), lambda code: code in latin, browser=True).words
    asked: list[str] = []
    check_fonts(("zh",), lambda code: bool(asked.append(code)), browser=True)
    assert asked == ["zh-cn"]


def test_what_is_there_or_cannot_be_known_is_no_warning() -> None:
    assert check_fonts(LANGUAGES, lambda code: True, browser=True).state == "ok"
    names = check_fonts(("en",), lambda code: code == "en", browser=True)
    assert names.state == "ok" and "hi, th, he" in names.words and "fonts-noto-core" in names.words
    assert "not checked" in check_fonts(("en",), lambda code: None, browser=True).words
    assert "no browser" in check_fonts(("ar",), lambda code: False, browser=False).words and BROWSERS


@pytest.mark.skipif(shutil.which("fc-list") is None, reason="no fontconfig here")
def test_fontconfig_is_asked() -> None:
    listed = subprocess.run(["fc-list", ":lang=en"], capture_output=True, text=True, check=True).stdout
    assert has_font("en") == bool(listed.strip())
