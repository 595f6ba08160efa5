"""Every language has the same keys with the same values in braces, every key used in a page or script exists, and no page has a text of its own.

Plural categories, weekdays and months are compared with those of the Unicode CLDR, as Babel has them.
"""

from __future__ import annotations

import re
import string
from datetime import date, datetime, timezone
from pathlib import Path

import pytest

from device.attendance.timesheet.accounting import Accounting, month_days
from device.config import DESK_LANGUAGES, LANGUAGES, WebSettings
from device.terminal.guided_capture import UNLIKE_A_PERSON
from device.terminal.subject import ADVICE
from device.vision.quality import GUIDANCE
from device.web import plurals
from device.web.appearance import HERE
from device.web.consent_text import wording
from device.web.messages import Messages, forms, preferred
from device.web.navigation import ENTRIES
from tests.device.web.conftest import Desk
from tests.device.web.untranslated import outside, pages, wanted
from tests.refused import refused

KIOSK_SCRIPTS = ("kiosk.js", "enrol.js", "keyboard.js", "texts.js")


OF_CODE = {"errors", "phrases", "actions", "details", "setting_sections", "setting_names", "setting_help", "setting_units", "setting_choices"}


def of_code(key: str) -> bool:
    """Whether the English of a text stands in the code: it has no key in the English folder."""
    return key.partition(".")[0] in OF_CODE


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_the_same_keys_and_values(language: str) -> None:
    english, other = wanted(language), {key: text for key, text in Messages.load(language).texts.items() if not of_code(key)}
    assert english.keys() == other.keys()
    for key, text in other.items():
        assert all(form.strip() for form in forms(text)), key
        assert isinstance(text, dict) == isinstance(english[key], dict), key
        values = set().union(*(fields(form) for form in forms(english[key])))
        if isinstance(text, dict):  # a form for exactly one or two may name the number in words
            assert text.keys() == plurals.categories(language), key
            assert {*fields(text["other"])} == values and all(fields(form) >= values - {"count"} for form in text.values()), key
        else:
            assert fields(text) == values, key


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_consent_is_there_in_every_language(language: str) -> None:
    shown = wording(language)
    assert shown.version == "2026-11" and len(shown.paragraphs) == len(wording("en").paragraphs) == 4
    assert all(part.strip() for part in (shown.title, shown.agree, shown.decline)) and shown.agree != shown.decline


@pytest.mark.parametrize("language", LANGUAGES)
def test_plural_categories_are_those_of_the_cldr(language: str) -> None:
    babel = pytest.importorskip("babel")
    rule = babel.Locale.parse(language).plural_form
    assert plurals.categories(language) == set(rule.tags) | {"other"}
    numbers = (*range(250), 1000, 1_000_000, 2_000_000, 1_000_001)
    assert [number for number in numbers if plurals.category(language, number) != rule(number)] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_weekdays_and_months_are_those_of_the_cldr(language: str) -> None:
    babel, said = pytest.importorskip("babel"), Messages.load(language)
    locale = babel.Locale.parse(language)
    for kinds, key in ((locale.days, "format.weekdays"), (locale.months, "format.months")):
        ours = said.text(key).split()
        widths = [names for form in ("format", "stand-alone") for names in kinds[form].values()]
        known = [{names[number].strip(".").lower() for names in widths} for number in sorted(kinds["format"]["wide"])]
        assert len(ours) == len(known)
        assert [(mine, names) for mine, names in zip(ours, known, strict=True) if mine.strip(".").lower() not in names] == []
    assert said.text("format.decimal") == babel.numbers.get_decimal_symbol(locale, numbering_system="latn")
    assert str(29) in said.day(date(2026, 11, 29)) and said.weekday(date(2026, 11, 29)) == said.text("format.weekdays").split()[6]


def files(*suffixes: str) -> list[Path]:
    return [path for path in HERE.rglob("*") if path.suffix in suffixes]


def test_every_key_used_in_a_template_exists() -> None:
    used = {
        key for path in files(".html", ".py") for key in re.findall(r"\bt\(\"([a-z_.]+)\"[,)]|\.text\(\"([a-z_.]+)\"", path.read_text()) for key in key if key
    }
    assert used and used - Messages.load("en").texts.keys() == set()


def test_every_key_a_script_says_exists() -> None:
    areas = {"kiosk.js": "kiosk", "enrol.js": "enrol"}
    for path in files(".js"):
        if path.name in areas:
            used = set(re.findall(r"\bsay\(\"([a-z_]+)\"", path.read_text()))
            assert used and used - Messages.load("en").area(areas[path.name]).keys() == set()


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.name)
def test_no_page_has_a_text_of_its_own(path: Path) -> None:
    assert outside(path.read_text()) == []


def test_a_text_beside_the_catalogue_would_be_found() -> None:
    assert outside('<p title="Go away">{{ t("a.b") }}<b>Hello</b> 12:30 {% if x %}</p>') == ["Go away", "Hello"]
    assert outside('<b class="{{ "off" if x }}">{{ "New" if x else t("a.b") }}</b>{{ x or "none" }}') == ["New", "none"]


@pytest.mark.parametrize("name", KIOSK_SCRIPTS)
def test_no_script_of_the_kiosk_has_a_text_of_its_own(name: str) -> None:
    source = re.sub(r"^\s*//.*$", "", (HERE / "static" / name).read_text(), flags=re.MULTILINE)
    literals = [double or single for double, single in re.findall(r'"((?:[^"\\\n]|\\.)*)"|`([^`]*)`', source)]
    assert [words for words in literals if re.fullmatch(r"[A-Za-z]{2,}( [a-z]+)+[.?!]?", words) and words not in ("use strict", "broad on")] == []


def test_every_advice_has_words() -> None:
    assert set(GUIDANCE) < set(ADVICE) <= Messages.load("en").area("kiosk").keys()
    assert {*GUIDANCE, *UNLIKE_A_PERSON} <= Messages.load("en").area("enrol").keys()


def test_a_missing_key_count_or_language_is_an_error() -> None:
    with refused("message.missing", "kiosk.nothing", "en"):
        Messages.load("en").text("kiosk.nothing")
    with refused("message.count", "own.waiting"):
        Messages.load("en").text("own.waiting")
    with refused("message.language", "'../en'"):
        Messages.load("../en")


def test_names_keep_their_direction_in_a_text_from_right_to_left() -> None:
    said = Messages.load("ar")
    assert "\u2068Grace\u2069" in said.text("enrol.test", name="Grace") and Messages.load("en").text("enrol.test", name="Grace").startswith("Grace")
    assert len({said.text("own.waiting", count=count) for count in (0, 1, 2, 3, 11, 100)}) == 6


def test_a_count_takes_its_form() -> None:
    said = Messages.load("de")
    assert said.text("own.waiting", count=1).startswith("1 Antrag liegt") and said.text("own.waiting", count=2).startswith("2 Anträge liegen")
    assert said.number(0.718, 2) == "0,72" and said.day(date(2026, 3, 2)) == "Mo 2. März"


def test_days_and_periods_follow_the_language() -> None:
    english, german = Messages.load("en"), Messages.load("de")
    november, across = month_days("2026-11"), Accounting("month", 26).period_of(date(2026, 11, 1))
    assert (english.period(november), german.period(november)) == ("November 2026", "November 2026")
    assert english.period(across) == "26 October to 25 November 2026" and german.period(across) == "26. Oktober bis 25. November 2026"
    assert english.period(Accounting("week").period_of(date(2026, 12, 31))) == "28 December 2026 to 3 January 2027"
    assert german.period([date(2026, 11, 24)]) == "Dienstag, 24. November 2026" and german.period([date.max]).endswith("31. Dezember 9999")
    local = datetime(2026, 3, 1, 9, 5, tzinfo=timezone.utc)
    assert (english.moment(local), german.moment(local)) == ("2026-03-01 09:05", "01.03.2026 09:05") and german.in_month(local) == "So 01."
    assert (english.days(1250), german.days(1250), german.days(-300)) == ("12.5", "12,5", "-3")


@pytest.mark.parametrize(
    ("accept", "language"),
    [
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("fr-CH, fr;q=0.9, en;q=0.8, de;q=0.7, *;q=0.5", "en"),
        ("en;q=0.2, de;q=0.6", "de"),
        ("de;q=0, en;q=0.1", "en"),
        ("pt-BR", None),
        ("", None),
        ("de;q=x, ,;q=", None),
    ],
)
def test_the_browser_says_which_language_it_prefers(accept: str, language: str | None) -> None:
    assert preferred(accept) == language


def test_the_kiosk_offers_known_languages_each_once() -> None:
    assert WebSettings(language="de", languages=" en, de,en ").offered == ("de", "en") and WebSettings(languages="").offered == ("en",)
    with refused("config.choice", "'xx'"):
        WebSettings(languages="en, xx")


@pytest.mark.parametrize("language", DESK_LANGUAGES[1:])
def test_words_for_errors_are_for_codes_that_there_are(language: str) -> None:
    codes = set(re.findall(r"^\| `([a-z0-9_.]+)`", (HERE.parents[1] / "docs/errors.md").read_text(), re.MULTILINE))
    words = Messages.load(language).area("errors")
    assert words and words.keys() - codes == set() and all(not fields(str(text)) for text in words.values())
    assert Messages.load("en").area("errors") == {}  # the error itself has them, with its values


def test_every_entry_of_the_menu_has_words() -> None:
    assert [entry.path for entry in ENTRIES if not Messages.load("en").has(f"menu.{entry.path.strip('/')}")] == []


def test_the_desk_speaks_the_language_of_the_login_else_of_the_browser(desk: Desk) -> None:
    admin, german = desk.browser("admin"), {"accept-language": "de-AT,de;q=0.9"}
    assert "Users and roles" in admin.get("/users").text
    page = admin.get("/users", headers=german).text
    assert '<html lang="de" dir="ltr">' in page and "Benutzer und Rollen" in page and "Prüfprotokoll" in page
    assert admin.post("/language", "/users", {"language": "de", "next": "/users"}).headers["location"] == "/users"
    assert "Benutzer und Rollen" in desk.browser("admin").get("/users").text, "in every browser from now on"
    assert "Anmelden" in desk.browser().get("/login", headers=german).text and "Log in" in desk.browser().get("/login").text
    assert admin.post("/language", "/users", {"language": "fr"}).status_code == 400


def test_an_error_is_said_in_the_desks_language(desk: Desk) -> None:
    admin, german = desk.browser("admin"), {"accept-language": "de"}
    said = "Der Anmeldename „hr“ ist vergeben"
    assert said in admin.post("/users", "/users", {"login": "hr", "role": "hr"}, headers=german).text
    page = desk.browser("viewer").get("/timesheets/99", headers=german).text
    assert "Eine Person mit der laufenden Nummer 99 gibt es nicht" in page and '<small lang="en"' not in page
