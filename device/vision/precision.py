"""The choice of a model family's artefact for this board: float32, float16 or int8, measured at the first start and stored.

int8 is faster where the processor has instructions for it and slower elsewhere, so the choice is made by measurement. A family is declared
in models.toml; `[embedder] model` names a family, one of its artefacts, or a file.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from device.config import Settings
from device.config.places import database_path
from device.contract import CROP_SIZE, ClockfaceError, ContractError
from device.system.files import Disk
from device.system.hardware import board_or_processor
from device.system.locks import FileLock
from device.vision.catalogue import Catalogue, ModelFile
from device.vision.embedder import Embedder, EmbedderError

MOST_ACCURATE_FIRST = ("float32", "float16", "int8")
CLEARLY = 0.9  # another artefact is chosen only where it needs less than this share of the time, so that noise never forces re-enrolment
WARM, ROUNDS, SECONDS = 2, 15, 1.5  # rounds before the first measured one; measured rounds at most; s after which no further round begins
Clock = Callable[[], float]


class ChoiceError(ClockfaceError):
    """No artefact of the family can be chosen."""

    code = "precision"


class Embeds(Protocol):
    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]: ...


@dataclass(frozen=True)
class Measured:
    """How fast one artefact is on this board, or why it cannot be used."""

    artefact: str
    precision: str = ""
    provider: str = ""
    ms: float | None = None  # median of one crop
    fault: str = ""

    @property
    def words(self) -> str:
        return f"{self.artefact} {self.ms:.2f} ms on {self.provider}" if self.ms is not None else f"{self.artefact} does not run ({self.fault:.120})"


@dataclass(frozen=True)
class Choice:
    """The chosen artefact, with the measurements behind the choice."""

    artefact: str
    circumstances: Mapping[str, Any]  # board, runtime, settings and files; a change of any of them leads to a new measurement
    measured: tuple[Measured, ...]

    @property
    def words(self) -> str:
        return f"{self.artefact}; one crop: {', '.join(one.words for one in self.measured)}"

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Choice:
        return cls(fields["artefact"], fields["circumstances"], tuple(Measured(**one) for one in fields["measured"]))


@dataclass(frozen=True)
class Opened:
    """The embedder in use, and why it was chosen."""

    embedder: Embedder
    words: str


def open_embedder(settings: Settings, catalogue: Catalogue | None = None, remember: bool = True) -> Opened:
    """The embedder named in the settings; for a family, the artefact chosen for this board, measured now if it was not before.

    Args:
        settings: of the terminal.
        catalogue: the models; None: those of models.toml.
        remember: store a new choice. `doctor` stores none.

    Raises:
        ModelError: a file is missing or is not the expected one.
        ContractError: the model breaks the contract.
        ChoiceError: no artefact of the family runs here, or the choice cannot be stored.
    """
    catalogue = catalogue or Catalogue.load()
    family = catalogue.family(settings.embedder.model)
    if len(family) < 2:
        return Opened(_open(catalogue.path(settings.embedder.model, settings.embedder.sha256), settings), f"{settings.embedder.model}: one artefact")
    file = choices_file(settings)
    current = circumstances(settings, family)
    former = read(file).get(settings.embedder.model)
    if former is None or former.circumstances != current:
        if not remember:
            choice, embedder = choose(family, catalogue, settings, current, former)
            return Opened(embedder, f"not chosen yet, the first start does this; now it would be {choice.words}")
        with _locked(file):
            former = read(file).get(settings.embedder.model)  # another process may just have measured
            if former is None or former.circumstances != current:
                choice, embedder = choose(family, catalogue, settings, current, former)
                _write(file, settings.embedder.model, choice)
                return Opened(embedder, choice.words)
    return Opened(_open(catalogue.path(former.artefact), settings), former.words)


def choices_file(settings: Settings) -> Path:
    """The file with the choices, beside the database in the settings: the same for every command, even one with another database."""
    return database_path(settings, None).with_name("artefacts.json")


def read(file: Path) -> dict[str, Choice]:
    """family -> choice; a file that cannot be read counts as empty and is written anew at the next start."""
    try:
        return {family: Choice.from_json(fields) for family, fields in json.loads(file.read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def circumstances(settings: Settings, family: Sequence[ModelFile]) -> dict[str, Any]:
    """All that the speed of the artefacts depends on."""
    return {
        "board": board_or_processor(),
        "cores": os.cpu_count(),
        "onnxruntime": ort.__version__,
        "providers": ort.get_available_providers(),
        "provider": settings.embedder.provider,
        "threads": settings.embedder.threads,
        "files": {entry.name: entry.sha256 for entry in family},
    }


def choose(
    family: Sequence[ModelFile], catalogue: Catalogue, settings: Settings, current: Mapping[str, Any], former: Choice | None, clock: Clock = time.perf_counter
) -> tuple[Choice, Embedder]:
    """Load every artefact, measure those that run, and choose the best."""
    runs: dict[str, Embedder] = {}
    faults: list[Measured] = []
    for entry in family:
        path = catalogue.path(entry.name)  # a wrong or missing file is an error, not a reason to choose another artefact
        try:
            embedder = _open(path, settings)
            embedder.card.operating_point(settings.decision.at_least_templates, settings.decision.fpir)
            runs[entry.name] = embedder
        except (EmbedderError, ContractError) as error:  # without a threshold of its own it cannot be used
            faults.append(Measured(entry.name, fault=" ".join(str(error).split())))
    if not runs:
        raise ChoiceError(f"no artefact of {settings.embedder.model} runs here: {'; '.join(one.words for one in faults)}", code="precision.none_runs")
    _check_one_network(runs)
    ms = measure(runs, clock)
    precision = {name: embedder.card.precision for name, embedder in runs.items()}
    best = decide(ms, precision, former.artefact if former else None)
    measured = [Measured(name, precision[name], embedder.provider, round(ms[name], 3)) for name, embedder in runs.items()]
    return Choice(best, current, (*measured, *faults)), runs[best]


def measure(artefacts: Mapping[str, Embeds], clock: Clock = time.perf_counter) -> dict[str, float]:
    """Median ms of one crop for each artefact; they take turns, so that other load on the board affects all of them alike."""
    crop = np.random.default_rng(0).integers(0, 256, (1, CROP_SIZE, CROP_SIZE, 3), dtype=np.uint8)
    times: dict[str, list[float]] = {name: [] for name in artefacts}  # ms
    begin = clock()
    for turn in range(WARM + ROUNDS):
        for name, artefact in artefacts.items():
            start = clock()
            artefact.embed(crop)
            times[name].append((clock() - start) * 1000)
        if turn >= WARM and clock() - begin > SECONDS:
            break
    return {name: float(np.median(ms[WARM:])) for name, ms in times.items()}


def decide(ms: Mapping[str, float], precision: Mapping[str, str], former: str | None) -> str:
    """The fastest artefact where it is clearly faster, otherwise the former choice, or the most accurate artefact where there is none."""
    most_accurate = min(ms, key=lambda name: (MOST_ACCURATE_FIRST.index(precision[name]), ms[name]))
    settled = former if former is not None and former in ms else most_accurate
    fastest = min(ms, key=lambda name: ms[name])
    return fastest if ms[fastest] < CLEARLY * ms[settled] else settled


def _check_one_network(runs: Mapping[str, Embedder]) -> None:
    sizes = {name: embedder.card.embedding_size for name, embedder in runs.items()}
    ids = [embedder.card.model_id for embedder in runs.values()]
    if len(set(sizes.values())) != 1 or len(set(ids)) != len(ids):
        raise ContractError(
            f"the artefacts of one family must have the same embedding size and different ids, got {sizes}; correct device/vision/models.toml",
            code="contract.family",
        )


def _open(path: Path, settings: Settings) -> Embedder:
    return Embedder(path, settings.embedder.provider, settings.embedder.threads)


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Let one process measure while others wait for its choice: two different choices could not use each other's templates."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = FileLock(file.with_suffix(".lock"))
    except OSError as error:
        raise ChoiceError(
            f"{file} cannot be written ({error.strerror}): make its folder writable, or name one artefact in [embedder] model", code="precision.not_written"
        ) from error
    with lock:
        yield


def _write(file: Path, family: str, choice: Choice) -> None:
    choices = {**read(file), family: choice}
    try:
        Disk().write(file, json.dumps({name: asdict(one) for name, one in choices.items()}, indent=1).encode(), 0o600)
    except OSError as error:
        raise ChoiceError(
            f"{file} cannot be written ({error.strerror}): free some space, or name one artefact in [embedder] model", code="precision.not_written"
        ) from error
