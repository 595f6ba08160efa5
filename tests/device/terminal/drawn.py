"""Faces drawn by hand before a real pipeline with a real store: only detector, embedder and liveness model are fakes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from device.config import LivenessSettings, Settings
from device.contract import LivenessCard, LivenessCrop
from device.storage.records import TemplateDraft
from device.storage.store import Store
from device.terminal.pipeline import Pipeline, Scene
from device.vision.camera.frame import Frame
from device.vision.decision import Bar
from device.vision.detector import Face
from device.vision.liveness import Judgement
from device.vision.quality import Quality
from device.vision.recogniser import Sample

MODEL = "c" * 64
GOOD = Quality(0.9, (), 40.0, 0.0, 0.0, 0.0, 0.2, 120.0, 40.0)
FAR = replace(GOOD, reasons=("too_small",))
START = 1_800_000_000.0
VECTORS = {"A": (1, 0, 0), "B": (0, 1, 0), "stranger": (0, 0, 1), "A in poor light": (0.55, 0, 0.8352)}
CARD = LivenessCard(1, "d" * 64, "drawn", "float32", "RGB", (LivenessCrop("crop", 2.7, 80),), 1.2, 5, 0.5, "none", "none", ())
OFF, ENFORCE, OBSERVE = (LivenessSettings(mode=mode) for mode in ("off", "enforce", "observe"))
BAR = Bar(0.5, lambda pictures: 0.1 if pictures < 1.9 else 0.0)  # pictures 0.1 s apart weigh a third each: the fourth is enough


@dataclass(frozen=True)
class Shown:
    """Somebody in a frame."""

    who: str
    x: float = 100.0
    quality: Quality = GOOD
    turn: int = 0  # of the face, as a look at it finds
    size: float = 1.0  # 1: eyes 40 px apart
    live: Any = 0.95  # score of a picture, None, or an error that is raised


POOR_LIGHT = Shown("A in poor light")


class Recogniser:
    """Sees what `scene` says."""

    def __init__(self) -> None:
        self.scene: list[Shown] = []
        self.embedded = 0
        self.detector = SimpleNamespace(detect=self.detect)
        self.liveness: Any = SimpleNamespace(card=CARD, judge=self.judge)
        self.judged = 0
        self.embedder = SimpleNamespace(card=SimpleNamespace(model_id=MODEL, embedding_size=3), cohort=None)
        self.capacity = 1000

    def detect(self, image: Any) -> list[Face]:
        landmarks = np.array([[30, 40], [70, 40], [50, 60], [35, 80], [65, 80]], np.float32)
        return [
            Face((shown.x, 100.0, 100.0 * shown.size, 120.0 * shown.size), landmarks * np.float32(shown.size) + np.float32(shown.x), 0.9)
            for shown in self.scene
        ]

    def shown(self, face: Face) -> Shown:
        return next(shown for shown in self.scene if shown.x == face.box[0])

    def quick(self, image: Any, face: Face) -> Sample:
        shown = self.shown(face)
        crop = np.full((112, 112, 3), list(VECTORS).index(shown.who), np.uint8)
        return Sample(face, crop, shown.quality)

    def sample(self, image: Any, face: Face, upright: bool = False) -> Sample:
        shown = self.shown(face)
        reasons = ("not_upright",) if shown.turn else ()
        return replace(self.quick(image, face), quality=replace(shown.quality, reasons=(*shown.quality.reasons, *reasons)), turn=shown.turn)

    def embed(self, samples: Any) -> Any:
        self.embedded += len(samples)
        return np.array([VECTORS[list(VECTORS)[sample.crop[0, 0, 0]]] for sample in samples], np.float32)

    def judge(self, image: Any, face: Face) -> Any:
        self.judged += 1
        live = self.shown(face).live
        if isinstance(live, Exception):
            raise live
        return live if live is None or isinstance(live, Judgement) else Judgement(live)

    @staticmethod
    def bar(people: int) -> Bar:
        return BAR


class Terminal:
    """A pipeline and its clock."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self.recogniser = Recogniser()
        self.pipeline = Pipeline(settings, self.recogniser, store, "test")  # type: ignore[arg-type]
        self.now = START
        self.index = 0

    def see(self, seconds: float, *shown: Shown, rate: float = 10.0) -> list[Scene]:
        self.recogniser.scene = list(shown)
        scenes = []
        for _ in range(round(seconds * rate)):
            scenes.append(self.pipeline.process(Frame(np.zeros((480, 640, 3), np.uint8), self.now, self.index, live=True)))
            self.now, self.index = self.now + 1 / rate, self.index + 1
        return scenes


@contextmanager
def two_people(folder: Path) -> Iterator[Store]:
    """A store where A and B are enrolled."""
    with Store.open(folder / "clockface.db") as opened:
        for name in ("A", "B"):
            opened.add_person_with_templates(name, None, [TemplateDraft(MODEL, np.array(VECTORS[name], np.float32), 0.9, None, "test")])
        yield opened


def recorded(store: Store) -> list[tuple[int, str]]:
    return [(punch.person_id, punch.direction) for punch in store.punches()]
