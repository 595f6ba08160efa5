"""What a few seconds of pictures show of a camera: light, upright, sharp, near enough, fast enough. For `doctor`, and for a terminal at first sight.

The limits are those of the terminal at work: of the watch over the camera, the quality gate and the detector.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from itertools import chain
from statistics import median

from device.config import CameraSettings, DetectorSettings, QualitySettings
from device.contract import ClockfaceError, align
from device.maintenance.database_check import Finding
from device.vision.camera.health import BLACK, BRIGHT, DARK, SAMPLE, SLOWEST
from device.vision.camera.source import Frame, default_source, open_source
from device.vision.catalogue import path as model_path
from device.vision.detector import Detector
from device.vision.quality import Quality, assess
from device.vision.upright import TURNS, remedy, upright_at

LOOK_SECONDS = 2.0  # how long doctor looks for a face
APART_SECONDS = 0.2  # between two looks at a face
ENOUGH = 5  # looks at faces, after which nothing more is to be learnt
LIVELY = 8.0  # pictures per second, below which a punch takes noticeably longer
ROOM = 1.1  # smallest ratio of the eyes' distance to the one that is needed


class CameraLook:
    """Takes in pictures, then says what they showed. Pure but for the detector it is handed.

    Args:
        detector: None: no faces are looked for.
    """

    def __init__(self, detector: Detector | None, camera: CameraSettings, quality: QualitySettings, smallest: float) -> None:
        self._detector, self._camera, self._quality, self._smallest = detector, camera, quality, smallest
        self._seen = float("-inf")  # when a face was seen last
        self._times: list[float] = []
        self._greys: list[float] = []
        self._turns: list[int] = []
        self._faces: list[Quality] = []
        self._size = (0, 0)

    def add(self, frame: Frame) -> None:
        height, width = frame.image.shape[:2]
        self._size = width, height
        self._times.append(frame.time)
        if 0 <= frame.time - self._seen < APART_SECONDS:
            return
        self._greys.append(float(frame.image[::SAMPLE, ::SAMPLE].mean()))
        if self._detector is not None and self._greys[-1] >= BLACK:
            self._look(self._detector, frame)

    def _look(self, detector: Detector, frame: Frame) -> None:
        turn = next((turn for turn in TURNS if upright_at(detector, frame.image, turn, frame.time)), None)
        if turn is not None:
            self._seen = frame.time
            self._turns.append(turn)
        faces = [] if turn else [face for face in detector.detect(frame.image) if face.score >= self._quality.min_score]
        if faces:
            face = detector.refine(frame.image, faces[0])
            self._faces.append(assess(face, align(frame.image, face.landmarks), self._quality))

    @property
    def enough(self) -> bool:
        return len(self._faces) >= ENOUGH or sum(map(bool, self._turns)) >= ENOUGH

    def findings(self, rate: float | None = None) -> list[Finding]:
        """Picture, light, upright, sharp, distance and rate, as far as they were seen.

        Args:
            rate: pictures per second, where the frames were not all of them; None: counted from their times.
        """
        if not self._greys:
            return [Finding("picture", "FAULT", "it gives no picture: see that it is plugged in", "no_picture")]
        width, height = self._size
        found = [Finding("picture", "ok", f"{width} x {height}", "picture", {"width": width, "height": height}), self._light()]
        if found[-1].key != "black":
            found += self._of_faces()
        rate = rate if rate is not None else self._counted()
        if rate is not None:
            found.append(of_rate(rate))
        return found

    def _light(self) -> Finding:
        grey = median(self._greys)
        values = {"grey": round(grey)}
        if grey < BLACK:
            return Finding("light", "warning", "it is black: uncover the lens or switch on a light", "black", values)
        faces = [face.brightness for face in self._faces]
        if grey < DARK or (faces and median(faces) < self._quality.min_brightness):
            return Finding("light", "warning", "it is too dark: more light from behind the camera, towards the face", "dark", values)
        if grey > BRIGHT or (faces and median(faces) > self._quality.max_brightness):
            return Finding("light", "warning", "it is too bright: keep sun and lamps away from the camera's view", "bright", values)
        if faces and median(face.contrast for face in self._faces) < self._quality.min_contrast:
            return Finding("light", "warning", "faces are flat, as against a window: more light from the front, none behind the people", "flat", values)
        return Finding("light", "ok", "bright enough", "light", values)

    def _of_faces(self) -> list[Finding]:
        turned = [turn for turn in self._turns if turn]
        if len(turned) > len(self._turns) / 2:
            turn = max(set(turned), key=turned.count)
            rotate = remedy(turn, self._camera).rpartition("= ")[2]
            words = f"{remedy(turn, self._camera)}: nobody can be recognised"
            return [Finding("upright", "FAULT", words, "turned", {"turn": turn, "rotate": rotate})]
        if not self._faces:
            return [Finding("face", "warning", "nobody in view, so whether it hangs upright was not seen", "nobody")]
        upright = [Finding("upright", "ok", "upright", "upright")] if self._turns else []
        return [*upright, self._sharp(), self._distance()]

    def _sharp(self) -> Finding:
        share = median(face.sharpness for face in self._faces) / self._quality.min_sharpness
        if share < 1:
            return Finding("sharp", "warning", "faces are blurred: clean the lens, take off its film, set its focus", "blurred")
        return Finding("sharp", "ok", f"sharp, {share:.1f} times as much as is needed", "sharp", {"share": f"{share:.1f}"})

    def _distance(self) -> Finding:
        px = median(face.eye_distance for face in self._faces)
        values = {"px": round(px), "least": round(self._smallest)}
        words = f"{px:.0f} px between the eyes where somebody stood, {self._smallest:.0f} are needed"
        if px < ROOM * self._smallest:
            return Finding("distance", "warning", f"{words}: mark the spot nearer, or take a camera with a narrower view", "far", values)
        return Finding("distance", "ok", words, "near", values)

    def _counted(self) -> float | None:
        seconds = self._times[-1] - self._times[0]
        return (len(self._times) - 1) / seconds if len(self._times) > ENOUGH and seconds > 0 else None


def of_rate(rate: float) -> Finding:
    """Whether the camera gives pictures fast enough, per second."""
    words, values = f"{rate:.1f} pictures per second", {"rate": f"{rate:.0f}"}
    if rate < LIVELY:
        remedy = "more light, a camera that gives MJPG, or another USB port"
        return Finding("rate", "FAULT" if rate < SLOWEST else "warning", f"only {words}: {remedy}", "slow_camera", values)
    return Finding("rate", "ok", words, "rate", values)


def check_camera(source: str | None, settings: CameraSettings, detector: DetectorSettings | None = None, quality: QualitySettings | None = None) -> Finding:
    """Open the camera and look at the pictures of `LOOK_SECONDS`; one finding of all, the worst state counts."""
    name = source or default_source()
    if source is None and name == "demo":
        return Finding("camera", "warning", "no camera found: plug one in; `--source demo`, clips and network cameras work without one")
    begin = time.monotonic()
    smallest = detector or DetectorSettings()
    look = CameraLook(faces_of(smallest), settings, quality or QualitySettings(), smallest.min_eye_distance)
    with open_source(name, settings) as opened:
        frames = iter(opened)
        first = next(frames)
        words = f"{opened.describe()}, first picture after {time.monotonic() - begin:.1f} s"
        shown(look, chain([first], frames), LOOK_SECONDS)
    found = look.findings()
    wrong = [finding for finding in found if finding.state != "ok" and finding.key != "nobody"]
    if wrong:
        return Finding("camera", "FAULT" if any(one.state == "FAULT" for one in wrong) else "warning", f"{words}, but {'; '.join(one.words for one in wrong)}")
    return Finding("camera", "ok", "; ".join([words, *(one.words for one in found if one.check not in ("picture", "light"))]))


def shown(look: CameraLook, frames: Iterable[Frame], seconds: float) -> None:
    """Show frames until enough was seen, for at most so many seconds of theirs."""
    begin = None
    for frame in frames:
        begin = frame.time if begin is None else begin
        look.add(frame)
        if look.enough or frame.time - begin > seconds:
            return


def faces_of(settings: DetectorSettings) -> Detector | None:
    """A detector; None where none was pulled, which the check of the models reports."""
    try:
        return Detector(model_path("yunet"), settings)
    except ClockfaceError:
        return None
