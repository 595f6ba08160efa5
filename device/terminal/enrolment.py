"""Enrolment: pictures or frames of one person -> good crops -> templates, or a refusal with the reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from device.contract import ClockfaceError, phrase, phrases
from device.storage.consents import ConsentDraft
from device.storage.records import Person, TemplateDraft
from device.storage.standing import MORE_ROOM
from device.storage.store import Store
from device.terminal.enrolled import EnrolledGallery
from device.vision.camera.source import Frame
from device.vision.cohort import Comparison
from device.vision.decision import judge, look_alikes
from device.vision.gallery import Gallery, Match
from device.vision.liveness import LivenessModel, Presentation
from device.vision.quality import GUIDANCE, NOT_UPRIGHT
from device.vision.recogniser import Recogniser, Sample, surely_faces
from device.vision.same_person import agreeing, no_majority, odd_ones
from device.vision.tracker import Tracker

BYSTANDER = 0.5  # another face at least this large beside the largest is a second person
LONGEST_SECONDS = 10.0  # of one guided capture
BEST_CROPS = 5  # of a capture
APART_SECONDS = 0.25  # between two crops of a capture, so that they differ


LEAVE_OUT, LEAVE_WRONG_OUT = phrase("photo.leave_out", "leave it out"), phrase("photo.leave_wrong_out", "leave the wrong one out")
ALL_TOGETHER = phrase("photo.all", "all pictures together")


class EnrolmentError(ClockfaceError):
    """A person cannot be enrolled with these pictures; the message says why and what to do."""

    code = "enrolment"


def sample_picture(recogniser: Recogniser, image: NDArray[np.uint8], source: str) -> Sample:
    """The one good face of a picture (H, W, 3) uint8 BGR.

    Raises:
        EnrolmentError: no face, two faces, or poor quality, with the reason.
    """
    samples = surely_faces(recogniser.still(image))
    if not samples:
        words = phrase("photo.no_face", "{source}: no face found; take a picture with the face in full view", source=source)
        raise EnrolmentError(words, code="enrolment.no_face")
    large = [sample for sample in samples if sample.face.eye_distance >= BYSTANDER * samples[0].face.eye_distance]
    if len(large) > 1:
        english = "{source}: {number} faces found; cut the picture so that only one person is in it"
        raise EnrolmentError(phrase("photo.many_faces", english, source=source, number=len(large)), code="enrolment.many_faces")
    quality = samples[0].quality
    if quality.reasons == (NOT_UPRIGHT,):
        english = "{source}: it is not clear which way up the face is; take a picture with the head upright"
        raise EnrolmentError(phrase("photo.not_upright", english, source=source), code="enrolment.not_upright")
    if not quality.acceptable:
        reasons = phrases(", ", map(_poor, quality.reasons))
        words = phrase("photo.quality", "{source}: quality too poor: {reasons}; take another picture", source=source, reasons=reasons)
        raise EnrolmentError(words, code="enrolment.quality")
    return samples[0]


def _poor(reason: str) -> str:
    return phrase("photo.poor", "{reason} ({advice})", reason=reason, advice=GUIDANCE[reason])


def capture(recogniser: Recogniser, frames: Iterable[Frame]) -> list[Sample]:
    """The best crops of the person nearest to the camera, at least `APART_SECONDS` apart.

    Raises:
        EnrolmentError: fewer than two good crops, it says what was wrong most often; or liveness is enforced, and this is not taken for a living face.
    """
    model = enforced(recogniser)
    presentations: dict[int, Presentation] = {}
    tracker = Tracker(recogniser.settings.tracker)
    found: dict[int, list[tuple[float, Sample]]] = {}
    sizes: dict[int, float] = {}
    faults: list[str] = []
    began: float | None = None
    for frame in frames:
        began = frame.time if began is None else began
        if frame.live and frame.time - began > LONGEST_SECONDS:
            break
        for track in tracker.update(recogniser.detector.detect(frame.image), frame.time):
            sample = recogniser.sample(frame.image, track.face)
            sizes[track.id] = sizes.get(track.id, 0.0) + sample.face.eye_distance
            if sample.quality.acceptable:
                found.setdefault(track.id, []).append((frame.time, sample))
                if model is not None:
                    presentations.setdefault(track.id, Presentation(model.card)).add(model.judge(frame.image, sample.face))
            else:
                faults.append(sample.quality.guidance)
    nearest = max(sizes, key=lambda key: sizes[key], default=None)
    chosen = best_apart(found.get(nearest or -1, []), BEST_CROPS)
    if len(chosen) < 2:
        advice = max(set(faults), key=faults.count) if faults else "stand in front of the camera"
        raise EnrolmentError(f"{len(chosen)} good pictures of one person, at least 2 are needed: {advice}, and try again", code="enrolment.too_few")
    if model is not None:
        check_living(presentations[nearest or -1])
    return [sample for _, sample in chosen]


def enforced(recogniser: Recogniser) -> LivenessModel | None:
    """The liveness model that whoever is enrolled by a camera must satisfy; None where it is not enforced."""
    return recogniser.liveness if recogniser.liveness is not None and recogniser.settings.liveness.mode == "enforce" else None


def check_living(presentation: Presentation) -> None:
    """Refuse a face that is not taken for a living one.

    Raises:
        EnrolmentError: it is taken for a picture, or too few pictures could be judged.
    """
    if presentation.state == "refused":
        words = "the camera takes this face for a picture; stand before it in person, turn to the light and try again"
        raise EnrolmentError(words, code="enrolment.not_living")
    if presentation.state != "live":
        words = f"only {presentation.pictures} pictures could be judged for liveness; step back a little, look at the camera longer and try again"
        raise EnrolmentError(words, code="enrolment.not_judged")


def best_apart(found: Sequence[tuple[float, Sample]], most: int, already: Sequence[tuple[float, Sample]] = ()) -> list[tuple[float, Sample]]:
    """The best crops, each some time apart from every other, so that they differ; (time in s, crop) pairs, after those chosen already."""
    chosen = list(already)
    for moment, sample in sorted(found, key=lambda pair: -pair[1].quality.score):
        if len(chosen) < most and all(abs(moment - other) >= APART_SECONDS for other, _ in chosen):
            chosen.append((moment, sample))
    return chosen


def enrol(
    store: Store,
    recogniser: Recogniser,
    name: str,
    code: str | None,
    samples: Sequence[Sample],
    sources: Sequence[str],
    consent: ConsentDraft | None = None,
    say: Callable[[str], None] = lambda line: None,
    enrolled: EnrolledGallery | None = None,
) -> Person:
    """Store a person with one template per sample, all or nothing.

    Args:
        say: is told of somebody enrolled who looks much like them.
        enrolled: kept from one enrolment to the next, so that only what has changed is read again.

    Raises:
        EnrolmentError: the face already belongs to somebody else, the pictures show different people, or nobody more can be recognised.
        StoreError: the name or code cannot be kept.
    """
    gallery = (enrolled or EnrolledGallery(recogniser)).current(store)
    check_room(recogniser, gallery)
    embeddings = recogniser.embed(samples)
    threshold = recogniser.threshold(len(gallery))
    if odd := check_same(embeddings, recogniser.same_person(), sources)[1]:
        raise EnrolmentError(phrases("; ", [*odd, LEAVE_OUT]), code="enrolment.another_person")
    check_new(store, gallery, embeddings, threshold, sources)
    for line in look_alike_words(store, gallery, embeddings, threshold):
        say(f"{name} {line}")
    return store.add_person_with_templates(name, code, template_drafts(recogniser, embeddings, samples, sources), consent)


def check_room(recogniser: Recogniser, gallery: Gallery) -> None:
    """Refuse one person more than the model's card has a threshold for.

    Raises:
        EnrolmentError: it says how many that are, and what to do.
    """
    if len(gallery) >= recogniser.capacity:
        english = "{model} recognises at most {most:,} people at [decision] fpir = {fpir:g}, and so many are enrolled: {remedy}"
        values = {"model": recogniser.embedder.card.name, "most": recogniser.capacity, "fpir": recogniser.settings.decision.fpir}
        raise EnrolmentError(phrase("room.full", english, remedy=MORE_ROOM, **values), code="enrolment.full")


def look_alike_words(store: Store, gallery: Gallery, embeddings: NDArray[np.float32], threshold: float) -> list[str]:
    """What the operator is told of somebody enrolled who looks much like these pictures; nothing if nobody does."""
    near = look_alike(gallery, embeddings, threshold)
    if near is None:
        return []
    other = store.person(near.person_id)
    english = "looks much like {name} (id {id}, score {score:.2f}, threshold {threshold:.2f}); each needs a larger lead over the other"
    return [phrase("face.alike", english, name=other.name, id=other.id, score=near.score, threshold=threshold)]


def template_drafts(recogniser: Recogniser, embeddings: NDArray[np.float32], samples: Sequence[Sample], sources: Sequence[str]) -> list[TemplateDraft]:
    """The template drafts of N samples, of the model in force and of the coming one if there is one; the crops are kept with the latter.

    Args:
        embeddings: (N, D) float32, of the model in force.
    """
    coming = recogniser.coming
    if coming is None:
        return _drafts(recogniser.embedder.card.model_id, embeddings, samples, sources, with_crops=True)
    theirs = coming.embed(np.stack([sample.crop for sample in samples]))
    former = _drafts(recogniser.embedder.card.model_id, embeddings, samples, sources, with_crops=False)
    return former + _drafts(coming.card.model_id, theirs, samples, sources, with_crops=True)


def _drafts(model_id: str, embeddings: NDArray[np.float32], samples: Sequence[Sample], sources: Sequence[str], with_crops: bool) -> list[TemplateDraft]:
    return [
        TemplateDraft(model_id, embedding, sample.quality.score, encoded(sample.crop) if with_crops else None, source)
        for embedding, sample, source in zip(embeddings, samples, sources, strict=True)
    ]


def check_new(store: Store, gallery: Gallery, embeddings: NDArray[np.float32], threshold: float, sources: Sequence[str]) -> None:
    """Refuse a face that is already in the gallery, by one picture or by all of them together."""
    if found := known_face(gallery, embeddings, threshold, sources):
        source, match = found
        other = store.person(match.person_id)
        english = (
            "{source}: this face is already enrolled as {name!r} (id {id}, score {score:.2f}, threshold {threshold:.2f}); "
            "new pictures of them: `enroll --again id:{id}`; erase that person first if the enrolment was wrong"
        )
        words = phrase("face.known", english, source=source, name=other.name, id=other.id, score=match.score, threshold=threshold)
        raise EnrolmentError(words, code="enrolment.known_face")


def known_face(
    gallery: Gallery, embeddings: NDArray[np.float32], threshold: float, sources: Sequence[str], without: int | None = None
) -> tuple[str, Match] | None:
    """Which picture, or all of them together, shows a person of the gallery; `without` is somebody who does not count."""
    for embedding, source in zip([*embeddings, mean_template(embeddings)], [*sources, ALL_TOGETHER], strict=True):
        match = gallery.search(embedding, without)
        if match is not None and judge(match, threshold, 0.0).person_id is not None:
            return source, match
    return None


def mean_template(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, D) -> (D,): what the gallery compares a person by."""
    total = embeddings.sum(axis=0)
    return np.asarray(total / max(float(np.linalg.norm(total)), 1e-6), np.float32)


def look_alike(gallery: Gallery, embeddings: NDArray[np.float32], threshold: float, without: int | None = None) -> Match | None:
    """The enrolled person who is nearly as alike as the threshold of a visit asks for; None if nobody is. `without`: somebody who does not count."""
    match = gallery.search(mean_template(embeddings), without)
    return match if match is not None and look_alikes(match.score, threshold) else None


def check_same(embeddings: NDArray[np.float32], same: Comparison, sources: Sequence[str]) -> tuple[list[int], list[str]]:
    """The photos that show the person whom most of them show, and words for each of the others.

    Raises:
        EnrolmentError: no more than half of the photos show one person, or the two photos show two.
    """
    kept, scores = agreeing(embeddings, same)
    if not kept.any():
        raise EnrolmentError(phrases("; ", [no_majority(embeddings, same, sources), LEAVE_WRONG_OUT]), code="enrolment.another_person")
    return np.flatnonzero(kept).tolist(), odd_ones(sources, kept, scores, same.threshold)


def alike(samples: Sequence[Sample], embeddings: NDArray[np.float32], same: Comparison, fewest: int = 5) -> tuple[list[Sample], NDArray[np.float32]]:
    """Leave out crops of a guided capture that do not look like the person in the other crops.

    Args:
        embeddings: (N, D) float32, unit length, one a sample.
        same: see `agreeing`.

    Raises:
        EnrolmentError: fewer than `fewest` are left.
    """
    kept = np.flatnonzero(agreeing(embeddings, same)[0]).tolist()
    if len(kept) < fewest:
        found = f"only {len(kept)} of {len(samples)} pictures show the same person, {fewest} are needed"
        raise EnrolmentError(f"{found}; stand alone before the camera and try again", code="enrolment.not_alone")
    return [samples[index] for index in kept], embeddings[kept]


def encoded(crop: NDArray[np.uint8]) -> bytes:
    """(112, 112, 3) uint8 RGB -> PNG; kept so that the template can be made again for another model."""
    done, data = cv2.imencode(".png", crop[:, :, ::-1])
    if not done:
        raise EnrolmentError("the crop could not be encoded; try again")
    return data.tobytes()
