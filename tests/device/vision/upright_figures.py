"""Print how well turned faces are told from upright ones: `python -m tests.device.vision.upright_figures`, with the shared photos and clips.

Of photos as files: whether each is turned to be upright. Of photos as a camera's frames, and of clips: how many crops that passed
every other measure are kept as upright.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from device.config import Settings
from device.vision.camera.frame import turned
from device.vision.camera.source import open_source
from device.vision.images import read_image
from device.vision.recogniser import Recogniser, Sample

Picture = NDArray[np.uint8]
TURNS, LEANS = (0, 90, 180, 270), (0, 20, -20, 30, -30, 40, -40)


def leaning(image: Picture, degrees: int) -> Picture:
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    return cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)  # type: ignore[return-value]


def stills(recogniser: Recogniser, images: Iterator[Picture]) -> None:
    """Each photo as it is and turned: accepted with the right turn, with a wrong one, or refused; and its score to the upright photo."""
    counts: Counter[tuple[int, str]] = Counter()
    scores: list[float] = []
    for image in images:
        upright = recogniser.still(image)[:1]
        for turn in TURNS:
            found = recogniser.still(turned(image, (360 - turn) % 360))[:1]
            accepted = bool(found) and found[0].quality.acceptable
            right = accepted and found[0].picture_turn == turn
            counts[turn, "accepted" if right else "accepted in a wrong turn" if accepted else "refused"] += 1
            if accepted and upright and upright[0].quality.acceptable:
                scores.append(float(np.dot(*recogniser.embed([found[0], upright[0]]))))
    for turn in TURNS:
        print(f"photos turned by {turn:3}: {dict(sorted((word, count) for (one, word), count in counts.items() if one == turn))}")
    print(f"score to the upright photo: lowest {min(scores):.3f}, median {np.median(scores):.3f}")


def crops(recogniser: Recogniser, image: Picture) -> Iterator[Sample]:
    """The looked-at faces of a frame: those that every other measure accepts."""
    for face in recogniser.detector.detect(image, 12):
        sample = recogniser.sample(image, face)
        if sample.turn is not None:
            yield sample


def frames(recogniser: Recogniser, title: str, images: Callable[[], Iterator[Picture]]) -> None:
    for turn in TURNS:
        looked = [sample for image in images() for sample in crops(recogniser, turned(image, turn))]
        kept = sum(sample.quality.acceptable for sample in looked)
        print(f"{title} turned by {turn:3}: {len(looked)} good but for the turn, {kept} kept as upright")


def cost(recogniser: Recogniser, image: Picture) -> None:
    face = recogniser.detector.detect(image, 12)[0]
    sample = recogniser.quick(image, face)
    parts: dict[str, Callable[[], Any]] = {"look": lambda: recogniser.upright(image, sample), "embedding": lambda: recogniser.embed([sample])}
    took: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(200):
        for name, part in parts.items():
            begin = time.perf_counter()
            part()
            took[name].append(1000 * (time.perf_counter() - begin))
    look, embedding = (float(np.median(took[name])) for name in parts)
    print(f"one look {look:.2f} ms, one embedding {embedding:.2f} ms, ratio {look / embedding:.2f}")


def main() -> None:
    shared = Path(os.environ.get("CLOCKFACE_SHARED", "../shared"))
    if not (shared / "faces" / "dev").is_dir():
        sys.exit(f"no shared data at {shared}; set CLOCKFACE_SHARED")
    photos = sorted((shared / "faces" / "dev").glob("*/*"))
    seconds = [sorted(folder.iterdir())[1] for folder in sorted((shared / "faces" / "dev").iterdir())]
    recogniser = Recogniser(Settings())
    cost(recogniser, read_image(photos[0]))
    stills(recogniser, map(read_image, photos))
    for degrees in LEANS:
        frames(recogniser, f"frames leaning by {degrees:3}", lambda degrees=degrees: (leaning(read_image(path), degrees) for path in seconds))  # type: ignore[misc]
    for clip in sorted((shared / "clips").glob("*.mkv")):
        with open_source(str(clip), Settings().camera) as source:
            images = [frame.image for frame in source][::3]
        frames(recogniser, f"{clip.stem:8}", lambda images=images: iter(images))  # type: ignore[misc]


if __name__ == "__main__":
    main()
