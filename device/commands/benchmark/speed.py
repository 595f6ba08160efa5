"""How fast this machine is: the terminal and, in the same run, the plain way over the same clips.

The plain way is what a first program does: YuNet on every frame at full size, SFace on every face, both through
OpenCV's own classes. Ratios of one run count; a machine's absolute figures move with what else it does.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from device.config import Settings
from device.config.places import ROOT
from device.contract import CROP_SIZE
from device.storage import key_folder
from device.storage.store import Store
from device.system.stopwatch import Stopwatch
from device.terminal.enrolment import capture, enrol
from device.terminal.pipeline import Pipeline
from device.vision import catalogue as models
from device.vision.camera.demo import RATE, DemoRound, Stage
from device.vision.camera.frame import Frame
from device.vision.camera.source import open_source
from device.vision.embedder import Embedder
from device.vision.gallery import Gallery
from device.vision.recogniser import Recogniser
from device.vision.speed import chose, judged_ms, percentiles

PLAIN = ("yunet-original", "sface-plain")  # as the OpenCV Zoo publishes them, for OpenCV's own classes
IDLE_SECONDS, IDLE_RATE = 6, 15  # frames a second
EMPTY_SECONDS = 0.2  # a moment of the demo at which nobody is in view


@dataclass(frozen=True)
class Timed:
    name: str
    count: int
    p50_ms: float
    p95_ms: float


@dataclass(frozen=True)
class Report:
    """Result of one run of the benchmark."""

    frames: int
    frames_per_second: float
    plain_frames_per_second: float | None  # None where its models are not in the list, as on a terminal that was installed from a bundle
    punches: tuple[str, ...]  # recorded people, in the order of the clips
    stages: tuple[Timed, ...]
    first_frame_seconds: float  # from the start of a process to the first processed frame
    peak_memory_mb: float  # of that process, which plays the first clip to its end and serves the pages
    search_ms: dict[int, float]  # templates -> p50
    crop_ms: dict[str, dict[int, tuple[float, float]]]  # embedder -> threads -> p50 and p95 of one crop
    judged_ms: tuple[float, float] | None  # p50 and p95 of one picture judged by the liveness model, one thread; None: none is in force
    idle_percent: float  # of one core, nobody in view, IDLE_RATE frames per second
    chose: tuple[str, ...]  # what the terminal uses on this machine

    @property
    def ratio(self) -> float | None:
        return self.frames_per_second / self.plain_frames_per_second if self.plain_frames_per_second else None


def measure(settings: Settings, clips: Sequence[Path]) -> Report:
    """Enrol the person of the first clip, play all of them, then the plain way over the same frames.

    Args:
        settings: of the terminal.
        clips: recordings; none takes one round of the demo.
    """
    recogniser = Recogniser(settings)
    with tempfile.TemporaryDirectory() as folder, key_folder.apart(Path(folder) / "keys"):
        clips = clips or [demo_clip(Path(folder) / "demo.avi")]
        database = Path(folder) / "bench.db"
        with Store.open(database, settings.store) as store:
            with open_source(str(clips[0]), settings.camera) as source:
                samples = capture(recogniser, source)
            enrol(store, recogniser, "first", None, samples, ["clip"] * len(samples))
            stopwatch = Stopwatch()
            terminal = _Terminal(settings, recogniser, store, stopwatch)
            plain = plain_way()
            for clip in clips:  # in turns, so that other work on the machine slows both alike
                terminal.play(clip)
                if plain is not None:
                    plain.play(clip)
        first, peak = _fresh_process(clips[0], database)
        idle = idle_percent(settings, recogniser, database)
    stages = tuple(Timed(name, len(ms), *(float(np.percentile(ms, p)) for p in (50, 95))) for name, ms in stopwatch.stages.items())
    size = recogniser.embedder.card.embedding_size
    search = {rows: search_ms(rows, size) for rows in (1_000, 10_000, 50_000)}
    crops = {name: {threads: crop_ms(path, threads, settings.embedder.provider) for threads in thread_counts()} for name, path in embedders(settings)}
    rates = terminal.frames / terminal.seconds, None if plain is None else terminal.frames / plain.seconds
    return Report(terminal.frames, *rates, tuple(terminal.punches), stages, first, peak, search, crops, judged_ms(recogniser.liveness), idle, chose(recogniser))


def demo_clip(path: Path) -> Path:
    """One round of the demo as a video file, so that drawing it is not measured."""
    frames = iter(DemoRound(0.0))
    first = next(frames).image
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), RATE, (first.shape[1], first.shape[0]))
    writer.write(first)
    for frame in frames:
        writer.write(frame.image)
    writer.release()
    return path


class _Terminal:
    """Plays clips as `run` does and adds up the time."""

    def __init__(self, settings: Settings, recogniser: Recogniser, store: Store, stopwatch: Stopwatch) -> None:
        self.settings, self.recogniser, self.store, self.stopwatch = settings, recogniser, store, stopwatch
        self.frames, self.seconds, self.punches = 0, 0.0, list[str]()

    def play(self, clip: Path) -> None:
        start = time.perf_counter()
        pipeline = Pipeline(self.settings, self.recogniser, self.store, "bench", recording=True, stopwatch=self.stopwatch)
        with open_source(str(clip), self.settings.camera) as source:
            for frame in source:
                self.frames += 1
                self.punches += [f"{clip.stem}: {person.name}" for person, _ in pipeline.process(frame).punches]
        self.seconds += time.perf_counter() - start


class _Plain:
    """The same for the plain way."""

    def __init__(self) -> None:
        self.recognizer = cv2.FaceRecognizerSF.create(str(models.path(PLAIN[1])), "")
        self.seconds = 0.0

    def play(self, clip: Path) -> None:
        start = time.perf_counter()
        capture = cv2.VideoCapture(str(clip))
        size = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        detector = cv2.FaceDetectorYN.create(str(models.path(PLAIN[0])), "", size, 0.6, 0.3, 200)
        while True:
            good, frame = capture.read()
            if not good:
                break
            _, faces = detector.detect(frame)
            for face in () if faces is None else faces:
                self.recognizer.feature(self.recognizer.alignCrop(frame, face))
        capture.release()
        self.seconds += time.perf_counter() - start


def plain_way() -> _Plain | None:
    """The plain way, or None where its models are not in the list."""
    return _Plain() if set(PLAIN) <= set(models.Catalogue.load().entries) else None


def _fresh_process(clip: Path, database: Path) -> tuple[float, float]:
    """(seconds to the first processed frame, peak memory in MB) of a terminal that plays one clip and serves its pages."""
    command = [sys.executable, "-m", "device", "run", "--source", str(clip), "--db", str(database), "--once", "--headless", "--web", "127.0.0.1:0"]
    start = time.perf_counter()
    first = peak = 0.0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("first frame") and not first:
                first = time.perf_counter() - start
            peak = max(peak, peak_mb(process.pid))
    return first, peak


def peak_mb(pid: int) -> float:
    """The most memory a process has had so far (VmHWM of proc(5)); unlike in getrusage, memory of its parent at the fork does not count. 0 if it has ended."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        return int(text.partition("VmHWM:")[2].split()[0]) / 1024
    except (OSError, IndexError):
        return 0.0


def search_ms(rows: int, size: int, probes: int = 30) -> float:
    """Median ms of one exact search over `rows` people with one template each."""
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


def thread_counts() -> range:
    return range(1, min(4, os.cpu_count() or 1) + 1)


def embedders(settings: Settings) -> list[tuple[str, Path]]:
    """Every listed embedder that is present, and the one in force if it is another file."""
    catalogue = models.Catalogue.load()
    found = [(entry.name, catalogue.place(entry)) for entry in catalogue.entries.values() if entry.kind == "embedder" and not catalogue.fault(entry)]
    own = Path(settings.embedder.model)
    return found if not own.is_file() else [*found, (own.name, own)]


def crop_ms(path: Path, threads: int, provider: str, rounds: int = 30) -> tuple[float, float]:
    """p50 and p95 of one crop through one embedder, with a number of threads."""
    embedder = Embedder(path, provider, threads)
    crops = np.random.default_rng(0).integers(0, 256, (8, CROP_SIZE, CROP_SIZE, 3), dtype=np.uint8)
    return percentiles(lambda number: embedder.embed(crops[number % 8][None]), rounds)


def idle_percent(settings: Settings, recogniser: Recogniser, database: Path) -> float:
    """Processor time, as percent of one core, while nobody is in view: pictures of an empty wall with a sensor's noise, compressed as cameras send them."""
    stage = Stage()
    pictures = [cv2.imencode(".jpg", stage.draw(EMPTY_SECONDS + index / RATE))[1] for index in range(int(RATE / 2))]
    with Store.open(database, settings.store) as store:
        pipeline = Pipeline(settings, recogniser, store, "bench")
        begin, busy = time.time(), time.process_time()
        for number in range(IDLE_SECONDS * IDLE_RATE):
            time.sleep(max(0.0, begin + number / IDLE_RATE - time.time()))
            image = cv2.imdecode(pictures[number % len(pictures)], cv2.IMREAD_COLOR)
            pipeline.process(Frame(image, begin + number / IDLE_RATE, number, live=True))  # type: ignore[arg-type]  # uint8 BGR
        return 100 * (time.process_time() - busy) / (time.time() - begin)
