from __future__ import annotations

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.refused import refused
from training import pairs
from training.synthetic import draw


def write(path: Path, person: int, shot: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), draw(person, shot)[:, :, ::-1])


def encoded(person: int, shot: int) -> bytes:
    return cv2.imencode(".png", draw(person, shot)[:, :, ::-1])[1].tobytes()


def test_pairs_text_is_read_in_lfw_form(tmp_path: Path) -> None:
    for person, name in enumerate(("ann", "bob")):
        for shot in (1, 2):
            write(tmp_path / name / f"{name}_{shot:04d}.png", person, shot)
    (tmp_path / "pairs.txt").write_text("2 1\nann 1 2\nann 1 bob 2\nbob 1 2\nbob 1 ann 2\n")
    data = pairs.from_text(tmp_path / "pairs.txt", tmp_path)
    assert data.same.tolist() == [True, False, True, False]
    assert data.fold.tolist() == [0, 0, 1, 1]
    assert [(data.names[a], data.names[b]) for a, b in zip(data.first, data.second, strict=True)] == [
        ("ann_0001", "ann_0002"),
        ("ann_0001", "bob_0002"),
        ("bob_0001", "bob_0002"),
        ("bob_0001", "ann_0002"),
    ]
    np.testing.assert_array_equal(data.crops[data.names.index("bob_0002")], draw(1, 2))


def test_missing_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "pairs.txt").write_text("1 1\nann 1 2\nann 1 bob 2\n")
    with refused("pairs", "ann_0001"):
        pairs.from_text(tmp_path / "pairs.txt", tmp_path)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_bin_is_read(tmp_path: Path, protocol: int) -> None:
    images = [encoded(0, 0), encoded(0, 1), encoded(0, 0), encoded(1, 0)]
    (tmp_path / "x.bin").write_bytes(pickle.dumps((images, [True, False]), protocol))
    data = pairs.from_bin(tmp_path / "x.bin")
    assert data.same.tolist() == [True, False]
    np.testing.assert_array_equal(data.crops[3], draw(1, 0))


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return os.system, ("echo harm",)


def test_bin_that_would_run_code_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(pickle.dumps(([Evil()], [True])))
    with refused("pairs", "do not use it"):
        pairs.from_bin(tmp_path / "x.bin")


def test_shared_bin_holds_400_pairs(shared: Path) -> None:
    data = pairs.from_bin(shared / "faces" / "verify_400.bin")
    assert len(data.same) == 400
    assert data.crops.shape == (800, 112, 112, 3)
