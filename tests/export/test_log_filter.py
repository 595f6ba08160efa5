"""Loggers report as before once a library has written its file."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import fx, nn

from export import qat, quantize
from export.log_filter import errors_only


@pytest.fixture
def disabled() -> Iterator[int]:
    """A level that another part of the program has disabled."""
    logging.disable(logging.DEBUG)
    yield logging.DEBUG
    logging.disable(logging.NOTSET)


def test_only_errors_are_reported_meanwhile(disabled: int, caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("library")
    with pytest.raises(ValueError, match="stop"), errors_only():
        log.warning("not reported")
        log.error("reported")
        raise ValueError("stop")
    log.warning("reported again")
    assert caplog.messages == ["reported", "reported again"]
    assert logging.root.manager.disable == disabled


def test_a_stricter_level_stays() -> None:
    logging.disable(logging.CRITICAL)
    try:
        with errors_only():
            assert logging.root.manager.disable == logging.CRITICAL
        assert logging.root.manager.disable == logging.CRITICAL
    finally:
        logging.disable(logging.NOTSET)


def test_quantizing_restores_the_level(disabled: int, float_model: Path, tmp_path: Path) -> None:
    faces = torch.zeros(1, 112, 112, 3, dtype=torch.uint8).numpy()
    quantize.Quantizer(float_model, faces, faces, tmp_path).make("minmax", (), tmp_path / "graph.onnx")
    assert logging.root.manager.disable == disabled


def test_training_for_int8_restores_the_level(disabled: int) -> None:
    pytest.importorskip("torchao")
    qat.prepared(fx.symbolic_trace(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval()))
    assert logging.root.manager.disable == disabled
