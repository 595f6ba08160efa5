"""The augmentation of `augment.py` for whole batches, on any device, with the same distributions.

All random numbers are drawn on the CPU, so that every device gets the same ones, and nothing is read back from the device: a GPU never waits.
Blur, low resolution and the block transform of JPEG are linear and act on rows and columns alike: A X A^T with a matrix A (112, 112).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from device.contract import CROP_SIZE
from training.augment import CENTRE, COVERINGS, EXPOSURE, GREY, LEAST_BLUR, MOTION, NOISE, QUALITIES, SIZES, TILES, affine, motion, noise, trace
from training.config import AugmentSettings
from training.covering import covering
from training.distributed import to_device

Floats = NDArray[np.float32]
LARGEST_BLUR = 11  # px, reach of the kernel of the largest sigma
LUMA = (0.299, 0.587, 0.114)  # and the chroma below: ITU-T T.871, Information technology: JPEG File Interchange Format
TO_YCC = ((*LUMA,), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))
# Quantisation at quality 50, rows by vertical frequency: ITU-T T.81, tables K.1 and K.2.
LUMA_STEPS = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMA_STEPS = ((17, 18, 24, 47), (18, 21, 26, 66), (24, 26, 56, 99), (47, 66, 99, 99))  # 99 beyond


@dataclass(frozen=True)
class Changes:
    """What is done to each of N crops; 0 in the last six: nothing."""

    places: NDArray[np.float64]  # (N, 2, 3) takes a place of the crop to its new place
    gain: Floats  # (N, 3) per channel
    gamma: Floats  # (N,)
    grey: NDArray[np.bool_]  # (N,)
    cover: NDArray[np.int64]  # (N,) number of the covering
    sigma: Floats  # (N,) px, of the blur
    path: Floats  # (N, 2) px of motion, across and down
    size: NDArray[np.int64]  # (N,) px, of the low resolution
    noise: Floats  # (N, 2) standard deviation in grey levels, and number of the tile
    quality: NDArray[np.int64]  # (N,) of JPEG

    def of(self, numbers: NDArray[np.int64]) -> Changes:
        return Changes(**{field.name: getattr(self, field.name)[numbers] for field in dataclasses.fields(self)})


def draw(count: int, settings: AugmentSettings, rng: np.random.Generator) -> Changes:
    """Changes of `count` crops, from the distributions of `augment.augment`."""
    signed = rng.uniform(-1, 1, (9, count))
    chance = rng.random((9, count))
    mirror = np.where(chance[0] < settings.flip, -1.0, 1.0)
    angle, scale = np.radians(signed[0] * settings.rotation_degrees), 1 + signed[1] * settings.scale
    exposure = np.where(chance[5] < settings.exposure, 2.0 ** rng.uniform(*EXPOSURE, count), 1.0)
    gain = exposure * (1 + signed[4] * settings.light) * (1 + signed[5:8] * settings.light / 4)  # (3, N)
    path = motion(rng.uniform(*MOTION, count), rng.uniform(0, np.pi, count)).T
    grain = np.column_stack([rng.uniform(*NOISE, count), rng.integers(TILES, size=count)])
    return Changes(
        affine(angle, scale, signed[2:4].T * settings.shift_px, mirror),
        gain.T.astype(np.float32),
        (2.0 ** (signed[8] * settings.light)).astype(np.float32),
        chance[1] < (GREY if settings.light > 0 else 0),
        np.where(chance[6] < settings.covered, rng.integers(1, COVERINGS, count), 0),
        np.where(chance[2] < settings.blur, rng.uniform(LEAST_BLUR, settings.blur_px, count), 0).astype(np.float32),
        np.where(chance[7, :, None] < settings.motion, path, 0).astype(np.float32),
        np.where(chance[3] < settings.low_resolution, rng.integers(*SIZES, count), 0),
        np.where(chance[8, :, None] < settings.noise, grain, 0).astype(np.float32),
        np.where(chance[4] < settings.jpeg, rng.integers(*QUALITIES, count), 0),
    )


class BatchAugmentation:
    """Changes batches on one device.

    Args:
        device: the constant matrices are kept there.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._shifts = self._constant(np.stack([shift(by) for by in range(-LARGEST_BLUR, LARGEST_BLUR + 1)]))  # (23, 112, 112)
        self._sizes = self._constant(np.stack([stretch(size, CROP_SIZE) @ shrink(CROP_SIZE, size) for size in range(*SIZES)]))  # (53, 112, 112)
        self._noise = self._constant(noise().transpose(0, 3, 1, 2))  # (64, 3, 112, 112)
        self._halve, self._double = self._constant(shrink(CROP_SIZE, CROP_SIZE // 2)), self._constant(stretch(CROP_SIZE // 2, CROP_SIZE))
        self._blocks = self._constant(np.kron(np.eye(CROP_SIZE // 8), cosines()))  # (112, 112)
        self._steps = self._constant(np.stack([quantisation(quality) for quality in range(1, 101)]))  # (100, 2, 8, 8)
        self._to_ycc, self._to_rgb = self._constant(np.array(TO_YCC)), self._constant(np.array(TO_RGB))

    def _upload(self, array: NDArray[np.generic]) -> Tensor:
        return to_device(torch.from_numpy(array), self._device)

    def _constant(self, matrix: NDArray[np.floating]) -> Tensor:
        return self._upload(matrix.astype(np.float32))

    def __call__(self, crops: Tensor, changes: Changes) -> Tensor:
        """(N, 112, 112, 3) uint8 RGB -> the same form; every step rounds to whole values, as the steps of `augment.augment` do."""
        images = crops.permute(0, 3, 1, 2).float().contiguous()  # (N, 3, 112, 112)
        self._some(images, changes.cover, self._cover)
        images = self._warp(images, changes.places).round_()
        images = self._relight(images, changes)
        self._some(images, changes.sigma, self._blur)
        self._some(images, changes.path, self._move)
        self._some(images, changes.size, self._lower_resolution)
        self._some(images, changes.noise, self._add_noise)
        self._some(images, changes.quality, self._compress)
        return images.clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()

    def _some(self, images: Tensor, values: NDArray[Any], change: Callable[[Tensor, NDArray[Any]], Tensor]) -> None:
        """Change the images, in place, whose value is not 0; which ones is known on the CPU, so that the device need not be asked."""
        chosen = np.flatnonzero(values.reshape(len(values), -1).any(1))
        if len(chosen):
            rows = self._upload(chosen)
            images.index_copy_(0, rows, change(images.index_select(0, rows), values[chosen]).round_())

    def _cover(self, images: Tensor, numbers: NDArray[np.int64]) -> Tensor:
        opacity, colour = (self._upload(np.stack(part)) for part in zip(*map(covering, numbers.tolist()), strict=True))
        return images + opacity[:, None] * (colour.permute(0, 3, 1, 2) - images)

    def _warp(self, images: Tensor, places: NDArray[np.float64]) -> Tensor:
        """`grid_sample` wants, for each new place, the old one, in units of -1 .. 1."""
        back = np.linalg.inv(places[:, :, :2])  # (N, 2, 2)
        centre = back @ (CENTRE - places[:, :, 2:])  # (N, 2, 1) where the new centre was
        units = np.concatenate([back, (centre - CENTRE) / CENTRE], 2)
        grid = F.affine_grid(self._upload(units.astype(np.float32)), list(images.shape), align_corners=True)
        return F.grid_sample(images, grid, "bilinear", "border", align_corners=True)

    def _relight(self, images: Tensor, changes: Changes) -> Tensor:
        arrays = changes.gain, changes.gamma[:, None], changes.grey[:, None]
        gain, gamma, grey = (self._upload(array[:, :, None, None]) for array in arrays)  # (N, 3 or 1, 1, 1)
        luma = (images * self._to_ycc[0, :, None, None]).sum(1, keepdim=True).round_()
        images = torch.where(grey, luma, images).div_(255)
        return images.pow_(gamma).mul_(255 * gain).add_(1e-3).floor_().clamp_(0, 255)  # a table of whole values is cut off, not rounded

    def _blur(self, images: Tensor, sigma: Floats) -> Tensor:
        reach = np.arange(-LARGEST_BLUR, LARGEST_BLUR + 1)
        size = np.rint(6 * sigma + 1).astype(np.int64) | 1  # px, as OpenCV chooses it
        taps = np.exp(-(reach**2) / (2 * sigma[:, None] ** 2)) * (2 * np.abs(reach) < size[:, None])  # (N, 23)
        taps = (taps / taps.sum(1, keepdims=True)).astype(np.float32)
        return both_ways(torch.einsum("nd,dij->nij", self._upload(taps), self._shifts), images)

    def _move(self, images: Tensor, path: Floats) -> Tensor:
        kernels = self._upload(np.stack([trace(step) for step in path]))  # (N, 15, 15)
        reach, count = kernels.shape[-1] // 2, len(path)
        padded = F.pad(images, (reach,) * 4, "replicate").view(1, 3 * count, *(size + 2 * reach for size in images.shape[2:]))
        return F.conv2d(padded, kernels.repeat_interleave(3, 0)[:, None], groups=3 * count).view_as(images)

    def _add_noise(self, images: Tensor, noise: Floats) -> Tensor:
        tiles = self._noise.index_select(0, self._upload(noise[:, 1].astype(np.int64)))
        return (images + self._upload(noise[:, :1, None, None]) * tiles).clamp_(0, 255)

    def _lower_resolution(self, images: Tensor, size: NDArray[np.int64]) -> Tensor:
        return both_ways(self._sizes.index_select(0, self._upload(size - SIZES[0])), images)

    def _compress(self, images: Tensor, quality: NDArray[np.int64]) -> Tensor:
        """The losses of JPEG with chroma at half size: quantised cosine transforms of blocks of 8 x 8."""
        steps = self._steps.index_select(0, self._upload(quality - 1))  # (N, 2, 8, 8)
        ycc = torch.einsum("kc,nchw->nkhw", self._to_ycc, images).round_()  # chroma about 0
        luma = self._quantised(ycc[:, :1] - 128, steps[:, :1]) + 128
        chroma = self._quantised(both_ways(self._halve, ycc[:, 1:]).round_(), steps[:, 1:])
        return torch.einsum("kc,nchw->nkhw", self._to_rgb, torch.cat([luma, both_ways(self._double, chroma)], 1)).clamp_(0, 255)

    def _quantised(self, planes: Tensor, steps: Tensor) -> Tensor:
        """(N, P, H, H), (N, 1, 8, 8) -> the planes with each coefficient rounded to whole steps."""
        size = planes.shape[-1]
        blocks, steps = self._blocks[:size, :size], steps.repeat(1, 1, size // 8, size // 8)
        return both_ways(blocks.T, (both_ways(blocks, planes) / steps).round_() * steps).round_()


def both_ways(matrix: Tensor, images: Tensor) -> Tensor:
    """A X A^T of every channel: (J, I) or (N, J, I), (N, C, I, I) -> (N, C, J, J)."""
    matrix = matrix if matrix.ndim == 2 else matrix[:, None]
    return matrix @ images @ matrix.mT


def shift(by: int) -> NDArray[np.float64]:
    """(112, 112) takes the value `by` px further on; mirrored at the edges without repeating them."""
    places = np.abs(np.arange(CROP_SIZE) + by)
    places = np.where(places > CROP_SIZE - 1, 2 * (CROP_SIZE - 1) - places, places)
    return np.asarray(np.eye(CROP_SIZE)[places])


def shrink(before: int, after: int) -> NDArray[np.float64]:
    """(after, before) means over equal parts of a line."""
    edges = np.arange(after + 1) * before / after
    pixels = np.arange(before)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return np.asarray(np.clip(overlap, 0, None) * after / before)


def stretch(before: int, after: int) -> NDArray[np.float64]:
    """(after, before) linear interpolation between the centres of pixels."""
    places = np.clip((np.arange(after) + 0.5) * before / after - 0.5, 0, before - 1)
    return np.asarray(np.clip(1 - np.abs(places[:, None] - np.arange(before)), 0, None))


def cosines() -> NDArray[np.float64]:
    """(8, 8) the orthonormal discrete cosine transform, one frequency per row."""
    rows = np.cos(np.pi / 8 * np.arange(8)[:, None] * (np.arange(8) + 0.5)) / 2
    rows[0] /= np.sqrt(2)
    return np.asarray(rows)


def quantisation(quality: int) -> NDArray[np.float64]:
    """(2, 8, 8) steps of luma and chroma at a quality of 1..100, as libjpeg scales them."""
    chroma = np.full((8, 8), 99)
    chroma[:4, :4] = CHROMA_STEPS
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.asarray(np.clip((np.stack([LUMA_STEPS, chroma]) * percent + 50) // 100, 1, 255), np.float64)
