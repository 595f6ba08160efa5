"""Templates of a model are made from the crops kept at enrolment, for people who were enrolled with another model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from device.contract import ModelCard
from device.storage.key_folder import KeysError
from device.storage.records import KeptCrop, Person, TemplateDraft
from device.storage.standing import NAMED, counted
from device.storage.store import Store
from device.vision.embedder import Embedder

BATCH = 25  # people whose templates are stored in one transaction: what a power cut loses


@dataclass(frozen=True)
class Reembedded:
    """How far the people with templates are known to a model."""

    model: str  # its name
    made: int  # people who have templates of it ...
    of: int  # ... and together with them, people for whom they can be made
    to_enrol: tuple[Person, ...]  # no picture of their enrolment is kept, or their key is lost

    @property
    def complete(self) -> bool:
        """Whether all is made that can be made."""
        return self.made >= self.of

    @property
    def words(self) -> str:
        return f"templates for {self.model}: {self.made} of {counted(self.of)}"


class Reembedding:
    """Makes what is missing of one model's templates, pass after pass; whatever is stored already, also by another process, is not made again.

    Args:
        card: of the model.
        embedder: gives the model, which is loaded only where there is something to make.
    """

    def __init__(self, store: Store, card: ModelCard, embedder: Callable[[], Embedder]) -> None:
        self._store, self._card, self._load = store, card, embedder
        self._unusable: set[int] = set()  # people whose kept crops are no pictures

    def one_pass(self) -> Iterator[Reembedded]:
        """Make templates for everybody who has kept crops and no template of the model; yields the state at first and after each transaction."""
        standing = self._store.standing(self._card.model_id)
        waiting = [person for person in standing.to_make if person.id not in self._unusable]
        hopeless = [person for person in standing.to_make if person.id in self._unusable]
        state = Reembedded(self._card.name, len(standing.known), len(standing.known) + len(waiting), (*standing.to_enrol, *hopeless))
        yield state
        embedder = self._load() if waiting else None
        for start in range(0, len(waiting), BATCH):
            batch = waiting[start : start + BATCH]
            made = {person.id: drafts for person in batch if embedder and (drafts := self._drafts(person, embedder))}
            self._store.renew_templates(self._card.model_id, made)
            lost = tuple(person for person in batch if person.id not in made)
            self._unusable |= {person.id for person in lost}
            state = replace(state, made=state.made + len(made), of=state.of - len(lost), to_enrol=(*state.to_enrol, *lost))
            yield state

    def _drafts(self, person: Person, embedder: Embedder) -> list[TemplateDraft]:
        """A template from each kept crop; none if none of them opens as a picture."""
        try:
            kept = self._store.kept_crops(person.id)
        except KeysError:
            return []  # sealed data that was changed
        usable = [(one, crop) for one in kept if (crop := decoded(one)) is not None]
        if not usable:
            return []
        embeddings = embedder.embed(np.stack([crop for _, crop in usable]))
        return [
            TemplateDraft(self._card.model_id, embedding, one.quality, one.crop, one.source, one.taken_at)
            for embedding, (one, _) in zip(embeddings, usable, strict=True)
        ]


def decoded(kept: KeptCrop) -> NDArray[np.uint8] | None:
    """(112, 112, 3) uint8 RGB, or None if the stored bytes are no longer a picture."""
    image: Any = cv2.imdecode(np.frombuffer(kept.crop, np.uint8), cv2.IMREAD_COLOR) if kept.crop else None
    return None if image is None else np.ascontiguousarray(image[:, :, ::-1])


def waiting_words(store: Store, card: ModelCard) -> str | None:
    """Note of a command that changes nothing about people whom a model does not know; None if it knows everybody who has templates."""
    standing = store.standing(card.model_id)
    people = (*standing.to_make, *standing.to_enrol)
    if not people:
        return None
    ids = ", ".join(f"id {person.id}" for person in people[:NAMED]) + (", ..." if len(people) > NAMED else "")
    return f"not known to {card.name} yet: {counted(len(people))} ({ids}); start the terminal, it makes their templates again"
