"""The gallery that is kept: it is what a fresh reading gives, and only what has changed is read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from device.storage.records import TemplateDraft
from device.storage.store import Store
from device.terminal.enrolled import EnrolledGallery, gallery_of, people_covered

MODEL, SIZE = "m" * 64, 8


def recogniser(capacity: int = 1000) -> Any:
    return SimpleNamespace(embedder=SimpleNamespace(card=SimpleNamespace(model_id=MODEL, embedding_size=SIZE), cohort=None), capacity=capacity)


def face(seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=SIZE).astype(np.float32)
    return np.asarray(values / np.linalg.norm(values), np.float32)


def draft(seed: int) -> TemplateDraft:
    return TemplateDraft(MODEL, face(seed), 0.9, None, "test")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "clockface.db") as opened:
        for number in range(1, 6):
            opened.add_person_with_templates(f"P{number}", None, [draft(number), draft(100 + number)])
        yield opened


def read(store: Store) -> list[int]:
    """How many templates each reading took, oldest first."""
    with store.reading() as db:
        return [json.loads(row[0])["templates"] for row in db.execute("SELECT details FROM audit WHERE action = 'templates read' ORDER BY id")]


def test_only_what_has_changed_is_read_again(store: Store) -> None:
    kept = EnrolledGallery(recogniser())
    kept.current(store)
    kept.current(store)
    assert read(store) == [10]
    store.add_person_with_templates("P6", None, [draft(6)])
    store.add_templates(2, [draft(202)])
    store.deactivate(3)
    store.erase(4)
    store.withdraw_consent(5)
    gallery = kept.current(store)
    assert read(store) == [10, 1 + 3]  # of the new person and of the second
    fresh = gallery_of(store, recogniser())
    probes = np.stack([face(seed) for seed in range(1, 20)])
    assert len(gallery) == len(fresh) == 3 and np.allclose(gallery.scores(probes), fresh.scores(probes), atol=1e-6)
    store.activate(3)
    assert len(kept.current(store)) == 4


def test_whoever_was_enrolled_last_is_left_out_beyond_what_the_card_covers(store: Store) -> None:
    kept = EnrolledGallery(recogniser(capacity=4))
    assert len(kept.current(store)) == 4
    assert people_covered([5, 1, 3, 2, 4], 4) == [1, 2, 3, 4]
    found = kept.current(store).search(face(5))
    assert found is not None and found.person_id != 5
    store.erase(2)
    found = kept.current(store).search(face(5))
    assert found is not None and found.person_id == 5
