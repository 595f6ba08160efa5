"""Notices: who is told of which open matters, where and when, with a test for each recipient."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from device.config import DESK_LANGUAGES, ConnectorSettings
from device.contract import ClockfaceError
from device.delivery.connectors import configured, takes_notices, to_mailboxes
from device.delivery.connectors.smtp_mail import check_mailbox
from device.storage import recipients
from device.storage.audit import Action
from device.storage.matters import KINDS
from device.storage.recipients import DEFAULT_HOUR, WAYS, RecipientDraft
from device.web import parameters
from device.web.access import accounts
from device.web.call import Call, Problem
from device.web.letters import send_trial
from device.web.pages import get, post

QUEUED = """SELECT n.recipient_id, o.state, count(*) FROM outbox o JOIN notices n ON n.id = o.notice_id
    WHERE o.state IN ('waiting', 'dead') GROUP BY 1, 2"""


def targets(call: Call) -> dict[str, ConnectorSettings]:
    """The configured targets that can tell a recipient of something."""
    return {target.name: target for target in configured(call.terminal.settings) if takes_notices(target)}


def notices_page(call: Call, tried: tuple[int, bool, str] | None = None) -> Response:
    """`tried`: a recipient, whether its test went out, and what its server said."""
    known = targets(call)
    with call.store.reading() as db:
        found = recipients.recipients(db)
        queued = {(number, state): count for number, state, count in db.execute(QUEUED).fetchall()}
    logins = [user for user in accounts.users(call.store) if user.active]
    values: dict[str, Any] = {"mail": [name for name, target in known.items() if to_mailboxes(target)], "languages": DESK_LANGUAGES, "hour": DEFAULT_HOUR}
    return call.page("notices.html", targets=known, recipients=found, kinds=KINDS, ways=WAYS, logins=logins, queued=queued, tried=tried, **values)


def add(call: Call) -> Response:
    draft = read(call)
    recipients.add(call.store, draft, call.terminal.now())
    return call.goto("/notices", call.texts.text("notices.added", place=draft.address or draft.connector))


def change(call: Call) -> Response:
    draft = read(call)
    recipients.change(call.store, call.path["id"], draft)
    return call.goto("/notices", call.texts.text("notices.changed", place=draft.address or draft.connector))


def remove(call: Call) -> Response:
    with call.store.reading() as db:
        one = recipients.recipient(db, call.path["id"])
    recipients.remove(call.store, one.id)
    return call.goto("/notices", call.texts.text("notices.removed", place=one.place))


def trial(call: Call) -> Response:
    """Send a test message, and show what the server answered."""
    with call.store.reading() as db:
        one = recipients.recipient(db, call.path["id"])
    try:
        went, answer = True, send_trial(call.terminal.settings, one, call.terminal.device)
    except ClockfaceError as error:
        went, answer = False, str(error)
    call.store.audit(call.who.actor, Action.NOTICE_TRIED, {"recipient_id": one.id, "sent": went})
    return notices_page(call, (one.id, went, answer))


def read(call: Call) -> RecipientDraft:
    """The form of one recipient.

    Raises:
        Problem, ConfigError, StoreError: no such target, no mail address, no such rule.
    """
    target = targets(call).get(call.field("connector"))
    if target is None:
        raise Problem("choose a target that is configured", code="notices.target")
    address = call.field("address", "").strip()
    if to_mailboxes(target):
        check_mailbox("mail address", address)
    elif address:
        raise Problem(f"{target.name} has one address of its own: leave the mail address empty", code="notices.address")
    login = call.field("user", "")
    rules = {kind: way for kind in KINDS if (way := call.field(f"rule_{kind}", "never")) != "never"}
    hour = parameters.form_number(call, "hour", DEFAULT_HOUR)
    return RecipientDraft(target.name, address, int(login) if login.isdecimal() and len(login) < 18 else None, call.field("language"), hour, rules)


ROUTES = (
    get("/notices", notices_page, "admin"),
    post("/notices", add, "admin", form=notices_page),
    post("/notices/{id:int}", change, "admin", form=notices_page),
    post("/notices/{id:int}/remove", remove, "admin"),
    post("/notices/{id:int}/test", trial, "admin"),
)
