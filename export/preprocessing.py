"""What a model of somebody else expects of its pixels, and a measurement of which of the usual forms it is."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from export import foreign
from export.foreign import PREFIX, AdoptError
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

    def as_text(self) -> str:
        mean, std = (" ".join(f"{value:g}" for value in values) for values in (self.mean, self.std))
        return f"{self.colour}, mean {mean}, std {std}"

    def apply(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(N, 112, 112, 3) uint8 RGB -> (N, 3, 112, 112) float32; independent of the graph, as the oracle of the parity check."""
        ordered = crops if self.colour == "RGB" else crops[..., ::-1]
        scaled = (ordered.astype(np.float32) - np.asarray(self.mean, np.float32)) / np.asarray(self.std, np.float32)
        return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))


def as_published(
    original: onnx.ModelProto, preprocessing: Preprocessing, centre: NDArray[np.float32] | None = None
) -> Callable[[NDArray[np.uint8]], NDArray[np.float64]]:
    """The original, run crop by crop, as an embedder: (N, 112, 112, 3) uint8 RGB -> (N, D) of unit length, minus the centre.

    Args:
        original: as `foreign.tidied` gives it.
        centre: (D,), after which the rows get unit length again.
    """
    run, kind = foreign.opened(original), helper.tensor_dtype_to_np_dtype(original.graph.input[0].type.tensor_type.elem_type)

    def embed(crops: NDArray[np.uint8]) -> NDArray[np.float64]:
        rows = _unit(run(preprocessing.apply(crops).astype(kind)).reshape(len(crops), -1))
        return rows if centre is None else _unit(rows - centre)

    return embed


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))


def refuse_normalised_bytes(kind: int, preprocessing: Preprocessing) -> None:
    """Raises:
    AdoptError: the original takes whole numbers from 0 to 255, and would be given others.
    """
    if kind == TensorProto.UINT8 and (preprocessing.mean, preprocessing.std) != USUAL["as they are"]:
        raise AdoptError("the original takes uint8, so it has its mean and std inside; leave out --mean and --std", code="adopt.preprocessing")


def in_graph(model: onnx.ModelProto) -> Preprocessing:
    """What `adopt` or `build` wrote into a file, which is the only place where it stands.

    Raises:
        AdoptError: neither of them wrote this file.
    """
    if not any(node.name == f"{PREFIX}Cast_0" for node in model.graph.node):
        raise AdoptError("the model file was not written by `export adopt`, so it does not say what its original expects", code="adopt.preprocessing")
    values = constants(model)
    mean, std = (values.get(name, np.array(plain, np.float32)) for name, plain in (("mean", 0), ("std", 1)))
    return Preprocessing("BGR" if "order" in values else "RGB", *(_per_colour(each) for each in (mean, std)))


def constants(model: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    """The numbers that `adopt` added to a graph, by their names without the prefix."""
    found = (tensor for tensor in model.graph.initializer if tensor.name.startswith(PREFIX))
    return {tensor.name.removeprefix(PREFIX): numpy_helper.to_array(tensor) for tensor in found}


def _per_colour(values: NDArray[Any]) -> tuple[float, ...]:
    """One number, or (1, 3, 1, 112) with three that repeat -> three numbers."""
    each = values.reshape(3, -1)[:, 0] if values.size > 1 else np.full(3, values)
    return tuple(float(str(value)) for value in each.astype(np.float32))  # as it was written: 116.28, not 116.27999877


def add_form_arguments(parser: argparse.ArgumentParser, otherwise: str) -> None:
    """`--colour`, `--mean`, `--std` and `--output`, as a publisher states them; `stated` reads them."""
    parser.add_argument("--colour", choices=("RGB", "BGR"), help=f"order that the original expects ({otherwise}RGB)")
    parser.add_argument("--mean", type=float, nargs=3, help=f"what is taken off, 0 to 255, in that order ({otherwise}0 0 0)")
    parser.add_argument("--std", type=float, nargs=3, help=f"what is divided by, in that order ({otherwise}1 1 1)")
    parser.add_argument("--output", metavar="NAME", help="the output with the embeddings, where the original has several")


def stated(args: argparse.Namespace, base: Preprocessing) -> Preprocessing:
    """What stands on the command line; what does not is taken from `base`."""
    return Preprocessing(args.colour or base.colour, tuple(args.mean or base.mean), tuple(args.std or base.std))


USUAL = {  # mean and std, 0..255, equal for all colours but for ImageNet's
    "as they are": ((0.0,) * 3, (1.0,) * 3),
    "0 to 1": ((0.0,) * 3, (255.0,) * 3),
    "-1 to 1": ((127.5,) * 3, (127.5,) * 3),
    "minus 127.5, by 128": ((127.5,) * 3, (128.0,) * 3),
    "ImageNet": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),  # in the order red, green, blue
}


def candidates(given: Preprocessing, kind: int = TensorProto.FLOAT) -> list[Preprocessing]:
    """The usual forms in both colour orders, and the one that is given; of an original that takes uint8, the colour orders."""
    if kind == TensorProto.UINT8:
        return [Preprocessing("RGB"), Preprocessing("BGR")]
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
    found = []
    kind = original.graph.input[0].type.tensor_type.elem_type
    refuse_normalised_bytes(kind, given)
    for one in candidates(given, kind):
        rows = as_published(original, one)(crops)
        values = (rows[place[: len(chosen)]] * rows[place[len(chosen) :]]).sum(1)
        found.append(FormResult(one, ComparisonScores(values[same], values[~same]).d_prime(), best_accuracy(values, same)))
    return sorted(found, key=lambda one: -one.d_prime)


def best_accuracy(values: NDArray[np.float64], same: NDArray[np.bool_]) -> float:
    """The largest share of pairs that one threshold decides rightly."""
    order = np.argsort(-values)
    right = np.cumsum(np.where(same[order], 1, -1)) + int((~same).sum())
    return float(right.max()) / len(same)
