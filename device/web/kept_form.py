"""A form that was refused comes back as it was filled in, with the reason inside it: whichever page it stands on, without a script."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import unescape

from markupsafe import escape

TAG = re.compile(r"""<(/?)(form|input|select|option|details)\b((?:"[^"]*"|'[^']*'|[^'">])*)>""")
ATTRIBUTE = re.compile(r"""([\w-]+)(?:="([^"]*)"|='([^']*)')?""")
LEFT_ALONE = ("hidden", "password", "file", "submit", "button")
Given = Mapping[str, Sequence[str]]


def kept(page: str, method: str, path: str, given: Given, notice: str) -> str:
    """The page with the form of this method and path filled in as it was sent, and the notice (HTML) at its beginning.

    A page without that form has the notice at the beginning of its content.
    """
    out: list[str] = []
    around: list[int] = []  # where in `out` the details stand that the place is in
    end, inside, found, chosen, seen = 0, False, False, "", True
    for tag in TAG.finditer(page):
        out.append(page[end : tag.start()])
        end, (closing, name, text) = tag.end(), tag.groups()
        attributes = {key: unescape(one or other) for key, one, other in ATTRIBUTE.findall(text)}
        if name == "details":
            around = around[:-1] if closing else [*around, len(out)]
        if name == "form":
            inside = not closing and attributes.get("method", "get").lower() == method.lower() and attributes.get("action", "").partition("?")[0] == path
        written = tag[0]
        if inside and not closing:
            written, chosen = _filled(name, text, attributes, given, chosen, page[end : page.find("<", end)])
            if name == "form" and not found:
                written, found, seen = written + notice, True, False
                out = [part.replace("<details", "<details open", 1) if number in around else part for number, part in enumerate(out)]
            elif not seen and name in ("input", "select") and attributes.get("type") not in LEFT_ALONE:
                written, seen = f"{written[:-1]} autofocus>", True  # so that the browser shows this form
        out.append(written)
    whole = "".join([*out, page[end:]])
    return whole if found else whole.replace("</header>", f"</header>{notice}", 1)


def _filled(tag: str, text: str, attributes: dict[str, str], given: Given, select: str, words: str) -> tuple[str, str]:
    """One tag of the form, and the name of the select it is in or opens. `words`: the text that follows it."""
    name = attributes.get("name", "")
    if tag == "select":
        return f"<select{text}>", name
    if tag == "option" and select in given:
        value = attributes.get("value", unescape(words).strip())
        return f"<option{_without(text, 'selected')}{' selected' if value in given[select] else ''}>", select
    kind = attributes.get("type", "text")
    if tag != "input" or kind in LEFT_ALONE or not name:
        return f"<{tag}{text}>", select
    if kind in ("checkbox", "radio"):
        return f"<input{_without(text, 'checked')}{' checked' if attributes.get('value', 'on') in given.get(name, ()) else ''}>", select
    if name in given:
        return f'<input{_without(text, "value")} value="{escape(given[name][0])}">', select
    return f"<input{text}>", select


def _without(text: str, attribute: str) -> str:
    return re.sub(rf"""\s{attribute}(?:="[^"]*"|='[^']*')?(?=\s|$)""", "", text)
