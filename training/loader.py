"""Batches of augmented crops, prepared in advance by threads (OpenCV releases the interpreter lock); they are the same in every run."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from training.augment import augment
from training.config import AugmentSettings, DataSettings
from training.data import Crops, DataError


@dataclass(frozen=True)
class Batch:
    """One batch of one process. In training all batches have the size of the recipe: the next crop of the batch takes the place of a corrupted one."""

    crops: torch.Tensor  # (N, 112, 112, 3) uint8 RGB
    labels: torch.Tensor  # (N,) int64, -1 unknown
    index: torch.Tensor  # (N,) int64, numbers in the whole set


class Loader:
    """Turns lists of crop numbers into batches, in the given order.

    Args:
        crops: the set.
        settings: number of threads and of batches prepared in advance.
        augmentation: None returns the crops unchanged, and leaves corrupted ones out.
        seed: determines the augmentation of each crop, together with the epoch and the crop's number.
    """

    def __init__(self, crops: Crops, settings: DataSettings, augmentation: AugmentSettings | None, seed: int) -> None:
        self._crops, self._settings, self._augmentation, self._seed = crops, settings, augmentation, seed
        cv2.setNumThreads(1)  # parallel over crops, not within a crop

    def batches(self, lists: list[NDArray[np.int64]], epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of one epoch, from batch `start` on."""
        workers = self._settings.workers
        self._crops.expect(lists[start:])
        with ThreadPoolExecutor(workers) as pool:
            queue: deque[tuple[NDArray[np.int64], list[Future[list[NDArray[np.uint8] | None]]]]] = deque()
            for numbers in lists[start:]:
                parts = np.array_split(numbers, workers)
                queue.append((numbers, [pool.submit(self._part, part, epoch) for part in parts]))
                if len(queue) > self._settings.ahead:
                    yield self._join(*queue.popleft())
            while queue:
                yield self._join(*queue.popleft())

    def _part(self, numbers: NDArray[np.int64], epoch: int) -> list[NDArray[np.uint8] | None]:
        return [self._one(int(number), epoch) for number in numbers]

    def _one(self, number: int, epoch: int) -> NDArray[np.uint8] | None:
        crop = self._crops.crop(number)
        if crop is None or self._augmentation is None:
            return crop
        return augment(crop, self._augmentation, np.random.default_rng((self._seed, epoch, number)))

    def _join(self, numbers: NDArray[np.int64], parts: list[Future[list[NDArray[np.uint8] | None]]]) -> Batch:
        crops = [crop for part in parts for crop in part.result()]
        usable = np.array([crop is not None for crop in crops])
        kept = np.flatnonzero(usable) if self._augmentation is None else next_usable(usable)
        stack = np.stack([crop for i in kept if (crop := crops[i]) is not None])
        index = numbers[kept]
        return Batch(torch.from_numpy(stack), torch.from_numpy(self._crops.labels[index]), torch.from_numpy(index))


def next_usable(usable: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(N,) for each place of a batch the place itself or, where its crop is corrupted, the next usable one, the first one after the last.

    Processes that exchange batches rely on their equal size (training/partial_fc.py).

    Raises:
        DataError: none is usable.
    """
    good = np.flatnonzero(usable)
    if not len(good):
        raise DataError(f"all {len(usable)} crops of a batch are corrupted; repair the source")
    return good[np.searchsorted(good, np.arange(len(usable))) % len(good)]
