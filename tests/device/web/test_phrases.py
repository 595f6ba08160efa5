"""What other rooms say, in German: every phrase of the code has words, with the same values, and every table of words fits what the code has."""

from __future__ import annotations

import ast
import string
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import device
from device.config import DESK_LANGUAGES
from device.contract import ClockfaceError, phrase, phrases
from device.storage import settings as stored_settings
from device.storage.audit import Action
from device.web.desk.audit import ACTORS
from device.web.desk.setting_words import CHOICES, SECTIONS
from device.web.messages import Messages, forms

OTHERS = [language for language in DESK_LANGUAGES if language != "en"]


@cache
def said_in_code() -> dict[str, set[str] | None]:
    """Key of a phrase -> the names of its values, read from the syntax trees; None where they are not written out."""
    found: dict[str, set[str] | None] = {}
    for path in Path(device.__file__).parent.rglob("*.py"):
        for call in calls(ast.parse(path.read_text(encoding="utf-8"))):
            key = call.args[0]
            assert isinstance(key, ast.Constant), f"{path.name}, line {call.lineno}: the key of a phrase stands there as it is"
            names = {word.arg for word in call.keywords}
            found[str(key.value)] = None if None in names else {name for name in names if name}
    return found


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    named = (node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "phrase")
    yield from (call for call in named if len(call.args) == 2)


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name and name.isidentifier()}


@pytest.mark.parametrize("language", OTHERS)
def test_every_phrase_has_words_with_its_values(language: str) -> None:
    ours, code = Messages.load(language).area("phrases"), said_in_code()
    assert ours.keys() == code.keys()
    known = {key: values for key, values in code.items() if values is not None}
    assert {key: form for key, values in known.items() for form in forms(ours[key]) if not fields(form) <= values} == {}


@pytest.mark.parametrize("language", OTHERS)
def test_what_has_its_english_in_the_code_has_words(language: str) -> None:
    said = Messages.load(language)
    settings = stored_settings.editable()
    names = {setting.name for setting in settings}
    assert said.area("actions").keys() == {action.value for action in Action}
    assert said.area("setting_names").keys() == said.area("setting_help").keys() == names
    assert said.area("setting_sections").keys() == {setting.section for setting in settings} == SECTIONS.keys()
    assert said.area("setting_choices").keys() == {f"{setting.name}.{choice}" for setting in settings for choice in setting.choices}
    assert {setting.unit for setting in settings} - {"choice", "yes or no", "text", ""} == said.area("setting_units").keys()
    assert CHOICES.keys() <= names and set(ACTORS) == said.area("actor").keys()


def test_a_phrase_is_english_for_everybody_and_german_for_the_pages() -> None:
    german = Messages.load("de")
    one = phrase("device.silent", "not heard of for {time}", time=phrase("lasting.days", "{number} days", number="3"))
    assert one == "not heard of for 3 days" and f"{ClockfaceError(one)}" == one
    assert german.said(one) == "seit 3 Tagen nichts gehört" and Messages.load("en").said(one) == one
    both = phrases("; ", [one, phrase("device.strange", "{count} rows of the company's database not understood", count=2)])
    assert german.said(both) == "seit 3 Tagen nichts gehört; 2 Zeilen aus der Datenbank der Firma nicht verstanden"
    assert german.said("as it is") == "as it is"
    assert german.said(phrase("device.waiting", "{rows:,} rows wait to be sent", rows=1200)) == "1.200 Zeilen warten auf das Senden"


def test_an_error_says_its_values_or_else_what_its_code_stands_for() -> None:
    german = Messages.load("de")
    known = ClockfaceError(phrase("disk.little", "{free} MB free at {folder}: free some space", free=3, folder="/data"))
    assert german.refusal(known) == ("3 MB frei in /data: schaffen Sie Platz", "")
    coded = ClockfaceError("person 7 is not here", code="store.nobody")
    assert german.refusal(coded) == (german.text("errors.store.nobody"), "person 7 is not here")
    assert german.refusal(ClockfaceError("only English")) == ("only English", "") == Messages.load("en").refusal(ClockfaceError("only English"))
