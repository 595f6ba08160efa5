"""`verify`: a well quantized file passes, a bad one fails and stays unchanged."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from device.vision.embedder import Embedder
from export import artefact, quantize
from export.__main__ import main
from tests.export.test_adopt import adopt, original
from tests.refused import refused as error
from training.synthetic import draw

GATE = ("--tar-loss", "0.1")  # with 60 mated pairs, TAR changes in steps of 1.7 points


def faces(people: range) -> np.ndarray:
    return np.stack([draw(person, 9) for person in people])


@pytest.fixture(scope="module")
def quantizer(float_model: Path, tmp_path_factory: pytest.TempPathFactory) -> quantize.Quantizer:
    return quantize.Quantizer(float_model, faces(range(100, 120)), faces(range(120, 140)), tmp_path_factory.mktemp("ranges"))


@pytest.fixture(scope="module")
def int8_model(quantizer: quantize.Quantizer, float_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("int8")
    quantizer.make("minmax", (), folder / "graph.onnx")
    quantize.write_like(float_model, onnx.load(folder / "graph.onnx"), "int8", folder / "net-int8.onnx")
    return folder / "net-int8.onnx"


def verify(model: Path, reference: Path, pairs: Path, *more: str) -> int:
    return main(["verify", str(model), "--reference", str(reference), "--pairs", str(pairs / "pairs.txt"), "--images", str(pairs), *GATE, *more])


def test_a_good_int8_file_passes_and_its_card_has_the_measurements(int8_model: Path, float_model: Path, drawn_pairs: Path, tmp_path: Path) -> None:
    model = Path(shutil.copy(int8_model, tmp_path))
    assert verify(model, float_model, drawn_pairs, "--size-mb", "8") == 0
    card = Embedder(model, "cpu").card
    by_measure = {entry["measure"]: entry for entry in card.accuracy}
    got, expected = (Embedder(path, "cpu").embed(np.stack([draw(3, 1)]))[0] for path in (model, float_model))
    assert by_measure["agreement"]["lowest_cosine"] - 1e-6 <= float(got @ expected) <= 1.0
    assert by_measure["pairs"]["pairs"] == 120 and len(by_measure["det"]["far"]) == len(by_measure["det"]["frr"])
    assert [time["threads"] for time in card.latency][0] == 1 and card.latency[0]["p50_ms"] > 0
    assert card.precision == "int8" and card.model_id != Embedder(float_model, "cpu").card.model_id
    kinds = [node.op_type for node in onnx.load(model).graph.node]
    assert kinds.count("Conv") == 17 and kinds.count("DequantizeLinear") > 2 * 17  # each convolution reads int8 weights and activations
    assert model.stat().st_size < 0.35 * float_model.stat().st_size


def refused(model: Path, reference: Path, pairs: Path, reason: str, capsys: pytest.CaptureFixture[str], *more: str) -> None:
    before = model.read_bytes()
    capsys.readouterr()
    assert verify(model, reference, pairs, *more) == 1
    assert reason in capsys.readouterr().err
    assert model.read_bytes() == before


def test_ranges_set_on_grey_images_fail(float_model: Path, drawn_pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grey = quantize.Quantizer(float_model, np.full((8, 112, 112, 3), 127, np.uint8), faces(range(2)), tmp_path)
    grey.make("minmax", (), tmp_path / "graph.onnx")
    quantize.write_like(float_model, onnx.load(tmp_path / "graph.onnx"), "int8", tmp_path / "net-int8.onnx")
    refused(tmp_path / "net-int8.onnx", float_model, drawn_pairs, "mean cosine to net.onnx", capsys)


@pytest.mark.parametrize("matching_card", [True, False])
def test_swapped_channels_fail(matching_card: bool, float_model: Path, drawn_pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = onnx.load(float_model)
    first = next(node for node in model.graph.node if node.op_type == "Conv").input[1]
    weights = next(tensor for tensor in model.graph.initializer if tensor.name == first)
    weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights)[:, ::-1].copy(), first))  # red and blue swapped
    if matching_card:
        artefact.set_card(model, dataclasses.replace(artefact.card_of(model, float_model), model_id=artefact.model_id(model)))
    path = tmp_path / "swapped.onnx"
    path.write_bytes(model.SerializeToString())
    refused(path, float_model, drawn_pairs, "mean cosine to net.onnx" if matching_card else "the card names the weights", capsys)


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.999])
def test_a_truncated_file_fails(
    kept: float, int8_model: Path, float_model: Path, drawn_pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = int8_model.read_bytes()
    (tmp_path / "cut.onnx").write_bytes(whole[: int(kept * len(whole))])
    refused(tmp_path / "cut.onnx", float_model, drawn_pairs, "cut.onnx", capsys)


def test_a_file_that_is_too_large_or_has_no_reference_fails(
    int8_model: Path, float_model: Path, drawn_pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = Path(shutil.copy(int8_model, tmp_path))
    refused(model, float_model, drawn_pairs, "at most 1 allowed", capsys, "--size-mb", "1")
    refused(model, int8_model, drawn_pairs, "the reference must be float32", capsys)
    assert main(["verify", str(model), "--pairs", str(drawn_pairs / "pairs.txt"), "--images", str(drawn_pairs)]) == 1
    assert "give that model with --reference" in capsys.readouterr().err


def test_a_float_model_passes_on_the_agreement_measured_by_build(float_model: Path, drawn_pairs: Path, tmp_path: Path) -> None:
    model = Path(shutil.copy(float_model, tmp_path))
    assert main(["verify", str(model), "--pairs", str(drawn_pairs / "pairs.txt"), "--images", str(drawn_pairs)]) == 0
    assert Embedder(model, "cpu").card.accuracy[0]["reference"] == "clockface-edge.pt"


def test_an_adopted_file_is_held_against_the_published_one(drawn_pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The published file has a name of its own for its input, and no card."""
    published = original(tmp_path / "published.onnx")
    stated = ("--colour", "BGR", "--mean", "103.53", "116.28", "123.675", "--std", "57.375", "57.12", "58.395")
    assert adopt(published, tmp_path / "out.onnx", *stated) == 0
    for options in ((), stated):
        assert verify(tmp_path / "out.onnx", published, drawn_pairs, *options) == 0
        assert "with BGR, mean 103.53 116.28 123.675, std 57.375 57.12 58.395" in capsys.readouterr().out
    entry = Embedder(tmp_path / "out.onnx", "cpu").card.accuracy[0]
    assert entry["reference"] == "published.onnx" and entry["lowest_cosine"] > 0.999999
    refused(tmp_path / "out.onnx", published, drawn_pairs, "mean cosine to published.onnx", capsys, "--colour", "RGB")


def test_the_worst_layer_is_found_and_kept_in_float(float_model: Path, quantizer: quantize.Quantizer, tmp_path: Path) -> None:
    """One channel is scaled up 300 times and scaled down again in the next layer, which wastes the int8 range of both layers."""
    model = onnx.load(float_model)
    readers = {name: [node for node in model.graph.node if name in node.input] for name in (node.output[0] for node in model.graph.node)}
    relu = next(node for node in model.graph.node if node.op_type == "Relu" and [n.op_type for n in readers[node.output[0]]] == ["Conv"])
    loud = next(node for node in model.graph.node if node.output[0] == relu.input[0])
    after = readers[relu.output[0]][0]
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for name, place, factor in ((loud.input[1], np.s_[0], 300.0), (loud.input[2], np.s_[0], 300.0), (after.input[1], np.s_[:, 0], 1 / 300)):
        values = numpy_helper.to_array(tensors[name]).copy()
        values[place] *= factor
        tensors[name].CopyFrom(numpy_helper.from_array(values, name))
    spoiled = tmp_path / "spoiled.onnx"
    spoiled.write_bytes(model.SerializeToString())
    np.testing.assert_allclose(Embedder(spoiled, "cpu").embed(faces(range(3))), Embedder(float_model, "cpu").embed(faces(range(3))), atol=1e-4)
    (tmp_path / "ranges").mkdir()
    its_own = quantize.Quantizer(spoiled, faces(range(100, 110)), faces(range(110, 120)), tmp_path / "ranges")
    both = (loud.name, after.name)  # the output of the ReLU is quantized as long as one of them is int8
    plain, helped = its_own.mean("minmax", ()), its_own.mean("minmax", both)
    assert plain < 0.98 < helped
    report = quantize.search(its_own, 0.98, ["minmax"])
    assert report.mean_cosine >= 0.98 and report.mean_cosine > plain
    assert set(both) <= set(quantize.in_float(report.kept)) and len(quantize.in_float(report.kept)) < 6
    assert all(kept.after > kept.before and "mean cosine" in kept.reason for kept in report.kept)


def test_corrected_biases_come_nearer_to_the_float_model(quantizer: quantize.Quantizer, tmp_path: Path) -> None:
    quantizer.make("minmax", (), tmp_path / "plain.onnx")
    plain = float(quantizer.cosines(tmp_path / "plain.onnx").mean())
    corrected = quantizer.make_corrected("minmax", (), tmp_path / "corrected.onnx")
    assert corrected >= plain and corrected == pytest.approx(float(quantizer.cosines(tmp_path / "corrected.onnx").mean()))


def test_a_layer_kept_from_the_start_is_in_float(float_model: Path, tmp_path: Path) -> None:
    name = next(node.name for node in onnx.load(float_model).graph.node if node.op_type == "Conv" and node.name)
    quantize.Quantizer(float_model, faces(range(4)), faces(range(4, 8)), tmp_path, (name,)).make("minmax", (), tmp_path / "graph.onnx")
    [kept] = [node for node in onnx.load(tmp_path / "graph.onnx").graph.node if node.name == name]
    weights = {tensor.name: tensor.data_type for tensor in onnx.load(tmp_path / "graph.onnx").graph.initializer}
    assert weights[kept.input[1]] == onnx.TensorProto.FLOAT
    with error("quantize", "no-such-layer", name):
        quantize.Quantizer(float_model, faces(range(4)), faces(range(4)), tmp_path, ("no-such-layer",))


def test_float16_agrees_and_is_half_as_large(float_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "half.onnx"
    assert main(["quantize", str(float_model), "--to", "float16", "--out", str(out)]) == 0
    half = Embedder(out, "cpu")
    assert half.card.precision == "float16" and half.card.accuracy == ()
    assert np.sum(half.embed(faces(range(4))) * Embedder(float_model, "cpu").embed(faces(range(4))), axis=1).min() > 0.9999
    assert out.stat().st_size < 0.55 * float_model.stat().st_size


def test_ranges_are_not_set_on_unaligned_photos(float_model: Path, shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in sorted((shared / "faces/strangers").iterdir())[:25]:
        cv2.imwrite(str(tmp_path / f"{path.stem}.png"), cv2.resize(cv2.imread(str(path)), (112, 112)))
    assert main(["quantize", str(float_model), "--out", str(tmp_path / "out.onnx"), "--folder", str(tmp_path)]) == 1
    assert "not aligned" in capsys.readouterr().err and not (tmp_path / "out.onnx").exists()
