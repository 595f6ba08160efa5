"""A patch rebuilds an adopted file from its original, or is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from device.vision.downloads import apply_patch
from export.__main__ import main
from export.patch import check, make_patch
from tests.export.test_adopt import WEIGHTS, adopt, original
from tests.refused import refused


def test_a_patch_rebuilds_the_adopted_file_without_its_weights(tmp_path: Path) -> None:
    assert adopt(original(tmp_path / "in.onnx"), tmp_path / "out.onnx") == 0
    base, target = (tmp_path / "in.onnx").read_bytes(), (tmp_path / "out.onnx").read_bytes()
    patch = make_patch(base, target)
    assert apply_patch(base, patch) == target
    assert WEIGHTS.tobytes() not in patch
    assert apply_patch(b"\0" * len(base), patch) != target  # so the weights do come from the original


def test_a_patch_that_does_not_rebuild_the_file_is_refused(tmp_path: Path) -> None:
    base = original(tmp_path / "in.onnx").read_bytes()
    with refused("patch", str(tmp_path / "out.onnx")):
        check(base, make_patch(base, base), base + b"more", tmp_path / "out.onnx")


def test_a_patch_of_what_is_no_model_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = tmp_path / "text.onnx"
    text.write_text("not a model")
    for model in (text, tmp_path / "missing.onnx"):
        assert main(["patch", str(original(tmp_path / "in.onnx")), str(model), str(tmp_path / "out.patch")]) == 1
        assert str(model) in capsys.readouterr().err
    assert not (tmp_path / "out.patch").exists()
