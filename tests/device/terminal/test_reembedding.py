"""After a change of model: templates from kept crops, in small transactions, once; the others named; nothing of the old model's embeddings touched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from device.storage.records import Person
from device.storage.standing import to_enrol_words
from device.storage.store import Store, TemplateDraft
from device.terminal.enrolment import encoded
from device.terminal.reembedding import BATCH, Reembedded, Reembedding, waiting_words

OLD, NEW = "a" * 64, "b" * 64
CARD: Any = SimpleNamespace(model_id=NEW, name="new")


class Embedder:
    """A model that embeds a crop as its mean colour, a unit vector of three numbers."""

    def __init__(self) -> None:
        self.embedded = 0
        self.before: Callable[[], object] = lambda: None  # called before each embedding

    def embed(self, crops: Any) -> Any:
        self.before()
        self.embedded += len(crops)
        means = crops.reshape(len(crops), -1, 3).mean(axis=1).astype(np.float32)
        return means / np.linalg.norm(means, axis=1, keepdims=True)


def crop(colour: tuple[int, int, int]) -> Any:
    return np.full((112, 112, 3), colour, np.uint8)


RED, GREEN = encoded(crop((200, 0, 0))), encoded(crop((0, 200, 0)))


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with Store.open(tmp_path / "clockface.db") as opened:
        yield opened


@pytest.fixture
def embedder() -> Embedder:
    return Embedder()


def draft(kept: bytes | None, model: str = OLD, taken_at: float | None = None) -> TemplateDraft:
    return TemplateDraft(model, np.array([1, 0], np.float32), 0.5, kept, "photo.jpg", taken_at)


def one_pass(store: Store, embedder: Embedder) -> list[Reembedded]:
    return list(Reembedding(store, CARD, lambda: embedder).one_pass())  # type: ignore[arg-type, return-value]


def names(people: tuple[Person, ...]) -> list[str]:
    return [person.name for person in people]


def test_kept_crops_become_templates_of_the_new_model(store: Store, embedder: Embedder) -> None:
    person = store.add_person_with_templates("A", None, [draft(RED), draft(GREEN)])
    assert [(state.made, state.of) for state in one_pass(store, embedder)] == [(0, 1), (1, 1)]
    found = store.templates(NEW)
    assert np.array_equal(found.person_ids, [person.id, person.id])
    assert np.allclose(found.matrix, [[1, 0, 0], [0, 1, 0]])  # the colours are RGB again
    assert len(store.templates(OLD).matrix) == 2
    assert [(state.made, state.of) for state in one_pass(store, embedder)] == [(1, 1)] and embedder.embedded == 2


def test_a_picture_is_kept_once_and_as_old_as_it_was(store: Store, embedder: Embedder) -> None:
    store.add_person_with_templates("A", None, [draft(RED, taken_at=1000.5), draft(GREEN, taken_at=2000.25)])
    one_pass(store, embedder)
    assert [(kept.crop, kept.taken_at) for kept in store.kept_crops(1)] == [(RED, 1000.5), (GREEN, 2000.25)]
    with store.reading() as db:
        assert db.execute("SELECT model_id, count(*) FROM templates WHERE crop IS NOT NULL GROUP BY 1").fetchall() == [(NEW, 2)]


def test_who_has_no_picture_is_named_and_keeps_the_old_template(store: Store, embedder: Embedder) -> None:
    store.add_person_with_templates("B", None, [draft(None)])
    store.add_person_with_templates("C", None, [draft(b"no picture")])
    store.add_person("never enrolled")
    work = Reembedding(store, CARD, lambda: embedder)  # type: ignore[arg-type, return-value]
    first, *_, last = work.one_pass()
    assert names(first.to_enrol) == ["B"] and (first.made, first.of) == (0, 1)
    assert names(last.to_enrol) == ["B", "C"] and (last.made, last.of) == (0, 0) and last.complete
    assert [names(state.to_enrol) for state in work.one_pass()] == [["B", "C"]]  # what is no picture is not tried again
    assert "2 people cannot be recognised by new" in to_enrol_words("new", last.to_enrol)
    assert len(store.templates(OLD).matrix) == 2


def test_a_picture_whose_seal_is_broken_does_not_stop_the_others(store: Store, embedder: Embedder) -> None:
    for name in "AB":
        store.add_person_with_templates(name, None, [draft(RED)])
    with store.transaction() as db:
        db.execute("UPDATE templates SET crop = randomblob(200) WHERE person_id = 1")
    assert names(one_pass(store, embedder)[-1].to_enrol) == ["A"]
    assert store.templates(NEW).person_ids.tolist() == [2]


def test_whoever_lost_the_key_is_named(store: Store, embedder: Embedder) -> None:
    for name in "AB":
        store.add_person_with_templates(name, None, [draft(RED)])
    store.keys.forget(1)
    assert names(one_pass(store, embedder)[-1].to_enrol) == ["A"] and store.keys.of(1) is None


def test_a_long_list_names_the_first_and_counts_the_rest(store: Store, embedder: Embedder) -> None:
    for number in range(13):
        store.add_person_with_templates(f"P{number}", None, [draft(None)])
    words = to_enrol_words("new", one_pass(store, embedder)[-1].to_enrol)
    assert words.startswith("13 people") and "P9 (id 10) and 3 more" in words and "P10" not in words


def test_inactive_people_are_left_alone_until_they_are_active_again(store: Store, embedder: Embedder) -> None:
    person = store.add_person_with_templates("D", None, [draft(RED)])
    store.deactivate(person.id)
    assert [(state.made, state.of, state.to_enrol) for state in one_pass(store, embedder)] == [(0, 0, ())]
    assert store.person(person.id) == replace(person, active=False)
    store.activate(person.id)
    assert one_pass(store, embedder)[-1].made == 1


def test_what_is_stored_before_a_power_cut_is_not_made_again(store: Store, embedder: Embedder) -> None:
    people = 2 * BATCH + 3
    for number in range(people):
        store.add_person_with_templates(f"P{number}", None, [draft(RED)])
    cut = Reembedding(store, CARD, lambda: embedder).one_pass()  # type: ignore[arg-type, return-value]
    assert [(state.made, state.of) for _, state in zip(range(2), cut, strict=False)] == [(0, people), (BATCH, people)]
    with Store.open(store.path) as again:
        assert [(state.made, state.of) for state in one_pass(again, embedder)] == [(BATCH, people), (2 * BATCH, people), (people, people)]
    assert embedder.embedded == people
    assert np.unique(store.templates(NEW).person_ids, return_counts=True)[1].tolist() == [1] * people


@pytest.mark.parametrize("how", ["withdraw_consent", "erase"])
def test_who_withdraws_while_their_templates_are_made_gets_none(store: Store, embedder: Embedder, how: str) -> None:
    for name in "AB":
        store.add_person_with_templates(name, None, [draft(RED)])

    def leave() -> None:
        with Store.open(store.path) as other:
            getattr(other, how)(1)

    embedder.before = leave
    one_pass(store, embedder)
    assert store.templates(NEW).person_ids.tolist() == [2]
    assert 1 not in store.template_counts_by_person() and store.keys.of(1) is None


def test_two_processes_make_no_template_twice(store: Store, embedder: Embedder) -> None:
    store.add_person_with_templates("A", None, [draft(RED)])

    def first() -> None:
        embedder.before = lambda: None
        with Store.open(store.path) as other:
            one_pass(other, embedder)

    embedder.before = first
    one_pass(store, embedder)
    assert len(store.templates(NEW).ids) == 1


def test_who_is_not_known_yet_is_said_without_a_change(store: Store, embedder: Embedder) -> None:
    store.add_person_with_templates("E", None, [draft(RED)])
    store.add_person("never enrolled")
    version = store.data_version()
    assert waiting_words(store, CARD) == "not known to new yet: 1 person (id 1); start the terminal, it makes their templates again"
    assert store.data_version() == version
    one_pass(store, embedder)
    assert waiting_words(store, CARD) is None
