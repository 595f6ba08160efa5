"""People who come back: those who are to be recognised again, and those who get new pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from device.contract import phrase, phrases
from device.storage.consents import ConsentDraft
from device.storage.records import Person
from device.storage.store import Store
from device.terminal.enrolled import EnrolledGallery
from device.terminal.enrolment import LEAVE_OUT, EnrolmentError, check_room, check_same, known_face, mean_template, template_drafts
from device.vision.gallery import Gallery
from device.vision.images import picture
from device.vision.recogniser import Recogniser, Sample


def check_return(store: Store, recogniser: Recogniser, person: Person, enrolled: EnrolledGallery | None = None) -> None:
    """Do for somebody who becomes active again what is done at an enrolment; nothing where they have no face here.

    Raises:
        EnrolmentError: their face stands under somebody else by now, or nobody more can be recognised.
    """
    known = _embeddings(store, recogniser, person)
    if person.active or not len(known):
        return
    gallery = (enrolled or EnrolledGallery(recogniser)).current(store)
    check_room(recogniser, gallery)
    threshold = recogniser.threshold(len(gallery))
    if found := known_face(gallery, known, threshold, [phrase("photo.number", "picture {number}", number=number) for number in range(1, len(known) + 1)]):
        other = store.person(found[1].person_id)
        english = (
            "{name} (id {id}) has the face of {other} (id {other_id}, score {score:.2f}, threshold {threshold:.2f}): "
            "if they are one person, `people merge id:{other_id} id:{id}`; otherwise deactivate {other} first"
        )
        values = {"other": other.name, "other_id": other.id, "score": found[1].score, "threshold": threshold}
        raise EnrolmentError(phrase("face.of_another", english, name=person.name, id=person.id, **values), code="enrolment.known_face")


def check_alike(store: Store, recogniser: Recogniser, person: Person, other: Person, how: str) -> None:
    """Refuse to take two records for one person whose faces are not alike; nothing where one of them has no face here.

    Args:
        how: whoever merges says that it is meant, in words.

    Raises:
        EnrolmentError: they are not.
    """
    theirs, others = _embeddings(store, recogniser, person), _embeddings(store, recogniser, other)
    if not len(theirs) or not len(others):
        return
    if not _alike(recogniser, theirs, others):
        english = (
            "the faces of {one} and {other} are not alike: look at their pictures, and merge them all the same only if they are one person ({how})"
        )
        named = (f"{who.name} (id {who.id})" for who in (person, other))
        raise EnrolmentError(phrase("face.not_alike", english, one=next(named), other=next(named), how=how), code="enrolment.another_person")


def looks_as_before(store: Store, recogniser: Recogniser, person: Person, embeddings: NDArray[np.float32]) -> bool:
    """Whether (N, D) embeddings of the model in force look like the earlier ones of a person; True where there are none."""
    earlier = _embeddings(store, recogniser, person)
    return not len(earlier) or _alike(recogniser, earlier, embeddings)


def _alike(recogniser: Recogniser, some: NDArray[np.float32], others: NDArray[np.float32]) -> bool:
    return recogniser.same_person().alike(mean_template(some), mean_template(others))


def _embeddings(store: Store, recogniser: Recogniser, person: Person) -> NDArray[np.float32]:
    """(N, D) of a person by the model in force: their templates, or else made from the pictures that are kept."""
    card = recogniser.embedder.card
    known = store.embeddings(person.id, card.model_id)
    if known:
        return np.stack(known)
    crops = [picture(kept.crop, "kept picture")[:, :, ::-1] for kept in store.kept_crops(person.id)]
    return recogniser.embedder.embed(np.stack(crops)) if crops else np.zeros((0, card.embedding_size), np.float32)


def enrol_again(
    store: Store,
    recogniser: Recogniser,
    person: Person,
    samples: Sequence[Sample],
    sources: Sequence[str],
    replace: bool = False,
    consent: ConsentDraft | None = None,
    enrolled: EnrolledGallery | None = None,
) -> int:
    """Add new pictures of somebody who is enrolled, under the same person and history; returns how many templates they made.

    Args:
        replace: remove the earlier templates of this model, also where the face does not look like them any more.
        consent: where it is asked again.

    Raises:
        EnrolmentError: the person is not active; the pictures show several people, somebody else who is enrolled, or not the person of the earlier ones.
    """
    if not person.active:
        words = phrase("person.not_active", "{name} (id {id}) is not active; activate them first", name=person.name, id=person.id)
        raise EnrolmentError(words, code="enrolment.not_active")
    gallery = (enrolled or EnrolledGallery(recogniser)).current(store)
    embeddings = recogniser.embed(samples)
    kept, odd = check_same(embeddings, recogniser.same_person(), sources)
    if odd:
        raise EnrolmentError(phrases("; ", [*odd, LEAVE_OUT]), code="enrolment.another_person")
    _check_nobody_else(store, recogniser, gallery, person, embeddings, sources)
    if not replace and not looks_as_before(store, recogniser, person, embeddings):
        english = (
            "these pictures do not look like the earlier ones of {name}; if it is the same person, who has changed, "
            "let the new pictures replace the earlier ones (--replace)"
        )
        raise EnrolmentError(phrase("face.changed", english, name=person.name), code="enrolment.another_person")
    if not store.embeddings(person.id, recogniser.embedder.card.model_id):
        check_room(recogniser, gallery)
    store.enrol_again(person.id, template_drafts(recogniser, embeddings, samples, sources), replace, consent)
    return len(kept)


def _check_nobody_else(
    store: Store, recogniser: Recogniser, gallery: Gallery, person: Person, embeddings: NDArray[np.float32], sources: Sequence[str]
) -> None:
    threshold = recogniser.threshold(len(gallery))
    if found := known_face(gallery, embeddings, threshold, sources, without=person.id):
        other = store.person(found[1].person_id)
        english = "{source}: this face is enrolled as {other!r} (id {id}, score {score:.2f}, threshold {threshold:.2f}), not as {name!r}"
        values = {"other": other.name, "id": other.id, "score": found[1].score, "threshold": threshold, "name": person.name}
        raise EnrolmentError(phrase("face.not_theirs", english, source=found[0], **values), code="enrolment.known_face")
