"""Aligned crops to embeddings: ONNX Runtime on the best provider that works on this machine."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from device.contract import CARD_KEY, COHORT_KEY, CROP_SIZE, ClockfaceError, ContractError, ModelCard
from device.vision.cohort import Cohort

PROVIDERS = {"tensorrt": "TensorrtExecutionProvider", "cuda": "CUDAExecutionProvider", "cpu": "CPUExecutionProvider"}  # best first
AGREEMENT = 0.99  # least cosine between another provider's embeddings and the CPU's for the same crops, checked at the start

BATCH = 1  # crops per run: more are no faster on a CPU, and each takes about 25 MB


class EmbedderError(ClockfaceError):
    """The embedder cannot run with these settings."""

    code = "embedder"


class Embedder:
    """An embedding model that keeps the contract.

    Args:
        path: verified .onnx file, see `device.vision.catalogue.path`.
        provider: "auto", or one of PROVIDERS that must work.
        threads: per run; 0: one per core, at most 4.

    Raises:
        ContractError: no card, or a graph that breaks the contract.
        EmbedderError: not a model, or the provider in the settings is not available or gives wrong results.
    """

    def __init__(self, path: Path, provider: str = "auto", threads: int = 0) -> None:
        self.path = path
        self._threads = threads or min(4, os.cpu_count() or 1)
        if provider not in ("auto", *PROVIDERS):
            raise EmbedderError(f"[embedder] provider {provider!r}: expected auto, {', '.join(PROVIDERS)}", code="embedder.provider")
        self._unpack = True
        self._session = self._open("cpu")
        self.card = read_card(self._session, path)
        if self.card.precision == "int8":
            self._unpack = False
            self._session = self._open("cpu")
        check_graph(self._session, self.card, path)
        self.cohort = read_cohort(self._session, self.card)
        self.provider, self.provider_report = self._choose(provider)

    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(N, 112, 112, 3) uint8 RGB -> (N, D) float32, unit length."""
        if crops.dtype != np.uint8 or crops.shape[1:] != (CROP_SIZE, CROP_SIZE, 3):
            raise ContractError(f"crops: expected (N, {CROP_SIZE}, {CROP_SIZE}, 3) uint8 RGB, got {crops.shape} {crops.dtype}", code="contract.crops")
        name, parts = self._session.get_inputs()[0].name, range(0, max(len(crops), 1), BATCH)
        return np.concatenate([self._session.run(None, {name: crops[start : start + BATCH]})[0] for start in parts])

    def _choose(self, provider: str) -> tuple[str, tuple[str, ...]]:
        """The best provider that passes a real run, and one line per provider tried, with the reason where it was rejected."""
        report = []
        cpu = self._session
        crops = np.random.default_rng(0).integers(0, 256, (2, CROP_SIZE, CROP_SIZE, 3), dtype=np.uint8)
        expected = self.embed(crops)
        for name in PROVIDERS if provider == "auto" else (provider,):
            fault = self._try(name, cpu, crops, expected)
            report.append(f"{name}: {fault or 'in use'}")
            if fault is None:
                return name, tuple(report)
        raise EmbedderError(f"no provider works: {'; '.join(report)}; set [embedder] provider to auto, or install its runtime", code="embedder.provider")

    def _try(self, name: str, cpu: Any, crops: NDArray[np.uint8], expected: NDArray[np.float32]) -> str | None:
        if PROVIDERS[name] not in ort.get_available_providers():
            return "not in this build of onnxruntime"
        try:
            self._session = cpu if name == "cpu" else self._open(name)
            if PROVIDERS[name] not in self._session.get_providers():
                raise EmbedderError("its libraries do not load")
            got = self.embed(crops)
        except Exception as error:  # onnxruntime raises many kinds; after any of them the provider does not work
            self._session = cpu
            return f"does not run ({str(error).splitlines()[0]:.200})"
        lowest = float(np.sum(got * expected, axis=1).min())
        unit = np.abs(np.linalg.norm(got, axis=1) - 1.0).max()
        if not (lowest >= AGREEMENT and unit < 1e-3):  # NaN fails too
            self._session = cpu
            return f"its embeddings differ from the CPU's (cosine {lowest:.3f})"
        return None

    def _open(self, provider: str) -> Any:
        return open_session(self.path, self._threads, list(dict.fromkeys([PROVIDERS[provider], PROVIDERS["cpu"]])), self._unpack)


def card_in(path: Path) -> ModelCard:
    """The card of a model file, which is opened without being prepared to run: some 20 ms and little memory.

    Raises:
        EmbedderError: not a model that onnxruntime can load.
        ContractError: there is no card, or it is not valid.
    """
    return read_card(open_session(path, 1, to_run=False), path)


def open_session(path: Path, threads: int, providers: Sequence[str] = (PROVIDERS["cpu"],), unpack: bool = False, to_run: bool = True) -> Any:
    """A session of onnxruntime.

    Args:
        unpack: weights packed as int8 in a float graph are unpacked once, not in every run; a graph that calculates in int8 keeps its int8 kernels without it.
        to_run: prepare the graph to run fast; without it the session opens sooner, to be read.

    Raises:
        EmbedderError: no such file, or not a model that this onnxruntime can load.
    """
    options = ort.SessionOptions()
    if not to_run:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # waiting threads do not occupy cores
    options.add_session_config_entry("session.disable_quant_qdq", str(int(unpack)))
    options.log_severity_level = 4
    if not path.is_file():
        raise EmbedderError(f"{path}: there is no such file; give the path of a model, or run `python -m device models pull`", code="embedder.file")
    try:
        return ort.InferenceSession(str(path), options, providers=list(providers))
    except Exception as error:  # onnxruntime has no common base class for its errors
        reason = str(error).splitlines()[0]
        raise EmbedderError(
            f"{path} is not a model that onnxruntime can load ({reason:.200}); run `python -m device models pull`", code="embedder.file"
        ) from error


def read_card(session: Any, path: Path) -> ModelCard:
    """The model card inside the file.

    Raises:
        ContractError: there is none, or it is not valid.
    """
    text = session.get_modelmeta().custom_metadata_map.get(CARD_KEY)
    if text is None:
        raise ContractError(f"{path} has no model card; add one with `python -m export adopt`", code="contract.no_card")
    return ModelCard.from_json(text)


def read_cohort(session: Any, card: ModelCard) -> Cohort | None:
    """The cohort inside the file; None where it has none.

    Raises:
        ContractError: it is damaged.
    """
    text = session.get_modelmeta().custom_metadata_map.get(COHORT_KEY)
    return None if text is None else Cohort.from_text(text, card.embedding_size)


def check_graph(session: Any, card: ModelCard, path: Path) -> None:
    """One input uint8 (N, 112, 112, 3), one output float32 (N, D), N dynamic.

    Raises:
        ContractError: the graph has other inputs or outputs; the message says which.
    """
    expected = [("uint8", [CROP_SIZE, CROP_SIZE, 3]), ("float", [card.embedding_size])]
    for kind, values, (wanted, shape) in zip(("input", "output"), (session.get_inputs(), session.get_outputs()), expected, strict=True):
        fits = len(values) == 1 and values[0].type == f"tensor({wanted})" and list(values[0].shape[1:]) == shape
        if not fits or isinstance(values[0].shape[0], int):
            got = [(value.type, value.shape) for value in values]
            raise ContractError(
                f"{path}: {kind} expected one tensor({wanted}) of shape ['N', {str(shape)[1:]}, got {got}; run `python -m export adopt`", code="contract.graph"
            )
