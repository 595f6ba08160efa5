"""Start and enrolment with many people: whether their time grows as their number does."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from device.config import Settings, without_liveness
from device.contract import ModelCard
from device.storage import key_folder, templates
from device.storage.records import TemplateDraft
from device.storage.sealing import SIZE
from device.storage.store import Store
from device.terminal.enrolment import enrol, sample_picture
from device.terminal.model_in_force import recogniser_in_force
from device.terminal.pipeline import Pipeline
from device.vision import catalogue
from device.vision.images import read_image
from device.vision.precision import open_embedder

TEMPLATES = 3  # of one person
NOISE = 0.05  # of each number of an embedding, beside a person's own direction
PARTS = (0.25, 0.5, 1.0)  # of the people


@dataclass(frozen=True)
class AtSize:
    """Seconds with so many people, without the imports of Python, which do not depend on them."""

    people: int
    start: float  # from an empty process to a terminal that waits for its first frame
    enrolment: float  # of one more person from a photo, as `enroll` does it


def measure(settings: Settings, people: int) -> list[AtSize]:
    """With a quarter of the people, half of them and all; their embeddings are drawn."""
    settings = without_liveness(settings)
    card = open_embedder(settings).embedder.card
    return [_at(settings, card, max(1, round(part * people))) for part in PARTS]


def _at(settings: Settings, card: ModelCard, people: int) -> AtSize:
    with tempfile.TemporaryDirectory() as folder, key_folder.apart(Path(folder) / "keys"):
        database = Path(folder) / "scale.db"
        _fill(database, card, people)
        seconds: dict[str, float] = {}
        with _timed(seconds, "start"), Store.open(database, settings.store) as store:
            Pipeline(settings, recogniser_in_force(store, settings, lambda line: None), store, "bench")
        with _timed(seconds, "enrolment"), Store.open(database, settings.store) as store:
            recogniser = recogniser_in_force(store, settings, lambda line: None)
            photo = sample_picture(recogniser, read_image(catalogue.path("portrait-hopper")), "photo")
            enrol(store, recogniser, "one more", None, [photo], ["photo"])
        return AtSize(people, seconds["start"], seconds["enrolment"])


def _fill(database: Path, card: ModelCard, people: int) -> None:
    dice = np.random.default_rng(people)
    with Store.open(database) as store:
        store.keys.keep({number: os.urandom(SIZE) for number in range(1, people + 1)})
        held = store.keys.everyone()
        with store.transaction() as db:
            db.conn.executemany("INSERT INTO people (name, created_at) VALUES (?, 0)", [(f"person {number}",) for number in range(1, people + 1)])
            for number in range(1, people + 1):
                drawn = dice.normal(size=card.embedding_size) / card.embedding_size**0.5 + NOISE * dice.normal(size=(TEMPLATES, card.embedding_size))
                for row in drawn / np.linalg.norm(drawn, axis=1, keepdims=True):
                    templates.insert(db, held[number], number, TemplateDraft(card.model_id, row.astype(np.float32), 0.9, None, "drawn"))


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    begin = time.process_time()
    yield
    seconds[name] = time.process_time() - begin


def lines(found: list[AtSize]) -> list[str]:
    first = found[0]
    rows = [
        f"{one.people:>7,} people: start {one.start:5.2f} s, enrolment of one more {one.enrolment:5.2f} s; "
        f"{one.people / first.people:.1f} times the people, {one.start / first.start:.1f} and {one.enrolment / first.enrolment:.1f} times the time"
        for one in found
    ]
    return [f"{TEMPLATES} templates a person, seconds of processor time:", *rows]
