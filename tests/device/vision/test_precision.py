"""The artefact of a family is chosen by a measurement, stored, and measured again only when its circumstances change."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from device.config import EmbedderSettings, Settings, StoreSettings
from device.contract import CARD_KEY, CARD_SCHEMA, ModelCard, OperatingPoint
from device.vision import precision as choice
from device.vision.catalogue import Catalogue, ModelFile, sha256
from device.vision.precision import Choice, choices_file, decide, measure, open_embedder, read
from tests.refused import refused

FPIR = Settings().decision.fpir
POINT = OperatingPoint(1000, FPIR, 0.4, 0.39, 0.41, "measured", "invented for this test")


def artefact(folder: Path, name: str, precision: str, layers: int = 0, size: int = 3, points: tuple[OperatingPoint, ...] = (POINT,)) -> ModelFile:
    """A model that returns mean colours after `layers` convolutions, which change only the time it takes."""
    from onnx import TensorProto, helper

    identity = numpy_helper.from_array(np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1), "identity")
    steps = [helper.make_node("Cast", ["crops"], ["f"], to=TensorProto.FLOAT), helper.make_node("Transpose", ["f"], ["x0"], perm=[0, 3, 1, 2])]
    steps += [helper.make_node("Conv", [f"x{i}", "identity"], [f"x{i + 1}"]) for i in range(layers)]
    steps += [
        helper.make_node("ReduceMean", [f"x{layers}"], ["mean"], axes=[2, 3], keepdims=0),
        helper.make_node("LpNormalization", ["mean"], ["embeddings"], axis=1, p=2),
    ]
    crops = helper.make_tensor_value_info("crops", TensorProto.UINT8, ["N", 112, 112, 3])
    embeddings = helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["N", 3])
    model = helper.make_model(helper.make_graph(steps, name, [crops], [embeddings], [identity]), opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model_id = (name.encode().hex() + "0" * 64)[:64]
    card = ModelCard(CARD_SCHEMA, model_id, name, size, 112, "RGB", "five-point", precision, "none", "MIT", "none", (), (), points)
    helper.set_model_props(model, {CARD_KEY: card.to_json()})
    path = folder / f"{name}.onnx"
    onnx.save(model, path)
    return ModelFile(name, "embedder", path.name, sha256(path), path.stat().st_size, "MIT", "", family="net")


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    entries = [artefact(tmp_path, "net-float32", "float32", 12), artefact(tmp_path, "net-int8", "int8", 0), artefact(tmp_path, "net-float16", "float16", 12)]
    return Catalogue(entries, tmp_path, tmp_path)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(embedder=EmbedderSettings(model="net", provider="cpu", threads=1), store=StoreSettings(path=str(tmp_path / "data/clockface.db")))


class Clock:
    """A clock that advances only while an artefact embeds."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Slow:
    """An artefact that takes each of these times in turn, in ms."""

    def __init__(self, clock: Clock, *ms: float) -> None:
        self.clock, self.ms, self.runs = clock, ms, 0

    def embed(self, crops: Any) -> Any:
        assert crops.shape == (1, 112, 112, 3) and crops.dtype == np.uint8
        self.clock.now += self.ms[self.runs % len(self.ms)] / 1000
        self.runs += 1


def test_the_result_is_the_median_of_runs_after_the_warm_up() -> None:
    clock = Clock()
    outlier, steady = Slow(clock, *[900, 5, 2, 2, 2, 80, 2, 2]), Slow(clock, 4)
    ms = measure({"a": outlier, "b": steady}, clock)
    assert ms == {"a": pytest.approx(2), "b": pytest.approx(4)}
    assert outlier.runs == steady.runs


def test_a_slow_board_runs_fewer_rounds() -> None:
    clock = Clock()
    slow = Slow(clock, 400)
    assert measure({"a": slow, "b": Slow(clock, 200)}, clock) == {"a": pytest.approx(400), "b": pytest.approx(200)}
    assert slow.runs == choice.WARM + 1 and clock.now < 4


PRECISION = {"f": "float32", "h": "float16", "i": "int8"}


@pytest.mark.parametrize(
    ("ms", "former", "best"),
    [
        ({"f": 4.0, "i": 2.0}, None, "i"),
        ({"f": 2.0, "i": 4.0}, None, "f"),
        ({"i": 3.7, "f": 4.0}, None, "f"),  # not clearly faster: the more accurate one
        ({"f": 4.0, "h": 1.5, "i": 1.4}, None, "i"),
        ({"h": 2.0, "i": 2.0}, None, "h"),
        ({"f": 3.8, "i": 4.0}, "i", "i"),  # measured again and about the same: no new embeddings are needed
        ({"f": 3.0, "i": 4.0}, "i", "f"),
        ({"f": 4.0, "h": 2.0}, "i", "h"),  # the former artefact no longer exists
    ],
)
def test_the_fastest_is_chosen_where_it_is_clearly_faster(ms: dict[str, float], former: str | None, best: str) -> None:
    assert decide(ms, PRECISION, former) == best


def test_a_choice_is_measured_once_and_stored(catalogue: Catalogue, settings: Settings) -> None:
    opened = open_embedder(settings, catalogue)
    assert opened.embedder.card.name == "net-int8"  # one layer against thirteen
    file = choices_file(settings)
    assert file.stat().st_mode & 0o777 == 0o600
    before = file.read_bytes()
    again = open_embedder(settings, catalogue)
    assert (again.words, again.embedder.card.name, file.read_bytes()) == (opened.words, "net-int8", before)
    stored = read(file)["net"]
    assert [one.artefact for one in stored.measured] == ["net-float32", "net-int8", "net-float16"]
    assert all(one.ms is not None and one.ms > 0 and one.provider == "cpu" for one in stored.measured)


def store_choice(settings: Settings, catalogue: Catalogue, artefact: str, **changes: Any) -> None:
    """Write a choice as if it had been measured under the current circumstances, with these changes."""
    circumstances = {**choice.circumstances(settings, catalogue.family("net")), **changes}
    measured = [{"artefact": artefact, "precision": "float32", "provider": "cpu", "ms": 1.0, "fault": ""}]
    choices_file(settings).parent.mkdir(exist_ok=True)
    choices_file(settings).write_text(json.dumps({"net": {"artefact": artefact, "circumstances": circumstances, "measured": measured}}))


def test_the_chosen_artefact_runs_until_the_circumstances_change(catalogue: Catalogue, settings: Settings) -> None:
    store_choice(settings, catalogue, "net-float32")
    assert open_embedder(settings, catalogue).embedder.card.name == "net-float32"
    for changes in ({"onnxruntime": "1.0"}, {"board": "another"}, {"files": {}}, {"threads": 7}, {"providers": []}):
        store_choice(settings, catalogue, "net-float32", **changes)
        assert open_embedder(settings, catalogue).embedder.card.name == "net-int8"


def test_nothing_is_written_with_remember_off(catalogue: Catalogue, settings: Settings) -> None:
    opened = open_embedder(settings, catalogue, remember=False)
    assert "not chosen yet" in opened.words and "net-int8" in opened.words
    assert not choices_file(settings).parent.exists()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"net": 1}', '{"net": {"artefact": "net-int8"}}'])
def test_a_damaged_file_leads_to_a_new_measurement(content: str, catalogue: Catalogue, settings: Settings) -> None:
    choices_file(settings).parent.mkdir()
    choices_file(settings).write_text(content)
    assert open_embedder(settings, catalogue).embedder.card.name == "net-int8"
    assert isinstance(read(choices_file(settings))["net"], Choice)


def test_one_artefact_needs_no_measurement(catalogue: Catalogue, settings: Settings, tmp_path: Path) -> None:
    pinned = dataclasses.replace(settings, embedder=dataclasses.replace(settings.embedder, model="net-float32"))
    assert open_embedder(pinned, catalogue).embedder.card.name == "net-float32"
    path = tmp_path / "net-float16.onnx"
    own = dataclasses.replace(settings, embedder=dataclasses.replace(settings.embedder, model=str(path), sha256=sha256(path)))
    assert open_embedder(own, catalogue).embedder.card.name == "net-float16"
    assert not choices_file(settings).exists()
    with refused("model.unknown", "'toaster'", "net"):
        open_embedder(dataclasses.replace(settings, embedder=EmbedderSettings(model="toaster")), catalogue)


def test_an_artefact_that_has_no_threshold_or_does_not_load_is_skipped(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    broken = ModelFile("net-broken", "embedder", "broken.onnx", sha256(tmp_path / "broken.onnx"), 8, "MIT", "", family="net")
    entries = [artefact(tmp_path, "net-float32", "float32", 12), artefact(tmp_path, "net-int8", "int8", points=()), broken]
    opened = open_embedder(settings, Catalogue(entries, tmp_path, tmp_path))
    assert opened.embedder.card.name == "net-float32"
    assert "net-int8 does not run (model card of 'net-int8' has no operating point" in opened.words and "net-broken does not run" in opened.words
    with refused("precision.none_runs", "net"):
        open_embedder(settings, Catalogue([dataclasses.replace(entries[1], name="a"), broken], tmp_path, tmp_path))


def test_a_changed_file_is_refused_and_not_skipped(catalogue: Catalogue, settings: Settings, tmp_path: Path) -> None:
    with (tmp_path / "net-float16.onnx").open("ab") as file:
        file.write(b"x")
    with refused("model.changed", "net-float16"):
        open_embedder(settings, catalogue)


def test_two_artefacts_with_one_id_are_refused(settings: Settings, tmp_path: Path) -> None:
    entry = artefact(tmp_path, "net-int8", "int8")
    with refused("contract.family"):
        open_embedder(settings, Catalogue([entry, dataclasses.replace(entry, name="copy")], tmp_path, tmp_path))


def test_a_lock_that_cannot_be_written_is_refused(catalogue: Catalogue, settings: Settings) -> None:
    choices_file(settings).with_suffix(".lock").mkdir(parents=True)  # a folder in place of the file
    with refused("precision.not_written"):
        open_embedder(settings, catalogue)


def _choose(arguments: tuple[Settings, Catalogue]) -> str:
    return open_embedder(*arguments).words


def test_processes_that_start_together_choose_the_same(catalogue: Catalogue, settings: Settings) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        words = pool.map(_choose, [(settings, catalogue)] * 2, chunksize=1)
    assert words[0] == words[1]  # the same figures, so it was measured once
