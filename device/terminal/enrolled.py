"""The gallery of a store for a recogniser's model: read once, then kept up to date."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from device.storage.audit import Action
from device.storage.store import Store
from device.vision.gallery import Gallery
from device.vision.recogniser import Recogniser


class EnrolledGallery:
    """The people of a store who are active and have templates of one model; threads may share it, each with its own store.

    A card has thresholds for a limited number of people. Beyond it, those who were enrolled last are left out: whoever was recognised before still is.
    """

    def __init__(self, recogniser: Recogniser) -> None:
        card = recogniser.embedder.card
        self._model_id, self._capacity = card.model_id, recogniser.capacity
        self._gallery = Gallery(card.model_id, card.embedding_size, recogniser.embedder.cohort)
        self._held: dict[int, tuple[int, ...]] = {}  # person id -> ids of their templates
        self._lock = threading.Lock()

    def current(self, store: Store) -> Gallery:
        """The gallery as it is now; only the templates of people for whom something has changed are read, which is audited."""
        with self._lock:
            wanted = self._wanted(store.template_owners(self._model_id))
            changed = {person_id for person_id in self._held.keys() | wanted.keys() if self._held.get(person_id) != wanted.get(person_id)}
            if changed:
                self._read(store, changed, wanted)
            self._held = wanted
            return self._gallery

    def _wanted(self, owners: Iterable[tuple[int, int]]) -> dict[int, tuple[int, ...]]:
        templates: dict[int, tuple[int, ...]] = {}
        for template_id, person_id in owners:
            templates[person_id] = (*templates.get(person_id, ()), template_id)
        return {person_id: templates[person_id] for person_id in people_covered(templates, self._capacity)}

    def _read(self, store: Store, changed: set[int], wanted: dict[int, tuple[int, ...]]) -> None:
        _, person_ids, matrix = store.templates(self._model_id, changed & wanted.keys() if self._held else wanted.keys())
        with store.transaction():
            store.note(Action.TEMPLATES_READ, templates=len(person_ids), model=self._model_id[:12])
        self._gallery.remove(changed & self._held.keys())
        if len(person_ids):
            self._gallery.add(person_ids, matrix, self._model_id)


def people_covered(people: Iterable[int], capacity: int) -> list[int]:
    """Ids of those of the enrolled people whom a card with this capacity covers: those who were enrolled first."""
    return sorted(people)[:capacity]


def gallery_of(store: Store, recogniser: Recogniser) -> Gallery:
    """All templates of active people for this model; reading them is audited."""
    return EnrolledGallery(recogniser).current(store)
