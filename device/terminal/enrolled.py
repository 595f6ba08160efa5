"""The gallery of a store for a recogniser's model."""

from __future__ import annotations

from device.storage.audit import Action
from device.storage.store import Store
from device.vision.gallery import Gallery
from device.vision.recogniser import Recogniser


def gallery_of(store: Store, recogniser: Recogniser) -> Gallery:
    """All templates of active people for this model; reading them is audited."""
    card = recogniser.embedder.card
    gallery = Gallery(card.model_id, card.embedding_size)
    _, person_ids, matrix = store.templates(card.model_id)
    with store.transaction():
        store.note(Action.TEMPLATES_READ, templates=len(person_ids), model=card.model_id[:12])
    if len(person_ids):
        gallery.add(person_ids, matrix, card.model_id)
    return gallery
