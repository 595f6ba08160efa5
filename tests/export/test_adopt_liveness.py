"""The adopted liveness model gives the mean of its nets' probabilities; weights that do not become one are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from device.vision import catalogue
from device.vision.liveness import OUTPUT, LivenessModel
from export.__main__ import main
from export.adopt_liveness import Ensemble, check_parity, read_weights, smooth, weights_and_scale
from tests.refused import refused
from training.backbones.minifasnet import MiniFASNet


def weights(path: Path, name: str) -> Path:
    """Random weights of a net, with the prefix that the published files have."""
    torch.manual_seed(len(name))
    torch.save({f"module.{key}": value for key, value in MiniFASNet(name).state_dict().items()}, path)
    return path


def mean_probability(nets: list[MiniFASNet], crops: list[np.ndarray]) -> np.ndarray:
    """Softmax and mean by numpy; the second class is the living face."""
    found = []
    for net, crop in zip(nets, crops, strict=True):
        bgr = np.ascontiguousarray(crop[..., ::-1].transpose(0, 3, 1, 2)).astype(np.float32)
        with torch.inference_mode():
            powers = np.exp(net(torch.from_numpy(bgr)).numpy())
        found.append(powers[:, 1] / powers.sum(1))
    return np.mean(found, axis=0)


def test_two_nets_become_one_file(tmp_path: Path) -> None:
    files = [weights(tmp_path / f"{name}.pth", name) for name in ("v2", "v1se")]
    out = tmp_path / "own.onnx"
    given = [f"{files[0]}:2.7", f"{files[1]}:4"]
    assert main(["adopt-liveness", *given, "--out", str(out), "--licence", "MIT", "--training-data", "none", "--threshold", "0.4", "--pictures", "7"]) == 0
    model = LivenessModel(out)
    assert [(crop.scale, crop.size) for crop in model.card.crops] == [(2.7, 80), (4.0, 80)]
    assert (model.card.threshold, model.card.pictures, model.card.measured) == (0.4, 7, ())
    crops = smooth(5, 2, 9)
    got = model._session.run([OUTPUT], {f"crop_{number}": crop for number, crop in enumerate(crops)})[0]
    np.testing.assert_allclose(got, mean_probability([read_weights(str(file)) for file in files], crops), atol=1e-5)


def test_the_shipped_file_is_the_published_nets(shared: Path) -> None:
    files = [shared / "pad" / "models" / name for name in ("minifasnet_v2_2.7_80x80.pth", "minifasnet_v1se_4.0_80x80.pth")]
    ensemble = Ensemble([read_weights(str(file)) for file in files]).eval()
    assert check_parity(catalogue.path("liveness"), ensemble) < 1e-4


def test_another_net_than_the_file_is_noticed(tmp_path: Path) -> None:
    nets = [read_weights(str(weights(tmp_path / f"{name}.pth", name))) for name in ("v2", "v1se")]
    with refused("adopt_liveness"):
        check_parity(catalogue.path("liveness"), Ensemble(nets).eval())


@pytest.mark.parametrize("given", ["v2.pth", ":2.7", "v2.pth:", "v2.pth:near", "v2.pth:-1"])
def test_weights_without_a_scale_are_refused(given: str) -> None:
    with refused("adopt_liveness", "minifasnet-v2:2.7"):
        weights_and_scale(given)


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with refused("adopt_liveness", "missing.pth"):
        read_weights(str(tmp_path / "missing.pth"))
    (tmp_path / "text.pth").write_text("no weights")
    with refused("adopt_liveness", "text.pth"):
        read_weights(str(tmp_path / "text.pth"))
