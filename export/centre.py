"""The centre of an embedder: the mean of its embeddings of many people. `adopt --centre` takes it off inside the graph.

Embeddings of a net whose centre is not 0 have a part in common, which says nothing about the person; without it, single pictures are told apart better.
Source: J. Mu and P. Viswanath, "All-but-the-top: simple and effective postprocessing for word representations", ICLR 2018, where directions go as well.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from device.contract import ClockfaceError
from export.crops import Crops, Embeddings
from export.visits import embedded
from training.recordio import RecordFile

FEWEST = 1000  # crops; the error of a mean of fewer is no longer small beside the centre


class CentreError(ClockfaceError):
    """The crops give no centre."""

    code = "adopt.centre"


def mean_embedding(model: onnx.ModelProto, records: Path) -> tuple[NDArray[np.float32], int]:
    """The mean, (D,), of a model's embeddings of all crops of a RecordIO file, black borders filled, and how many there are.

    Args:
        model: under the contract, without a card.

    Raises:
        CentreError: fewer than FEWEST crops.
        RecordError: the file cannot be read.
    """
    with RecordFile(records) as file:
        if len(file.keys) < FEWEST:
            raise CentreError(f"{records}: {len(file.keys)} crops; the mean of at least {FEWEST} different people is needed")
        print(f"embedding {len(file.keys)} crops of {records.name} ...", flush=True)
        rows = embedded(file, file.keys, _runner(model), filled=True)
    return np.asarray(rows.mean(axis=0, dtype=np.float64), np.float32), len(rows)


def _runner(model: onnx.ModelProto) -> Callable[[Crops], Embeddings]:
    """The model as a function; crops run one at a time, which is no slower than in batches."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry("session.disable_quant_qdq", "1")  # weights packed as int8 are unpacked once
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda crops: np.concatenate([session.run(None, {"crops": crop[None]})[0] for crop in crops])
