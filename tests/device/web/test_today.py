"""Today left open while many are enrolled from photos: who is new is there at the next look, and nobody else is read again for it."""

from __future__ import annotations

import re
from typing import Any

import cv2
import numpy as np
import pytest

from device.attendance.planning import Planning
from device.attendance.timesheet.worksite import Site
from device.storage.consents import ConsentDraft
from device.storage.store import Store
from device.terminal.bulk_enrolment import enrol_one
from device.terminal.enrolled import gallery_of
from device.vision.cohort import Comparison
from device.vision.detector import Face
from device.vision.quality import Quality
from device.vision.recogniser import Sample
from tests.device.web.conftest import Browser, Desk

CONSENT = ConsentDraft("2026-11", "en", "the whole text", "paper", 1.8e9)
PEOPLE = 200
ENROL_SECONDS = 1.5  # for one person: photos sent, faces found, embedded and stored
POLL_SECONDS = 4.0  # EVERY_MS of static/today.js


class Recogniser:
    """Finds a face in every picture; each embedding is another one, at random."""

    def __init__(self) -> None:
        self.embedder: Any = type("Embedder", (), {"card": type("Card", (), {"model_id": "m" * 64, "embedding_size": 128}), "cohort": None})
        self.coming, self.capacity = None, 1000
        self._random = np.random.default_rng(1)

    def still(self, image: Any) -> list[Sample]:
        face = Face((0.0, 0.0, 112.0, 112.0), np.array([[38, 51], [73, 51], [56, 71], [41, 92], [70, 92]], np.float32), 0.9)
        return [Sample(face, cv2.resize(image, (112, 112)), Quality(0.9, (), 35.0, 0.0, 0.0, 0.0, 0.9, 128.0, 50.0))]

    def embed(self, samples: list[Sample]) -> Any:
        found = self._random.normal(size=(len(samples), 128)).astype(np.float32)
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    def threshold(self, people: int) -> float:
        return 0.6

    def same_person(self) -> Comparison:
        return Comparison(0.3)


class OpenPage:
    """The page as `today.js` keeps it up to date: asks for what changed since the serial it shows, gets 204 where nothing did."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser
        self.html = browser.get("/today").text

    def poll(self) -> int:
        serial = re.search(r'data-serial="(\d+)"', self.html)
        assert serial is not None
        answer = self.browser.get(f"/today/part?seen={serial[1]}")
        assert answer.status_code in (200, 204)
        self.html = answer.text if answer.status_code == 200 else self.html
        return int(answer.status_code)

    def names(self) -> list[str]:
        return re.findall(r'<a class="person" href="/timesheets/\d+">([^<]*)</a>', self.html)


@pytest.fixture
def photo() -> bytes:
    return cv2.imencode(".png", np.full((112, 112, 3), 128, np.uint8))[1].tobytes()


def enrolled(store: Store, recogniser: Recogniser, name: str, photo: bytes) -> None:
    assert enrol_one(store, recogniser, name, "", {"1.png": photo}, CONSENT).templates == 1  # type: ignore[arg-type]


def test_a_bulk_enrolment_beside_an_open_today(desk: Desk, photo: bytes) -> None:
    """Time is played: the clock of the terminal, which Today goes by, moves by what an enrolment takes, and the page asks whenever 4 s of it are over."""
    names = [f"Person {PEOPLE - number:03}" for number in range(PEOPLE)]  # whoever is new stands first, on the first page
    recogniser, next_poll = Recogniser(), desk.clock.now + POLL_SECONDS
    with desk.store() as store:
        Planning(store).set_site(Site("Europe/Berlin"), "test")
        page = OpenPage(desk.browser("viewer"))
        for number, name in enumerate(names, 1):
            enrolled(store, recogniser, name, photo)
            desk.clock.now += ENROL_SECONDS
            while next_poll <= desk.clock.now:
                page.poll()
                next_poll += POLL_SECONDS
                assert page.names() == sorted(names[:number])[:60]  # at the next look, 4 s later at most
        page.poll()
        assert page.names()[0] == "Person 001" and len(desk.terminal.board.picture(store).lines) == PEOPLE
        with store.reading() as db:
            assert db.execute("SELECT count(*) FROM audit WHERE action = 'templates read'").fetchone()[0] == PEOPLE - 1  # the first finds nobody to read
    assert desk.terminal.board.whole_reads == 1  # when the page was opened


def test_a_reading_of_the_gallery_is_no_news(desk: Desk, photo: bytes) -> None:
    recogniser = Recogniser()
    with desk.store() as store:
        enrolled(store, recogniser, "Ada", photo)
        page = OpenPage(desk.browser("viewer"))
        for _ in range(5):
            assert len(gallery_of(store, recogniser)) == 1  # type: ignore[arg-type]
            assert page.poll() == 204
    assert page.names() == ["Ada"] and desk.terminal.board.whole_reads == 1
