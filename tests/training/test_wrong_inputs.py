"""What people give by mistake: each command answers with a sentence that says what to do, before it works, and never with a traceback."""

from __future__ import annotations

import errno
import pickle
import resource
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from tests.training.test_data import png, record_set
from training import command_line, disk_errors
from training.__main__ import COMMANDS, main
from training.synthetic import draw

MODELS = Path(__file__).resolve().parents[2] / "models"
FINETUNE = ("train", "finetune", "--init", "weights.pt", "--out", "run", "--set", "data.validation_identities = 2")
SMOKE = ("train", "smoke", "--out", "run")
BIN = ("evaluate", "weights.pt", "--bin", "pairs.bin")
WRONG = {  # what is wrong -> arguments, and words of the answer
    "photos instead of crops": (FINETUNE, ("crops/Ada/0.jpg", "640 x 480", "training prepare")),
    "a setting as text": ((*SMOKE, "--set", "loss.options = { margin = '0.3' }"), ("margin", "'0.3'")),
    "a setting with a spelling mistake": ((*SMOKE, "--set", "schedule.epoch = 3"), ("schedule.epoch:", "did you mean schedule.epochs?")),
    "more parts than crops": ((*SMOKE, "--set", "schedule.accumulate = 100"), ("accumulate = 100", "batch_size")),
    "no GPU": ((*SMOKE, "--set", "run.device = 'cuda'"), ("no GPU",)),
    "a file as the folder of a run": (("train", "smoke", "--out", "weights.pt"), ("weights.pt", "folder")),
    "a recipe that does not exist": (("train", "smok", "--out", "run"), ("smoke",)),
    "a line that is no TOML": ((*SMOKE, "--set", "schedule.epochs : 3"), ("schedule.epochs",)),
    "nothing to resume": ((*SMOKE, "--resume"), ("last.pt", "does not exist")),
    "a checkpoint that was cut short": (("train", "smoke", "--out", "torn", "--resume"), ("last.pt", "cannot be read")),
    "weights that were cut short": (("export-weights", "torn/last.pt", "out.pt"), ("last.pt", "cannot be read")),
    "weights that are a picture": (("train", "finetune", "--init", "photos/Ada/0.jpg", "--out", "run"), ("0.jpg",)),
    "weights of a net that is not known": (("export-weights", "foreign.pt", "out.pt"), ("foreign.pt", "layer1.weight", "export adopt")),
    "weights of another backbone": (("export-weights", "unfit.pt", "out.pt"), ("unfit.pt", "edge-slim", "Missing")),
    "weights that are not finite": (("export-weights", "nan.pt", "out.pt"), ("nan.pt", "not finite")),
    "weights of a version to come": (("evaluate", "newer.pt", "--bin", "good.bin"), ("newer.pt", "unheard_of")),
    "a whole net, pickled": (("evaluate", "whole.pt", "--bin", "good.bin"), ("whole.pt", "torch.onnx.export")),
    "a TorchScript program": (("evaluate", "script.pt", "--bin", "good.bin"), ("script.pt", "TorchScript")),
    "weights in safetensors": (("evaluate", "net.safetensors", "--bin", "good.bin"), ("net.safetensors", "torch.save")),
    "a pointer of Git LFS": (("evaluate", "lfs.pt", "--bin", "good.bin"), ("lfs.pt", "git lfs pull")),
    "an unknown donor": (("train", "everyday", "--init", "doner", "--out", "run"), ("doner",)),
    "a teacher of another kind": ((*SMOKE, "--set", "data.sources = [{ path = 'set.rec', teacher = 'rows.npy' }]"), ("rows.npy", ".npz")),
    "a teacher of another set": ((*SMOKE, "--set", "data.sources = [{ path = 'set.rec', teacher = 'rows.npz' }]"), ("rows.npz", "3")),
    "a .rec without its index": ((*SMOKE, "--set", "data.sources = [{ path = 'alone.rec' }]"), ("alone.idx",)),
    "a negative budget": ((*SMOKE, "--budget-minutes", "-3"), ("--budget-minutes",)),
    "no worker": (("prepare", "photos", "out", "--workers", "0"), ("--workers",)),
    "no photos": (("prepare", "nowhere", "out"), ("nowhere",)),
    "photos in an archive": (("prepare", "photos.zip", "out"), ("photos.zip", "unpack")),
    "records without their index": (("prepare", "alone.rec", "out"), ("alone.idx", "rec2idx")),
    "an embedder that does not exist": (("prepare", "photos", "out", "--model", "nothing.onnx"), ("nothing.onnx",)),
    "a file as the folder of crops": (("prepare", "photos", "weights.pt"), ("weights.pt", "folder")),
    "a distance that is none": (("prepare", "photos", "out", "--min-eye-distance", "-1"), ("--min-eye-distance",)),
    "pairs of one person each": (BIN, ("pairs.bin", "non-mated")),
    "pairs without pictures": (("evaluate", "weights.pt", "--pairs", "pairs.txt", "--images", "crops"), ("Ada_0001", "--images")),
    "pairs in one fold": (("evaluate", "weights.pt", "--pairs", "fold.txt", "--images", "named"), ("one fold", "two")),
    "groups without a table": (("evaluate", "weights.pt", "--bin", "good.bin", "--groups", "crops"), ("groups.tsv",)),
    "a plot into a file": (("evaluate", "weights.pt", "--bin", "good.bin", "--out", "weights.pt"), ("weights.pt", "folder")),
    "a model that is none": (("evaluate", "photos/Ada/0.jpg", "--bin", "good.bin"), ("0.jpg",)),
    "an ONNX file that is none": (("evaluate", "bad.onnx", "--bin", "good.bin"), ("bad.onnx",)),
    "a backbone of another kind": (("prune", "weights.pt", "iresnet18", "out.pt"), ("backbone",)),
    "a public set that is not there": (("benchmark", "lfw", "cfp-fp", "crops", "--model", "weights.pt"), ("lfw.bin", "InsightFace")),
    "templates that are not there": (("benchmark", "ijb-c", "crops", "--model", "weights.pt"), ("loose_crop", "meta")),
    "a public set that is none": (("benchmark", "megaface", "crops", "--model", "weights.pt"), ("megaface", "agedb")),
    "no picture of living faces": (("liveness", "crops", "--out", "run"), ("real",)),
    "a share above one": (("join", "smoke", "--centred", "weights.pt", "--own", "weights.pt", "--share", "3"), ("--share",)),
    "a recipe without a teacher": (("join", "smoke", "--centred", "weights.pt", "--own", "weights.pt"), ("teacher",)),
    "a pack over a pack": (("pack", "smoke", "--out", "crops"), ("crops", "exists")),
    "a folder without runs": (("runs", "crops"), ("crops", "no run")),
    "a folder of runs that does not exist": (("runs", "nowhere"), ("nowhere",)),
    "a report of no run": (("report", "crops"), ("crops", "best.pt")),
    "a comparison with no run": (("report", "first", "--against", "crops"), ("crops", "no run")),
    "shards that are not there": (("shards", "index", "nowhere/*.tar"), ("nowhere",)),
    "a shard that is none": (("shards", "index", "bad.tar"), ("bad.tar", "no .tar")),
    "no classes": (("partial_fc", "--classes", "0"), ("--classes",)),
    "no epochs": (("visualize", "--out", "plots", "--epochs", "0"), ("--epochs",)),
    "pictures into a file": (("visualize", "--out", "weights.pt"), ("weights.pt", "folder")),
    "a loss of another name": (("visualize", "--out", "plots", "--losses", "Softmaxx"), ("Softmaxx", "Softmax")),
    "digits that are none": (("visualize", "--out", "plots", "--idx", "crops"), ("crops",)),
}  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what people have."""
    folder = tmp_path_factory.mktemp("place")
    for person in ("Ada", "Ben", "Cem", "Dan"):
        for shot in range(2):
            for kind, size in (("photos", (640, 480)), ("crops", (640, 480))):
                (folder / kind / person).mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(folder / kind / person / f"{shot}.jpg"), cv2.resize(draw(1, shot), size))
    settings = ('data.sources = [{ kind = "drawn", path = "8 x 4" }]', "data.validation_identities = 2", "schedule.steps = 2", "schedule.batch_size = 8")
    assert main(["train", "smoke", "--out", str(folder / "first"), *(word for line in settings for word in ("--set", line))]) == 0
    (folder / "weights.pt").write_bytes((folder / "first" / "last.pt").read_bytes())
    foreign_weights(folder)
    with zipfile.ZipFile(folder / "photos.zip", "w") as archive:
        archive.writestr("Ada/0.jpg", "")
    (folder / "torn").mkdir()
    (folder / "torn" / "last.pt").write_bytes((folder / "weights.pt").read_bytes()[:20_000])
    (folder / "bad.onnx").write_bytes(b"no model")
    (folder / "bad.tar").write_bytes(b"no shard" * 100)
    record_set(folder / "set.rec", [0, 0, 1])
    (folder / "alone.rec").write_bytes((folder / "set.rec").read_bytes())
    np.save(folder / "rows.npy", np.eye(3, 8, dtype=np.float32))
    np.savez(folder / "rows.npz", embedding=np.eye(2, 8, dtype=np.float32))
    (folder / "pairs.txt").write_text("1 1\nAda 1 2\nAda 1 Ben 1\n")
    (folder / "fold.txt").write_text("1 1\na 1 2\na 1 b 1\n")
    for name in ("a/a_0001.png", "a/a_0002.png", "b/b_0001.png"):
        (folder / "named" / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / "named" / name), draw(1, 1))
    (folder / "pairs.bin").write_bytes(pickle.dumps(([png(0, i) for i in range(4)], [True, True])))
    (folder / "good.bin").write_bytes(pickle.dumps(([png(i // 3, i) for i in range(8)], [True, False, True, False])))
    return folder


def foreign_weights(folder: Path) -> None:
    """Files that hold weights in other forms, and weights of ours that were changed."""
    ours, net = torch.load(MODELS / "clockface-edge.pt", weights_only=True), torch.nn.Conv2d(3, 4, 3)
    kept = dict(list(ours["embedder"].items())[3:])
    torch.save({"model": {f"module.layer1.{name}": value for name, value in net.state_dict().items()}}, folder / "foreign.pt")
    torch.save({**ours, "embedder": kept}, folder / "unfit.pt")
    torch.save({**ours, "embedder": {name: value * float("nan") for name, value in ours["embedder"].items()}}, folder / "nan.pt")
    torch.save({**ours, "recipe": {**ours["recipe"], "unheard_of": 1}}, folder / "newer.pt")
    torch.save(net, folder / "whole.pt")
    with zipfile.ZipFile(folder / "script.pt", "w") as archive:  # as torch.jit.save names its parts
        for part in ("data.pkl", "constants.pkl", "version", "code/net.py"):
            archive.writestr(f"script/{part}", "2")
    head = b'{"bias":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    (folder / "net.safetensors").write_bytes(len(head).to_bytes(8, "little") + head + bytes(4))
    (folder / "lfs.pt").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")


@pytest.mark.parametrize("case", WRONG)
def test_is_answered_with_a_sentence(case: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setenv("CROPS", "crops")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    arguments, words = WRONG[case]
    try:
        code = main(list(arguments))
    except SystemExit as stop:  # argparse
        code = int(stop.code or 0)
    said = capsys.readouterr().err
    assert code in (1, 2)
    assert [word for word in words if word not in said] == []


def test_every_command_is_tried() -> None:
    assert set(COMMANDS) - {arguments[0] for arguments, _ in WRONG.values()} == {"speed"}  # which has a recipe and weights as `train`


def test_a_disk_without_room_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limit[1]))  # writing fails at this size as it does on a full disk
    try:
        code = main(["export-weights", str(MODELS / "clockface-edge.pt"), str(tmp_path / "out.pt")])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert code == 1 and "free some room" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_may_not_be_written_is_told() -> None:
    assert disk_errors.sentence(OSError(errno.EROFS, "Read-only file system", "x")).startswith("x: Read-only file system; name a place")
    assert disk_errors.sentence(OSError(errno.EIO, "Input/output error")) == ""


def test_a_package_that_is_not_installed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """As after `make run`, which installs what a board has; a module of ours that is missing is our own error."""
    monkeypatch.syspath_prepend(tmp_path)
    for name, line in (("away", "import no_such_package.part"), ("ours", "import training.no_such_module")):
        (tmp_path / "workshop").mkdir(exist_ok=True)
        (tmp_path / "workshop" / f"{name}.py").write_text(line)
    commands = {"away": "", "ours": ""}
    assert command_line.run("workshop", "", commands, {}, ["away"]) == 1
    assert "no_such_package" in (said := capsys.readouterr().err) and "make workstation" in said
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        command_line.run("workshop", "", commands, {}, ["ours"])
