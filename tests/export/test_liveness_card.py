"""The figures of a trial in the card of a liveness model: written with their threshold, shown, and refused where they do not belong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from device.config import LivenessSettings
from device.vision import catalogue
from device.vision.catalogue import sha256
from device.vision.liveness import LivenessModel, open_liveness
from export import artefact
from export.__main__ import main
from export.liveness_card import write_trial
from tests.refused import refused


def rate(value: float | None, n: int) -> dict[str, Any]:
    return {"value": value, "low": 0.0, "high": 0.5, "n": n}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return Path(shutil.copy(catalogue.path("liveness"), tmp_path / "own.onnx"))


@pytest.fixture
def found(model: Path) -> dict[str, Any]:
    """What `liveness-trial --json` prints."""
    rates = {"apcer": {"print": rate(0.25, 8), "phone <x>": rate(None, 0)}, "bpcer": rate(0.02, 50), "non_response": rate(0.0, 58), "eer": 0.03}
    about = {"worst_species": "print", "seconds_to_accept": 0.4, "threshold": 0.625, "pictures": 7, "model_id": LivenessModel(model).card.model_id}
    clips = [("print", True, 0.7), ("print", True, 0.2), ("real", False, 0.9), ("phone <x>", True, None)]
    presentations = [{"file": "somebody.mp4", "species": name, "attack": attack, "score": score} for name, attack, score in clips]
    return {"presentations": presentations, **rates, "frames": {}, **about}


def written(folder: Path, trial: dict[str, Any]) -> Path:
    (folder / "trial.json").write_text(json.dumps(trial), encoding="utf-8")
    return folder / "trial.json"


def test_figures_and_threshold_go_into_the_card_together(model: Path, found: dict[str, Any], tmp_path: Path) -> None:
    weights = artefact.model_id(artefact.read(model))
    assert main(["card", str(model), "--trial", str(written(tmp_path, found)), "--data", "our door", "--html", str(tmp_path / "card.html")]) == 0
    card = LivenessModel(model).card
    assert (card.threshold, card.pictures, len(card.measured)) == (0.625, 7, 1)
    assert card.measured[0]["apcer"] == found["apcer"] and card.measured[0]["bpcer"] == found["bpcer"] and card.measured[0]["data"] == "our door"
    assert card.measured[0]["scores"] == {"bona fide": [0.9], "print": [0.2, 0.7]}
    assert "presentations" not in card.measured[0] and "somebody" not in card.to_json()
    assert artefact.model_id(artefact.read(model)) == weights == card.model_id
    assert open_liveness(LivenessSettings(mode="enforce", model=str(model), sha256=sha256(model))) is not None
    page = (tmp_path / "card.html").read_text(encoding="utf-8")
    assert "our door" in page and "25.0 % of 8 (0.0 to 50.0)" in page and "phone &lt;x&gt;" in page and "0.625" in page
    assert page.count("<polyline") == 1 and "print (2)" in page and "somebody" not in page


def test_the_card_is_printed(model: Path, found: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_trial(model, written(tmp_path, found), "our door")
    assert main(["card", str(model)]) == 0
    said = capsys.readouterr().out
    assert "APCER print" in said and "nothing was judged" in said and "0.625, exceeded by the median of at least 7 pictures" in said
    assert main(["card", str(model), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["threshold"] == 0.625


def test_what_does_not_belong_to_the_model_is_refused(model: Path, found: dict[str, Any], tmp_path: Path) -> None:
    before = model.read_bytes()
    others = [
        {**found, "model_id": "0" * 64},
        {key: value for key, value in found.items() if key != "threshold"},
        {**found, "apcer": {"print": rate(None, 0)}},
        {**found, "bpcer": rate(None, 0)},
        {**found, "presentations": [{"file": "a.mp4"}]},
    ]
    for other in others:
        with refused("liveness_card", "trial.json"):
            write_trial(model, written(tmp_path, other), "our door")
    with refused("contract.card", "threshold"):
        write_trial(model, written(tmp_path, {**found, "threshold": 1.5}), "our door")
    (tmp_path / "trial.json").write_text("[1, 2]", encoding="utf-8")
    with refused("liveness_card", "trial.json"):
        write_trial(model, tmp_path / "trial.json", "our door")
    with refused("liveness_card", "none.json"):
        write_trial(model, tmp_path / "none.json", "our door")
    assert model.read_bytes() == before


def test_an_embedder_takes_no_liveness_trial(found: dict[str, Any], tmp_path: Path) -> None:
    embedder = Path(shutil.copy(catalogue.path("clockface-mobile-int8"), tmp_path / "embedder.onnx"))
    with refused("liveness_card", "embedder.onnx"):
        write_trial(embedder, written(tmp_path, found), "our door")


def test_a_trial_without_words_about_its_data_is_wrong_usage(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["card", str(model), "--trial", "trial.json"]) == 2
    assert "--data" in capsys.readouterr().err
