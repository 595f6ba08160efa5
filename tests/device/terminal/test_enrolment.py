"""Enrolment beside people who are alike, and the kiosk's test recognition, with faces whose embeddings are given."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from device.config import Settings
from device.storage.store import Store, TemplateDraft
from device.terminal.capture_session import Booth
from device.terminal.enrolled import gallery_of
from device.terminal.enrolment import check_new, enrol, look_alike, mean_template
from device.vision.camera.frame import Frame
from device.vision.cohort import Comparison
from device.vision.decision import Bar
from device.vision.detector import Face
from device.vision.quality import Quality
from device.vision.recogniser import Sample
from tests.refused import refused

MODEL, THRESHOLD = "e" * 64, 0.6
GOOD = Quality(0.9, (), 40.0, 0.0, 0.0, 0.0, 0.2, 120.0, 40.0)
FACE = Face((0.0, 0.0, 50.0, 50.0), np.zeros((5, 2), np.float32), 0.9)
ADA = np.eye(8, dtype=np.float32)[0]


def towards_ada(cosine: float, rest: int = 1) -> np.ndarray:
    """A face with this cosine to Ada's, and the rest along another axis."""
    found = cosine * np.eye(8)[0] + math.sqrt(1 - cosine**2) * np.eye(8)[rest]
    return found.astype(np.float32)


class Recogniser:
    """The crop of a sample says which of its faces is seen."""

    def __init__(self, *faces: np.ndarray) -> None:
        self.faces, self.settings = faces, Settings()
        self.embedder = SimpleNamespace(card=SimpleNamespace(model_id=MODEL, embedding_size=8), cohort=None)
        self.coming, self.capacity = None, 1000
        self.detector = SimpleNamespace(detect=lambda image: [FACE])
        self.shown = 0

    def sample(self, image: Any, face: Face) -> Sample:
        return Sample(face, np.full((112, 112, 3), self.shown, np.uint8), GOOD)

    def samples(self) -> list[Sample]:
        return [Sample(FACE, np.full((112, 112, 3), index, np.uint8), GOOD) for index in range(len(self.faces))]

    def embed(self, samples: Any) -> Any:
        return np.stack([self.faces[sample.crop[0, 0, 0]] for sample in samples])

    def threshold(self, people: int) -> float:
        return THRESHOLD

    def bar(self, people: int) -> Bar:
        return Bar(THRESHOLD, lambda pictures: 0.1 if pictures < 2 else 0.0)

    def same_person(self) -> Comparison:
        return Comparison(0.3)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "clockface.db") as opened:
        opened.add_person_with_templates("Ada", None, [TemplateDraft(MODEL, ADA, 0.9, None, "test")])
        yield opened


def enrolled(store: Store, *faces: np.ndarray) -> list[str]:
    """What is said when somebody with these faces is enrolled."""
    recogniser, said = Recogniser(*faces), list[str]()
    enrol(store, recogniser, "Bea", None, recogniser.samples(), [f"{i}.jpg" for i in range(len(faces))], None, said.append)  # type: ignore[arg-type]
    return said


def test_the_mean_is_that_of_the_gallery() -> None:
    by_hand = np.array([1.0, 0.6, 0.8, 0, 0, 0, 0, 0]) / math.sqrt(2.0)
    eye = np.eye(8, dtype=np.float32)
    faces = np.stack([eye[0], (0.6 * eye[1] + 0.8 * eye[2]).astype(np.float32)])
    assert mean_template(faces).tolist() == pytest.approx(by_hand.tolist(), abs=1e-6)


@pytest.mark.parametrize(("cosine", "told"), [(0.3, False), (0.49, False), (0.51, True), (0.59, True)])
def test_who_looks_much_like_somebody_enrolled_is_enrolled_and_it_is_told(store: Store, cosine: float, told: bool) -> None:
    said = enrolled(store, towards_ada(cosine), towards_ada(cosine))
    assert [person.name for person in store.people()] == ["Ada", "Bea"] and len(said) == told
    assert all("Ada (id 1, score" in line and f"{cosine:.2f}" in line for line in said)


def test_a_face_that_is_known_by_one_picture_is_refused(store: Store) -> None:
    with refused("enrolment.known_face", "1.jpg", "'Ada'"):
        enrolled(store, towards_ada(0.5), towards_ada(0.65))
    assert len(store.people()) == 1


def test_a_face_that_is_known_by_all_pictures_together_is_refused(store: Store) -> None:
    """Noise that differs from picture to picture hides a face in each of them, but not in their mean."""
    faces = [towards_ada(0.55, rest) for rest in range(1, 5)]
    with refused("enrolment.known_face", "all pictures together", "'Ada'"):
        enrolled(store, *faces)
    alone = Recogniser(faces[0])
    check_new(store, gallery_of(store, alone), np.stack(faces[:1]), THRESHOLD, ["one"])  # type: ignore[arg-type]


def test_nobody_is_enrolled_whom_the_card_has_no_threshold_for(store: Store) -> None:
    full = Recogniser(towards_ada(0.1))
    full.capacity = 1
    full.embedder.card.name = "net"
    with refused("enrolment.full", "net", "at most 1", "[decision] fpir = 0.001"):
        enrol(store, full, "Bea", None, full.samples(), ["1.jpg"])  # type: ignore[arg-type]
    store.deactivate(1)
    assert enrol(store, full, "Bea", None, full.samples(), ["1.jpg"]).name == "Bea"  # type: ignore[arg-type]


def test_nobody_is_alike_in_an_empty_gallery(store: Store) -> None:
    store.erase(1)
    assert look_alike(gallery_of(store, Recogniser()), ADA[None], THRESHOLD) is None  # type: ignore[arg-type]


def tried(recogniser: Recogniser, store: Store, seconds: float) -> list[str]:
    """States of a test recognition at the kiosk, one a frame."""
    booth, states = Booth(lambda: 0.0, recogniser), list[str]()  # type: ignore[arg-type]
    booth.begin_trial(recogniser, gallery_of(store, recogniser))  # type: ignore[arg-type]
    for number in range(round(seconds * 10)):
        booth.process(Frame(np.zeros((48, 64, 3), np.uint8), 100.0 + number / 10, number, live=True))
        outcome = booth.trial()
        assert outcome is not None
        states.append(outcome.state)
    return states


@pytest.mark.parametrize(
    ("cosine", "state", "frames"),
    [(1.0, "known", 2), (0.65, "known", 5), (0.5, "unknown", 6), (0.1, "unknown", 2)],  # pictures 0.1 s apart weigh a third each
)
def test_the_test_recognition_decides_as_the_terminal_does(store: Store, cosine: float, state: str, frames: int) -> None:
    states = tried(Recogniser(towards_ada(cosine)), store, 2)
    assert states == ["undecided"] * (frames - 1) + [state] * (21 - frames)
    assert store.punches() == []
