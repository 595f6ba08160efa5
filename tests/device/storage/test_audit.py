"""The actions of the audit: the texts that databases hold, and that nothing else is written."""

from __future__ import annotations

import ast
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import get_type_hints

import pytest

from device.storage.audit import Action, Audit, sql_list
from device.storage.store import Store

DEVICE = Path(__file__).resolve().parents[3] / "device"
STORED = {  # as databases in the field hold them: texts may be added here, but never changed
    "keys exported", "keys imported", "terminal checked", "set-up code made", "set-up code taken",
    "fleet chain continued", "fleet fault accepted", "person placed", "two people decided", "page refused", "sessions ended",
    "absence added", "absence cancelled", "approval denied", "backup made", "biometrics read", "chains verified", "clock jumped", "code changed",
    "consent given", "consent withdrawn", "correction approved", "correction refused", "correction requested", "database restored", "dead letters discarded",
    "absence shortened", "calendar chosen", "employment set", "account booked", "overtime approved",
    "dead letters replayed", "failed attempts forgiven", "fleet applied", "fleet joined", "fleet overruled", "fleet refused",
    "holiday removed", "holiday set", "log exported", "logged in",
    "look-alike decided", "look-alike found", "model in force",
    "outbox filled", "outbox forgotten", "outbox moved", "password set", "period lock lifted", "period locked", "person activated",
    "person added", "reset asked", "reset file made",
    "people merged", "merge undone", "enrolled again",
    "person deactivated", "person erased", "person renamed", "pin removed", "pin set", "plan added", "plan assigned", "punch time repaired",
    "notice tried", "recipient removed", "recipient set",
    "punches imported", "punches removed", "restart asked", "restore asked", "restore refused", "retention applied", "setting changed", "shift added",
    "site rules changed", "store works again", "targets set", "templates added", "templates read", "timesheet exported", "user added",
    "user changed", "user departments", "user is person", "wrong password", "wrong pin", "zone changed",
}  # fmt: skip
PLACE = {"note": 0, "_audit": 0, "audit": 1, "note_by": 1, "_append_audit": 1}  # method -> which argument is the action
PASSED_ON = {  # expressions whose value is an action; mypy checks their type
    "action", "change.action", "WRONG[kind]", "EXPORTED[what]",
}  # fmt: skip


def faults(source: str) -> Iterator[str]:
    """Audit calls whose action is not a member."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in PLACE:
            place = PLACE[node.func.attr]
            given = [keyword.value for keyword in node.keywords if keyword.arg == "action"] or node.args[place : place + 1]
            text = ast.unparse(given[0]) if given else ""
            if text.removeprefix("Action.") not in Action.__members__ and text not in PASSED_ON:
                yield ast.unparse(node)


def test_the_stored_texts_have_not_changed() -> None:
    assert sorted(action.value for action in Action) == sorted(STORED)


@pytest.mark.parametrize("path", sorted(DEVICE.rglob("*.py")), ids=lambda path: str(path.relative_to(DEVICE)))
def test_every_audit_call_names_a_member(path: Path) -> None:
    assert list(faults(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "call", ['store.note("free text", a=1)', "store.note(f'wrong {kind}')", "store.note_by(by, Action.NO_SUCH)", "store.audit(actor, words, {})", "s.note()"]
)
def test_a_free_text_would_be_found(call: str) -> None:
    assert list(faults(f"if True:\n    {call}")) == [ast.unparse(ast.parse(call))]
    assert list(faults("store.note(Action.PIN_SET, person_id=1)\nstore.audit('cli', action=Action.PIN_SET, details={})")) == []


def test_every_member_is_written_somewhere() -> None:
    sources = [ast.parse(path.read_text(encoding="utf-8")) for path in DEVICE.rglob("*.py") if path != DEVICE / "storage/audit.py"]
    used = {node.attr for tree in sources for node in ast.walk(tree) if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "Action"}
    assert used == set(Action.__members__)


@pytest.mark.parametrize("method", [Store.note, Store.note_by, Store.audit, Audit.__call__], ids=lambda method: method.__qualname__)
def test_the_type_of_an_action_is_the_enumeration(method: object) -> None:
    assert get_type_hints(method)["action"] is Action


def test_a_member_is_stored_as_its_value(tmp_path: Path) -> None:
    with Store.open(tmp_path / "clockface.db") as store:
        for action in Action:
            store.audit("test", action, {})
        assert store.verify_chain("audit").ok
    with closing(sqlite3.connect(tmp_path / "clockface.db")) as raw:
        rows = raw.execute("SELECT action, typeof(action) FROM audit ORDER BY id").fetchall()
        listed = raw.execute(f"SELECT DISTINCT action FROM audit WHERE action IN {sql_list([Action.PIN_SET, Action.LOOK_ALIKE_FOUND])} ORDER BY 1").fetchall()
    assert rows == [(action.value, "text") for action in Action] and {row[0] for row in rows} == STORED
    assert listed == [("look-alike found",), ("pin set",)]
    assert [f"{action}" for action in Action] == [row[0] for row in rows]  # the same text in every version of Python
    assert not any("'" in text or '"' in text or "\\" in text for text in STORED)  # so that `sql_list` needs no quoting
