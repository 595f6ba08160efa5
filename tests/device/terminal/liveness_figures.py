"""`python -m tests.device.terminal.liveness_figures`: what the liveness gate costs on the shared clips, and what the turn of the head lets through.

Each person of the webcam clips is enrolled from one clip and comes in each other one, with the gate and without: time from the first good picture to the
punch. Then all these clips are played in turns with one person enrolled, as `bench` plays them: frames per second of processor time, reading included.
Last, a turn of the head to either side is asked for every half second of the clips of people and of replays.
"""

from __future__ import annotations

import itertools
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from device.config import CameraSettings, LivenessSettings, Settings
from device.storage import key_folder
from device.storage.store import Store
from device.terminal.enrolment import capture, enrol
from device.terminal.head_turn import HeadTurn, Side
from device.terminal.pipeline import Pipeline
from device.vision.camera.source import open_source
from device.vision.quality import pose
from device.vision.recogniser import Recogniser
from tests.device.terminal.visit_figures import CLIPS

MODES = {mode: Settings(liveness=LivenessSettings(mode=mode)) for mode in ("off", "enforce")}
LOOK_SECONDS = 0.09  # between two frames that are searched, as in the settings
SIDES: tuple[Side, Side] = ("left", "right")
ROUNDS = 4


@contextmanager
def enrolled(recogniser: Recogniser, clip: Path) -> Iterator[Store]:
    """A store in which the person of this clip is enrolled."""
    with tempfile.TemporaryDirectory() as folder, key_folder.apart(Path(folder) / "keys"), Store.open(Path(folder) / "a.db") as store:
        with open_source(str(clip), CameraSettings()) as source:
            samples = capture(recogniser, source)
        enrol(store, recogniser, "A", None, samples, ["clip"] * len(samples))
        yield store


def waited(recogniser: Recogniser, store: Store, clip: Path) -> float | None:
    """S from the first good picture to the punch; None without one."""
    pipeline, good = Pipeline(recogniser.settings, recogniser, store, "test", recording=True), None
    with open_source(str(clip), CameraSettings()) as source:
        for frame in source:
            scene = pipeline.process(frame)
            if good is None and any(subject.outcome.pictures for subject in scene.subjects):
                good = frame.time
            if scene.punches and good is not None:
                return frame.time - good
    return None


def played(recogniser: Recogniser, store: Store, clip: Path) -> tuple[int, float]:
    """(frames, s of processor time)."""
    pipeline, count, busy = Pipeline(recogniser.settings, recogniser, store, "test", recording=True), 0, time.process_time()
    with open_source(str(clip), CameraSettings()) as source:
        for frame in source:
            pipeline.process(frame)
            count += 1
    return count, time.process_time() - busy


def rates(recognisers: dict[str, Recogniser], clips: Sequence[Path]) -> dict[str, list[float]]:
    """Mode -> frames per second of each round over all clips; in turns, so that other work on the machine slows both alike."""
    found: dict[str, list[float]] = {mode: [] for mode in MODES}
    with enrolled(recognisers["off"], clips[0]) as store:
        for _ in range(ROUNDS):
            totals = {mode: np.zeros(2) for mode in MODES}
            for clip, mode in itertools.product(clips, MODES):
                totals[mode] += played(recognisers[mode], store, clip)
            for mode, (count, busy) in totals.items():
                found[mode].append(count / busy)
    return found


def turns(recogniser: Recogniser, clip: Path) -> tuple[int, int]:
    """How many requests to turn the head, of how many, are fulfilled by what the clip shows."""
    yaws: list[tuple[float, float]] = []
    with open_source(str(clip), CameraSettings()) as source:
        for frame in source:
            if not yaws or frame.time - yaws[-1][0] >= LOOK_SECONDS:
                faces = recogniser.detector.detect(frame.image)
                yaws += [(frame.time, pose(faces[0].landmarks)[0])] if faces else []
    passed = [fulfilled(yaws[start:], side) for start in range(0, len(yaws), round(0.5 / LOOK_SECONDS)) for side in SIDES]
    return sum(passed), len(passed)


def fulfilled(yaws: Sequence[tuple[float, float]], side: Side) -> bool:
    request = HeadTurn(side, yaws[0][0] + LivenessSettings().challenge_seconds)
    for at, yaw in yaws:
        request.see(yaw, at)
        request.back(yaw)
    return request.state == "passed"


def main() -> None:
    shared = Path(os.environ["CLOCKFACE_SHARED"])
    recognisers = {mode: Recogniser(settings) for mode, settings in MODES.items()}
    people = {person: [shared / "clips" / f"{clip}.mkv" for clip in clips] for person, clips in CLIPS.items()}
    for mode, recogniser in recognisers.items():
        waits: list[float | None] = []
        for first, then in (pair for clips in people.values() for pair in itertools.permutations(clips, 2)):
            with enrolled(recogniser, first) as store:
                waits.append(waited(recogniser, store, then))
        done = [wait for wait in waits if wait is not None]
        print(f"{mode}: {len(done)} of {len(waits)} visits recorded, {np.median(done):.2f} s to the punch, at most {max(done):.2f} s")
    found = rates(recognisers, [clip for clips in people.values() for clip in clips])
    each = ", ".join(f"{mode} {np.median(rates):.0f}" for mode, rates in found.items())
    change = np.median(np.array(found["enforce"]) / np.array(found["off"]) - 1)
    print(f"frames per second of processor time over {sum(map(len, people.values()))} clips: {each} ({100 * change:+.1f} %)")
    for clip in sorted((shared / "pad/clips").iterdir()):
        passed, asked = turns(recognisers["off"], clip)
        print(f"turn of the head in {clip.name}: {passed} of {asked} requests fulfilled")


if __name__ == "__main__":
    main()
