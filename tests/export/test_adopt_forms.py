"""The forms that exporters of the field give a model, each taken by `adopt`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from device.vision.embedder import Embedder
from export.adopt import in_one_run, smooth_crops
from tests.export.test_adopt import WEIGHTS, D, adopt, original, unit


def net_of_torch() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(3, 6, 7, 7), torch.nn.PReLU(6), torch.nn.Conv2d(6, D, 16)).eval()  # (N, D, 1, 1)


class Shaped(torch.nn.Module):
    """Fixes the batch in a Reshape, and has the length of the embedding as a second output, as models of the field do."""

    def __init__(self) -> None:
        super().__init__()
        self.net = net_of_torch()

    def forward(self, crops: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        rows = self.net(crops).view(1, -1)
        length = rows.norm(dim=1, keepdim=True)
        return rows / length, length


OURS = {"input_names": ["crops"], "output_names": ["embeddings", "norm"]}
EXPORTS = {  # how -> net, options of torch, of adopt
    "as torch does by default": (net_of_torch, {"dynamo": True}, ()),
    "by tracing": (net_of_torch, {"dynamo": False, "opset_version": 11}, ()),
    "two outputs, names of ours, a fixed batch": (Shaped, {"dynamo": True, **OURS}, ("--output", "embeddings")),
    "the same by tracing": (Shaped, {"dynamo": False, **OURS}, ("--output", "embeddings")),
}


@pytest.mark.filterwarnings("ignore")  # of torch, while it exports
@pytest.mark.parametrize("how", EXPORTS)
def test_what_torch_writes_is_taken(how: str, tmp_path: Path) -> None:
    net, options, more = EXPORTS[how]
    torch.onnx.export(net(), (torch.zeros(1, 3, 112, 112),), tmp_path / "in.onnx", **options)
    assert adopt(tmp_path / "in.onnx", tmp_path / "out.onnx", *more) == 0
    crops = smooth_crops(3)
    expected = net_of_torch()(torch.from_numpy(crops).float().permute(0, 3, 1, 2)).flatten(1).detach().numpy()
    np.testing.assert_allclose(Embedder(tmp_path / "out.onnx", "cpu").embed(crops), unit(expected), atol=1e-5)


def test_of_several_outputs_one_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = onnx.load(original(tmp_path / "in.onnx"))
    model.graph.output.append(helper.make_tensor_value_info("flat", TensorProto.FLOAT, [1, 3]))
    onnx.save(model, tmp_path / "two.onnx")
    for options in ((), ("--output", "none")):
        assert adopt(tmp_path / "two.onnx", tmp_path / "out.onnx", *options) == 1
        assert "embedding, flat" in capsys.readouterr().err
    assert adopt(tmp_path / "two.onnx", tmp_path / "out.onnx", "--output", "flat") == 0
    assert Embedder(tmp_path / "out.onnx", "cpu").card.embedding_size == 3


def test_an_old_format_and_a_shape_in_a_constant_node_are_taken(tmp_path: Path) -> None:
    """IR version 3 lists weights as inputs; here the signature does not tell the size of the embedding either."""
    model = onnx.load(original(tmp_path / "in.onnx", opset=8))
    (shape,) = [tensor for tensor in model.graph.initializer if tensor.name == "shape"]
    model.graph.initializer.remove(shape)
    model.graph.node.insert(0, helper.make_node("Constant", [], ["shape"], value=numpy_helper.from_array(np.array([1, 3]))))
    model.graph.output[0].type.tensor_type.ClearField("shape")
    model.ir_version = 3
    onnx.save(model, tmp_path / "old.onnx")
    assert adopt(tmp_path / "old.onnx", tmp_path / "out.onnx") == 0
    crops = smooth_crops(2)
    np.testing.assert_allclose(Embedder(tmp_path / "out.onnx", "cpu").embed(crops), unit(crops.mean(axis=(1, 2)) @ WEIGHTS), atol=1e-5)


def test_an_input_with_the_colours_last_is_taken(tmp_path: Path) -> None:
    """As exporters of TensorFlow write it."""
    model = onnx.load(original(tmp_path / "in.onnx"))
    turn = helper.make_node("Transpose", ["crops"], ["data"], perm=[0, 3, 1, 2])
    model.graph.node.insert(0, turn)
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("crops", TensorProto.FLOAT, [1, 112, 112, 3]))
    onnx.save(model, tmp_path / "last.onnx")
    assert adopt(tmp_path / "last.onnx", tmp_path / "out.onnx", "--colour", "BGR") == 0
    crops = smooth_crops(2)
    np.testing.assert_allclose(Embedder(tmp_path / "out.onnx", "cpu").embed(crops), unit(crops[..., ::-1].mean(axis=(1, 2)) @ WEIGHTS), atol=1e-5)


def of_any_size(model: onnx.ModelProto) -> None:
    for dim in (*model.graph.input[0].type.tensor_type.shape.dim,)[2:]:
        dim.dim_param = "side"


def of_four_crops(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 4


def without_a_shape(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.ClearField("shape")


def of_bytes(model: onnx.ModelProto) -> None:
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("pixels", TensorProto.UINT8, [1, 112, 112, 3]))
    model.graph.node.insert(0, helper.make_node("Cast", ["pixels"], ["last"], to=TensorProto.FLOAT))
    model.graph.node.insert(1, helper.make_node("Transpose", ["last"], ["data"], perm=[0, 3, 1, 2]))


def with_names_of_ours(model: onnx.ModelProto) -> None:
    """As a file of `adopt` from which the card was taken out."""
    pool, shape, _ = model.graph.node
    pool.output[0] = shape.input[0] = "clockface_in0"
    pool.name = "clockface_Cast_0"


def with_one_target_of_two_reshapes(model: onnx.ModelProto) -> None:
    """As torch writes a net that sees a crop twice: (1, 3) with `allowzero`, once for both."""
    again = helper.make_node("Reshape", ["flat", "shape"], ["again"], allowzero=1)
    model.graph.node[1].attribute.append(helper.make_attribute("allowzero", 1))
    model.graph.node.insert(2, again)
    model.graph.node[3].input[0] = "again"
    model.opset_import[0].version = 14


def as_mxnet_writes_it(model: onnx.ModelProto) -> None:
    """One slope per channel, without its other axes, and batch norm that is not `spatial`; neither changes these numbers."""
    for name, value in (("slope", np.linspace(0.1, 0.3, 3)), ("one", np.ones(3)), ("zero", np.zeros(3))):
        model.graph.initializer.append(numpy_helper.from_array(value.astype(np.float32), name))
    norm = helper.make_node("BatchNormalization", ["data", "one", "zero", "zero", "one"], ["normed"], epsilon=0.0, spatial=0)
    model.graph.node.insert(0, norm)
    model.graph.node.insert(1, helper.make_node("PRelu", ["normed", "slope"], ["active"]))
    model.graph.node[2].input[0] = "active"
    model.opset_import[0].version, model.ir_version = 8, 3


FIELD = [of_any_size, of_four_crops, without_a_shape, of_bytes, with_names_of_ours, with_one_target_of_two_reshapes, as_mxnet_writes_it]


@pytest.mark.parametrize("change", FIELD)
def test_forms_of_the_field_are_taken(change: Callable[[onnx.ModelProto], None], tmp_path: Path) -> None:
    model = onnx.load(original(tmp_path / "in.onnx", listed=change is as_mxnet_writes_it))
    change(model)
    onnx.save(model, tmp_path / "field.onnx")
    assert adopt(tmp_path / "field.onnx", tmp_path / "out.onnx") == 0
    crops = smooth_crops(3)
    np.testing.assert_allclose(in_one_run(tmp_path / "out.onnx", crops), unit(crops.mean(axis=(1, 2)) @ WEIGHTS), atol=1e-5)


@pytest.mark.parametrize("opset", [7, 9, 22])
def test_old_and_new_operators_are_taken(opset: int, tmp_path: Path) -> None:
    assert adopt(original(tmp_path / "in.onnx", opset=opset), tmp_path / "out.onnx") == 0
    crops = smooth_crops(2)
    np.testing.assert_allclose(in_one_run(tmp_path / "out.onnx", crops), unit(crops.mean(axis=(1, 2)) @ WEIGHTS), atol=1e-5)


def test_weights_in_a_file_beside_it_are_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = onnx.load(original(tmp_path / "in.onnx"))
    onnx.save(model, tmp_path / "beside.onnx", save_as_external_data=True, location="beside.data", size_threshold=0)
    assert adopt(tmp_path / "beside.onnx", tmp_path / "out.onnx") == 0
    crops = smooth_crops(2)
    np.testing.assert_allclose(in_one_run(tmp_path / "out.onnx", crops), unit(crops.mean(axis=(1, 2)) @ WEIGHTS), atol=1e-5)
    (tmp_path / "beside.data").unlink()
    assert adopt(tmp_path / "beside.onnx", tmp_path / "again.onnx") == 1
    assert "beside.data" in capsys.readouterr().err
