"""Every command of docs/training.md that ends within a minute, as it stands there, in one process and one folder, in the order of the page."""

from __future__ import annotations

import importlib
import pickle
import re
import shlex
import shutil
from pathlib import Path

import cv2
import pytest
import torch

from device.contract import CANONICAL_LANDMARKS
from device.vision.catalogue import Catalogue, ModelError, sha256
from tests.training.test_data import png
from training.backbones.minifasnet import MiniFASNet
from training.synthetic import draw

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "training.md"
HOURS, PACK, FAIRFACE = "takes hours", "needs what `pack` makes of FairFace, and a GPU", "needs the crops of FairFace, which are not in the repository"
CANNOT = {  # how a command begins -> why it is not run here
    "torchrun --nproc-per-node 2 -m training train default": HOURS,
    "torchrun --nproc-per-node 8 -m training train ms1mv3": "needs eight GPUs and a set of InsightFace",
    "python -m training partial_fc --ranks 4": "takes minutes and gigabytes",
    "python -m training shards": "needs an object storage",
    "python -m training pack everyday-gpu": FAIRFACE,
    "python -m training speed agree": "compares with a GPU",
    "python -m training speed loop --recipe runs/pack": PACK,
    "python -m training train runs/pack": PACK,
    "python -m training join everyday": FAIRFACE,
    "python -m training train everyday": FAIRFACE,
    "python -m training train default": HOURS,
    "python -m export model company": "takes half an hour",
    "python -m training liveness FOLDER": "takes minutes",
}
TINY = (
    "schedule.steps = 4",
    "schedule.batch_size = 16",
    "run.log_steps = 1",
    "data.validation_identities = 2",
    'data.sources = [{ kind = "drawn", path = "12 x 6" }]',
)
SHORTER = {  # how a command begins -> the options of its own that make it short
    "python -m training train smoke": ("--set", "schedule.epochs = 1"),
    "python -m training train finetune": ("--set", "schedule.epochs = 1"),
    "python -m training speed loop": ("--seconds", "0.1", *(word for line in TINY for word in ("--set", line))),
    "python -m training speed": ("--seconds", "0.1"),
}
PEOPLE, SHOTS = 28, 4  # ten are held out for validation, a batch of 64 takes 16 of the others


COMMAND = re.compile(r"^((?:[A-Z_]+=\S+ )*(?:python -m|torchrun) .*?)(?:\s{2,}#.*)?$", re.MULTILINE)


def commands() -> list[str]:
    """Of the blocks of code, without comments and options in square brackets, each once."""
    blocks = PAGE.read_text(encoding="utf-8").replace("\\\n", "").split("\n```")[1::2]
    lines = [line for block in blocks for line in COMMAND.findall(block)]
    while any("[" in line for line in lines):
        lines = [re.sub(r" ?\[[^][]*\]", "", line) for line in lines]
    return list(dict.fromkeys(lines))


def beginning(command: str, table: dict[str, object]) -> str | None:
    """The entry of a table that a command, without settings of the environment, begins with."""
    plain = re.sub(r"^(?:[A-Z_]+=\S+ )+", "", command)
    return next((start for start in table if plain.startswith(start)), None)


def test_what_is_not_run_stands_on_the_page() -> None:
    assert {beginning(command, dict(CANNOT)) for command in commands()} - {None} == set(CANNOT)
    assert {beginning(command, dict(SHORTER)) for command in commands()} - {None} == set(SHORTER)


@pytest.mark.timeout(900)  # a minute of work, on a machine that does much else
def test_each_command_ends_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    lay_out(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLOCKFACE_MODELS", str(ROOT / "models"))
    tried = [command for command in commands() if beginning(command, dict(CANNOT)) is None]
    failed = {}
    for command in tried:
        if command.startswith("python -m training prepare"):
            shutil.rmtree(tmp_path / "crops", ignore_errors=True)  # the page says two ways to begin
        code = ended(command)
        if code != 0:
            failed[command] = capfd.readouterr().err[-400:]
        if command.startswith("python -m training prepare"):
            more_people(tmp_path / "crops")
        if command.startswith("python -m export adopt-liveness"):
            made = sha256(tmp_path / "own-liveness.onnx")
            (tmp_path / "own.toml").write_text(f'[liveness]\nmodel = "own-liveness.onnx"\nsha256 = "{made}"\nmode = "observe"\n')
    assert failed == {}
    assert len(tried) >= 13


def ended(command: str) -> int:
    """The exit code of a command of this project, with its settings of the environment."""
    words = shlex.split(command.partition(" > ")[0])
    with pytest.MonkeyPatch.context() as patch:
        while "=" in words[0]:
            patch.setenv(*words.pop(0).split("=", 1))
        assert words[:2] == ["python", "-m"], command
        main = importlib.import_module(f"{words[2]}.__main__").main
        return int(main([*words[3:], *SHORTER.get(beginning(command, dict(SHORTER)) or "", ())]))


def lay_out(folder: Path) -> None:
    """The files that the page names, made from what the repository has; `models` are copies, because one command writes there."""
    (folder / "models").mkdir()
    for name in ("clockface-edge.pt", "clockface-mobile.pt"):
        shutil.copy(ROOT / "models" / name, folder / "models" / name)
    for name in ("own.onnx", "model.onnx", "models/sface.onnx"):
        shutil.copy(ROOT / "models" / "clockface-edge-int8.onnx", folder / name)
    for name in ("runs/gpu/best.pt", "runs/default/last.pt"):
        (folder / name).parent.mkdir(parents=True)
        shutil.copy(ROOT / "models" / "clockface-edge.pt", folder / name)
    photographed(folder)
    folds = ([f"p{i} 1 2", f"p{i + 1} 1 2", f"p{i} 1 p{i + 1} 1", f"p{i} 2 p{i + 1} 2"] for i in (0, 2))
    (folder / "pairs.txt").write_text("\n".join(["2 2", *(line for fold in folds for line in fold)]) + "\n")
    public_sets(folder / "DIR")
    shutil.copy(folder / "DIR" / "lfw.bin", folder / "lfw.bin")
    (folder / "runs" / "liveness").mkdir()
    for number, name in enumerate(("v2", "v1se")):
        torch.save(MiniFASNet(name).state_dict(), folder / "runs" / "liveness" / f"net_{number}.pt")


def photographed(folder: Path) -> None:
    """Two people in public photos, as people to train on and before a terminal."""
    for person in ("portrait-hopper", "portrait-collins"):
        try:
            source = Catalogue.load(ROOT / "device" / "vision" / "models.toml").path(person)
        except ModelError as error:
            pytest.skip(str(error))
        for place in (f"photos/{person}", "OTHER/real", "OTHER/screen"):
            (folder / place).mkdir(parents=True, exist_ok=True)
            shutil.copy(source, folder / place / f"{person}{source.suffix}")


def more_people(crops: Path) -> None:
    """A company has more than two."""
    for person in range(PEOPLE):
        (crops / f"p{person}").mkdir(exist_ok=True)
        for shot in range(1, SHOTS + 1):
            cv2.imwrite(str(crops / f"p{person}" / f"p{person}_{shot:04d}.png"), draw(person, shot)[:, :, ::-1])


def public_sets(folder: Path) -> None:
    (folder / "loose_crop").mkdir(parents=True)
    (folder / "meta").mkdir()
    for name in ("lfw", "cfp_fp", "agedb_30"):
        (folder / f"{name}.bin").write_bytes(pickle.dumps(([png(i // 3, i) for i in range(40)], [i % 2 == 0 for i in range(20)])))
    landmarks = " ".join(f"{value:.3f}" for value in CANONICAL_LANDMARKS.reshape(-1))
    for number in range(1, 5):
        (folder / "loose_crop" / f"{number}.jpg").write_bytes(cv2.imencode(".jpg", draw(number % 2, number))[1].tobytes())
    write = {
        "name_5pts_score": [f"{number}.jpg {landmarks} 0.9" for number in range(1, 5)],
        "face_tid_mid": [f"{number}.jpg {number} 1" for number in range(1, 5)],
        "template_pair_label": ["1 3 1", "2 4 1", "1 2 0", "3 4 0"],
    }
    for name, lines in write.items():
        (folder / "meta" / f"ijbc_{name}.txt").write_text("\n".join(lines) + "\n")
