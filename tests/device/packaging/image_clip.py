"""What the camera of image.sh sees, on the workstation: python -m tests.device.packaging.image_clip CODE.png FOLDER.

FOLDER gets the pictures of an empty wall, of the set-up codes in CODE.png held before the camera, and of a visit, and the visitor's portrait.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from device.system.qr_codes import SCALE
from device.vision import catalogue
from device.vision.camera.demo import HOPPER, Stage
from tests.device.code_views import seen

Picture = NDArray[np.uint8]
EMPTY, PASSES = 0.0, 3.0  # s in the round of the demo: nobody is in view; one person is


def wall(stage: Stage, count: int) -> Iterable[Picture]:
    return (stage.draw(EMPTY + number / 8) for number in range(count))


def main(code: Path, folder: Path) -> None:
    stage = Stage()
    held = cv2.imread(str(code), cv2.IMREAD_GRAYSCALE)[::SCALE, ::SCALE]
    clips = {
        "wall": wall(stage, 8),
        "code": (seen(held, number) for number in range(8)),
        "visit": chain((stage.draw(PASSES + number / 8) for number in range(32)), wall(stage, 15)),
    }
    for name, pictures in clips.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number, picture in enumerate(pictures):
            cv2.imwrite(str(folder / name / f"{number:02}.jpg"), picture)
    (folder / "portrait.jpg").write_bytes(catalogue.path(HOPPER.model).read_bytes())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
