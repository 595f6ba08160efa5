"""Letters: what a notice says, in the recipient's language, as plain text, as simple HTML, and as data for a program.

Names stand in it only for a recipient with a login, of people whom that login sees; nobody else gets more than numbers. The subject never has a name.
No picture and no figure of a face goes into a letter.
"""

from __future__ import annotations

import platform
import time
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from typing import Any

from device.config import Settings
from device.delivery.connectors import build, configured
from device.delivery.outcomes import ConnectorError
from device.storage.events import Event, Letter
from device.storage.matters import KINDS, Matter
from device.storage.notices import Notice, claim
from device.storage.recipients import Recipient
from device.storage.store import Store
from device.system.clock import iso_utc, to_ms
from device.system.time_zones import LocalClock
from device.web.appearance import environment
from device.web.messages import Messages

BREAKS = ("Cc", "Zl", "Zp")  # controls, and what ends a line or a paragraph
TURNS = "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # what changes the direction of writing
LONGEST_LIST = 100  # matters that one section names; a webhook gets as many


@dataclass(frozen=True)
class LetterLine:
    """One matter as a letter says it."""

    kind: str
    text: str
    details: str = ""  # what the program says of it, in English
    when: str = ""
    link: str = ""


@dataclass(frozen=True)
class LetterSection:
    title: str
    lines: tuple[LetterLine, ...]
    more: str = ""  # how many are not listed


def written(settings: Settings, device: str = "") -> Callable[[Store, int], Letter | None]:
    """The writer of letters for couriers. `device`: the name of this terminal or desk; "": that of the machine."""
    device = device or platform.node() or "terminal"
    links = {target.name: str(getattr(target, "pages", "")).rstrip("/") for target in configured(settings)}

    def write(store: Store, notice_id: int) -> Letter | None:
        with store.transaction() as db:
            notice = claim(db, notice_id)
        return letter(notice, device, store.clock(), links.get(notice.recipient.connector, "")) if notice else None

    return write


def letter(notice: Notice, device: str, clock: LocalClock, pages: str) -> Letter:
    one, says = notice.recipient, Messages.load(notice.recipient.language)
    writer = _Writer(says, clock, pages, one.names)
    still = tuple(LetterLine(kind, says.text(f"notices.count_{kind}", count=count)) for kind, count in notice.still.items())
    told_before = LetterSection(says.text("notices.section_still"), still)
    sections = [writer.section("begun", notice.begun), writer.section("over", notice.over), told_before]
    counts = {name: len(found) for name, found in (("begun", notice.begun), ("over", notice.over)) if found}
    subject = f"{flat(device)}: {', '.join(says.text(f'notices.subject_{name}', count=count) for name, count in counts.items())}"
    title = says.text(f"notices.title_{notice.way}", device=flat(device))
    data = {"device": device, "way": notice.way, "begun": writer.data(notice.begun), "over": writer.data(notice.over), "still": dict(notice.still)}
    return _letter(one, says, subject, title, [section for section in sections if section.lines], pages, data)


def trial_letter(one: Recipient, device: str, pages: str) -> Letter:
    """What the button *Send a test* sends: it tells nothing."""
    says = Messages.load(one.language)
    title = says.text("notices.title_test", device=flat(device))
    kinds = [LetterLine(kind, says.text(f"notices.told_{one.rules[kind]}", kind=says.text(f"notices.kind_{kind}"))) for kind in told(one)]
    sections = [LetterSection(says.text("notices.section_rules"), tuple(kinds))] if kinds else []
    return _letter(one, says, title, title, sections, pages, {"device": device, "test": True, "begun": [], "over": [], "still": {}})


def send_trial(settings: Settings, one: Recipient, device: str) -> str:
    """Send a test message to a recipient now; returns the answer of its server.

    Raises:
        ClockfaceError: it did not go out; the message says why, in words without secrets.
    """
    target = next((target for target in configured(settings) if target.name == one.connector), None)
    if target is None:
        raise ConnectorError(f"{one.connector} is not configured: its table [connectors.{one.connector}] was removed or renamed", code="notices.no_target")
    letter = trial_letter(one, device, str(getattr(target, "pages", "")).rstrip("/"))
    sent = Event("test", 0, f"test-{to_ms(time.time())}", None, "", None, None, None, device, "", True, recipient_id=one.id, letter=letter)
    with closing(build(target)) as connector:
        try:
            return connector.scrubbed(connector.test(sent))
        except ConnectorError as error:
            raise ConnectorError(connector.scrubbed(str(error)), code=error.code) from None


def told(one: Recipient) -> list[str]:
    """The kinds that a recipient is told of, at once or by the day."""
    return [kind for kind in KINDS if kind in one.kinds("once") or kind in one.kinds("daily")]


def _letter(one: Recipient, says: Messages, subject: str, title: str, sections: Sequence[LetterSection], pages: str, data: dict[str, Any]) -> Letter:
    foot = says.text("notices.foot_names" if one.names else "notices.foot_numbers", place=flat(one.place), login=one.login)
    values = {"title": title, "sections": sections, "foot": foot, "pages": pages, "says": says}
    html = environment().get_template("letter.html").render(**values)
    return Letter(one.address, flat(subject), _plain(title, sections, foot), html, data)


def _plain(title: str, sections: Sequence[LetterSection], foot: str) -> str:
    rows = [title, ""]
    for section in sections:
        rows += [section.title, "-" * len(section.title)]
        for line in section.lines:
            rows.append(f"* {line.text}" + (f" ({line.when})" if line.when else ""))
            rows += [f"  {text}" for text in (line.details, line.link) if text]
        rows += [section.more, ""] if section.more else [""]
    return "\n".join([*rows, "-- ", foot, ""])


@dataclass(frozen=True)
class _Writer:
    """Matters as lines, in one language, with or without names."""

    says: Messages
    clock: LocalClock
    pages: str
    names: bool

    def section(self, name: str, matters: Sequence[Matter]) -> LetterSection:
        counted = Counter(matter.kind for matter in matters if not self.named(matter))
        lines = [LetterLine(kind, self.says.text(f"notices.count_{kind}", count=count), link=self.link(KINDS[kind].page)) for kind, count in counted.items()]
        lines += [self.line(matter) for matter in matters if self.named(matter)]
        lines.sort(key=lambda line: list(KINDS).index(line.kind))
        more = self.says.text("notices.more", count=len(lines) - LONGEST_LIST) if len(lines) > LONGEST_LIST else ""
        return LetterSection(self.says.text(f"notices.section_{name}"), tuple(lines[:LONGEST_LIST]), more)

    def named(self, matter: Matter) -> bool:
        """Whether it is told by itself, and not as a number."""
        return self.names or not KINDS[matter.kind].about_people

    def line(self, matter: Matter) -> LetterLine:
        return LetterLine(matter.kind, said(self.says, matter), flat(str(matter.details.get("words", ""))), self.when(matter), self.link(page_of(matter)))

    def when(self, matter: Matter) -> str:
        if KINDS[matter.kind].about_people:
            return ""
        since, form = self.clock.named(matter.since), "%Y-%m-%d %H:%M"
        if matter.over_at is None:
            return self.says.text("notices.since", since=since)
        return self.says.text("notices.lasted", since=self.clock.said(matter.since, form), until=self.clock.named(matter.over_at))

    def link(self, page: str) -> str:
        return f"{self.pages}{page}" if self.pages else ""

    def data(self, matters: Sequence[Matter]) -> list[dict[str, Any]]:
        """For a program: each matter, or how many of a kind where it gets no names."""
        found: list[dict[str, Any]] = []
        for matter in [matter for matter in matters if self.named(matter)][:LONGEST_LIST]:
            person = {"person_id": matter.person_id, "name": matter.name, "code": matter.code} if matter.person_id is not None else {}
            until = iso_utc(matter.over_at) if matter.over_at is not None else None
            found.append({"kind": matter.kind, "key": matter.key, "since": iso_utc(matter.since), "until": until, **person, **matter.details})
        counted = Counter(matter.kind for matter in matters if not self.named(matter))
        return [*found, *({"kind": kind, "count": count} for kind, count in counted.items())]


def said(says: Messages, matter: Matter) -> str:
    """One matter in words, with the name of the person."""
    details, door = matter.details, flat(str(matter.details.get("door", "")))
    if matter.kind == "missed":
        day = says.medium_day(date.fromisoformat(details["day"]))
        return says.text("notices.missed", person=person_of(matter), day=day, faults=says.names_of("fault", details["faults"]))
    if matter.kind == "request":
        return says.text("notices.request", person=person_of(matter), number=details["number"])
    values = {"target": flat(str(details.get("target", "")))} if matter.kind == "delivery" else {}
    words = says.text(f"notices.camera_{details['state']}" if matter.kind == "camera" else f"notices.{matter.kind}", **values)
    return f"{door}: {words}" if door else words


def person_of(matter: Matter) -> str:
    return flat(f"{matter.name} ({matter.code})" if matter.code else matter.name)


def page_of(matter: Matter) -> str:
    """The page on which somebody deals with it."""
    if matter.kind == "request":
        return f"/corrections/{matter.details['number']}"
    if matter.kind == "missed":
        return f"/timesheets/{matter.person_id}?month={matter.details['day'][:7]}"
    return matter.page


def flat(text: str) -> str:
    """On one line and without control characters: no name can begin a line, a header or another direction of its own."""
    return " ".join("".join(" " if unicodedata.category(sign) in BREAKS or sign in TURNS else sign for sign in text).split())
