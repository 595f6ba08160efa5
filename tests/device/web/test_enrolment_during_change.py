"""Another model takes over while an operator enrols somebody at the kiosk: the templates stay those of the models that made them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from device.config import Settings
from device.storage.consents import ConsentDraft
from device.storage.store import TemplateDraft
from device.terminal.capture_session import Draft
from device.vision.cohort import Comparison
from device.vision.recogniser import Sample
from tests.device.terminal.drawn import GOOD
from tests.device.web.conftest import Desk

FORMER, COMING = "a" * 64, "b" * 64


class Embedder:
    """Sees the same face in every crop."""

    cohort = None

    def __init__(self, model_id: str, size: int) -> None:
        self.card = SimpleNamespace(model_id=model_id, embedding_size=size, name=model_id[:3])

    def embed(self, crops: Any) -> Any:
        return np.tile(np.eye(self.card.embedding_size, dtype=np.float32)[0], (len(crops), 1))


class Recogniser:
    settings, capacity = Settings(), 1000

    def __init__(self, embedder: Embedder, coming: Embedder | None) -> None:
        self.embedder, self.coming = embedder, coming

    def embed(self, samples: Any) -> Any:
        return self.embedder.embed(samples)

    def threshold(self, people: int) -> float:
        return 0.5

    def same_person(self) -> Comparison:
        return Comparison(0.3)


def test_templates_made_before_another_model_takes_over_are_stored_under_their_own_models(desk: Desk) -> None:
    booth: Any = desk.terminal.live.booth
    booth.recogniser = Recogniser(Embedder(FORMER, 4), Embedder(COMING, 4))
    with desk.store() as store, store.reading() as db:
        operator = db.execute("SELECT id FROM users WHERE login = 'operator'").fetchone()[0]
    with desk.store() as store:
        store.add_person_with_templates("Sister", None, [TemplateDraft(FORMER, np.eye(4, dtype=np.float32)[0], 0.9)])
    samples = tuple(Sample(None, np.full((112, 112, 3), shade, np.uint8), GOOD) for shade in range(5))  # type: ignore[arg-type]
    booth.keep(Draft(operator, "Ada", "E17", consent=ConsentDraft("1", "en", "the whole text", "screen", desk.clock.now), samples=samples))
    browser = desk.browser("operator", place="kiosk")
    asked = browser.post("/kiosk/enrol/check", "/kiosk/enrol")
    assert asked.status_code == 200 and "Sister" in asked.text
    booth.recogniser = Recogniser(Embedder(COMING, 4), None)
    token = asked.text.partition('name="form_token" value="')[2].partition('"')[0]
    assert browser.http.post("/kiosk/enrol/decide", data={"form_token": token, "same": "no"}).status_code == 303
    with desk.store() as store:
        (ada,) = (person for person in store.people() if person.name == "Ada")
        assert store.template_counts_by_person()[ada.id] == {FORMER: 5, COMING: 5} and len(store.kept_crops(ada.id)) == 5
