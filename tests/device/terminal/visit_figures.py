"""`python -m tests.device.terminal.visit_figures [--model NAME]`: false punches and missed visits on the shared webcam clips, before and after.

Every way to enrol three of the five people from one clip each is tried, by five stills spread over the clip and by the best pictures of it as the camera
way takes them; all other clips are visits. Then everybody stands before galleries without them for a minute, their clip played again and again.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from device.config import Settings
from device.vision.gallery import Gallery
from device.vision.recogniser import Recogniser
from device.vision.visit import Visit
from device.vision.visit_looks import VisitPicture, clip_looks
from device.vision.visit_trial import by_visit, by_votes, galleries, searches, spread_out

CLIPS = {"A": ("again", "brother", "help"), "B": ("bird", "milk", "please"), "C": ("book", "learn"), "D": ("eat", "night"), "E": ("hungry",)}
ENROLLED = 3  # people
TEMPLATES = 5
MINUTE = 60.0  # s


def ways() -> Iterator[tuple[tuple[str, str], ...]]:
    """((person, clip), ...) of three people."""
    for people in itertools.combinations(CLIPS, ENROLLED):
        yield from itertools.product(*([(person, clip) for clip in CLIPS[person]] for person in people))


def stills(looks: Sequence[VisitPicture]) -> list[VisitPicture]:
    return [looks[round(place)] for place in np.linspace(0, len(looks) - 1, TEMPLATES)]


def best(looks: Sequence[VisitPicture]) -> list[VisitPicture]:
    return spread_out(looks, TEMPLATES)


def lingers(recogniser: Recogniser, gallery: Gallery, looks: Sequence[VisitPicture]) -> bool:
    """Whether somebody whose clip is played for a minute is ever taken for somebody."""
    decision = recogniser.settings.decision
    visit, bar = Visit(decision), recogniser.bar(len(gallery))
    pause = decision.interval_ms / 1000
    for number in range(round(MINUTE / pause)):
        look = looks[number % len(looks)]
        if visit.look(look.embedding, look.quality, number * pause, gallery.search, bar).person_id is not None:
            return True
    return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=Settings().embedder.model)
    settings = Settings()
    model = parser.parse_args().model
    recogniser = Recogniser(dataclasses.replace(settings, embedder=dataclasses.replace(settings.embedder, model=model)))
    folder = Path(os.environ["CLOCKFACE_SHARED"]) / "clips"
    played = {clip: clip_looks(recogniser, folder / f"{clip}.mkv") for clips in CLIPS.values() for clip in clips}
    bar, decision = recogniser.bar(ENROLLED), settings.decision
    print(f"{model}: threshold {bar.threshold:.3f}")
    for words, take in (("five stills", stills), ("best pictures", best)):
        counts = {"mean of the visit": [0, 0, 0, 0], "three pictures agree": [0, 0, 0, 0]}
        waits: dict[str, list[float]] = {name: [] for name in counts}
        minutes = stayed = 0
        for way in ways():
            gallery, each = galleries(recogniser.embedder, [take(played[clip]) for _, clip in way])
            enrolled = [person for person, _ in way]
            for person, clips in CLIPS.items():
                for clip in clips:
                    if (person, clip) in way:
                        continue
                    who = enrolled.index(person) if person in enrolled else -1
                    visit = searches(gallery, each, who, played[clip])[0]
                    for name, naming in (("mean of the visit", by_visit(bar, decision)), ("three pictures agree", by_votes(decision))):
                        named, look = naming(visit, bar.threshold)
                        count = counts[name]
                        count[0] += who >= 0
                        count[1] += who >= 0 and named != who
                        count[2] += who < 0
                        count[3] += named is not None and named != who
                        waits[name] += [visit.times[look]] if named == who and who >= 0 else []
                    if who < 0:
                        minutes, stayed = minutes + 1, stayed + lingers(recogniser, gallery, played[clip])
        for name, (mated, missed, foreign, false) in counts.items():
            print(f"  {words}, {name}: {missed} of {mated} visits missed, {false} false of {mated + foreign}; {np.median(waits[name]):.2f} s to the decision")
        print(f"  {words}: {stayed} of {minutes} strangers who stayed for a minute were taken for somebody")


if __name__ == "__main__":
    main()
