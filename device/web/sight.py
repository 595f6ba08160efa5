"""What the kiosk and the desk share of a terminal's first sight: the look at the camera, and findings in the page's language."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from device.maintenance import first_sight
from device.maintenance.database_check import Finding
from device.maintenance.first_sight import Sight, SightReport
from device.vision.camera.frame import Frame
from device.vision.recogniser import Recogniser
from device.web.call import Call
from device.web.messages import Messages

BADGES = {"ok": "good", "warning": "warn", "FAULT": "bad"}


@dataclass(frozen=True)
class Told:
    """One finding as a page shows it."""

    name: str
    state: str  # good, warn or bad
    words: str


def told(texts: Messages, findings: Iterable[Finding]) -> list[Told]:
    """Findings in a language; what has no text there, such as an error, is said in English."""
    found = []
    for one in findings:
        name, key = f"check.of_{one.check}", f"check.is_{one.key}"
        words = texts.text(key, **one.values) if one.key and texts.has(key) else one.words
        found.append(Told(texts.text(name) if texts.has(name) else one.check, BADGES[one.state], words))
    return found


def begin(call: Call) -> None:
    """Start to look, unless that is under way."""
    live = call.terminal.live

    def newest() -> Frame | None:
        return live.scene.frame if live.scene and not live.lost else None

    def recogniser() -> Recogniser | None:
        using = live.booth.recogniser
        return using.for_thread() if using else None

    call.terminal.first_sight.begin(Sight(newest, lambda: live.frames_per_second, recogniser))


@dataclass(frozen=True)
class ShownSight:
    """How far it is, for a page."""

    step: str  # what is being done, in words; "" where nothing is
    report: SightReport | None  # the newest one that is whole
    rows: list[Told]  # of the report: what should be changed comes first
    trouble: str

    @property
    def state(self) -> str:
        return BADGES[self.report.state] if self.report else "warn"


def shown(call: Call) -> ShownSight:
    """What is under way, else the newest report."""
    walk, report = call.terminal.first_sight, first_sight.latest(call.store)
    if walk.step:
        return ShownSight(call.texts.text(f"check.step_{walk.step}"), report, told(call.texts, tuple(walk.findings)), "")
    trouble = call.texts.text("check.failed", reason=walk.trouble) if walk.trouble else ""
    rows = told(call.texts, report.findings if report else ())
    return ShownSight("", report, sorted(rows, key=lambda row: ("bad", "warn", "good").index(row.state)), trouble)
