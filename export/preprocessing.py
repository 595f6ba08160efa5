"""What a model of somebody else expects of its pixels, and a measurement of which of the usual forms it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from export import foreign
from export.foreign import AdoptError
from training.metrics import ComparisonScores
from training.pairs import Pairs


@dataclass(frozen=True)
class Preprocessing:
    """The input that the original expects: (pixel - mean) / std, in its colour order, float NCHW."""

    colour: str = "RGB"  # or "BGR"
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)  # in the original's colour order, 0..255
    std: tuple[float, ...] = (1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        if self.colour not in ("RGB", "BGR") or len(self.mean) != 3 or len(self.std) != 3 or not all(value > 0 for value in self.std):
            raise AdoptError(f"preprocessing: expected RGB or BGR, three means and three positive stds, got {self}", code="adopt.preprocessing")

    def apply(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(N, 112, 112, 3) uint8 RGB -> (N, 3, 112, 112) float32; independent of the graph, as the oracle of the parity check."""
        ordered = crops if self.colour == "RGB" else crops[..., ::-1]
        scaled = (ordered.astype(np.float32) - np.asarray(self.mean, np.float32)) / np.asarray(self.std, np.float32)
        return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))


USUAL = {  # mean and std, 0..255, equal for all colours but for ImageNet's
    "as they are": ((0.0,) * 3, (1.0,) * 3),
    "0 to 1": ((0.0,) * 3, (255.0,) * 3),
    "-1 to 1": ((127.5,) * 3, (127.5,) * 3),
    "minus 127.5, by 128": ((127.5,) * 3, (128.0,) * 3),
    "ImageNet": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),  # in the order red, green, blue
}


def candidates(given: Preprocessing) -> list[Preprocessing]:
    """The usual forms in both colour orders, and the one that is given."""
    usual = [Preprocessing(*each) for mean, std in USUAL.values() for each in (("RGB", mean, std), ("BGR", mean[::-1], std[::-1]))]
    return usual if given in usual else [given, *usual]


@dataclass(frozen=True)
class FormResult:
    """How well pairs are told apart with one form."""

    preprocessing: Preprocessing
    d_prime: float
    accuracy: float  # at the threshold that is best for these pairs


def measure(original: onnx.ModelProto, given: Preprocessing, pairs: Pairs, most: int = 200) -> list[FormResult]:
    """Each candidate on the same pairs, drawn at random if there are more than `most`; the best first, by d'.

    Args:
        original: as `foreign.tidied` gives it.
    """
    chosen = np.sort(np.random.default_rng(0).permutation(len(pairs.same))[:most])
    used, place = np.unique(np.concatenate([pairs.first[chosen], pairs.second[chosen]]), return_inverse=True)
    crops, same = pairs.crops[used], pairs.same[chosen]
    kind = helper.tensor_dtype_to_np_dtype(original.graph.input[0].type.tensor_type.elem_type)
    found = []
    for one in candidates(given):
        rows = foreign.run(original, one.apply(crops).astype(kind)).reshape(len(crops), -1)
        rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        values = (rows[place[: len(chosen)]] * rows[place[len(chosen) :]]).sum(1)
        found.append(FormResult(one, ComparisonScores(values[same], values[~same]).d_prime(), best_accuracy(values, same)))
    return sorted(found, key=lambda one: -one.d_prime)


def best_accuracy(values: NDArray[np.float64], same: NDArray[np.bool_]) -> float:
    """The largest share of pairs that one threshold decides rightly."""
    order = np.argsort(-values)
    right = np.cumsum(np.where(same[order], 1, -1)) + int((~same).sum())
    return float(right.max()) / len(same)
