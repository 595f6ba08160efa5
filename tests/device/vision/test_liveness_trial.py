"""What becomes of presentations: generated clips with a judge that says what the test wants, and real clips with the real model."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
import pytest

from device.__main__ import main
from device.commands.liveness_trial import tried, write_det
from device.config import LivenessSettings, Settings
from device.contract import LivenessCard
from device.storage.store import Store
from device.terminal.enrolment import capture, enrol
from device.terminal.pipeline import Pipeline
from device.vision import catalogue
from device.vision.camera.source import open_source
from device.vision.detector import Face
from device.vision.liveness import STEP_BACK, Judgement, LivenessModel
from device.vision.liveness_trial import Presented, TrialRates, by_pictures, by_source, played, present
from device.vision.recogniser import Recogniser
from device.vision.trial_files import TrialFile
from tests.refused import refused

RATE = 25.0  # frames/s; every third is searched, as 90 ms ask


@pytest.fixture(scope="module")
def recogniser() -> Recogniser:
    return Recogniser(replace(Settings(), liveness=LivenessSettings(mode="observe")))


@pytest.fixture(scope="module")
def card(recogniser: Recogniser) -> LivenessCard:
    assert recogniser.liveness is not None
    return replace(recogniser.liveness.card, pictures=5, threshold=0.5)


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    image = cv2.imread(str(catalogue.path("portrait-hopper")))
    assert image is not None
    return cv2.resize(image, (320, 320 * image.shape[0] // image.shape[1]), interpolation=cv2.INTER_AREA)[:400]


def clip(path: Path, frames: Iterable[np.ndarray]) -> Path:
    """Write frames of one size as a clip."""
    writer: Any = None
    for frame in frames:
        height, width = frame.shape[:2]
        writer = writer or cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), RATE, (width, height))
        writer.write(frame)
    writer.release()
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, portrait: np.ndarray) -> Path:
    """two_seconds.avi and short.avi show a face, empty.avi none, lost.avi one that goes for two seconds and comes back."""
    found = tmp_path_factory.mktemp("clips")
    nothing = np.full_like(portrait, 128)
    clip(found / "two_seconds.avi", [portrait] * 50)
    clip(found / "short.avi", [portrait] * 10)
    clip(found / "empty.avi", [nothing] * 20)
    clip(found / "lost.avi", [*[portrait] * 18, *[nothing] * 50, *[portrait] * 18])
    cv2.imwrite(str(found / "still.png"), portrait)
    return found


@dataclass
class Script:
    """A judge that gives scores by turns, whatever it is shown."""

    scores: Sequence[float | None]
    looks: int = 0

    def __post_init__(self) -> None:
        self._turns = cycle(self.scores)

    def judge(self, image: np.ndarray, face: Face) -> Judgement:
        self.looks += 1
        score = next(self._turns)
        return STEP_BACK if score is None else Judgement(score)


def file(path: Path, species: str = "real", source: str = "") -> TrialFile:
    return TrialFile(path, path.name, species, source)


def test_a_clip_that_was_live_at_any_moment_is_accepted(recogniser: Recogniser, card: LivenessCard, folder: Path) -> None:
    """Scores 0.9 five times, then 0.1: the median ends low, but the gate was open."""
    judge = Script([0.9] * 5 + [0.1] * 100)
    found = present(recogniser, judge, card, file(folder / "two_seconds.avi"))
    assert found.accepted and found.score == 0.9 and median(found.scores) == 0.1
    assert found.seconds == pytest.approx(4 * 3 / RATE)  # the fifth picture, four searched frames after the first
    assert judge.looks == len(found.scores) == 17  # every third of 50 frames


def test_a_clip_that_was_never_live_is_refused(recogniser: Recogniser, card: LivenessCard, folder: Path) -> None:
    """The score is the highest of the running medians, here of the first six pictures."""
    scores = [0.1, 0.45, 0.2, 0.45, 0.45, 0.45, *[0.05] * 11]
    found = present(recogniser, Script(scores), card, file(folder / "two_seconds.avi"))
    assert found.score == max(median(scores[:count]) for count in range(5, 18)) == 0.45
    assert (found.accepted, found.seconds, found.reason) == (False, None, "")


def test_too_few_pictures_are_not_judged(recogniser: Recogniser, card: LivenessCard, folder: Path) -> None:
    found = present(recogniser, Script([0.9]), card, file(folder / "short.avi"))
    assert (found.score, found.accepted, found.scores, found.reason) == (None, False, (0.9,) * 4, "4 of 5 pictures without a break")
    assert present(recogniser, Script([0.9]), replace(card, pictures=4), file(folder / "short.avi")).accepted


def test_why_nothing_was_judged(recogniser: Recogniser, card: LivenessCard, folder: Path) -> None:
    assert present(recogniser, Script([0.9]), card, file(folder / "empty.avi")).reason == "0 of 5 pictures without a break, no_face"
    found = present(recogniser, Script([None]), card, file(folder / "two_seconds.avi"))
    assert (found.score, found.unjudged, found.reason) == (None, 17, "0 of 5 pictures without a break, step_back")


def test_a_face_that_was_lost_starts_anew(recogniser: Recogniser, card: LivenessCard, folder: Path) -> None:
    """Six good pictures on each side of the gap; high scores only on the far side, so a median over both would stay low."""
    found = present(recogniser, Script([0.1] * 6 + [0.9] * 6), card, file(folder / "lost.avi"))
    assert len(found.scores) == 12 and found.accepted and found.score == 0.9


def test_a_still_is_judged_by_its_one_picture(recogniser: Recogniser, card: LivenessCard, folder: Path) -> None:
    found = present(recogniser, Script([0.7]), card, file(folder / "still.png"))
    assert (found.accepted, found.score, found.seconds) == (True, 0.7, 0.0)


def test_a_file_that_cannot_be_read_is_named(recogniser: Recogniser, card: LivenessCard, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"not a clip")
    files = [file(tmp_path / "broken.mp4"), file(folder / "short.avi")]
    presented, unreadable = played(recogniser, Script([0.9]), card, files, lambda paths, words: paths)
    assert [found.file.name for found in presented] == ["short.avi"] and list(unreadable) == ["broken.mp4"]


def outcome(species: str, score: float | None, source: str = "") -> Presented:
    accepted = score is not None and score > 0.5
    return Presented(file(Path(f"{species}.mp4"), species, source), () if score is None else (score, 0.2), 1, score, accepted)


PRESENTED = [
    *(outcome("print", score, "A") for score in (0.1, 0.2, 0.9, None)),
    *(outcome("phone", score, "B") for score in (0.6, 0.1)),
    outcome("mask", None, "B"),
    *(outcome("real", score, "A") for score in (0.9, 0.8, 0.4, None, 0.7)),
]


def test_rates_by_hand() -> None:
    rates = TrialRates.of(PRESENTED)
    assert {name: (rate.count, rate.n) for name, rate in rates.apcer.items()} == {"mask": (0, 0), "phone": (1, 2), "print": (1, 3)}
    assert (rates.bpcer.count, rates.bpcer.n, rates.non_response.count, rates.non_response.n) == (1, 4, 3, 12)
    assert rates.worst_species == "phone"
    assert rates.eer == pytest.approx((1 / 5 + 1 / 4) / 2)  # above 0.6 is one of five attacks, at or below it one of four faces


def test_of_species_without_an_error_the_one_tried_least_is_the_worst() -> None:
    assert TrialRates.of([outcome("print", 0.1), outcome("phone", 0.1), outcome("phone", 0.2)]).worst_species == "print"
    assert TrialRates.of([outcome("real", 0.9), outcome("print", None)]).worst_species is None


def test_rates_by_pictures_and_by_source() -> None:
    rates = by_pictures([outcome("print", 0.9), outcome("real", 0.9), outcome("real", None)], 0.5)
    assert {name: (rate.count, rate.n) for name, rate in rates.apcer.items()} == {"print": (1, 2)}
    assert (rates.bpcer.count, rates.bpcer.n, rates.non_response.count, rates.non_response.n) == (1, 2, 3, 7)
    sources = by_source(PRESENTED)
    assert list(sources) == ["A", "B"] and list(sources["A"].apcer) == ["print"] and sources["B"].bpcer.n == 0
    assert by_source([outcome("real", 0.9)]) == {}


def test_the_command_on_folders(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for species, name in (("real", "two_seconds.avi"), ("real", "empty.avi"), ("print", "still.png")):
        (tmp_path / species).mkdir(exist_ok=True)
        (tmp_path / species / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "print/notes.txt").touch()
    options = ["--threshold", "0.5", "--pictures", "3", "--json", "--det", str(tmp_path / "det.svg")]
    assert main(["liveness-trial", str(tmp_path), *options]) == 0
    assert "print (1)" in (tmp_path / "det.svg").read_text(encoding="utf-8")
    printed = capsys.readouterr()
    assert "notes.txt" in printed.err
    found = json.loads(printed.out)
    assert list(found)[:5] == ["presentations", "apcer", "bpcer", "non_response", "eer"]
    assert [list(one)[:6] for one in found["presentations"]] == [["file", "species", "attack", "judged", "accepted", "score"]] * 3
    assert [(one["file"], one["species"], one["attack"], one["judged"]) for one in found["presentations"]] == [
        ("print/still.png", "print", True, True),
        ("real/empty.avi", "real", False, False),
        ("real/two_seconds.avi", "real", False, True),
    ]
    assert set(found["apcer"]["print"]) == set(found["bpcer"]) == set(found["non_response"]) == {"value", "low", "high", "n"}
    assert (found["non_response"]["n"], found["bpcer"]["n"], found["threshold"], found["pictures"]) == (3, 1, 0.5, 3)
    assert all(one["accepted"] == (one["score"] > 0.5) for one in found["presentations"] if one["judged"])


def test_a_picture_of_the_trade_off_needs_both_sides(tmp_path: Path) -> None:
    with refused("trial.too_few", "det.svg"):
        write_det(tmp_path / "det.svg", [outcome("real", 0.9), outcome("print", None)], 0.5)
    with refused("trial.not_written", "det.svg"):
        write_det(tmp_path / "none/det.svg", PRESENTED, 0.5)


def test_what_is_tried_in_place_of_the_card(recogniser: Recogniser) -> None:
    model = copy(recogniser.liveness)
    assert model is not None
    model.card = replace(model.card, threshold=None, pictures=5)
    with refused("trial.no_threshold", "--threshold"):
        tried(model, None, None)
    with refused("contract.card", "threshold"):
        tried(model, 1.0, None)
    with refused("contract.card", "pictures"):
        tried(model, 0.5, 0)
    assert tried(model, 0.4, 8) == replace(model.card, threshold=0.4, pictures=8)


def test_the_command_prints_each_presentation_and_the_rates(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "clips.tsv"
    table.write_text("file\tspecies\tsource\nshort.avi\treal\thall\nstill.png\tprint\thall\n", encoding="utf-8")
    (tmp_path / "site.toml").write_text('[liveness]\nmode = "enforce"\nchallenge = "turn"\n', encoding="utf-8")
    options = ["--table", str(table), "--threshold", "0.5", "--config", str(tmp_path / "site.toml")]
    assert main(["liveness-trial", str(folder), *options]) == 0
    said = capsys.readouterr().out
    assert "not judged (4 of 5 pictures without a break)" in said and "worst species: print" in said and "1 of 2 presentations are stills" in said


def test_a_file_that_cannot_be_read_makes_the_command_fail_after_the_report(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/broken.mp4").write_bytes(b"not a clip")
    (tmp_path / "real/short.avi").write_bytes((folder / "short.avi").read_bytes())
    assert main(["liveness-trial", str(tmp_path), "--threshold", "0.5", "--json"]) == 1
    printed = capsys.readouterr()
    assert json.loads(printed.out)["unreadable"] == ["real/broken.mp4"] and "broken.mp4" in printed.err


@pytest.mark.parametrize(("clip", "accepted"), [("f_real_1.mp4", True), ("c_screen.mp4", False)])
def test_real_clips_with_the_real_model(recogniser: Recogniser, card: LivenessCard, shared: Path, clip: str, accepted: bool) -> None:
    found = present(recogniser, LivenessModel(catalogue.path("liveness")), card, file(shared / "pad/clips" / clip))
    assert found.score is not None and found.accepted == accepted == (found.score > 0.5)


class Noted(Script):
    """Notes what it is shown."""

    def judge(self, image: np.ndarray, face: Face) -> Judgement:
        self.shown.append((*face.box, float(image.mean())))
        return super().judge(image, face)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.shown: list[tuple[float, ...]] = []


def test_the_trial_judges_the_pictures_that_the_terminal_judges(shared: Path, tmp_path: Path) -> None:
    """Somebody enrolled who is taken for a picture to the end of the clip, so that the terminal goes on judging."""
    settings = replace(Settings(), liveness=LivenessSettings(mode="enforce"))
    recogniser, judge, again = Recogniser(settings), Noted([0.1]), Noted([0.1])
    assert recogniser.liveness is not None
    card = recogniser.liveness.card
    clip = shared / "clips/again.mkv"
    with Store.open(tmp_path / "clockface.db") as store, open_source(str(clip), settings.camera) as source:
        samples = capture(recogniser, source)
        enrol(store, recogniser, "A", None, samples, ["clip"] * len(samples))
        recogniser.liveness = judge  # type: ignore[assignment]
        judge.card = card  # type: ignore[attr-defined]
        pipeline = Pipeline(settings, recogniser, store, "door", recording=True)
        with open_source(str(clip), settings.camera, once=True, start=0.0) as played_again:
            for frame in played_again:
                pipeline.process(frame)
        assert store.punches() == []
    found = present(recogniser, again, card, file(clip))
    assert not found.accepted and len(found.scores) == len(again.shown) > 20
    assert again.shown == judge.shown
