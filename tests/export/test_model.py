"""One command from weights to model files: the order of its steps, repeated runs, fallbacks, and that a failure replaces nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import export.model
from device.config import Settings
from device.vision import catalogue
from device.vision.embedder import Embedder
from export import table
from export.__main__ import main
from export.model import GOALS, Run, Step, relisted, steps
from export.recipe import CropsTable, ModelRecipe, SearchTable, VerifyTable
from tests.refused import refused
from training import backbones, pairs
from training.backbones.cost import cost
from training.evaluate import evaluate_pairs

RECIPE = ModelRecipe(
    name="own",
    licence="MIT",
    training_data="drawn",
    crops=CropsTable(folders=("crops",)),
    verify=VerifyTable(pairs="pairs.txt", images="images"),
    search=SearchTable(people="dev", strangers="strangers"),
)


def test_the_steps_in_order() -> None:
    wanted = steps(RECIPE, Path("own.pt"), Path("work"), Path("pages"))
    assert [step.name for step in wanted] == ["build", "verify", "int8", "calibrate", "search", "latency", "card"]
    without = steps(ModelRecipe(name="own", crops=CropsTable(folders=("crops",))), Path("own.pt"), Path("work"), Path("pages"))
    assert "search" not in [step.name for step in without]


@pytest.mark.parametrize(("passes", "tried"), [("qat", 2), ("0.998", 4), ("nothing", 5)])
def test_int8_by_quantizing_then_by_training_then_with_more_layers_in_float(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, passes: str, tried: int
) -> None:
    """`verify` fails until the attempt named by `passes`."""
    commands: list[list[str]] = []

    def command(words: list[str]) -> int:
        commands.append(words)
        return int(words[0] == "verify" and passes not in " ".join(commands[-2]))

    monkeypatch.setattr(export.model, "main", command)
    [int8] = [step for step in steps(RECIPE, Path("own.pt"), tmp_path, tmp_path) if step.name == "int8"]
    if passes == "nothing":
        with refused("model_run.step", "int8"):
            Run(tmp_path, []).follow([int8])
    else:
        Run(tmp_path, []).follow([int8])
    quantized = [words for words in commands if words[0] == "quantize"]
    goals = [GOALS[0], GOALS[0], *GOALS[1:]]
    assert [words[words.index("--goal") + 1] for words in quantized] == [str(goal) for goal in goals[:tried]]
    trained = next(words for words in commands if words[0] == "qat")
    assert quantized[1][1] == trained[trained.index("--out") + 1] and trained[1] == "own.pt"
    verified = [words for words in commands if words[0] == "verify"]
    assert {words[words.index("--reference") + 1] for words in verified} == {str(tmp_path / "own.onnx")}  # the reference is always the float model


def test_a_finished_step_is_not_repeated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    commands: list[str] = []
    monkeypatch.setattr(export.model, "main", lambda words: commands.append(words[0]) or int(words[0] == fails))
    first, second = Step("first", (("one",),)), Step("second", (("two",),))
    fails = "two"
    with refused("model_run.step", "second"):
        Run(tmp_path, []).follow([first, second])
    assert "FAILED at second" in (tmp_path / "report.md").read_text()
    fails = ""
    Run(tmp_path, []).follow([first, second])
    assert commands == ["one", "two", "two"]
    (tmp_path / "changed.onnx").write_bytes(b"by hand")
    Run(tmp_path, []).follow([first, second])
    assert commands == ["one", "two", "two", "one", "two"]


def test_the_list_of_models_gets_the_new_checksums() -> None:
    text = (catalogue.LIST).read_text(encoding="utf-8")
    entry = catalogue.Catalogue.load().entry("clockface-edge")
    listed = relisted(text, entry.file, "f" * 64, 7)
    assert listed != text and listed.count("f" * 64) == 1 and relisted(listed, entry.file, entry.sha256, entry.size) == text


# the table


def test_the_table_has_the_accuracy_of_trained_models_only(float_model: Path, drawn_pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["table", str(float_model), "--backbone", "edge-slim", "--pairs", str(drawn_pairs / "pairs.txt"), "--rounds", "2"]
    assert main([*words, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    own, random, small = report["rows"]
    data = pairs.from_text(drawn_pairs / "pairs.txt", drawn_pairs)
    assert own["accuracy"] == pytest.approx(evaluate_pairs(Embedder(float_model, "cpu").embed, data)[0]["accuracy_mean"], abs=1e-9)
    assert [row["precision"] for row in (own, random, small)] == ["float32", "float32", "int8"] and random["accuracy"] is small["accuracy"] is None
    assert own["to_first"] == 1.0 and own["megabytes"] == pytest.approx(float_model.stat().st_size / 1e6) and small["megabytes"] < random["megabytes"] / 3
    macs = cost(backbones.build("edge-slim", 192)).macs / 1e6  # counted layer by layer in torch
    assert random["mmacs"] == small["mmacs"] == pytest.approx(macs)
    assert random["p50_ms"] / own["p50_ms"] == pytest.approx(random["to_first"]) and "cpu" in report["host"]


def test_a_table_without_models_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table"]) == 1 and "give model files or --backbone" in capsys.readouterr().err
    assert table.EMBEDDING_SIZE == 192


# the whole device on photos


def test_search_writes_fnir_and_fpir_of_the_device_into_the_card(shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    people, strangers = tmp_path / "people", tmp_path / "strangers"
    for folder in sorted(path for path in (shared / "faces/dev").iterdir() if path.is_dir())[:6]:
        shutil.copytree(folder, people / folder.name)
    strangers.mkdir()
    for photo in sorted((shared / "faces/strangers").iterdir())[:12]:
        shutil.copy(photo, strangers)
    model = Path(shutil.copy(catalogue.path("clockface-edge-int8"), tmp_path))
    assert main(["search", str(model), "--people", str(people), "--strangers", str(strangers), "--gallery", "8", "--data", "six people"]) == 0
    card = Embedder(model, "cpu").card
    [found] = [entry for entry in card.accuracy if entry["measure"] == "device"]
    assert (found["people"], found["data"], found["target_fpir"], found["fpir"]["searches"]) == (8, "six people", 0.01, 10)
    assert found["fnir"]["searches"] == 6 * 7 and 0 < found["fnir"]["value"] < 0.9 and found["fnir"]["low"] < found["fnir"]["value"] < found["fnir"]["high"]
    assert found["threshold"] == card.operating_point(Settings().decision.at_least_templates, 0.01).threshold
    assert main(["card", str(model)]) == 0 and "FNIR" in capsys.readouterr().out
