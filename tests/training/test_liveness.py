"""Tuning of the liveness nets: on pictures at hand, on a recording's own terms, and without the source that is held out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from device.vision import catalogue
from device.vision.trial_files import TrialFile
from tests.refused import refused
from training import liveness
from training.__main__ import main
from training.backbones.minifasnet import MiniFASNet, from_state
from training.liveness import LivenessTraining, Sampler, between, each_source, open_nets, report, scores, tensor, tune
from training.presentations import Shown, read
from training.recapture import FacePicture


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("weights")
    for name in ("v2", "v1se"):
        torch.manual_seed(0)
        torch.save(MiniFASNet(name).state_dict(), folder / f"{name}.pth")
    return [f"{folder / 'v2.pth'}:2.7", f"{folder / 'v1se.pth'}:4"]


def shown(name: str, species: str, value: int, source: str = "") -> Shown:
    """Three pictures of one grey."""
    image = np.full((200, 240, 3), value, np.uint8)
    return Shown(TrialFile(Path(name), name, species, source), (FacePicture(image, (100.0, 80.0, 40.0, 50.0)),) * 3)


GREYS = [shown("a.mp4", "real", 200, "s"), shown("b.mp4", "real", 200), shown("c.mp4", "print", 20, "s")]


def test_a_folder_is_read_as_a_trial_is(tmp_path: Path) -> None:
    for name, portrait in (("real/site/a.jpg", "portrait-hopper"), ("print/b.png", "portrait-collins")):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).symlink_to(catalogue.path(portrait))
    found = read(tmp_path, None, 1.2)
    assert [(one.file.species, one.source, len(one.pictures)) for one in found] == [("print", "b", 1), ("real", "site", 1)]
    picture = found[1].pictures[0]
    assert picture.box[2] <= 97 and picture.image.shape[1] <= 5 * picture.box[2] + 3
    (tmp_path / "real/site/a.jpg").unlink()
    with refused("presentations", "real"):
        read(tmp_path, None, 1.2)


def test_the_input_of_a_net_is_that_of_the_device(weights: list[str]) -> None:
    """Blue first, 0 to 255."""
    image = np.zeros((200, 240, 3), np.uint8)
    image[:] = (250, 120, 10)
    got = tensor([FacePicture(image, (100.0, 80.0, 40.0, 50.0))], open_nets(weights)[0].crop)
    assert got.shape == (1, 3, 80, 80) and got[0, :, 40, 40].tolist() == [250, 120, 10]


def test_tuning_tells_black_from_white(weights: list[str]) -> None:
    nets = open_nets(weights)
    before = {key: value.clone() for key, value in nets[0].net.state_dict().items()}
    tune(nets, GREYS, LivenessTraining(steps=8, batch=8, learning_rate=1e-3, made=0.0, share=1.0))
    after = nets[0].net.state_dict()
    assert all(torch.equal(after[key], before[key]) for key in before if "running" in key or "tracked" in key)  # batch norm keeps its statistics
    assert any(not torch.equal(after[key], before[key]) for key in before)
    assert scores(nets, GREYS[0].pictures).min() > 0.5 > scores(nets, GREYS[2].pictures).max()


def test_the_nets_lie_a_share_of_the_way() -> None:
    first, tuned = {"w": torch.tensor([0.0, 2.0]), "n": torch.tensor(3)}, {"w": torch.tensor([1.0, 0.0]), "n": torch.tensor(9)}
    assert between(first, tuned, 0.0)["w"].tolist() == [0.0, 2.0] and between(first, tuned, 1.0)["w"].tolist() == [1.0, 0.0]
    assert between(first, tuned, 0.25)["w"].tolist() == [0.25, 1.5] and between(first, tuned, 0.25)["n"] == 3


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"batch": 1}, {"share": 1.5}, {"made": -0.1}, {"learning_rate": float("nan")}])
def test_settings_that_cannot_be_trained_with_are_refused(wrong: dict[str, float]) -> None:
    with refused("presentations.settings"):
        LivenessTraining(**wrong)  # type: ignore[arg-type]


def test_weights_without_a_scale_are_refused() -> None:
    with refused("presentations.settings", "v2.pth"):
        open_nets(["v2.pth"])


def test_half_of_a_batch_are_living_faces_and_every_source_is_drawn_alike() -> None:
    long = Shown(GREYS[0].file, GREYS[0].pictures * 50)
    sampler = Sampler([long, *GREYS[1:]], LivenessTraining(batch=10, made=0.0))
    assert sampler.batch()[1].tolist() == [1.0] * 5 + [0.0] * 5
    assert sorted(len(source) for source in sampler._real) == [3, 150]
    with refused("presentations"):
        Sampler([GREYS[2]], LivenessTraining())


def test_a_source_that_is_held_out_is_not_trained_on(weights: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[set[str]] = []
    monkeypatch.setattr(liveness, "tune", lambda nets, given, settings: trained.append({one.file.name for one in given}))
    found = each_source(weights, GREYS, LivenessTraining())
    assert trained == [{"a.mp4", "c.mp4"}, {"b.mp4"}]  # held out: b by itself, then what `s` recorded
    assert set(found) == {"a.mp4", "b.mp4", "c.mp4"}


def test_the_report_has_medians_and_the_equal_error_rate() -> None:
    def found(*values: Sequence[float]) -> dict[str, np.ndarray]:
        return {one.file.name: np.array(value) for one, value in zip(GREYS, values, strict=True)}

    told = report(GREYS, found([0.9, 0.2, 0.8], [0.9] * 3, [0.3] * 3), found([0.9] * 3, [0.8] * 3, [0.1] * 3))
    assert [(row["before"], row["after"]) for row in told["recordings"]] == [(0.8, 0.9), (0.9, 0.8), (0.3, 0.1)]
    assert told["eer"]["after"] == 0.0 < told["eer"]["before"] < 0.5


def test_the_command_writes_nets_that_can_be_adopted(weights: list[str], tmp_path: Path) -> None:
    (tmp_path / "data/real").mkdir(parents=True)
    for portrait in ("portrait-hopper", "portrait-collins"):
        file = catalogue.path(portrait)
        (tmp_path / "data/real" / file.name).symlink_to(file)
    out = tmp_path / "out"
    given = ["--init", *weights, "--steps", "1", "--batch", "2", "--each-source"]
    assert main(["liveness", str(tmp_path / "data"), "--out", str(out), "--test", str(tmp_path / "data"), *given]) == 0
    assert all(from_state(torch.load(out / f"net_{number}.pt", weights_only=True)) for number in (0, 1))
    told = json.loads((out / "report.json").read_text())
    assert len(told["test"]["recordings"]) == len(told["each_source"]["recordings"]) == 2
