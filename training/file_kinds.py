"""What a file is that was expected to be another kind of file, by its first bytes, and what to do with it."""

from __future__ import annotations

import zipfile
from pathlib import Path

STARTS = {  # first bytes -> what the file is, and what to do
    b"version https://git-lfs": "a pointer of Git LFS: fetch the file itself with `git lfs pull`",
    b"<!DOCTYPE": "a web page: download the file itself, not the page about it",
    b"<!doctype": "a web page: download the file itself, not the page about it",
    b"<html": "a web page: download the file itself, not the page about it",
    b"\x1f\x8b": "compressed (gzip): unpack it first",
    b"7z\xbc\xaf": "compressed (7z): unpack it first",
    b"Rar!": "compressed (RAR): unpack it first",
    b"\x89HDF": "in HDF5, as Keras writes it: convert it to ONNX with tf2onnx, then `python -m export adopt`",
    b"\x80\x02": "a pickle of Python: save its weights alone with `torch.save(net.state_dict(), ...)` where its code is, or export it to ONNX there",
    b"\x80\x04": "a pickle of Python: save its weights alone with `torch.save(net.state_dict(), ...)` where its code is, or export it to ONNX there",
    b"\xff\xd8\xff": "a picture (JPEG)",
    b"\x89PNG": "a picture (PNG)",
}
TORCH = "of PyTorch (.pt, .pth): export it to ONNX with torch.onnx.export where its code is"
SCRIPT = "a TorchScript program: export it to ONNX with torch.onnx.export, then `python -m export adopt`"


def kind(path: Path) -> str:
    """What a file is, and what to do with it; empty where that is not known."""
    if path.is_dir():
        return "a folder: name a file in it"
    try:
        with path.open("rb") as file:
            head = file.read(32)
    except OSError as error:
        return f"not readable ({error.strerror}): check its path and permissions"
    if not head:
        return "empty: copy or download it again"
    if head[4:8] == b"TFL3":
        return "of TensorFlow Lite: convert it to ONNX with tf2onnx, then `python -m export adopt`"
    if head[8:10] == b'{"':
        return "in safetensors: load it where its code is, then save it with torch.save, or export it to ONNX"
    if head.startswith(b"PK"):
        return _zipped(path)
    return next((what for start, what in STARTS.items() if head.startswith(start)), "")


def _zipped(path: Path) -> str:
    try:
        names = [name.partition("/")[2] for name in zipfile.ZipFile(path).namelist()]
    except (zipfile.BadZipFile, OSError):
        return "a zip archive that was cut short: copy or download it again"
    if "data.pkl" not in names:
        return "a zip archive: unpack it first"
    return SCRIPT if "constants.pkl" in names else TORCH
