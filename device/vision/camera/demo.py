"""A simulated camera for machines without one: two public-domain portraits enter, move and leave in front of a plain wall.

The picture depends on the time alone. In a round of 24 s first nobody is in view, then Grace Hopper, then Eileen
Collins, then both; they tilt, come closer and step back while the light changes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from device.vision import catalogue
from device.vision.camera.frame import Frame, Reader, Source
from device.vision.images import read_image

WIDTH, HEIGHT = 640, 480  # px
RATE = 20.0  # frames per second
ROUND_SECONDS = 24.0
ENTER_SECONDS = 1.2  # from the edge of the picture to the person's place
NOISE = 2.0  # standard deviation of the sensor's noise, grey levels


@dataclass(frozen=True)
class Appearance:
    """One time in front of the camera."""

    start: float  # s in the round
    end: float
    x: float  # px, middle between the eyes
    eye_distance: float  # px, on average


@dataclass(frozen=True)
class Actor:
    """A portrait and when it is in view."""

    model: str  # name in models.toml
    name: str
    eyes: tuple[tuple[float, float], tuple[float, float]]  # px in the portrait, left of the image first
    side: int  # -1: enters from the left, 1: from the right
    appearances: tuple[Appearance, ...]


HOPPER = Actor("portrait-hopper", "Grace Hopper", ((228.6, 190.5), (307.9, 188.8)), -1, (Appearance(2, 9, 300, 85), Appearance(16, 23.5, 165, 56)))
COLLINS = Actor("portrait-collins", "Eileen Collins", ((197.6, 107.2), (244.4, 106.9)), 1, (Appearance(9.5, 15.5, 340, 70), Appearance(16.5, 23.5, 475, 56)))
ACTORS = (HOPPER, COLLINS)


def demo_enrolment() -> tuple[str, NDArray[np.uint8]]:
    """Name and portrait, (H, W, 3) uint8 BGR, of the person who is enrolled in the demo; the other one stays unknown.

    Raises:
        ModelError: the portrait has not been pulled.
    """
    return HOPPER.name, read_image(catalogue.path(HOPPER.model))


class Stage:
    """Draws the scene at any time of the round."""

    def __init__(self, portraits: Sequence[NDArray[np.uint8]] | None = None) -> None:
        """
        Args:
            portraits: (H, W, 3) uint8 BGR for each of ACTORS; those of models.toml where not given.

        Raises:
            ModelError: a portrait has not been pulled.
        """
        images = portraits or [read_image(catalogue.path(actor.model)) for actor in ACTORS]
        self._cut_outs = [_cut_out(image, actor) for image, actor in zip(images, ACTORS, strict=True)]
        shade = np.linspace(0.8, 0.6, HEIGHT)[:, None] * (1 - 0.15 * np.linspace(-1, 1, WIDTH)[None, :] ** 2)
        self._wall = (shade[:, :, None] * (215, 222, 226)).astype(np.float32)
        self._noise = np.random.default_rng(1906).normal(0, NOISE, (HEIGHT + 61, WIDTH + 53, 3)).round().astype(np.int16)

    def draw(self, seconds: float) -> NDArray[np.uint8]:
        """(480, 640, 3) uint8 BGR at `seconds` after the start; repeats every ROUND_SECONDS, apart from the noise."""
        now = seconds % ROUND_SECONDS
        picture = self._wall
        for cut_out, actor in zip(self._cut_outs, ACTORS, strict=True):
            for appearance in actor.appearances:
                if appearance.start < now < appearance.end:
                    picture = _composed(picture, cut_out, _placement(actor, appearance, now))
        light = 1 + 0.15 * math.sin(2 * math.pi * 3 * now / ROUND_SECONDS)
        tick = round(seconds * RATE)
        noise = self._noise[tick * 7 % 61 :, tick * 5 % 53 :][:HEIGHT, :WIDTH]
        return cv2.add(picture * np.float32(light), noise, dtype=cv2.CV_8U)  # type: ignore[return-value]  # saturates


def _cut_out(image: NDArray[np.uint8], actor: Actor) -> NDArray[np.uint8]:
    """Head and shoulders with a soft edge: (H, W, 4) uint8 BGRA, colours multiplied by alpha."""
    (left_x, left_y), (right_x, right_y) = actor.eyes
    x, y, eye = (left_x + right_x) / 2, (left_y + right_y) / 2, math.hypot(right_x - left_x, right_y - left_y)
    mask = np.zeros(image.shape[:2], np.uint8)
    cv2.ellipse(mask, (round(x), round(y + 0.1 * eye)), (round(1.65 * eye), round(2.1 * eye)), 0, 0, 360, 255, -1)  # head and hat
    cv2.ellipse(mask, (round(x), round(y + 6.0 * eye)), (round(2.9 * eye), round(4.1 * eye)), 0, 0, 360, 255, -1)  # shoulders
    alpha = cv2.GaussianBlur(mask, (0, 0), 0.12 * eye)
    colours = np.rint(image * (alpha[:, :, None] / 255.0)).astype(np.uint8)
    return np.dstack([colours, alpha])


def _placement(actor: Actor, appearance: Appearance, now: float) -> NDArray[np.float64]:
    """(2, 3) matrix from the portrait to the picture at this moment of the appearance."""
    inside = now - appearance.start
    here = _smooth(inside / ENTER_SECONDS) * _smooth((appearance.end - now) / ENTER_SECONDS)
    eye = appearance.eye_distance * (1 + 0.22 * math.sin(0.9 * inside - 1))
    angle = math.radians(5) * math.sin(1.3 * inside)
    outside = WIDTH / 2 + actor.side * (WIDTH / 2 + 3.2 * eye)
    x = outside + (appearance.x + 12 * math.sin(0.8 * inside) - outside) * here
    y = max(HEIGHT - 4.9 * eye, 2.3 * eye)  # the portrait's lower edge stays below the picture's, and the hat inside the picture
    (left_x, left_y), (right_x, right_y) = actor.eyes
    scale = eye / math.hypot(right_x - left_x, right_y - left_y)
    matrix = cv2.getRotationMatrix2D(((left_x + right_x) / 2, (left_y + right_y) / 2), math.degrees(angle), scale)
    matrix[:, 2] += np.array([x - (left_x + right_x) / 2, y - (left_y + right_y) / 2])
    return np.asarray(matrix, dtype=np.float64)


def _smooth(share: float) -> float:
    """0 to 1 with a gentle start and end."""
    share = min(max(share, 0.0), 1.0)
    return share * share * (3 - 2 * share)


def _composed(picture: NDArray[np.float32], cut_out: NDArray[np.uint8], matrix: NDArray[np.float64]) -> NDArray[np.float32]:
    smaller = math.hypot(matrix[0, 0], matrix[0, 1]) < 0.7  # warpAffine has no INTER_AREA; linear is good enough down to 0.7
    source = cv2.GaussianBlur(cut_out, (0, 0), 0.6) if smaller else cut_out
    layer = cv2.warpAffine(source, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR).astype(np.float32)
    return picture * (1 - layer[:, :, 3:] / np.float32(255)) + layer[:, :, :3]


class DemoReader(Reader):
    """The demo as a live camera: 20 pictures per second in real time."""

    def __init__(self) -> None:
        self._stage = Stage()
        self._start = time.monotonic()
        self._tick = -1

    def read(self) -> NDArray[np.uint8] | None:
        """Wait for the next tick; ticks that were missed are skipped."""
        self._tick = max(self._tick + 1, int((time.monotonic() - self._start) * RATE))
        time.sleep(max(0.0, self._start + self._tick / RATE - time.monotonic()))
        return self._stage.draw(self._tick / RATE)

    def describe(self) -> str:
        return f"demo {WIDTH}x{HEIGHT} {RATE:g}/s, {' and '.join(actor.name for actor in ACTORS)}"

    def close(self) -> None:
        pass  # nothing is held


class DemoRound(Source):
    """One round of the demo with every frame, unpaced; the same each time."""

    live = False

    def __init__(self, start: float, stage: Stage | None = None) -> None:
        self._start = start
        self._stage = stage or Stage()

    def taken(self) -> Iterator[Frame]:
        for index in range(round(ROUND_SECONDS * RATE)):
            yield Frame(self._stage.draw(index / RATE), self._start + index / RATE, index, live=False)

    def describe(self) -> str:
        return f"demo {WIDTH}x{HEIGHT}, one round of {ROUND_SECONDS:g} s"

    def close(self) -> None:
        pass  # nothing is held
