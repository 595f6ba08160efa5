"""What is not translated yet: `python -m tests.device.web.untranslated` prints texts that pages have beside the catalogue, and keys that a language lacks."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

from jinja2 import Environment, nodes

from device.config import DESK_LANGUAGES, LANGUAGES
from device.web.appearance import HERE
from device.web.messages import FOLDER, Messages, Text

TEMPLATES = HERE / "templates"


class Outside(HTMLParser):
    """Texts of a page that a person would read or hear."""

    READ = ("alt", "title", "aria-label", "placeholder")

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.hidden = 0

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.hidden += tag in ("script", "style")
        self.found += [value for name, value in attributes if name in self.READ and value]

    def handle_endtag(self, tag: str) -> None:
        self.hidden -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.found.append(data)


def outside(source: str) -> list[str]:
    """The words of a template that do not come from the catalogue."""
    page = Outside()
    source = re.sub(r"\{% block body_class %\}\w*|\{#.*?#\}", "", source, flags=re.DOTALL)
    page.feed(re.sub(r"\{%.*?%\}|\{\{.*?\}\}", written, source, flags=re.DOTALL))
    return [" ".join(words.split()) for words in page.found if re.search(r"[^\W\d_]{2}", re.sub("Clockface|CSV|XLSX|Ctrl|PDF", "", words))]


def written(tag: re.Match[str]) -> str:
    """What an expression of a template may write of its own: "New" and "Old" of `{{ "New" if fresh else "Old" }}`."""
    if not tag[0].startswith("{{"):
        return ""
    output = next(Environment().parse(tag[0]).find_all(nodes.Output))
    return " ".join(words for node in output.nodes for words in literals(node))


def literals(node: nodes.Node) -> Iterator[str]:
    if isinstance(node, nodes.Const) and isinstance(node.value, str):
        yield "" if node.value.startswith("/") else node.value  # an address is no text
    elif isinstance(node, nodes.CondExpr):
        yield from [words for part in (node.expr1, node.expr2) if part for words in literals(part)]
    elif isinstance(node, (nodes.Concat, nodes.Or, nodes.And, nodes.Add)):
        yield from [words for part in node.iter_child_nodes() for words in literals(part)]


def blanked(language: str) -> Messages:
    """A language whose texts have no letters but those of their values: every word that a page still says comes from beside the catalogue."""

    def blank(text: str) -> str:
        parts = string.Formatter().parse(text)
        return "".join(re.sub(r"[^\W\d_]", "·", words) + (f"{{{name}{f':{form}' if form else ''}}}" if name else "") for words, name, form, _ in parts)

    def blank_all(text: Text) -> Text:
        return {form: blank(words) for form, words in text.items()} if isinstance(text, dict) else blank(text)

    return Messages(language, {key: blank_all(text) for key, text in Messages.load(language).texts.items()})


def beside(page: str, known: str) -> list[str]:
    """The words of a page that was made with blanked texts. `known`: a pattern of what is data."""
    seen = Outside()
    seen.feed(page)
    return [" ".join(words.split()) for words in seen.found if re.search(r"[^\W\d_]{2}", re.sub(rf"\b({known})\b", "", words))]


def kiosk_areas() -> set[str]:
    return {line[1:-1] for line in (FOLDER / "en" / "kiosk.toml").read_text().splitlines() if line.startswith("[")}


def wanted(language: str) -> dict[str, Text]:
    """The English texts that a language must have: all of them at the desk, else those of the kiosk."""
    english = Messages.load("en").texts
    return english if language in DESK_LANGUAGES else {key: text for key, text in english.items() if key.partition(".")[0] in kiosk_areas()}


def pages() -> list[Path]:
    return sorted(path for path in TEMPLATES.rglob("*.html") if path.name != "icons.html")


def main() -> None:
    for language in LANGUAGES:
        missing = sorted(wanted(language).keys() - Messages.load(language).texts.keys())
        print(f"{language}: {len(missing)} keys missing{': ' + ', '.join(missing) if missing else ''}")
    for path in pages():
        for words in outside(path.read_text(encoding="utf-8")):
            print(f"{path.relative_to(TEMPLATES)}: {words}")


if __name__ == "__main__":
    main()
