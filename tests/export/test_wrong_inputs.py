"""What people give by mistake to `export`: each command answers with a sentence that says what to do, and never with a traceback."""

from __future__ import annotations

import pickle
import shutil
import zipfile
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.__main__ import COMMANDS, main
from tests.training.test_data import record_set
from training.synthetic import draw

MODELS = Path(__file__).resolve().parents[2] / "models"
ABOUT = ("--licence", "MIT", "--training-data", "none")
ADOPT = ("adopt", "net.onnx", "--name", "x", *ABOUT)
FOREIGN = ("adopt", "--out", "out.onnx", "--name", "x", *ABOUT)
PAIRS = ("--pairs", "pairs.txt", "--images", "crops")
IMAGE = ("image", "nothing.img", "--bundle", "empty")
CHOOSE = ("table", "net.onnx", "--choose", "--people", "photos", "--strangers", "photos")
WRONG = {  # what is wrong -> arguments, and words of the answer
    "a recipe that does not exist": (("model", "clockface-huge"), ("clockface-huge", "clockface-mobile")),
    "weights that do not exist, for a recipe": (("model", "--weights", "nothing.pt", "--work", "work"), ("nothing.pt",)),
    "a work folder that is a file": (("model", "--work", "pairs.txt"), ("pairs.txt", "folder")),
    "weights that do not exist": (("build", "nothing.pt", "--out", "out.onnx", *ABOUT), ("nothing.pt",)),
    "weights that are a model file": (("build", "net.onnx", "--out", "out.onnx", *ABOUT), ("net.onnx",)),
    "a file to write that is a folder": (("build", "net.pt", "--out", "crops", *ABOUT), ("crops", "folder")),
    "a file below a file": (("build", "net.pt", "--out", "pairs.txt/out.onnx", *ABOUT), ("pairs.txt",)),
    "a model that does not exist": (("quantize", "nothing.onnx", "--out", "out.onnx", "--folder", "crops"), ("nothing.onnx",)),
    "a model without a card": (("quantize", "bare.onnx", "--out", "out.onnx", "--folder", "crops"), ("bare.onnx", "card")),
    "a model that is int8 already": (("quantize", "int8.onnx", "--out", "out.onnx", "--folder", "crops"), ("int8.onnx", "float32")),
    "no crops": (("quantize", "net.onnx", "--out", "out.onnx"), ("--folder",)),
    "a folder of crops that does not exist": (("quantize", "net.onnx", "--out", "out.onnx", "--folder", "nowhere"), ("nowhere",)),
    "too few people": (("quantize", "net.onnx", "--out", "out.onnx", "--folder", "crops"), ("crops", "20")),
    "photos for crops": (("quantize", "net.onnx", "--out", "out.onnx", "--folder", "many"), ("640 x 480", "training prepare")),
    "a goal above one": (("quantize", "net.onnx", "--out", "out.onnx", "--folder", "many", "--goal", "99"), ("--goal",)),
    "one crop": (("quantize", "net.onnx", "--out", "out.onnx", "--folder", "many", "--most", "1"), ("--most",)),
    "a report below nothing": (("quantize", "net.onnx", "--out", "out.onnx", "--folder", "many", "--report", "crops"), ("crops", "folder")),
    "a .rec without an index": (("quantize", "net.onnx", "--out", "out.onnx", "--rec", "alone.rec"), ("alone.idx",)),
    "a .rec in which all are labelled": (("quantize", "net.onnx", "--out", "out.onnx", "--rec", "set.rec"), ("set.rec", "-1")),
    "a teacher of another set": (("quantize", "net.onnx", "--out", "out.onnx", "--rec", "free.rec", "--teacher", "rows.npz"), ("rows.npz", "21")),
    "a teacher that is none": (("quantize", "net.onnx", "--out", "out.onnx", "--rec", "free.rec", "--teacher", "pairs.txt"), ("pairs.txt", ".npz")),
    "no minutes": (("qat", "net.pt", "--out", "out.onnx", *ABOUT, "--minutes", "0", "--folder", "crops"), ("--minutes",)),
    "training for int8 without crops": (("qat", "net.pt", "--out", "out.onnx", *ABOUT), ("--folder",)),
    "an original that is no model": (("adopt", "text.onnx", "--out", "out.onnx", "--name", "x", *ABOUT), ("text.onnx", "ONNX")),
    "an original under the contract": ((*ADOPT, "--out", "out.onnx"), ("net.onnx", "already")),
    "a std of nothing": (("adopt", "bare.onnx", "--out", "out.onnx", "--name", "x", *ABOUT, "--std", "0", "1", "1"), ("std",)),
    "pairs without pictures": (("adopt", "bare.onnx", "--out", "out.onnx", "--name", "x", *ABOUT, *PAIRS), ("Ada_0001", "--images")),
    "pictures without pairs": (("adopt", "bare.onnx", "--out", "out.onnx", "--name", "x", *ABOUT, "--images", "crops"), ("--pairs",)),
    "pairs that are no .bin": (("adopt", "bare.onnx", "--out", "out.onnx", "--name", "x", *ABOUT, "--pairs", "pairs.txt"), ("pairs.txt", "--images")),
    "an original that is zipped": ((*FOREIGN, "zip.onnx"), ("zip.onnx", "unpack")),
    "an original of PyTorch": ((*FOREIGN, "net.pt"), ("net.pt", "torch.onnx.export")),
    "an original that was cut short": ((*FOREIGN, "cut.onnx"), ("cut.onnx",)),
    "an original that is empty": ((*FOREIGN, "empty.onnx"), ("empty.onnx", "empty")),
    "an original for other crops": ((*FOREIGN, "wide.onnx"), ("uint8 (N, 3, 112, 112)", "(1, 3, 112, 96)")),
    "an original with two inputs": ((*FOREIGN, "two.onnx"), ("data, more", "one input")),
    "a detector": ((*FOREIGN, "detector.onnx"), ("(4, 8)", "face embedder")),
    "an original for one crop at a time": ((*FOREIGN, "one.onnx"), ("batches of one", "dynamic_axes")),
    "an original whose weights are not finite": ((*FOREIGN, "nan.onnx"), ("not finite",)),
    "an original that tells nobody apart": ((*FOREIGN, "bare.onnx", "--pairs", "good.bin"), ("tells people apart", "aligned")),
    "a mean for an original that takes bytes": ((*FOREIGN, "bytes.onnx", "--mean", "1", "1", "1"), ("uint8", "--mean")),
    "liveness weights that are none": (("adopt-liveness", "net.pt:2.7", "--out", "out.onnx", *ABOUT), ("net.pt",)),
    "liveness weights without a scale": (("adopt-liveness", "net.pt", "--out", "out.onnx", *ABOUT), ("net.pt", "SCALE")),
    "a threshold of liveness above one": (("adopt-liveness", "net.pt:2.7", "--out", "out.onnx", *ABOUT, "--threshold", "7"), ("--threshold",)),
    "a reference that does not exist": (("verify", "net.onnx", "--reference", "nothing.onnx", *PAIRS), ("nothing.onnx",)),
    "a list of pairs that is none": (("verify", "net.onnx", "--pairs", "text.onnx", "--images", "crops"), ("text.onnx", "pairs.txt")),
    "a list of pairs that does not exist": (("verify", "net.onnx", "--pairs", "nothing.txt", "--images", "crops"), ("nothing.txt",)),
    "a cosine above one": (("verify", "net.onnx", *PAIRS, "--mean-cosine", "99"), ("--mean-cosine",)),
    "no rounds": (("latency", "net.onnx", "--rounds", "0"), ("--rounds",)),
    "times on no pictures": (("latency", "net.onnx", "--crops", "empty"), ("empty",)),
    "times of a model that does not exist": (("latency", "nothing.onnx"), ("nothing.onnx",)),
    "nothing to compare": (("table",), ("--backbone",)),
    "a choice without people": (("table", "net.onnx", "--choose"), ("--people",)),
    "a choice by groups without a table": ((*CHOOSE, "--groups", "crops"), ("groups.tsv",)),
    "a choice among people who are not there": ((*CHOOSE, "--people", "nowhere", "--groups", "grouped"), ("nowhere",)),
    "a Python that is none": (("elsewhere", "net.onnx", "--python", "nothing-here"), ("nothing-here",)),
    "no picture to compare by": (("elsewhere", "net.onnx", "--python", "nothing-here", "--most", "0"), ("--most",)),
    "rates that are none": (("calibrate", "net.onnx", "--folder", "crops", "--fpir", "2"), ("--fpir",)),
    "thresholds without crops": (("calibrate", "net.onnx"), ("--folder",)),
    "a cohort without visits": (("calibrate", "net.onnx", "--cohort", "set.rec"), ("--visits",)),
    "visits of too few people": (("calibrate", "net.onnx", "--visits", "set.rec"), ("set.rec",)),
    "visits that do not exist": (("calibrate", "net.onnx", "--visits", "nothing.rec"), ("nothing",)),
    "people who are not there": (("search", "net.onnx", "--people", "nowhere", "--strangers", "photos"), ("nowhere",)),
    "strangers who are not there": (("search", "net.onnx", "--people", "photos", "--strangers", "nowhere"), ("nowhere",)),
    "a rate above one": (("search", "net.onnx", "--people", "photos", "--strangers", "photos", "--fpir", "7"), ("--fpir",)),
    "a model before that does not exist": (("gain", "net.onnx", "--against", "nothing.onnx", "--people", "crops"), ("nothing.onnx",)),
    "groups without a table": (("groups", "net.onnx", "--folder", "crops"), ("groups.tsv",)),
    "groups of a .rec without a table": (("groups", "net.onnx", "--folder", "set.rec"), ("set.tsv",)),
    "conditions of nobody": (("conditions", "net.onnx", "--people", "nowhere"), ("nowhere",)),
    "conditions on no photo": (("conditions", "net.onnx", "--people", "photos", "--probes", "0"), ("--probes",)),
    "quality of nobody": (("quality", "net.onnx", "nowhere"), ("nowhere",)),
    "no split": (("quality", "net.onnx", "photos", "--splits", "0"), ("--splits",)),
    "a card of a text": (("card", "text.onnx"), ("text.onnx",)),
    "a card that is missing": (("card", "bare.onnx"), ("bare.onnx", "card")),
    "a page that is a folder": (("card", "net.onnx", "--html", "crops"), ("crops", "folder")),
    "a trial that is none": (("card", "net.onnx", "--trial", "pairs.txt", "--data", "x"), ("pairs.txt",)),
    "a key over a file": (("keygen", "pairs.txt"), ("pairs.txt",)),
    "a key below nothing": (("keygen", "nowhere/key"), ("nowhere",)),
    "a bundle without its key": (("bundle", "--out", "out", "--key", "nothing"), ("nothing",)),
    "a bundle signed with a text": (("bundle", "--out", "out", "--key", "pairs.txt"), ("pairs.txt",)),
    "a bundle into a file": (("bundle", "--out", "pairs.txt", "--key", "key"), ("pairs.txt", "folder")),
    "a bundle with settings that are none": (("bundle", "--out", "out", "--key", "key", "--config", "text.onnx"), ("text.onnx",)),
    "an image of nothing": ((*IMAGE, "--out", "out.img"), ("nothing.img",)),
    "an image into a folder": ((*IMAGE, "--out", "crops"), ("crops", "folder")),
    "an image with a key that is not there": ((*IMAGE, "--out", "out.img", "--ssh-key", "nothing.pub"), ("nothing.pub", "--ssh-key")),
    "an image with settings that are none": ((*IMAGE, "--out", "out.img", "--config", "text.onnx"), ("text.onnx",)),
    "a card without an image": (("flash", "nothing.img", "/dev/null"), ("nothing.img",)),
    "a list in place of an image": (("flash", "pairs.txt", "/dev/null"), ("pairs.txt", "partition table")),
    "a card that is not there": (("flash", "disk.img", "nowhere/card"), ("nowhere/card",)),
    "wheels into a file": (("wheels", "--wheels", "pairs.txt"), ("pairs.txt", "folder")),
    "a bill into a folder": (("sbom", "--out", "crops"), ("crops", "folder")),
    "a program that is none": (("vulnerabilities", "--tool", "./nothing-here"), ("nothing-here",)),
    "a release without its key": (("release", "--out", "out", "--key", "nothing"), ("nothing",)),
    "a release into a file": (("release", "--out", "pairs.txt", "--key", "key"), ("pairs.txt", "folder")),
    "a release that is none": (("check-release", "crops", "--key", "key.pub"), ("crops",)),
    "a release without a public key": (("check-release", "crops", "--key", "nothing"), ("nothing",)),
    "weights taken out of a text": (("plain", "text.onnx", "out.onnx"), ("text.onnx",)),
    "weights taken out into a folder": (("plain", "net.onnx", "crops"), ("crops", "folder")),
    "an embedder in place of the detector": (("yunet", "net.onnx", "out.onnx"), ("net.onnx", "YuNet")),
    "a detector of a text": (("yunet", "text.onnx", "out.onnx"), ("text.onnx",)),
    "a detector into a folder": (("yunet", "net.onnx", "crops"), ("crops", "folder")),
    "a patch of what is not there": (("patch", "nothing.onnx", "net.onnx", "out.patch"), ("nothing.onnx",)),
    "a patch into a folder": (("patch", "net.onnx", "net.onnx", "crops"), ("crops", "folder")),
}  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what people have."""
    folder = tmp_path_factory.mktemp("place")
    for file, name in (("clockface-edge.onnx", "net.onnx"), ("clockface-edge-int8.onnx", "int8.onnx"), ("clockface-edge.pt", "net.pt")):
        shutil.copy(MODELS / file, folder / name)
    for person in range(21):
        for kind, size in (("crops", (112, 112)), ("photos", (640, 480)), ("many", (640, 480))):
            if person < 3 or kind == "many":
                (folder / kind / f"p{person}").mkdir(parents=True)
                cv2.imwrite(str(folder / kind / f"p{person}" / "0.jpg"), cv2.resize(draw(person, 0), size))
    (folder / "empty").mkdir()
    (folder / "text.onnx").write_text("no model")
    bare(folder / "bare.onnx")
    foreign(folder)
    grouped(folder / "grouped")
    for name, labels in (("set.rec", [0, 0, 1]), ("free.rec", [-1] * 21)):
        record_set(folder / name, labels)
    shutil.copy(folder / "set.rec", folder / "alone.rec")
    np.savez(folder / "rows.npz", embedding=np.eye(2, 8, dtype=np.float32), scale=np.ones(2, np.float32))
    (folder / "pairs.txt").write_text("1 1\nAda 1 2\nAda 1 Ben 1\n")
    assert main(["keygen", str(folder / "key")]) == 0
    return folder


def grouped(folder: Path) -> None:
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), draw(0, 0))
    (folder / "groups.tsv").write_text("file\trace\na.png\tx\n")


def foreign(folder: Path) -> None:
    """Models of others that cannot be taken, each in its own way."""
    published = onnx.load(folder / "bare.onnx")
    with zipfile.ZipFile(folder / "zip.onnx", "w") as archive:
        archive.writestr("net.onnx", "")
    (folder / "cut.onnx").write_bytes((folder / "net.onnx").read_bytes()[:9000])
    (folder / "empty.onnx").write_bytes(b"")
    (folder / "disk.img").write_bytes(bytes(510) + b"\x55\xaa" + bytes(1 << 20))  # a partition table without partitions
    changes = {"wide": _wide, "two": _two_inputs, "detector": _detector, "one": _one_at_a_time, "nan": _not_finite, "bytes": _bytes}
    for name, change in changes.items():
        model = onnx.ModelProto.FromString(published.SerializeToString())
        change(model.graph)
        onnx.save(model, folder / f"{name}.onnx")
    crops = [cv2.imencode(".png", draw(person, 0))[1].tobytes() for person in (0, 1)]
    (folder / "good.bin").write_bytes(pickle.dumps((crops * 4, [True, False] * 2)))  # the same two crops are said to be both


def _wide(graph: onnx.GraphProto) -> None:
    graph.input[0].type.tensor_type.shape.dim[3].dim_value = 96


def _two_inputs(graph: onnx.GraphProto) -> None:
    graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1, 3]))
    graph.node[2].input[0] = "sum"
    graph.node.insert(2, helper.make_node("Add", ["flat", "more"], ["sum"]))


def _detector(graph: onnx.GraphProto) -> None:
    graph.initializer.append(numpy_helper.from_array(np.zeros((4, 8), np.float32), "anchors"))
    graph.node.append(helper.make_node("Add", ["embedding", "anchors"], ["boxes"]))
    graph.output[0].name = "boxes"


def _one_at_a_time(graph: onnx.GraphProto) -> None:
    graph.initializer.append(numpy_helper.from_array(np.zeros((1, 3), np.float32), "token"))
    graph.initializer.append(numpy_helper.from_array(np.ones((6, 8), np.float32), "wide"))
    graph.node.insert(2, helper.make_node("Concat", ["flat", "token"], ["both"], axis=1))
    graph.node[3].input[:] = ["both", "wide"]


def _not_finite(graph: onnx.GraphProto) -> None:
    weights = next(tensor for tensor in graph.initializer if tensor.name == "weights")
    weights.CopyFrom(numpy_helper.from_array(np.full((3, 8), np.nan, np.float32), "weights"))


def _bytes(graph: onnx.GraphProto) -> None:
    graph.input[0].CopyFrom(helper.make_tensor_value_info("pixels", TensorProto.UINT8, [1, 3, 112, 112]))
    graph.node.insert(0, helper.make_node("Cast", ["pixels"], ["data"], to=TensorProto.FLOAT))


def bare(path: Path) -> None:
    from tests.export.test_adopt import original

    original(path)


@pytest.mark.parametrize("case", WRONG)
def test_is_answered_with_a_sentence(case: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setenv("CLOCKFACE_SHARED", "nowhere")
    arguments, words = WRONG[case]
    before = sorted(place.rglob("*"))
    try:
        code = main(list(arguments))
    except SystemExit as stop:  # argparse
        code = int(stop.code or 0)
    said = capsys.readouterr().err
    assert code in (1, 2)
    assert [word for word in words if word not in said] == [], said
    assert sorted(place.rglob("*")) == before


def test_every_command_is_tried() -> None:
    assert set(COMMANDS) == {arguments[0] for arguments, _ in WRONG.values()}
