"""The gallery of a store for a recogniser's model."""

from __future__ import annotations

from device.storage.audit import Action
from device.storage.store import Store
from device.vision.gallery import Gallery
from device.vision.recogniser import Recogniser


def empty_gallery(recogniser: Recogniser, earlier: Gallery | None = None) -> Gallery:
    """A gallery of this model, which takes over from an earlier one what need not be calculated again."""
    card = recogniser.embedder.card
    return Gallery(card.model_id, card.embedding_size, recogniser.embedder.cohort, earlier)


def gallery_of(store: Store, recogniser: Recogniser, earlier: Gallery | None = None) -> Gallery:
    """All templates of active people for this model; reading them is audited."""
    card = recogniser.embedder.card
    _, person_ids, matrix = store.templates(card.model_id)
    gallery = empty_gallery(recogniser, earlier if len(person_ids) else None)
    with store.transaction():
        store.note(Action.TEMPLATES_READ, templates=len(person_ids), model=card.model_id[:12])
    if len(person_ids):
        gallery.add(person_ids, matrix, card.model_id)
    return gallery
