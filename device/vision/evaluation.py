"""How often the whole device is right on photos: enrol one of each person, search the others and photos of strangers.

Every photo takes the way of `identify`: detector, quality gate, embedder, search, threshold of the card, lead. Nothing is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from device.contract import ClockfaceError
from device.vision.decision import judge
from device.vision.gallery import Gallery, Match
from device.vision.images import IMAGE_SUFFIXES, ImageError, read_image
from device.vision.recogniser import Recogniser, surely_faces

Progress = Callable[[Sequence[Path], str], Iterable[Path]]


class TrialError(ClockfaceError):
    """The photos cannot be used."""

    code = "trial"


@dataclass(frozen=True)
class Rate:
    """A share of searches with its 95 % interval (E. B. Wilson, 1927)."""

    count: int
    of: int

    @property
    def value(self) -> float:
        return self.count / self.of

    @property
    def interval(self) -> tuple[float, float]:
        z2 = 1.959964**2
        middle = (self.count + z2 / 2) / (self.of + z2)
        half = sqrt(z2 * (self.count * (self.of - self.count) / self.of + z2 / 4)) / (self.of + z2)
        return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True)
class Trial:
    """What came of it. Photos without a usable face are searches that failed: they count as not identified."""

    people: int  # enrolled
    threshold: float
    fnir: Rate  # photos of enrolled people that did not name them
    fpir: Rate  # photos of strangers that named somebody
    misnamed: int  # photos of enrolled people that named another one; part of fnir
    unusable: int  # photos of enrolled people and strangers without a usable face; part of fnir, never of fpir
    not_enrolled: int  # people whose first photo was refused; their other photos are left out
    expected_fpir: tuple[float, float] | None  # what the card says of this threshold, for as many templates as there are; the lead asked for lowers it further
    equal_threshold: float  # the one that lets through as many strangers as the FPIR allows: for comparing models whatever their cards say
    equal_fnir: Rate


def run_trial(recogniser: Recogniser, enrolled: Path, strangers: Path, progress: Progress, gallery_size: int = 0) -> Trial:
    """Run it.

    Args:
        recogniser: the device's own.
        enrolled: a folder a person; the first photo by name is enrolled, the others are searched.
        strangers: photos of people who are in none of these folders.
        progress: wraps a list of paths and shows how far it is.
        gallery_size: people in the gallery; where `enrolled` has fewer, strangers fill it up and are not searched.

    Raises:
        TrialError: nobody could be enrolled, or there is nothing to search.
    """
    by_person = {path.name: _photos(path) for path in sorted(enrolled.iterdir()) if path.is_dir()} if enrolled.is_dir() else {}
    firsts = {name: photos[0] for name, photos in by_person.items() if photos}
    card = recogniser.embedder.card
    gallery = Gallery(card.model_id, card.embedding_size)
    ids: dict[str, int] = {}
    for path in progress(list(firsts.values()), "enrolling"):
        embedding = _embedding(recogniser, path)
        if embedding is not None:
            ids[path.parent.name] = len(ids)
            gallery.add(np.array([ids[path.parent.name]], np.int64), embedding[None], card.model_id)
    probes = [path for name in ids for path in by_person[name][1:]]
    others = _photos(strangers) if strangers.is_dir() else []
    while len(ids) < gallery_size and others:
        embedding = _embedding(recogniser, others.pop(0))
        if embedding is not None:
            ids[f"stranger {len(others)}"] = len(ids)
            gallery.add(np.array([len(ids) - 1], np.int64), embedding[None], card.model_id)
    if not probes or not others:
        raise TrialError(
            f"{len(ids)} people of {enrolled} enrolled, {len(probes)} photos of them and {len(others)} of strangers of {strangers} to search;"
            " some of each are needed",
            code="trial.too_few",
        )
    settings = recogniser.settings.decision
    threshold = recogniser.threshold(len(gallery))

    def match(path: Path) -> Match | None:
        embedding = _embedding(recogniser, path)
        return None if embedding is None else gallery.search(embedding)

    mated = [(ids[path.parent.name], match(path)) for path in progress(probes, "people enrolled")]
    foreign = [match(path) for path in progress(others, "strangers")]

    def misses(at: float) -> Rate:
        return Rate(sum(_named(found, at, settings.min_lead) != own for own, found in mated), len(mated))

    equal = equal_threshold([found for found in foreign if found is not None], len(foreign), settings.fpir, settings.min_lead)
    return Trial(
        people=len(gallery),
        threshold=threshold,
        fnir=misses(threshold),
        fpir=Rate(sum(_named(found, threshold, settings.min_lead) is not None for found in foreign), len(foreign)),
        misnamed=sum(_named(found, threshold, settings.min_lead) not in (own, None) for own, found in mated),
        unusable=sum(found is None for _, found in mated) + sum(found is None for found in foreign),
        not_enrolled=len(firsts) - sum(not name.startswith("stranger ") for name in ids),
        expected_fpir=recogniser.expected_fpir(len(gallery)),
        equal_threshold=equal,
        equal_fnir=misses(equal),
    )


def _named(match: Match | None, threshold: float, min_lead: float) -> int | None:
    """Whom a search names; a photo without a usable face (None) names nobody."""
    return None if match is None else judge(match, threshold, min_lead).person_id


def equal_threshold(matches: Sequence[Match], searches: int, fpir: float, min_lead: float) -> float:
    """The lowest threshold at which at most a share `fpir` of the strangers' searches names somebody."""
    scores = sorted((match.score for match in matches if match.lead is None or match.lead >= min_lead), reverse=True)
    allowed = int(fpir * searches + 1e-9)
    return float(np.nextafter(np.float32(scores[allowed]), np.float32(2))) if allowed < len(scores) else -1.0


def _photos(folder: Path) -> list[Path]:
    """Of a folder, in order; `._x.jpg` and the like are what systems leave behind."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith("."))


def _embedding(recogniser: Recogniser, path: Path) -> NDArray[np.float32] | None:
    """(D,) of the largest face, or None where the photo has no usable one."""
    try:
        samples = surely_faces(recogniser.still(read_image(path)))
    except ImageError:
        return None
    if not samples or not samples[0].quality.acceptable:
        return None
    embedding: NDArray[np.float32] = recogniser.embed(samples[:1])[0]
    return embedding
