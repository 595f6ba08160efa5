"""Batches of a set that lies decoded on the device and is augmented there; for a GPU, which threads on the CPU cannot keep busy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from training.batch_augment import BatchAugmentation, draw
from training.config import AugmentSettings
from training.data import Crops, DataError
from training.distributed import to_device
from training.loader import Batch, next_usable


class ResidentLoader:
    """As `Loader`, with the set and the batches on the device.

    Args:
        crops: the set; all of it is decoded now.
        workers: threads that decode.
        augmentation: limits of the changes.
        seed: determines the changes of each crop, together with the epoch and the crop's number.
        device: of the set and the batches.

    Raises:
        DataError: the set does not fit into the memory of the GPU.
    """

    def __init__(self, crops: Crops, workers: int, augmentation: AugmentSettings, seed: int, device: torch.device) -> None:
        check_memory(len(crops), device)
        pixels, self._usable = crops.decoded(workers)
        self._pixels = torch.from_numpy(pixels).to(device)  # (N, 112, 112, 3) uint8
        self._labels = torch.from_numpy(crops.labels).to(device)
        self._augment, self._settings, self._seed, self._device = BatchAugmentation(device), augmentation, seed, device

    def batches(self, lists: list[NDArray[np.int64]], epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of one epoch, from batch `start` on, without waiting for the device."""
        changes = draw(len(self._usable), self._settings, np.random.default_rng((self._seed, epoch, 5)))
        for numbers in lists[start:]:
            chosen = numbers[next_usable(self._usable[numbers])]
            index = to_device(torch.from_numpy(chosen), self._device)
            crops = self._augment(self._pixels.index_select(0, index), changes.of(chosen))
            yield Batch(crops, self._labels.index_select(0, index), index)


def check_memory(crops: int, device: torch.device) -> None:
    if device.type != "cuda":
        return
    needed, free = crops * 112 * 112 * 3, torch.cuda.mem_get_info(device)[0]
    if needed > 0.8 * free:
        raise DataError(f"data.resident = true: {crops} crops take {needed / 1e9:.1f} GB, the GPU has {free / 1e9:.1f} GB free; set it to false")
