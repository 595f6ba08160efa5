"""The loop: it learns, resumes bit for bit after kill -9, equals itself over two processes, and stops on NaN."""

from __future__ import annotations

import csv
import functools
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest
import torch
from torch import multiprocessing, nn

from tests.refused import refused
from tests.training.test_data import record_set
from training import backbones, checkpoint, config
from training.__main__ import main
from training.synthetic import draw
from training.train import train

SMALL = (
    'data.sources = [{ kind = "drawn", path = "12 x 6" }]',
    "data.validation_identities = 4",
    "sampler.kind = 'plain'",
    "schedule.batch_size = 8",
    "schedule.epochs = 3",
    "run.validate_steps = 4",
    "run.ema = 0.9",
)


class Tiny(nn.Module):
    """A net without batch norm, whose gradient is a plain mean over crops."""

    def __init__(self, embedding_size: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 16, 16), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 49, embedding_size))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(backbones.BACKBONES, "tiny", Tiny)


def small(*more: str) -> config.Recipe:
    return config.load("smoke", (*SMALL, "backbone.name = 'tiny'", *more))


def weights(path: Path) -> dict[str, torch.Tensor]:
    state = checkpoint.load(path)
    return {f"{part}.{name}": value for part in ("module", "averaged") for name, value in state[part].items() if torch.is_tensor(value)}


def test_the_smoke_recipe_learns(tmp_path: Path) -> None:
    recipe = config.load("smoke", ('data.sources = [{ kind = "drawn", path = "30 x 8" }]', "data.validation_identities = 6", "schedule.epochs = 4"))
    done = train(recipe, tmp_path)
    rows = list(csv.DictReader((tmp_path / "log.csv").read_text().splitlines()))
    scores = [float(row["validation"].split()[0].split("=")[1]) for row in rows if row["validation"]]
    assert done.progress == 1.0
    assert max(scores) > 0.5  # chance is 0.01
    embedder, kept = checkpoint.load_embedder(tmp_path / "best.pt")
    assert kept == recipe
    assert embedder.unit(torch.zeros(2, 112, 112, 3, dtype=torch.uint8)).norm(dim=1).tolist() == pytest.approx([1, 1])


KINDS = (
    "loss.sample_rate = 0.0", "loss.sample_rate = 0.75", "optimiser.name = 'muon'",
    "run.halfway_steps = 6\nrun.ema = 0.0", "data.resident = true\nrun.check_steps = 3",
)  # fmt: skip


@pytest.mark.parametrize("more", KINDS)
def test_resumes_bit_for_bit_after_kill_9(more: str, tmp_path: Path) -> None:
    lines = (*SMALL, "schedule.epochs = 5", more)
    command = [sys.executable, "-m", "training", "train", "smoke", *(word for line in lines for word in ("--set", line))]
    (tmp_path / "whole").mkdir()
    train(config.load("smoke", lines), tmp_path / "whole")
    victim = subprocess.Popen([*command, "--out", str(tmp_path / "cut")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (tmp_path / "cut" / "last.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(victim.pid, signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL
    assert checkpoint.load(tmp_path / "cut" / "last.pt")["step"] < checkpoint.load(tmp_path / "whole" / "last.pt")["step"]
    subprocess.run([*command, "--out", str(tmp_path / "cut"), "--resume"], check=True, capture_output=True)
    expected, got = weights(tmp_path / "whole" / "last.pt"), weights(tmp_path / "cut" / "last.pt")
    assert expected.keys() == got.keys()
    assert all(torch.equal(expected[name], got[name]) for name in expected)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def assert_group_has_ended() -> None:
    """A thread of the group that is left may need Python while the process ends, which aborts it."""
    threads = [path.read_text() for path in Path("/proc/self/task").glob("*/comm")]
    assert not [name for name in threads if "gloo" in name]


def _one_of_two(rank: int, port: int, out: str, more: str) -> None:
    os.environ.update(RANK=str(rank), WORLD_SIZE="2", LOCAL_RANK=str(rank), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    backbones.BACKBONES["tiny"] = Tiny
    train(small("schedule.batch_size = 4", more), Path(out))
    assert_group_has_ended()


@pytest.mark.parametrize("more", ["data.resident = false", "data.resident = true"])
def test_two_processes_equal_one(more: str, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    train(small("schedule.batch_size = 8", more), tmp_path / "one")
    multiprocessing.spawn(_one_of_two, (free_port(), str(tmp_path / "two"), more), nprocs=2)
    expected, got = weights(tmp_path / "one" / "last.pt"), weights(tmp_path / "two" / "last.pt")
    assert all(torch.allclose(expected[name], got[name], atol=1e-5, rtol=0) for name in expected)


def _one_of_two_sharded(rank: int, port: int, out: str, *more: str) -> None:
    os.environ.update(RANK=str(rank), WORLD_SIZE="2", LOCAL_RANK=str(rank), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    backbones.BACKBONES["tiny"] = Tiny
    train(small("schedule.batch_size = 4", "loss.sample_rate = 1.0", "optimiser.clip_norm = 0.0", *more), Path(out))
    assert_group_has_ended()


def test_sharded_classes_outlive_corrupted_records(tmp_path: Path) -> None:
    """The processes exchange batches of equal size: a crop that is left out in one of them would end both."""
    labels = [person for person in range(8) for _ in range(3)]
    rec = record_set(tmp_path / "a.rec", labels, broken=(1, 6, 7, 22))
    more = (f"data.sources = [{{ path = '{rec}' }}]", "data.validation_identities = 2", "schedule.epochs = 2")
    multiprocessing.spawn(_one_of_two_sharded, (free_port(), str(tmp_path), *more), nprocs=2)
    assert checkpoint.load(tmp_path / "last.pt")["progress"] == 1.0


def test_sharded_classes_train_the_same_embedder(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    train(small("schedule.batch_size = 8", "loss.sample_rate = 1.0", "optimiser.clip_norm = 0.0"), tmp_path / "one")
    multiprocessing.spawn(_one_of_two_sharded, (free_port(), str(tmp_path / "two")), nprocs=2)
    expected, got = (checkpoint.load(tmp_path / name / "last.pt")["embedder"] for name in ("one", "two"))
    assert all(torch.allclose(expected[name], got[name], atol=1e-5, rtol=0) for name in expected)


def test_accumulated_parts_equal_the_whole_batch(tmp_path: Path) -> None:
    for name, more in (("whole", "schedule.accumulate = 1"), ("parts", "schedule.accumulate = 4")):
        (tmp_path / name).mkdir()
        train(small(more), tmp_path / name)
    expected, got = weights(tmp_path / "whole" / "last.pt"), weights(tmp_path / "parts" / "last.pt")
    assert all(torch.allclose(expected[name], got[name], atol=1e-5, rtol=0) for name in expected)


class Poisoned(Tiny):
    """Gives an infinite embedding from the third step on."""

    steps = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.steps += self.training
        return super().forward(x) * (float("inf") if self.steps >= 3 else 1.0)


def test_a_nan_stops_the_run_and_names_the_culprit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(backbones.BACKBONES, "tiny", Poisoned)
    with refused("diverged", "step 2: ", "classify", "embedder.backbone.layers"):
        train(small(), tmp_path)


def test_a_nan_between_checks_reaches_no_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The third step is not checked; its weights would be saved after the fourth."""
    monkeypatch.setitem(backbones.BACKBONES, "tiny", Poisoned)
    with refused("diverged", "at or before step 3: ", "classify"):
        train(small("run.check_steps = 100"), tmp_path)
    assert not (tmp_path / "last.pt").exists()


def test_a_compiled_net_learns_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the compiler's front end alone, which needs no C++ compiler."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    for name, more in (("plain", "run.compile = false"), ("compiled", "run.compile = true")):
        (tmp_path / name).mkdir()
        train(small("data.resident = true", "run.precision = 'bfloat16'", "schedule.steps = 4", more), tmp_path / name)
    expected, got = weights(tmp_path / "plain" / "last.pt"), weights(tmp_path / "compiled" / "last.pt")
    assert expected.keys() == got.keys()
    assert all(torch.allclose(expected[name].float(), got[name].float(), atol=1e-3, rtol=0) for name in expected)
    assert all(value.dtype != torch.bfloat16 for value in got.values())  # weights and averages stay float32


def test_early_stop(tmp_path: Path) -> None:
    done = train(small("optimiser.learning_rate = 0.0", "run.patience = 2", "schedule.epochs = 50"), tmp_path)
    assert done.stale == 2
    assert done.progress < 1.0


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path: Path) -> None:
    train(small(), tmp_path)
    with refused("checkpoint", "--init"):
        train(small("optimiser.weight_decay = 0.01"), tmp_path, resume=True)


def test_weights_carry_their_backbone(tmp_path: Path) -> None:
    train(small(), tmp_path)
    (tmp_path / "next").mkdir()
    nameless = small("backbone = { name = '', embedding_size = 192 }")
    assert nameless.backbone.name == ""
    train(nameless, tmp_path / "next", initial=tmp_path / "best.pt")
    assert checkpoint.load_embedder(tmp_path / "next" / "last.pt")[1].backbone == small().backbone
    train(nameless, tmp_path / "next", resume=True)
    with refused("checkpoint", "--init"):
        train(nameless, tmp_path)


def test_a_folded_net_needs_trained_weights(tmp_path: Path) -> None:
    with refused("clockface", "--init"):
        train(small("backbone.folded = true"), tmp_path)


def test_validation_on_a_folder_of_other_people(tmp_path: Path) -> None:
    for person in range(3):
        (tmp_path / "others" / str(person)).mkdir(parents=True)
        for shot in range(3):
            cv2.imwrite(str(tmp_path / "others" / str(person) / f"{shot}.png"), draw(900 + person, shot))
    train(small(f"data.validation = '{tmp_path}/others'"), tmp_path)
    rows = list(csv.DictReader((tmp_path / "log.csv").read_text().splitlines()))
    assert any("d_prime=" in row["validation"] for row in rows)


def test_whoever_chooses_the_checkpoint_is_not_trained_on(tmp_path: Path) -> None:
    with refused("data", "data.validation = 12 x 6"):
        train(small("data.validation = '12 x 6'"), tmp_path)  # as its source


def test_a_recipe_without_a_loss_is_refused(tmp_path: Path) -> None:
    with refused("clockface", "loss.name", "[distill]"):
        train(small("loss.name = ''"), tmp_path)


def test_exported_weights_give_the_same_embeddings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(small(), tmp_path)
    for command, note in (("export-weights", ""), ("ship", "`ship` is now `export-weights`")):
        target = tmp_path / f"{command}.pt"
        assert main([command, str(tmp_path / "best.pt"), str(target)]) == 0
        said = capsys.readouterr().err
        assert note in said and bool(said) == bool(note)
        crops = torch.randint(0, 256, (3, 112, 112, 3), dtype=torch.uint8)
        first, second = (checkpoint.load_embedder(path)[0].unit(crops) for path in (tmp_path / "best.pt", target))
        assert torch.equal(first, second)
        assert target.stat().st_size < (tmp_path / "best.pt").stat().st_size
