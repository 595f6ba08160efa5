"""After a change of model: templates are made again from the crops kept at enrolment; people without crops must be enrolled again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from device.storage.records import KeptCrop, Person, TemplateDraft
from device.storage.store import Store
from device.vision.recogniser import Recogniser


@dataclass(frozen=True)
class Renewal:
    """Result for the people whom the model in force could not recognise."""

    renewed: tuple[Person, ...]
    to_enrol: tuple[Person, ...]  # without a crop: they must come to the camera

    def lines(self, model: str) -> list[str]:
        """Lines to report; empty if there was nothing to do."""
        said = [f"templates of {len(self.renewed)} people were made again for {model}"] if self.renewed else []
        names = ", ".join(f"{person.name} (id {person.id})" for person in self.to_enrol)
        return [*said, f"not recognised by {model}, enrol again: {names}"] if names else said


def waiting(store: Store, recogniser: Recogniser) -> str | None:
    """Note of a read-only command about people whom this model does not know yet; None if it knows everybody."""
    people = store.people_without_templates(recogniser.embedder.card.model_id)
    if not people:
        return None
    named = ", ".join(f"id {person.id}" for person in people[:10]) + (", ..." if len(people) > 10 else "")
    return f"{len(people)} people are not known to {recogniser.embedder.card.name} yet ({named}): start the terminal, it makes their templates again"


def renew(store: Store, recogniser: Recogniser) -> Renewal:
    """Make templates for all active people who have none of this model; those of other models stay."""
    model_id = recogniser.embedder.card.model_id
    renewed, to_enrol = [], []
    for person in store.people_without_templates(model_id):
        usable = [(kept, crop) for kept in store.kept_crops(person.id) if (crop := decoded(kept)) is not None]
        if not usable:
            to_enrol.append(person)
            continue
        embeddings = recogniser.embedder.embed(np.stack([crop for _, crop in usable]))
        drafts = [TemplateDraft(model_id, embedding, kept.quality, kept.crop, kept.source) for embedding, (kept, _) in zip(embeddings, usable, strict=True)]
        store.add_templates(person.id, drafts)
        renewed.append(person)
    return Renewal(tuple(renewed), tuple(to_enrol))


def decoded(kept: KeptCrop) -> NDArray[np.uint8] | None:
    """(112, 112, 3) uint8 RGB, or None if the stored bytes are no longer a picture."""
    image: Any = cv2.imdecode(np.frombuffer(kept.crop, np.uint8), cv2.IMREAD_COLOR) if kept.crop else None
    return None if image is None else np.ascontiguousarray(image[:, :, ::-1])
