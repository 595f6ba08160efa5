"""Long runs: asked to stop they save and say how to go on, a process that is gone ends the others, `runs` lists what there is."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import multiprocessing

from tests.refused import refused
from tests.training.test_train import SMALL, Poisoned, Tiny, free_port, small, weights
from training import backbones, checkpoint, run_record, stopping, watch
from training.__main__ import main
from training.train import add_arguments, train

WORDS = [word for line in (*SMALL, "backbone.name = 'tiny'") for word in ("--set", line)]
SHARDED = ("schedule.batch_size = 4", "loss.sample_rate = 0.75", "schedule.steps = 14", "run.validate_steps = 8")


class Asked(Tiny):
    """Its process gets SIGTERM during the fifth step."""

    steps = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.steps += self.training
        if self.training and self.steps == 5:
            signal.raise_signal(signal.SIGTERM)
        return super().forward(x)


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(backbones.BACKBONES, "tiny", Tiny)


def test_sigterm_saves_the_step_and_the_run_goes_on_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    command = ["train", "smoke", "--out", str(tmp_path / "cut"), *WORDS]
    monkeypatch.setitem(backbones.BACKBONES, "tiny", Asked)
    assert main(command) == stopping.EXIT_STOPPED == 75
    assert signal.getsignal(signal.SIGTERM) == before
    said = capsys.readouterr().out
    assert checkpoint.load(tmp_path / "cut" / "last.pt")["step"] == 5
    assert "after step 5" in said and f"python -m training train smoke --out {tmp_path / 'cut'} --resume" in said

    assert main(["runs", str(tmp_path), "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert (listed["name"], listed["recipe"], listed["step"], listed["steps"], listed["state"]) == ("cut", "smoke", 5, 18, "stopped")
    assert listed["go_on"] in said

    monkeypatch.setitem(backbones.BACKBONES, "tiny", Tiny)
    assert main([*command, "--start-or-resume"]) == 0
    assert main(["train", "smoke", "--out", str(tmp_path / "whole"), *WORDS, "--start-or-resume"]) == 0
    expected, got = (weights(tmp_path / name / "last.pt") for name in ("whole", "cut"))
    assert all(torch.equal(expected[name], got[name]) for name in expected)
    capsys.readouterr()
    assert main(["runs", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.match(r"whole +smoke +18 of 18 \(100 %\) +\d\.\d{4} +done ", lines[1])
    assert f"cut: python -m training export-weights {tmp_path / 'cut' / 'best.pt'}" in "\n".join(lines)


@pytest.mark.parametrize("line", ["schedule.steps=3", "backbone.name='edge'", "data.sources=[{path='a b'}]", "a=\"b\"", "it's $HOME", "a\\'b"])
def test_the_command_to_go_on_is_read_by_a_shell_as_it_was(line: str) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    args = parser.parse_args(["my recipe.toml", "--out", "runs/my run", "--set", line])
    words = shlex.split(stopping.command(args, small(), 2.5))
    assert words == ["python", "-m", "training", "train", "my recipe.toml", "--out", "runs/my run", "--resume", "--budget-minutes", "2.5", "--set", line]


def test_a_folder_belongs_to_one_run(tmp_path: Path) -> None:
    with run_record.OpenRun(tmp_path, True, run_record.new(small(), "", 1, 8, 2, 10), False):
        assert run_record.is_locked(tmp_path)
        assert run_record.read(tmp_path).state == "running"
        with refused("run", str(tmp_path), "--out"):
            train(small(), tmp_path)
    assert run_record.read(tmp_path).state == "stopped"  # it says it is running, and nobody holds the folder: killed


def test_folders_without_runs_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", str(tmp_path)]) == 1
    assert "has no run" in capsys.readouterr().err
    (tmp_path / "run.json").write_text('{"state": 1}')
    assert main(["runs", str(tmp_path)]) == 1
    assert "run.json" in capsys.readouterr().err


def test_a_failed_run_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(backbones.BACKBONES, "tiny", Poisoned)
    with refused("diverged"):
        train(small(), tmp_path)
    assert run_record.read(tmp_path).state == "failed"
    assert "not finite" in run_record.read(tmp_path).reason


def _sharded(rank: int, port: int, out: str, asked: bool) -> None:
    os.environ.update(RANK=str(rank), WORLD_SIZE="2", LOCAL_WORLD_SIZE="2", LOCAL_RANK=str(rank), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    backbones.BACKBONES["tiny"] = Asked if asked and rank == 1 else Tiny
    position = train(small(*SHARDED), Path(out))
    (Path(out) / f"rank{rank}").write_text(str(position.step))


def test_all_processes_stop_after_the_same_step_and_another_number_goes_on(tmp_path: Path) -> None:
    """One of two processes gets the signal. One process alone goes on, with the classes of both."""
    multiprocessing.spawn(_sharded, (free_port(), str(tmp_path), True), nprocs=2)
    assert [(tmp_path / f"rank{rank}").read_text() for rank in (0, 1)] == ["5", "5"]
    first, second = checkpoint.load(tmp_path / "last.pt"), checkpoint.load(tmp_path / "classes-5-1.pt")
    assert list(tmp_path.glob("classes-*")) == [tmp_path / "classes-5-1.pt"]
    both = torch.cat([first["module"]["objective.classify.store"], second["module"]["store"]])

    (tmp_path / "classes-5-1.pt").rename(tmp_path / "elsewhere.pt")
    with refused("checkpoint", "classes-5-1.pt is missing"):
        train(small(*SHARDED), tmp_path, resume=True)
    (tmp_path / "elsewhere.pt").rename(tmp_path / "classes-5-1.pt")
    done = train(small(*SHARDED), tmp_path, resume=True)
    assert (done.step, done.progress) == (14, 1.0)
    after = checkpoint.load(tmp_path / "last.pt")["module"]["objective.classify.store"]
    assert after.shape == both.shape  # all classes, on this one process
    assert torch.nn.functional.cosine_similarity(after, both).min() > 0.9  # the same ones, nine steps later


RANK = "import sys; from tests.training.test_runs import endless; endless(*sys.argv[1:])"


def endless(rank: str, port: str, out: str) -> None:
    """One of two processes of a run that takes long, as a scheduler starts it: without torchrun."""
    os.environ.update(RANK=rank, WORLD_SIZE="2", LOCAL_RANK=rank, MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
    backbones.BACKBONES["tiny"] = Tiny
    train(small("schedule.epochs = 1000"), Path(out), go_on=lambda minutes: "the same with --resume")


def test_a_killed_process_ends_the_others_with_words(tmp_path: Path) -> None:
    port = str(free_port())
    commands = [[sys.executable, "-c", RANK, rank, port, str(tmp_path)] for rank in "01"]
    ranks = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for command in commands]
    deadline = time.monotonic() + 120
    while not (tmp_path / "last.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    ranks[1].kill()
    began = time.monotonic()
    said = ranks[0].communicate(timeout=60)[1]
    ranks[1].communicate()
    assert ranks[0].returncode == watch.EXIT_LOST
    assert f"rank 1 (process {ranks[1].pid} on " in said and "was killed" in said and "the same with --resume" in said
    assert time.monotonic() - began < 20
    assert run_record.read(tmp_path).state == "stopped"
    assert checkpoint.load(tmp_path / "last.pt")["step"] >= 4


def test_silence_is_measured_by_the_count() -> None:
    heard = watch.Heard(20.0)
    assert not heard.silent(3, "1", 100.0)
    assert not heard.silent(3, "1", 119.0)
    assert not heard.silent(3, "2", 130.0)  # late, but there
    assert not heard.silent(3, "2", 149.0)
    assert heard.silent(3, "2", 151.0)


def test_a_process_that_nobody_has_waited_for_is_gone() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    deadline = time.monotonic() + 30
    while not watch.is_gone(child.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert watch.is_gone(child.pid)
    child.wait()
    assert watch.is_gone(child.pid) and not watch.is_gone(os.getpid())
