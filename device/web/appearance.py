"""Templates: Jinja2 with autoescaping, and the functions that every template may use."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse

from device.config import DESK_LANGUAGES
from device.web.messages import Messages
from device.web.navigation import MenuItem, entries, open_count

HERE = Path(__file__).resolve().parent
STATIC = HERE / "static"


def _local(form: str) -> Callable[[Context, float], str]:
    """A filter that writes a time (s since the epoch) by the site's clock: the day as the language writes it, and then `form`."""

    @pass_context
    def written(context: Context, seconds: float) -> str:
        call = context["call"]
        return f"{call.texts.numeric_day(call.clock.at(seconds).date())}{call.clock.said(seconds, form)}"

    return written


def marked_up(messages: Messages, key: str, **values: object) -> Markup:
    """A text whose values are shown as `code`."""
    return Markup(escape(messages.text(key))).format(**{name: Markup("<code>{}</code>").format(value) for name, value in values.items()})


def menu_label(messages: Messages, entry: MenuItem) -> str:
    """The words of a menu entry; its English label until the catalogue has them."""
    key = f"menu.{entry.path.strip('/')}"
    return messages.text(key) if messages.has(key) else entry.label


@cache
def static(name: str) -> str:
    """The address of a static file; it changes with the content, so browsers may cache the file."""
    return f"/static/{name}?{hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]}"


@cache
def environment() -> Environment:
    env = Environment(loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    env.globals.update(static=static, entries=entries, open_count=open_count, language=Messages.load, menu_label=menu_label, desk_languages=DESK_LANGUAGES)
    env.filters.update(local_date=_local(""), local=_local(" %H:%M:%S"))
    return env


def fragment(template: str, **values: Any) -> str:
    """A part of a page."""
    return environment().get_template(template).render(**values)


def rendered(template: str, status: int, values: Mapping[str, Any]) -> HTMLResponse:
    """A page; `t("kiosk.looking")` in it is a text of the message files, in the language of the page."""
    messages: Messages = values["call"].texts
    ours = {"t": messages.text, "mark_up": partial(marked_up, messages), "names_of": messages.names_of, "messages": messages}
    text = environment().get_template(template).render(**ours, **values)
    return HTMLResponse(text, status)
