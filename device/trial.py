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
from device.decision import judge
from device.gallery import Gallery
from device.images import IMAGE_SUFFIXES, ImageError, read_image
from device.recogniser import Recogniser

Progress = Callable[[Sequence[Path], str], Iterable[Path]]


class TrialError(ClockfaceError):
    """The photos cannot be used."""


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


def run_trial(recogniser: Recogniser, enrolled: Path, strangers: Path, progress: Progress) -> Trial:
    """Run it.

    Args:
        recogniser: the device's own.
        enrolled: a folder a person; the first photo by name is enrolled, the others are searched.
        strangers: photos of people who are in none of these folders.
        progress: wraps a list of paths and shows how far it is.

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
    if not probes or not others:
        raise TrialError(f"{len(ids)} people enrolled, {len(probes)} photos of them and {len(others)} of strangers to search; some of each are needed")
    threshold, min_lead = recogniser.threshold(len(gallery)), recogniser.settings.decision.min_lead

    def named(path: Path) -> tuple[bool, int | None]:
        embedding = _embedding(recogniser, path)
        return embedding is not None, None if embedding is None else judge(gallery.search(embedding), threshold, min_lead).person_id

    mated = [(ids[path.parent.name], *named(path)) for path in progress(probes, "people enrolled")]
    foreign = [named(path) for path in progress(others, "strangers")]
    return Trial(
        people=gallery.people,
        threshold=threshold,
        fnir=Rate(sum(person != own for own, _, person in mated), len(mated)),
        fpir=Rate(sum(person is not None for _, person in foreign), len(foreign)),
        misnamed=sum(person not in (own, None) for own, _, person in mated),
        unusable=sum(not usable for _, usable, _ in mated) + sum(not usable for usable, _ in foreign),
        not_enrolled=len(firsts) - len(ids),
    )


def _photos(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)


def _embedding(recogniser: Recogniser, path: Path) -> NDArray[np.float32] | None:
    """(D,) of the largest face, or None where the photo has no usable one."""
    try:
        samples = recogniser.still(read_image(path))
    except ImageError:
        return None
    if not samples or not samples[0].quality.acceptable:
        return None
    embedding: NDArray[np.float32] = recogniser.embed(samples[:1])[0]
    return embedding
