"""The check of fonts: the kiosk's languages can be drawn on this machine. Nothing is changed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence

from device.maintenance.database_check import Finding

BROWSERS = ("chromium", "chromium-browser")
CODES = {"zh": "zh-cn"}  # fontconfig's name of a language, where it is not ours
PACKAGES = {"ar": "fonts-noto-core", "zh": "fonts-noto-cjk"}  # Debian's; every other language of ours is in Latin letters
NAMES = ("hi", "th", "he")  # scripts in which people's names are often written, in fonts-noto-core as well
FC_LIST_SECONDS = 20

Fonts = Callable[[str], bool | None]


def has_font(code: str) -> bool | None:
    """Whether fontconfig has a font for a language; None where it cannot be asked."""
    if (tool := shutil.which("fc-list")) is None:
        return None
    try:
        found = subprocess.run([tool, f":lang={code}", "family"], capture_output=True, text=True, timeout=FC_LIST_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return bool(found.stdout.strip())


def check_fonts(languages: Sequence[str], fonts: Fonts = has_font, browser: bool | None = None) -> Finding:
    """Whether the kiosk's browser, if it is on this machine, can draw the languages that it offers, and names in other scripts."""
    if not (any(map(shutil.which, BROWSERS)) if browser is None else browser):
        return Finding("fonts", "ok", "no browser on this machine, so it shows no kiosk")
    known = {language: fonts(CODES.get(language, language)) for language in languages}
    if None in known.values():
        return Finding("fonts", "ok", "not checked: fontconfig's fc-list is missing or fails (apt install fontconfig)")
    if missing := [language for language, there in known.items() if not there]:
        packages = " ".join(sorted({PACKAGES.get(language, "fonts-noto-core") for language in missing}))
        return Finding("fonts", "warning", f"the kiosk offers {', '.join(missing)}, but no font here has the letters: sudo apt install {packages}")
    if unread := [code for code in NAMES if not fonts(code)]:
        words = f"names in other scripts ({', '.join(unread)}) need fonts-noto-core, Chinese ones fonts-noto-cjk"
        return Finding("fonts", "ok", f"for {', '.join(languages)}; {words}")
    return Finding("fonts", "ok", f"for {', '.join(languages)}, and for names in other scripts")
