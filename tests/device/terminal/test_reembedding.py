"""After a change of model: templates from kept crops, the others named, nothing of the old model touched."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from device.storage.store import Store, TemplateDraft
from device.terminal.enrolment import encoded
from device.terminal.reembedding import renew, waiting

OLD, NEW = "a" * 64, "b" * 64


class Recogniser:
    """Its model embeds a crop as its mean colour, a unit vector of three numbers."""

    def __init__(self, model_id: str) -> None:
        self.embedder: Any = SimpleNamespace(card=SimpleNamespace(model_id=model_id, name=model_id[:3]), embed=self.embed)

    @staticmethod
    def embed(crops: Any) -> Any:
        means = crops.reshape(len(crops), -1, 3).mean(axis=1).astype(np.float32)
        return means / np.linalg.norm(means, axis=1, keepdims=True)


def crop(colour: tuple[int, int, int]) -> Any:
    return np.full((112, 112, 3), colour, np.uint8)


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with Store.open(tmp_path / "clockface.db") as opened:
        yield opened


def draft(kept: bytes | None) -> TemplateDraft:
    return TemplateDraft(OLD, np.array([1, 0], np.float32), 0.5, kept, "photo.jpg")


def test_kept_crops_become_templates_of_the_new_model(store: Store) -> None:
    red, green = crop((200, 0, 0)), crop((0, 200, 0))
    person = store.add_person_with_templates("A", None, [draft(encoded(red)), draft(encoded(green))])
    renewal = renew(store, Recogniser(NEW))  # type: ignore[arg-type]
    assert renewal.renewed == (person,) and renewal.to_enrol == ()
    found = store.templates(NEW)
    assert np.array_equal(found.person_ids, [person.id, person.id])
    assert np.allclose(found.matrix, [[1, 0, 0], [0, 1, 0]])  # the colours are RGB again
    assert len(store.templates(OLD).matrix) == 2
    assert renew(store, Recogniser(NEW)).lines("new") == []  # type: ignore[arg-type]


def test_who_has_no_crop_is_named_and_keeps_the_old_template(store: Store) -> None:
    person = store.add_person_with_templates("B", None, [draft(None)])
    damaged = store.add_person_with_templates("C", None, [draft(b"no picture")])
    renewal = renew(store, Recogniser(NEW))  # type: ignore[arg-type]
    assert renewal.to_enrol == (person, damaged) and renewal.renewed == ()
    assert renewal.lines("new") == [f"not recognised by new, enrol again: B (id {person.id}), C (id {damaged.id})"]
    assert len(store.templates(OLD).matrix) == 2


def test_inactive_people_are_left_alone(store: Store) -> None:
    person = store.add_person_with_templates("D", None, [draft(encoded(crop((1, 2, 3))))])
    store.deactivate(person.id)
    assert renew(store, Recogniser(NEW)).lines("new") == []  # type: ignore[arg-type]
    assert store.person(person.id) == replace(person, active=False)


def test_who_is_not_known_yet_is_said_without_a_change(store: Store) -> None:
    person = store.add_person_with_templates("E", None, [draft(encoded(crop((1, 2, 3))))])
    version = store.data_version()
    said = waiting(store, Recogniser(NEW))  # type: ignore[arg-type]
    assert said == f"1 people are not known to bbb yet (id {person.id}): start the terminal, it makes their templates again"
    assert store.data_version() == version
    renew(store, Recogniser(NEW))  # type: ignore[arg-type]
    assert waiting(store, Recogniser(NEW)) is None  # type: ignore[arg-type]
