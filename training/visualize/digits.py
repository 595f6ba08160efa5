"""The images to train on: scikit-learn's digits, which come with the package, or a folder of IDX files (MNIST, Fashion-MNIST)."""

from __future__ import annotations

import gzip
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from torch.nn import functional

from device.contract import ClockfaceError

DEBIAN_FASHION = Path("/usr/share/datasets/fashion-mnist")  # package dataset-fashion-mnist
HELD_OUT = 3  # number of last classes held out, for verification on unseen classes
CLASSES = 10  # at most; the pictures have a colour for each
IDX_IMAGES = 1500  # images used of IDX files, so that the whole command takes minutes


class DigitsError(ClockfaceError):
    """The images cannot be read."""

    code = "digits"


@dataclass(frozen=True)
class Digits:
    """Images (N, 1, S, S) float32 grey 0..1 with labels (N,) int64 in 0..classes-1; held-out labels are larger."""

    name: str
    classes: int
    train_images: torch.Tensor
    train_labels: torch.Tensor
    test_images: torch.Tensor
    test_labels: torch.Tensor
    held_out_images: torch.Tensor
    held_out_labels: torch.Tensor

    @property
    def size(self) -> int:
        return self.train_images.shape[2]


def sklearn_digits() -> tuple[torch.Tensor, torch.Tensor]:
    """1,797 handwritten digits, 8 x 8."""
    data: Any = load_digits()
    return torch.tensor(data.images / 16, dtype=torch.float32).unsqueeze(1), torch.tensor(data.target, dtype=torch.int64)


def idx_folder(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """The first images of `train-images-idx3-ubyte(.gz)` and their labels, halved to 14 x 14.

    Raises:
        DigitsError: a file is missing, is no IDX file, or has other images or labels than MNIST has.
    """
    images, labels = read_idx(_file(folder, "train-images-idx3-ubyte")), read_idx(_file(folder, "train-labels-idx1-ubyte"))
    if images.shape[1:] != (28, 28) or labels.shape != images.shape[:1]:
        shapes = f"images {' x '.join(map(str, images.shape))} and labels {' x '.join(map(str, labels.shape))}"
        raise DigitsError(f"{folder} has {shapes}; give N images of 28 x 28 and N labels, as MNIST has")
    images, labels = images[:IDX_IMAGES], labels[:IDX_IMAGES]
    found = np.unique(labels)
    if not 2 <= len(found) <= CLASSES or found.tolist() != list(range(len(found))):
        raise DigitsError(f"{folder} has {len(found)} classes up to {labels.max(initial=0)}; give 2 to {CLASSES}, numbered from 0")
    pixels = torch.tensor(images, dtype=torch.float32).unsqueeze(1) / 255
    return functional.avg_pool2d(pixels, 2), torch.tensor(labels, dtype=torch.int64)


def read_idx(path: Path) -> NDArray[np.uint8]:
    """An IDX file of bytes, plain or gzip: two zero bytes, type 8, the number of axes, big-endian uint32 sizes, the bytes.

    Source: http://yann.lecun.com/exdb/mnist/
    """
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError) as error:
        raise DigitsError(f"{path} cannot be read ({error}); download it again") from error
    if len(data) < 4 or data[:3] != b"\0\0\x08" or len(data) < 4 + 4 * data[3]:
        raise DigitsError(f"{path} is no IDX file of bytes; give the folder of MNIST or Fashion-MNIST with --idx")
    shape = np.frombuffer(data, ">u4", data[3], 4)
    if len(data) != 4 + 4 * data[3] + math.prod(int(n) for n in shape):
        raise DigitsError(f"{path} is truncated: its header declares {' x '.join(map(str, shape))} bytes; download it again")
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)


def split(name: str, images: torch.Tensor, labels: torch.Tensor, held_out: int = 0) -> Digits:
    """Every fifth image is for testing; the last `held_out` classes are neither trained nor tested on."""
    classes = int(labels.max()) + 1 - held_out
    known = labels < classes
    test = known & (torch.arange(len(labels)) % 5 == 0)
    train = known & ~test
    return Digits(name, classes, images[train], labels[train], images[test], labels[test], images[~known], labels[~known])


def _file(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise DigitsError(f"{folder} has no {name} or {name}.gz; give the folder of MNIST or Fashion-MNIST with --idx")
