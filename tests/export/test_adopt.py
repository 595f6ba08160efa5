"""Adopted models agree with the original; if they do not, nothing is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import quantize_dynamic

from device.vision.embedder import Embedder
from export.__main__ import main
from export.adopt import adopt as converted
from export.adopt import in_one_run, smooth_crops
from export.centre import FEWEST, mean_embedding
from export.foreign import precision, tidied
from export.preprocessing import Preprocessing, in_graph, measure
from tests.refused import refused
from training.checkpoint import load_embedder
from training.pairs import from_text
from training.recordio import Record, write_records

MODELS = Path(__file__).resolve().parents[2] / "models"
D = 8
WEIGHTS = np.random.default_rng(0).normal(size=(3, D)).astype(np.float32)
MEAN, STD = (10.0, 20.0, 30.0), (50.0, 60.0, 70.0)


def original(path: Path, kind: int = TensorProto.FLOAT, batch: object = 1, listed: bool = True, side: int = 112, reshape: bool = True, opset: int = 13) -> Path:
    """Mean colour times a matrix, with a batch of one in its Reshape and the weights listed as inputs, as old exporters write it."""
    weights = numpy_helper.from_array(WEIGHTS.astype(helper.tensor_dtype_to_np_dtype(kind)), "weights")
    shape = numpy_helper.from_array(np.array([1, 3]), "shape")
    steps = [
        helper.make_node("GlobalAveragePool", ["data"], ["pooled"]),
        helper.make_node("Reshape", ["pooled", "shape"], ["flat"]) if reshape else helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["embedding"]),
    ]
    inputs = [helper.make_tensor_value_info("data", kind, [batch, 3, side, side])]
    if listed:
        inputs.append(helper.make_tensor_value_info("weights", kind, [3, D]))
    graph = helper.make_graph(steps, "net", inputs, [helper.make_tensor_value_info("embedding", kind, [batch, D])], [weights, shape])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)
    return path


def adopt(source: Path, out: Path, *more: str) -> int:
    return main(["adopt", str(source), "--out", str(out), "--name", "net", "--licence", "MIT", "--training-data", "none", *more])


@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.FLOAT16])
@pytest.mark.parametrize(("batch", "listed", "reshape"), [(1, True, True), ("N", False, False)])
def test_embeddings_equal_the_formula(kind: int, batch: object, listed: bool, reshape: bool, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    options = ["--colour", "BGR", "--mean", *map(str, MEAN), "--std", *map(str, STD)]
    assert adopt(original(tmp_path / "in.onnx", kind, batch, listed, reshape=reshape), out, *options) == 0
    crops = smooth_crops(5)
    colour = (crops[..., ::-1].astype(np.float64) - MEAN) / STD
    expected = colour.mean(axis=(1, 2)) @ WEIGHTS
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    embedder = Embedder(out, "cpu")
    np.testing.assert_allclose(embedder.embed(crops), expected, atol=1e-5 if kind == TensorProto.FLOAT else 5e-3)
    assert (embedder.card.name, embedder.card.embedding_size, embedder.card.operating_points) == ("net", D, ())


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As many crops of one colour each as a centre needs, some with a black border; losslessly encoded."""
    path = tmp_path_factory.mktemp("records") / "people.rec"
    shades = np.random.default_rng(2).integers(60, 256, (FEWEST, 3))
    crops = np.broadcast_to(shades[:, None, None].astype(np.uint8), (FEWEST, 112, 112, 3)).copy()
    crops[::3, :, :40] = 0
    encoded = [cv2.imencode(".png", crop[:, :, ::-1])[1].tobytes() for crop in crops]
    header = Record((FEWEST + 1.0, FEWEST + 1.0), b"")
    write_records(path, [(0, header), *((key, Record((-1.0,), data)) for key, data in enumerate(encoded, 1))])
    np.save(path.with_suffix(".npy"), shades)
    return path


def unit(rows: Any) -> Any:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_the_centre_is_the_mean_of_the_faces_without_their_black_borders(records: Path, tmp_path: Path) -> None:
    source = original(tmp_path / "in.onnx")
    for name, options in (("plain", []), ("centred", ["--centre", str(records)])):
        assert adopt(source, tmp_path / f"{name}.onnx", *options) == 0
    plain, centred = (Embedder(tmp_path / f"{name}.onnx", "cpu") for name in ("plain", "centred"))
    centre = unit(np.load(records.with_suffix(".npy")).astype(np.float64) @ WEIGHTS).mean(axis=0)  # filled crops are of one colour
    crops = smooth_crops(5)
    np.testing.assert_allclose(centred.embed(crops), unit(unit(crops.astype(np.float64).mean(axis=(1, 2)) @ WEIGHTS) - centre), atol=2e-4)
    assert centred.card.training_data == f"none; the mean embedding of {FEWEST} faces of people is taken off"
    assert plain.card.training_data == "none" and plain.card.model_id != centred.card.model_id


@pytest.mark.parametrize("opset", [11, 13])
def test_a_centre_is_taken_off_embeddings_of_unit_length(opset: int, tmp_path: Path) -> None:
    model, _ = converted(onnx.load(original(tmp_path / "in.onnx", opset=opset)), Preprocessing(), np.full(D, 0.25, np.float32))
    onnx.save(model, tmp_path / "out.onnx")
    crops = smooth_crops(5)
    expected = unit(unit(crops.astype(np.float64).mean(axis=(1, 2)) @ WEIGHTS) - 0.25)
    np.testing.assert_allclose(in_one_run(tmp_path / "out.onnx", crops), expected, atol=1e-5)


def test_a_centre_needs_many_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "few.rec"
    crop = cv2.imencode(".png", np.full((112, 112, 3), 90, np.uint8))[1].tobytes()
    write_records(path, [(0, Record((3.0, 3.0), b"")), (1, Record((-1.0,), crop)), (2, Record((-1.0,), crop))])
    assert adopt(original(tmp_path / "in.onnx"), tmp_path / "out.onnx", "--centre", str(path)) == 1
    assert "2 crops" in capsys.readouterr().err and not (tmp_path / "out.onnx").exists()
    with refused("adopt.centre"):
        mean_embedding(onnx.load(tmp_path / "in.onnx"), path)


@pytest.mark.parametrize("form", [Preprocessing(), Preprocessing("BGR", (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)), Preprocessing(std=(255.0,) * 3)])
def test_the_file_says_what_its_original_expects(form: Preprocessing, tmp_path: Path) -> None:
    model, _ = converted(onnx.load(original(tmp_path / "in.onnx")), form)
    assert in_graph(model) == form
    with refused("adopt.preprocessing"):
        in_graph(onnx.load(tmp_path / "in.onnx"))


@pytest.mark.parametrize(("kind", "name"), [(TensorProto.FLOAT, "float32"), (TensorProto.FLOAT16, "float16")])
def test_the_card_has_the_precision_of_the_graph(kind: int, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = original(tmp_path / "in.onnx", kind)
    assert adopt(source, tmp_path / "out.onnx") == 0
    assert Embedder(tmp_path / "out.onnx", "cpu").card.precision == name
    assert adopt(source, tmp_path / "int8.onnx", "--precision", "int8") == 1
    assert f"computes in {name}" in capsys.readouterr().err and not (tmp_path / "int8.onnx").exists()


@pytest.mark.parametrize(("file", "name"), [("clockface-mobile-int8.onnx", "int8"), ("clockface-edge.onnx", "float32")])
def test_the_precision_of_files_that_ship(file: str, name: str) -> None:
    assert precision(onnx.load(MODELS / file)) == name


@pytest.mark.filterwarnings("ignore")  # of torch, while it exports
def test_pairs_show_colour_order_mean_and_std(shared: Path, tmp_path: Path) -> None:
    """The net behind `clockface-edge` takes red first, minus 127.5, by 128; whoever says otherwise is not believed."""
    embedder, _ = load_embedder(MODELS / "clockface-edge.pt")
    torch.onnx.export(embedder.backbone, (torch.zeros(1, 3, 112, 112),), tmp_path / "in.onnx", dynamo=True)
    data = from_text(shared / "faces" / "verify" / "pairs.txt", shared / "faces" / "verify")
    table = measure(tidied(onnx.load(tmp_path / "in.onnx")), Preprocessing("BGR"), data, most=100)
    right = [one for one in table if one.preprocessing.colour == "RGB" and one.preprocessing.mean == (127.5,) * 3]
    assert table[:2] == right and len(table) == 10  # 127.5 and 128 differ by little
    assert table[0].accuracy > 0.9 and table[-1].accuracy < table[0].accuracy - 0.1


def test_model_id_depends_on_weights_and_preprocessing_only(tmp_path: Path) -> None:
    source = original(tmp_path / "in.onnx")
    ids = []
    for index, options in enumerate([[], [], ["--mean", "1", "1", "1"]]):
        assert adopt(source, tmp_path / f"{index}.onnx", *options) == 0
        ids.append(Embedder(tmp_path / f"{index}.onnx", "cpu").card.model_id)
    assert ids[0] == ids[1] != ids[2]


def test_another_input_is_refused_and_nothing_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert adopt(original(tmp_path / "in.onnx", side=96), tmp_path / "out.onnx") == 1
    assert "(N, 3, 112, 112)" in capsys.readouterr().err
    assert not (tmp_path / "out.onnx").exists()


def test_ranges_that_depend_on_the_batch_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quantize_dynamic(original(tmp_path / "in.onnx", batch="N", listed=False, reshape=False), tmp_path / "int8.onnx")
    assert adopt(tmp_path / "int8.onnx", tmp_path / "out.onnx") == 1
    assert "dynamic quantization" in capsys.readouterr().err and not (tmp_path / "out.onnx").exists()


def test_a_file_that_is_not_a_model_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in.onnx").write_text("hello")
    assert adopt(tmp_path / "in.onnx", tmp_path / "out.onnx") == 1
    assert "not an ONNX file" in capsys.readouterr().err


def test_preprocessing_out_of_range_is_refused() -> None:
    with refused("adopt.preprocessing"):
        Preprocessing(std=(0.0, 1.0, 1.0))
