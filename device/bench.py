"""How fast this machine is: the terminal and, in the same run, the plain way over the same clips.

The plain way is what a first program does: YuNet on every frame at full size, SFace on every face, both through
OpenCV's own classes. Ratios of one run count; a machine's absolute figures move with what else it does.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from device import keys, models
from device.camera import open_source
from device.config import Settings
from device.demo import RATE, DemoRound
from device.enrolment import capture, enrol
from device.gallery import Gallery
from device.pipeline import Pipeline
from device.recogniser import Recogniser
from device.stopwatch import Stopwatch
from device.store import Store


@dataclass(frozen=True)
class Stage:
    name: str
    count: int
    p50_ms: float
    p95_ms: float


@dataclass(frozen=True)
class Report:
    """What one run of the benchmark found."""

    frames: int
    frames_per_second: float
    plain_frames_per_second: float
    punches: tuple[str, ...]  # person by person, in the order of the clips
    stages: tuple[Stage, ...]
    first_frame_seconds: float  # from the start of a process to the first processed frame
    peak_memory_mb: float  # of that process, which plays the first clip to its end
    search_ms: dict[int, float]  # templates -> p50

    @property
    def ratio(self) -> float:
        return self.frames_per_second / self.plain_frames_per_second


def measure(settings: Settings, clips: Sequence[Path]) -> Report:
    """Enrol the person of the first clip, play all of them, then the plain way over the same frames.

    Args:
        settings: of the terminal.
        clips: recordings; none takes one round of the demo.
    """
    recogniser = Recogniser(settings)
    with tempfile.TemporaryDirectory() as folder, keys.apart(Path(folder) / "keys"):
        clips = clips or [demo_clip(Path(folder) / "demo.avi")]
        database = Path(folder) / "bench.db"
        with Store.open(database, settings.store) as store:
            with open_source(str(clips[0]), settings.camera) as source:
                samples = capture(recogniser, source)
            enrol(store, recogniser, "first", None, samples, ["clip"] * len(samples))
            stopwatch = Stopwatch()
            frames, seconds, punches = _play(settings, recogniser, store, clips, stopwatch)
        plain = _plain(clips)
        first, peak = _fresh_process(clips[0], database)
    stages = tuple(Stage(name, len(ms), *(float(np.percentile(ms, p)) for p in (50, 95))) for name, ms in stopwatch.stages.items())
    size = recogniser.embedder.card.embedding_size
    search = {rows: search_ms(rows, size) for rows in (1_000, 10_000, 50_000)}
    return Report(frames, frames / seconds, frames / plain, tuple(punches), stages, first, peak, search)


def demo_clip(path: Path) -> Path:
    """One round of the demo as a video file, so that drawing it is no part of what is measured."""
    frames = iter(DemoRound(0.0))
    first = next(frames).image
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), RATE, (first.shape[1], first.shape[0]))
    writer.write(first)
    for frame in frames:
        writer.write(frame.image)
    writer.release()
    return path


def _play(settings: Settings, recogniser: Recogniser, store: Store, clips: Sequence[Path], stopwatch: Stopwatch) -> tuple[int, float, list[str]]:
    frames, punches, start = 0, [], time.perf_counter()
    for clip in clips:
        pipeline = Pipeline(settings, recogniser, store, "bench", recording=True, stopwatch=stopwatch)
        with open_source(str(clip), settings.camera) as source:
            for frame in source:
                frames += 1
                punches += [f"{clip.stem}: {person.name}" for person, _ in pipeline.process(frame).punches]
    return frames, time.perf_counter() - start, punches


def _plain(clips: Sequence[Path]) -> float:
    """Seconds the plain way takes over the same clips."""
    recognizer = cv2.FaceRecognizerSF.create(str(models.path("sface-plain")), "")
    start = time.perf_counter()
    for clip in clips:
        capture = cv2.VideoCapture(str(clip))
        size = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        detector = cv2.FaceDetectorYN.create(str(models.path("yunet")), "", size, 0.6, 0.3, 200)
        while True:
            good, frame = capture.read()
            if not good:
                break
            _, faces = detector.detect(frame)
            for face in () if faces is None else faces:
                recognizer.feature(recognizer.alignCrop(frame, face))
        capture.release()
    return time.perf_counter() - start


def _fresh_process(clip: Path, database: Path) -> tuple[float, float]:
    """(seconds to the first processed frame, peak memory in MB) of a terminal that plays one clip."""
    command = [sys.executable, "-m", "device", "run", "--source", str(clip), "--db", str(database), "--once", "--headless"]
    start = time.perf_counter()
    first = 0.0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).resolve().parent.parent) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("first frame") and not first:
                first = time.perf_counter() - start
    return first, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def search_ms(rows: int, size: int, probes: int = 30) -> float:
    """Median ms of one exact search over so many people with one template each."""
    random = np.random.default_rng(0)
    templates = random.normal(size=(rows, size)).astype(np.float32)
    templates /= np.linalg.norm(templates, axis=1, keepdims=True)
    gallery = Gallery("bench", size)
    gallery.add(np.arange(rows, dtype=np.int64), templates, "bench")
    taken = []
    for probe in templates[:probes]:
        start = time.perf_counter()
        gallery.search(probe)
        taken.append((time.perf_counter() - start) * 1000)
    return float(np.median(taken))
