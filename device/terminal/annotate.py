"""Draws box, name and state of everybody in view."""

from __future__ import annotations

from typing import Any

import cv2
from numpy.typing import NDArray

from device.terminal.pipeline import Scene

GREEN, RED, AMBER, WHITE = (80, 175, 60), (60, 60, 220), (30, 170, 240), (255, 255, 255)  # BGR


def annotate(scene: Scene) -> NDArray[Any]:
    """A copy of the frame, (H, W, 3) uint8 BGR, with boxes and labels."""
    picture = scene.frame.image.copy()
    scale = max(0.5, picture.shape[1] / 1280)
    for subject in scene.subjects:
        colour = {"known": GREEN, "unknown": RED}.get(subject.outcome.state, AMBER)
        x, y, width, height = (round(value) for value in subject.track.face.box)
        cv2.rectangle(picture, (x, y), (x + width, y + height), colour, 2, cv2.LINE_AA)
        text = subject.words.encode("ascii", "replace").decode()  # OpenCV's font has no other characters
        (w, h), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_DUPLEX, scale, 1)
        left = max(0, min(x, picture.shape[1] - w - 12))
        top = max(0, y - h - base - 10)
        cv2.rectangle(picture, (left, top), (left + w + 12, top + h + base + 8), colour, cv2.FILLED)
        cv2.putText(picture, text, (left + 6, top + h + 4), cv2.FONT_HERSHEY_DUPLEX, scale, WHITE, 1, cv2.LINE_AA)
    return picture
