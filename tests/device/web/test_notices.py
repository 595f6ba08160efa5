"""Notices from a matter to the mailbox: told once and once more when it is over, to whom may know, through every outage; the pages of rules and of matters."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from device.attendance.planning import Planning
from device.attendance.timesheet.worksite import Site
from device.config import Settings
from device.config.loader import load
from device.delivery.couriers import drain
from device.storage import matters, notices, recipients
from device.storage.groups import Belonging, set_place
from device.storage.matters import CALM_SECONDS, KINDS, SETTLED_SECONDS, FoundMatter
from device.storage.notices import BETWEEN_SECONDS
from device.storage.recipients import RecipientDraft
from device.storage.store import Store
from device.web.access import accounts
from device.web.app import pages
from device.web.letters import written
from device.web.navigation import ENTRIES
from tests.device.fakes import mail
from tests.device.fakes.mail import Mailboxes, Taken
from tests.device.fakes.site import serving, status
from tests.device.fakes.webhook import Receiver
from tests.device.web.conftest import START, Desk

LOGINS = {"viewer": 1, "operator": 2, "hr": 3, "admin": 4}
ANN, BOB = "Ann <b>Evil</b>\u202eKern", "Bob of the office"
CAMERA = FoundMatter("camera", "camera", details={"state": "lost"})
KEY = bytes(range(32))


@dataclass
class House:
    """A terminal's database with two people, a mail server, a webhook, and a clock."""

    desk: Desk
    settings: Settings
    mail: Mailboxes
    hook: Receiver
    kept: Store  # open for as long as the test
    now: float = START

    def store(self) -> Store:
        return self.desk.store()

    def recipient(self, rules: dict[str, str], user: str | None = "hr", address: str = "hr@example.com", connector: str = "mail", language: str = "en") -> int:
        with self.store() as store:
            draft = RecipientDraft(connector, address, LOGINS[user] if user else None, language, 7, rules)
            return recipients.add(store, draft, self.now - 10)

    def look(self, *found: FoundMatter) -> None:
        """One look, and one round of telling, as the terminal makes each minute."""
        with self.kept.transaction() as db:
            matters.note(db, list(KINDS), found, int(self.now * 1000))
            notices.announce(db, self.now)

    def lasting(self, *found: FoundMatter) -> None:
        """A matter of the machine that lasts long enough to count."""
        self.look(*found)
        self.now += SETTLED_SECONDS
        self.look(*found)

    def send(self) -> list[Taken]:
        """Deliver what is due; the mails that arrived now."""
        before = len(self.mail.taken)
        with self.kept.transaction() as db:
            db.execute("UPDATE targets SET next_attempt_at = 0")
            db.execute("UPDATE outbox SET next_attempt_at = 0")
        drain(self.desk.terminal.database, self.settings, say=lambda _: None, write=written(self.settings, "front door"))
        return self.mail.taken[before:]

    def text(self) -> str:
        return "".join(taken.part("plain") for taken in self.send())


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Mailboxes, Receiver]]:
    with mail.serving() as boxes, serving(Receiver()) as hook:
        yield boxes, hook


@pytest.fixture
def house(desk: Desk, servers: tuple[Mailboxes, Receiver], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    boxes, hook = servers
    boxes.taken, boxes.data = [], "250 2.0.0 queued"
    boxes.refuse.clear()
    hook.events, hook.requests, hook.always = {}, [], None
    monkeypatch.setenv("HOOK_KEY", "whsec_" + base64.b64encode(KEY).decode())
    config = tmp_path / "clockface.toml"
    config.write_text(
        f"""[connectors.mail]\nkind = "email"\nhost = "127.0.0.1"\nport = {boxes.port}\nsender = "clock@example.com"\nsecurity = "none"
pages = "https://desk.example.com:8443"
[connectors.hook]\nkind = "webhook"\nurl = "{hook.url}"\nsecret = "env:HOOK_KEY"\npunches = false\n"""
    )
    settings = load(config)
    with desk.store() as store:
        Planning(store).set_site(Site("Europe/Berlin"), "test")
        for name, code, department in ((ANN, "E1", "Line 1"), (BOB, "E2", "Office")):
            set_place(store, store.add_person(name, code).id, Belonging(None, department))
    with desk.store() as kept:
        made = House(Desk(replace(desk.terminal, settings=settings), desk.clock), settings, boxes, hook, kept)
        made.send()  # the targets are known
        yield made
    made.desk.terminal.stores.close()


def missed(person: int, day: str = "2026-09-18") -> FoundMatter:
    return FoundMatter("missed", f"missed:{person}:{day}", person, {"day": day, "faults": ["missing out"]})


def request(person: int, number: int) -> FoundMatter:
    return FoundMatter("request", f"request:{number}", person, {"number": number})


def test_a_matter_is_told_once_and_once_more_when_it_is_over(house: House) -> None:
    house.recipient({"camera": "once"})
    house.lasting(CAMERA)
    [first] = house.send()
    assert str(first.message["Subject"]) == "front door: 1 open matter" and "The camera gives no pictures (since 2026-09-21" in first.part("plain")
    assert "https://desk.example.com:8443/health" in first.part("plain") and 'href="https://desk.example.com:8443/health"' in first.part("html")
    for _ in range(30):
        house.now += 60
        house.look(CAMERA)
    assert not house.send()
    house.look()
    house.now += CALM_SECONDS
    house.look()
    [last] = house.send()
    assert str(last.message["Subject"]) == "front door: 1 over" and "Over\n----" in last.part("plain").replace("\r", "")
    house.now += 86_400
    house.look()
    assert not house.send()


def test_a_camera_that_flaps_all_day_makes_few_mails(house: House) -> None:
    house.recipient({"camera": "once"})
    for step in range(24 * 12):
        house.now += 300
        house.look(*([CAMERA] if step % 8 < 4 else []))
    assert 1 <= len(house.send()) <= 10


def test_many_matters_in_a_row_are_told_together(house: House) -> None:
    house.recipient({"request": "once"})
    found: list[FoundMatter] = []
    mails: list[Taken] = []
    for number in range(1, 31):
        found.append(request(1 + number % 2, number))
        house.look(*found)
        mails += house.send()
        house.now += 60
    house.now += BETWEEN_SECONDS
    house.look(*found)
    mails += house.send()
    assert len(mails) <= 4
    told = [number for taken in mails for number in re.findall(r"\(request (\d+)\)", taken.part("plain"))]
    assert sorted(map(int, told)) == list(range(1, 31)), "each once"


def test_the_digest_comes_once_a_day_at_its_hour_by_the_clock_of_the_site(house: House) -> None:
    house.recipient({"missed": "daily", "camera": "daily"})
    at = datetime(2026, 9, 22, 6, 58, tzinfo=ZoneInfo("Europe/Berlin")).timestamp()
    house.now = at - SETTLED_SECONDS
    with house.store() as store, store.transaction() as db:
        db.execute("UPDATE recipients SET digest_day = '2026-09-21'")
    house.lasting(missed(1), missed(2), CAMERA)
    assert not house.send(), "before its hour"
    house.now = at + 120
    house.look(missed(1), missed(2), CAMERA)
    [digest] = house.send()
    text = digest.part("plain").replace("\r", "")
    assert str(digest.message["Subject"]) == "front door: 3 open matters" and text.startswith("The day's digest of front door\n")
    assert f"{BOB} (E2): missing out on Friday, 18 September" in text and "/timesheets/2?month=2026-09" in text
    house.now += 3600
    house.look(missed(2), request(1, 5))
    assert not house.send(), "one a day"
    house.now += 86_400
    house.look(missed(2), missed(1, "2026-09-21"))
    text = house.text().replace("\r", "")
    assert text.count("* ") == 4 and "New\n---\n* Ann" in text and "Still open, told before\n-----------------------\n* 1 day with a missing punch" in text
    house.now += 86_400
    house.look(missed(2), missed(1, "2026-09-21"))
    assert not house.send(), "nothing new, so no message"


def test_in_the_nights_when_clocks_change_there_is_one_digest(house: House) -> None:
    number = house.recipient({"missed": "daily"})
    with house.store() as store, store.transaction() as db:
        db.execute("UPDATE recipients SET digest_hour = 2 WHERE id = ?", [number])
    for day in (date(2026, 10, 25), date(2027, 3, 28)):
        begin, mails = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo("Europe/Berlin")).timestamp(), 0
        for half_hour in range(12):
            house.now = begin + half_hour * 1800
            house.look(*(missed(1, f"2026-10-{n:02}") for n in range(1, 2 + half_hour)))
            mails += len(house.send())
        assert mails == 1


def test_nothing_is_lost_while_the_server_is_down_and_one_message_tells_how_it_stands(house: House) -> None:
    house.recipient({"camera": "once", "request": "once"})
    house.mail.data = "451 4.3.0 try again later"
    house.lasting(CAMERA)
    assert not house.send()
    for day in range(1, 4):
        house.now += 86_400
        house.look(CAMERA, request(1, day))
        assert not house.send()
    house.mail.data = "250 queued"
    [taken] = house.send()
    text = taken.part("plain")
    assert "The camera gives no pictures" in text and "(request 3)" in text and "(request 1)" not in text, "requests that were decided meanwhile are not told"
    assert not house.send()


def test_a_kill_between_answer_and_record_sends_the_same_notice_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.recipient({"camera": "once"})
    house.lasting(CAMERA)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("device.storage.outbox.OutboxTable.conclude", killed)
        with pytest.raises(KeyboardInterrupt):
            house.send()
    [again] = house.send()
    assert len(house.mail.taken) == 2 and len({str(taken.message["Message-ID"]) for taken in house.mail.taken}) == 1
    assert "The camera gives no pictures" in again.part("plain")


def test_one_mailbox_that_refuses_holds_back_no_other(house: House) -> None:
    house.mail.refuse |= {"gone@example.com": "550 5.1.1 no such mailbox", "full@example.com": "452 4.2.2 mailbox full"}
    for address in ("full@example.com", "gone@example.com", "hr@example.com"):
        house.recipient({"request": "once"}, address=address)
    house.look(request(1, 1))
    assert [taken.to for taken in house.send()] == [["hr@example.com"]]
    with house.store() as store:
        [letter] = store.outbox.dead_letters()
        assert letter.kind == "notice" and "refuses the message to gone@example.com: 550" in (letter.answer or "")
        [_, target] = store.outbox.summary()
        assert (target.connector, target.waiting, target.dead, target.failures) == ("mail", 1, 1, 0)
    house.now += BETWEEN_SECONDS
    house.look(request(1, 1), request(1, 2))
    house.mail.refuse.pop("full@example.com")
    assert sorted(taken.to[0] for taken in house.send()) == ["full@example.com", "hr@example.com"]


def test_names_only_as_far_as_the_recipient_may_see(house: House) -> None:
    with house.store() as store:
        accounts.set_departments(store, LOGINS["viewer"], ["line 1"])
    everything = dict.fromkeys(KINDS, "once")
    for address, user in (("lead@example.com", "viewer"), ("hr@example.com", "hr"), ("it@example.com", None)):
        house.recipient(everything, user, address)
    house.lasting(missed(1), missed(2), request(2, 4), CAMERA)
    got = {taken.to[0]: taken.part("plain") + taken.part("html") for taken in house.send()}
    lead, hr, it = got["lead@example.com"], got["hr@example.com"], got["it@example.com"]
    assert "Kern" in lead and "Bob" not in lead and "camera" not in lead and "request" not in lead, "a viewer has no page of requests, a lead none of devices"
    assert all(word in hr for word in ("Kern", BOB, "request 4", "camera gives no pictures"))
    assert "Kern" not in it and "Bob" not in it and "2 days with missing punches" in it and "1 request for a correction" in it


def test_rights_count_when_a_message_is_sent(house: House) -> None:
    house.recipient({"missed": "once"})
    house.look(missed(1), missed(2))
    with house.store() as store:
        accounts.set_departments(store, LOGINS["hr"], ["Office"])
    text = house.text()
    assert "Bob" in text and "Kern" not in text
    house.recipient({"request": "once"}, address="second@example.com")
    house.look(request(2, 1))
    with house.store() as store:
        accounts.change(store, LOGINS["hr"], active=False)
        store.erase(1)
    assert not house.send()
    with house.store() as store, store.reading() as db:
        assert [row[0] for row in db.execute("SELECT state FROM outbox WHERE notice_id IS NOT NULL ORDER BY id")] == ["delivered", "discarded"]


def test_a_name_makes_no_line_no_markup_and_no_header(house: House) -> None:
    with house.store() as store, store.transaction() as db:
        db.execute("UPDATE people SET name = ? WHERE id = 1", ["Eve\r\nBcc: x@example.com\r\n\r\n* <script>alert(1)</script>"])
    house.recipient({"missed": "once"})
    house.look(missed(1))
    [taken] = house.send()
    lines = taken.part("plain").splitlines()
    assert [line for line in lines if "Bcc" in line] == ["* Eve Bcc: x@example.com * <script>alert(1)</script> (E1): missing out on Friday, 18 September"]
    assert taken.to == ["hr@example.com"] and taken.message["Bcc"] is None and "<script>" not in taken.part("html")


def test_german(house: House) -> None:
    house.recipient({"missed": "once", "camera": "once"}, language="de")
    house.look(missed(2))
    [taken] = house.send()
    assert f"{BOB} (E2): Gehen fehlt am Freitag, 18. September" in taken.part("plain") and str(taken.message["Subject"]) == "front door: 1 offener Punkt"
    assert '<html lang="de">' in taken.part("html")


def test_a_webhook_gets_data_signed_as_always_and_no_punches(house: House) -> None:
    house.recipient({"missed": "once", "camera": "once"}, None, "", "hook")
    house.recipient({"missed": "once"}, "hr", "hr@example.com")
    house.lasting(missed(1), CAMERA)
    house.send()
    [received] = [entry.json for entry in house.hook.requests]
    assert received["event"] == "notice" and received["device"] == "front door" and received["id"] == house.hook.requests[0].headers["webhook-id"]
    camera = {"kind": "camera", "key": "camera", "since": "2026-09-21T14:13:20.000Z", "until": None, "state": "lost"}
    assert received["begun"] == [camera, {"kind": "missed", "count": 1}], "nobody is named without a login"
    house.now += BETWEEN_SECONDS
    house.look(CAMERA, missed(2))
    house.hook.always = status(503, b"closed")
    house.send()
    house.hook.always = None
    house.send()
    last = house.hook.requests[-1].json
    assert last["begun"] == [{"kind": "missed", "count": 1}] and last["over"] == [{"kind": "missed", "count": 1}]
    with house.store() as store:
        assert not [target for target in store.outbox.summary() if target.waiting or target.dead]


def test_each_kind_names_the_page_that_its_rights_are_those_of() -> None:
    open_to = {page.path: page for page in pages() if page.method == "GET"}
    menu = {entry.path: entry for entry in ENTRIES}
    for kind in KINDS.values():
        page = open_to[kind.page]
        assert (page.role, page.teams) == (kind.needed.role, kind.needed.teams) == (menu[kind.page].role, menu[kind.page].teams)


# the pages


def test_the_badge_counts_what_this_login_may_see(house: House) -> None:
    with house.store() as store:
        accounts.set_departments(store, LOGINS["operator"], ["Line 1"])
    house.lasting(missed(1), missed(2), request(1, 4), CAMERA)
    badge = re.compile(r'href="/matters"[^>]*>.*?Open matters <span class="badge warn">(\d+)</span>', re.DOTALL)
    counts = {}
    for role in LOGINS:
        found = badge.search(house.desk.browser(role).get("/today").text)
        counts[role] = int(found[1]) if found else 0
    assert counts == {"viewer": 3, "operator": 1, "hr": 4, "admin": 4}
    lead = house.desk.browser("operator").get("/matters").text
    assert "Kern" in lead and "Bob" not in lead and "camera" not in lead
    assert "camera gives no pictures" in house.desk.browser("viewer").get("/matters").text


FORM = {"connector": "mail", "address": "boss@example.com", "user": "3", "language": "en", "hour": "6", "rule_missed": "daily", "rule_camera": "once"}


def test_an_admin_adds_changes_tests_and_removes_a_recipient(house: House) -> None:
    admin = house.desk.browser("admin")
    assert admin.post("/notices", "/notices", FORM).status_code == 303
    with house.store() as store, store.reading() as db:
        [one] = recipients.recipients(db)
    assert (one.place, one.login, one.digest_hour, dict(one.rules)) == ("boss@example.com (mail)", "hr", 6, {"missed": "daily", "camera": "once"})
    went = admin.post(f"/notices/{one.id}/test", "/notices")
    assert "The server answered: 250 2.0.0 queued" in went.text
    [taken] = house.mail.taken
    assert taken.to == ["boss@example.com"] and "Missing punches: in the digest of the day" in taken.part("plain")
    house.mail.refuse["boss@example.com"] = "550 5.1.1 unknown <b>here</b>"
    refusal = admin.post(f"/notices/{one.id}/test", "/notices").text
    assert "refuses the message to boss@example.com: 550 5.1.1 unknown &lt;b&gt;here&lt;/b&gt;" in refusal and "did not go out" in refusal
    admin.post(f"/notices/{one.id}", "/notices", {**FORM, "rule_missed": "never", "user": ""})
    with house.store() as store, store.reading() as db:
        assert dict(recipients.recipient(db, one.id).rules) == {"camera": "once"} and not recipients.recipient(db, one.id).names
    admin.post(f"/notices/{one.id}/remove", "/notices")
    with house.store() as store, store.reading() as db:
        assert recipients.recipients(db) == []
        noted = [row[0] for row in db.execute("SELECT action FROM audit WHERE action LIKE 'recipient%' OR action LIKE 'notice%' ORDER BY id")]
    assert noted == ["recipient set", "notice tried", "notice tried", "recipient set", "recipient removed"]


WRONG = (
    {"address": "boss"}, {"address": "a@b.de\nBcc: c@d.de"}, {"connector": "none"}, {"hour": "24"}, {"rule_camera": "hourly"}, {"user": "99"},
    {"connector": "hook"},
)  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_a_form_that_is_refused_keeps_what_was_typed(house: House, wrong: dict[str, str]) -> None:
    answer = house.desk.browser("admin").post("/notices", "/notices", {**FORM, **wrong})
    assert answer.status_code == 400 and 'class="problem"' in answer.text
    with house.store() as store, store.reading() as db:
        assert recipients.recipients(db) == []


def test_a_recipient_whose_target_is_gone_is_named(house: House, desk: Desk) -> None:
    number = house.recipient({"camera": "once"})
    admin = desk.browser("admin")  # without any connector
    shown = admin.get("/notices").text
    assert "mail is not configured any more" in shown and "Nothing can be sent yet" in shown
    assert "is not configured" in admin.post(f"/notices/{number}/test", "/notices").text
