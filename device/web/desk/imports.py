"""Lists of another system: a preview says what becomes of each row, then the same list is imported."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Literal

from starlette.datastructures import UploadFile
from starlette.responses import JSONResponse, Response

from device.attendance.imports import log_file, people_import, schedule_import
from device.attendance.imports.log_import import Choices, Judged, LogImport, Summary
from device.attendance.imports.moments import Order
from device.attendance.imports.rows import Result
from device.attendance.planning import Planning
from device.storage.store import Store
from device.web.call import Call, Problem
from device.web.desk.exports import apart
from device.web.messages import Messages
from device.web.pages import get, post

FILE_BYTES = 40_000_000  # some 400,000 rows of a log
LONG_BYTES = 500_000  # of a file that is read in a process apart, since the camera loop needs the processor
MOST_TOLD = 300  # rows that the page shows
GOOD: dict[str, Literal["good", "info", "off"]] = {"imported": "good", "added": "good", "changed": "info", "present": "off", "left_out": "off", "twice": "off"}
Answer = dict[str, Any]


@dataclass(frozen=True)
class ListForm:
    """What the form asks for."""

    kind: str
    check: bool
    whole: bool
    order: Order | None
    open_directions: bool
    deliver: bool
    rename: bool
    region: str
    calendar: str
    keep_days: int
    now: float  # s since the epoch
    by: str
    language: str  # of the answer

    @property
    def texts(self) -> Messages:
        return Messages.load(self.language)


def page(call: Call) -> Response:
    kind = call.query.get("kind", "people")
    site = Planning(call.store).site()
    return call.page("import.html", kinds=KINDS, kind=kind if kind in KINDS else "people", zone=site.zone, targets=call.store.outbox.summary())


def preview(call: Call) -> Response:
    return _answer(call, check=True)


def carry_out(call: Call) -> Response:
    return _answer(call, check=False)


def _answer(call: Call, check: bool) -> Response:
    upload, kind = call.form.get("file"), call.field("kind")
    if not isinstance(upload, UploadFile) or not upload.filename:
        raise Problem(call.texts.text("import.choose_file"))
    if kind not in KINDS:
        raise Problem(f"kind: expected one of {', '.join(KINDS)}")
    orders: dict[str, Order] = {"day": "day", "month": "month"}
    ticked = {name: call.field(name, "") == "1" for name in ("whole", "open_directions", "deliver", "rename")}
    kept = call.terminal.settings.retention.punches_days
    asked = ListForm(
        kind, check, region=call.field("region", "").strip()[:80], calendar=call.field("calendar", "").strip()[:80],
        order=orders.get(call.field("order", "")), keep_days=kept, now=call.terminal.now(),
        by=call.who.actor, language=call.language, **ticked,
    )  # fmt: skip
    with NamedTemporaryFile(prefix="clockface-list-") as copy:  # mode 600, gone with the request
        shutil.copyfileobj(upload.file, copy)
        copy.flush()
        if copy.tell() > LONG_BYTES:
            return JSONResponse(apart(import_apart, call.terminal.database, Path(copy.name), asked))
        return JSONResponse(KINDS[kind](call.store, Path(copy.name), asked))


def import_apart(database: Path, path: Path, asked: ListForm) -> Answer:
    with Store.open(database, must_exist=True, actor=asked.by) as store:
        return KINDS[asked.kind](store, path, asked)


def _people(store: Store, path: Path, asked: ListForm) -> Answer:
    table, today = people_import.read(path), Planning(store).site().day_of(int(asked.now // 60))
    how = people_import.How(asked.check, asked.whole, asked.rename, asked.order)
    return _of_rows(people_import.import_people(store, table, today, asked.by, how), table.told, asked.texts)


def _schedule(store: Store, path: Path, asked: ListForm) -> Answer:
    """All rows or none."""
    listed = schedule_import.read(asked.kind, path, Planning(store).site().day_of(int(asked.now // 60)), asked.region)
    result = schedule_import.carry_out_list(store, listed, asked.by, check=asked.check, order=asked.order, calendar=asked.calendar)
    answer = _of_rows(result, listed.told, asked.texts)
    return answer | {"usable": 0 if answer["problems"] else answer["usable"], "remark": asked.texts.text("import.all_or_none") if answer["problems"] else ""}


def _of_rows(result: Result, read_as: str, texts: Messages) -> Answer:
    told = sorted(result.rows, key=lambda row: (not row.problem, row.line))[:MOST_TOLD]
    rows = [{"line": row.line, "about": row.about, "words": texts.said(row.words), **_fate(texts, row.fate)} for row in told]
    counts = {_words(texts, fate): count for fate, count in result.counts.items()}
    return {
        "read_as": texts.said(read_as), "counts": counts, "problems": result.problems, "rows": rows, "left_out": len(result.rows) - len(told), "remark": "",
        "written": result.written, "usable": len(result.rows) - result.problems,
    }  # fmt: skip


def _words(texts: Messages, fate: str) -> str:
    return texts.text(f"import.fate_{fate}")


def _fate(texts: Messages, fate: str) -> dict[str, str]:
    """Its words, and how its badge looks."""
    return {"fate": _words(texts, fate), "kind": GOOD.get(fate, "bad")}


def _log(store: Store, path: Path, asked: ListForm) -> Answer:
    file = log_file.read(path, asked.order)
    texts = asked.texts
    plan = LogImport(store, file, Choices(asked.open_directions, "import", asked.deliver, asked.keep_days), asked.now)
    summary, first = Summary(most=MOST_TOLD), list[Judged]()
    refused = asked.whole and not asked.check and any(one.problem for one in plan.check())
    for one in plan.check() if asked.check or refused else plan.run():
        summary.add(one)
        first += [one] if len(first) < 20 and not one.problem else []
    told = [*summary.told, *(one for one in first if one not in summary.told)]
    rows = [
        {"line": row.line, "about": f"{row.code} {row.name} {row.time}", "words": texts.said(one.words), **_fate(texts, one.fate)}
        for one in told
        for row in [one.row]
    ]
    counts = {_words(texts, fate): count for fate, count in summary.fates.items()}
    read_as = f"{texts.said(file.told)}; {texts.text('import.local_times', zone=plan.zone.key)}"
    return {
        "read_as": read_as, "counts": counts, "problems": summary.problems, "rows": rows,
        "left_out": file.total - len(told), "remark": "" if asked.open_directions else texts.said(file.remark), "written": not (asked.check or refused),
        "usable": summary.fates["imported"],
    }  # fmt: skip


KINDS: dict[str, Callable[[Store, Path, ListForm], Answer]] = {  # kind of list -> what imports it
    "people": _people,
    "log": _log,
    "assignments": _schedule,
    "absences": _schedule,
    "holidays": _schedule,
}

ROUTES = (
    get("/import", page, "hr"),
    post("/import/preview", preview, "hr", largest_body=FILE_BYTES),
    post("/import", carry_out, "hr", largest_body=FILE_BYTES),
)
