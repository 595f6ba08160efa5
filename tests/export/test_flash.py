"""Writing an image to a card: what must not be overwritten is refused, what was written is compared, the data of a terminal can stay."""

from __future__ import annotations

import dataclasses
import io
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from export.__main__ import main
from export.disk.block_map import make_map
from export.disk.target import FlashTarget, OnDisk, described, find_target
from export.flash import Piece, check_image, compare, confirm, keeping_data, whole, write
from tests.export.cards import MIB, PATH, tool
from tests.refused import refused

pytestmark = pytest.mark.skipif(not all(shutil.which(name, path=PATH) for name in ("sfdisk", "lsblk", "mke2fs")), reason="needs fdisk and e2fsprogs")
STARTS = (1 * MIB, 9 * MIB)  # of root and data


def image_in(folder: Path, label: str, root: bytes) -> Path:
    """A disk of 13 MiB: a root of `root`'s bytes and an empty data partition of 3 MiB; its map leaves the data's free space out."""
    image, data = folder / "new.img", folder / "data.ext4"
    tool("mke2fs", "-q", "-t", "ext4", "-b", "4096", "-L", "clockface-data", str(data), "3M")
    with image.open("wb") as file:
        file.truncate(13 * MIB)
        file.seek(STARTS[0])
        file.write((root * (8 * MIB // len(root) + 1))[: 8 * MIB])
        file.write(data.read_bytes())
    kind = "83" if label == "dos" else "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
    tool("sfdisk", "--quiet", str(image), feed=f"label: {label}\nstart=2048, size={8 * 2048}, type={kind}\nstart={9 * 2048}, size={3 * 2048}, type={kind}\n")
    image.with_name("new.img.bmap").write_bytes(make_map(image, [(11 * MIB, 12 * MIB - MIB // 2)]).to_xml())
    return image


def card_in(folder: Path, size: int = 20 * MIB) -> Path:
    """A file in place of a card, with something on it."""
    card = folder / "card"
    card.write_bytes(os.urandom(4096) * (size // 4096))
    return card


def test_a_card_gets_what_is_mapped_and_nothing_else(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    image, card = image_in(tmp_path, "dos", b"root"), card_in(tmp_path)
    before, wanted = card.read_bytes(), image.read_bytes()
    assert main(["flash", str(image), str(card), "--yes"]) == 0
    after = card.read_bytes()
    assert after[: 11 * MIB] == wanted[: 11 * MIB] and after[11 * MIB : 11 * MIB + MIB // 2] == before[11 * MIB : 11 * MIB + MIB // 2]
    assert after[12 * MIB - MIB // 2 : 13 * MIB] == wanted[12 * MIB - MIB // 2 :] and after[13 * MIB :] == before[13 * MIB :]
    said = capfd.readouterr()
    assert "read back and found equal" in said.out and "100 % written" in said.err and "100 % compared" in said.err
    image.with_name("new.img.bmap").unlink()
    assert main(["flash", str(image), str(card), "--yes"]) == 0 and card.read_bytes()[: 13 * MIB] == wanted


@pytest.mark.parametrize("label", ["dos", "gpt"])
def test_the_next_image_keeps_a_grown_data_partition(label: str, tmp_path: Path) -> None:
    image, card = image_in(tmp_path, label, b"first"), card_in(tmp_path)
    assert main(["flash", str(image), str(card), "--yes"]) == 0
    if label == "gpt":
        tool("sfdisk", "--quiet", "--relocate", "gpt-bak-std", str(card))
    tool("sfdisk", "--quiet", "--force", "-N", "2", str(card), feed=", +\n")  # as at the first start
    grown = tool("sfdisk", "--dump", str(card)).splitlines()[-1]
    with card.open("r+b") as file:
        file.seek(15 * MIB)
        file.write(b"somebody's punches")
    (tmp_path / "next").mkdir()
    second = image_in(tmp_path / "next", label, b"second")
    before = card.read_bytes()
    assert main(["flash", str(second), str(card), "--yes", "--keep-data"]) == 0
    after = card.read_bytes()
    end = 20 * MIB - (33 * 512 if label == "gpt" else 0)
    assert after[9 * MIB : end] == before[9 * MIB : end] and after[MIB : 9 * MIB] == second.read_bytes()[MIB : 9 * MIB]
    size = next(word for word in grown.split() if word.rstrip(",").isdigit() and int(word.rstrip(",")) > 3 * 2048 and word != f"{9 * 2048},")
    assert size in tool("sfdisk", "--dump", str(card)).splitlines()[-1]
    tool("sfdisk", "--verify", str(card))


def test_data_elsewhere_is_not_taken_for_a_terminal_s(tmp_path: Path) -> None:
    image, card = image_in(tmp_path, "dos", b"root"), card_in(tmp_path)
    tool("sfdisk", "--quiet", "--wipe", "never", str(card), feed="label: dos\nstart=2048, size=4096\n")
    with refused("flash.keep", "--keep-data"):
        keeping_data(image, find_target(card), whole(image), tmp_path / "draft")


def test_what_must_not_be_overwritten_is_refused(tmp_path: Path) -> None:
    contents = (OnDisk("/dev/sdx", 8 * MIB, "", ()), OnDisk("/dev/sdx1", MIB, "ext4 'root'", ()))
    disk = FlashTarget(Path("/dev/sdx"), "Card", 8 * MIB, True, False, "disk", contents)
    disk.check(8 * MIB)
    used = (*disk.contents, OnDisk("/dev/sdx2", MIB, "ext4", ("/media/photos",)))
    system = (*disk.contents, OnDisk("/dev/mapper/vg-root", MIB, "ext4", ("/",)))
    for change, code in (
        ({"contents": used}, "flash.mounted"), ({"contents": system}, "flash.system_disk"), ({"kind": "part"}, "flash.partition"),
        ({"read_only": True}, "flash.read_only"), ({"size": 8 * MIB - 1}, "flash.too_small"),
    ):  # fmt: skip
        with refused(code, "/dev/sdx"):
            dataclasses.replace(disk, **change).check(8 * MIB)
    assert any("/media/photos" in line for line in dataclasses.replace(disk, contents=used).lines())
    for path in (tmp_path, tmp_path / "none", Path("/dev/null")):
        with refused("flash.device", "lsblk"):
            find_target(path)


ROOT = {"name": "/dev/mapper/vg-root", "size": 4 * MIB, "type": "lvm", "fstype": "ext4", "label": None, "mountpoints": ["/"]}
SPARE = {"name": "/dev/mapper/vg-spare", "size": 4 * MIB, "type": "lvm", "fstype": "ext4", "label": "spare", "mountpoints": [None]}
OPEN = {"name": "/dev/mapper/safe", "size": 4 * MIB, "type": "crypt", "fstype": None, "label": None, "mountpoints": [None], "children": [SPARE]}
MIRROR = {"name": "/dev/md0", "size": 4 * MIB, "type": "raid1", "fstype": None, "label": None, "mountpoints": [None]}
PARTITION = {"name": "/dev/sdx1", "size": 4 * MIB, "type": "part", "fstype": "crypto_LUKS", "label": None, "mountpoints": [None]}
SWAP = {"name": "/dev/sdx2", "size": 4 * MIB, "type": "part", "fstype": "swap", "label": None, "mountpoints": ["[SWAP]"]}
DISK = {"name": "/dev/sdx", "size": 8 * MIB, "type": "disk", "fstype": None, "label": None, "mountpoints": [None], "model": "Card ", "ro": False}


@pytest.mark.parametrize(
    ("told", "code", "words"),
    [
        ({"children": [{**PARTITION, "children": [ROOT]}]}, "flash.system_disk", "runs from"),
        ({"children": [{**PARTITION, "children": [{**OPEN, "children": [ROOT]}]}]}, "flash.system_disk", "runs from"),
        ({"children": [SWAP]}, "flash.system_disk", "runs from"),
        ({"children": [{**PARTITION, "children": [OPEN]}]}, "flash.mounted", "/dev/mapper/safe (crypt), /dev/mapper/vg-spare (lvm)"),
        ({"children": [MIRROR]}, "flash.mounted", "/dev/md0 (raid1), which is open"),
        ({"children": [{**PARTITION, "mountpoints": ["/media/a", "/mnt/b"]}]}, "flash.mounted", "/media/a, /mnt/b"),
        ({"type": "part"}, "flash.partition", "without the partition's number"), ({"type": "crypt"}, "flash.partition", "(crypt)"),
        ({"type": "raid1"}, "flash.partition", "(raid1)"), ({"type": "lvm"}, "flash.partition", "(lvm)"), ({"type": "rom"}, "flash.partition", "(rom)"),
        ({"ro": True}, "flash.read_only", "lock"), ({"size": 0}, "flash.too_small", "is there a card"), ({"size": MIB}, "flash.too_small", "take a larger one"),
    ],
)  # fmt: skip
def test_what_lsblk_tells_of_a_wrong_device_is_refused_in_words(told: dict[str, Any], code: str, words: str) -> None:
    with refused(code, words):
        described(Path("/dev/disk/by-id/usb-card"), {**DISK, **told}).check(8 * MIB)
    described(Path("/dev/sdx"), {**DISK, "children": [PARTITION]}).check(8 * MIB)  # one whose partition nobody has opened is free


@pytest.mark.parametrize(
    ("begin", "words"),
    [(b"\xfd7zXZ\0", "xz -dk"), (b"\x1f\x8b\x08", "gunzip -k"), (b"PK\x03\x04", "unzip"), (b"hello", "no image of a whole disk")],
)
def test_a_file_that_is_no_image_is_refused(begin: bytes, words: str, tmp_path: Path) -> None:
    image, card = tmp_path / "new.img.xz", card_in(tmp_path, MIB)
    image.write_bytes(begin.ljust(4096, b"\1"))
    before = card.read_bytes()
    with refused("flash.image", words):
        check_image(image)
    assert main(["flash", str(image), str(card), "--yes"]) == 1 and card.read_bytes() == before


@pytest.mark.parametrize("label", ["dos", "gpt"])
def test_an_image_that_is_cut_short_is_refused(label: str, tmp_path: Path) -> None:
    image, card = image_in(tmp_path, label, b"root"), card_in(tmp_path)
    check_image(image)
    before = card.read_bytes()
    os.truncate(image, 10 * MIB)
    with refused("flash.image", "was changed"):
        whole(image)  # by its map
    image.with_name("new.img.bmap").unlink()
    with refused("flash.image", "cut short"):
        check_image(image)
    assert main(["flash", str(image), str(card), "--yes"]) == 1 and card.read_bytes() == before


def test_an_image_is_not_written_over_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = image_in(tmp_path, "dos", b"root")
    before = image.read_bytes()
    (tmp_path / "card").symlink_to(image)
    assert main(["flash", str(image), str(tmp_path / "card"), "--yes"]) == 1
    assert "is the image itself" in capsys.readouterr().err and image.read_bytes() == before


def test_the_disk_under_this_system_is_refused(tmp_path: Path) -> None:
    source = Path(subprocess.run(["findmnt", "-no", "SOURCE", "/"], capture_output=True, text=True).stdout.strip() or "/none")
    if not source.is_block_device():
        pytest.skip("the root of this system is no block device")
    (tmp_path / "usb-card").symlink_to(source)  # as a name in /dev/disk/by-id
    for name in (source, tmp_path / "usb-card"):
        with refused("flash.system_disk", str(name)):
            find_target(name).check(1)


def test_a_changed_image_and_a_missing_answer_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image, card = image_in(tmp_path, "dos", b"root"), card_in(tmp_path)
    before = card.read_bytes()
    monkeypatch.setattr("sys.stdin", io.StringIO("yes\n"))
    with refused("flash.not_confirmed", "nothing was written"):
        confirm(find_target(card), False, False)
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{card}\n"))
    confirm(find_target(card), True, False)
    with image.open("r+b") as file:
        file.seek(2 * MIB)
        file.write(b"X")
    with refused("flash.image", "nothing was written"):
        whole(image)
    image.with_name("new.img.bmap").unlink()
    image.with_name("new.img.sha256").write_text("0" * 64 + "  new.img\n")
    with refused("flash.image", "nothing was written"):
        whole(image)
    assert main(["flash", str(image), str(card), "--yes"]) == 1 and card.read_bytes() == before


def test_a_card_that_gives_something_else_back_is_named(tmp_path: Path) -> None:
    card, source = card_in(tmp_path), tmp_path / "source"
    source.write_bytes(os.urandom(2 * MIB))
    target, pieces = find_target(card), [Piece(source, 0, MIB), Piece(source, MIB, MIB)]
    digests = write(target, pieces)
    compare(target, pieces, digests)
    with card.open("r+b") as file:
        file.seek(MIB + 5)
        file.write(b"?")
    with refused("flash.compare", "1 MiB"):
        compare(target, pieces, digests)


@pytest.fixture
def loop_device(tmp_path: Path) -> Iterator[Path]:
    card = card_in(tmp_path)
    done = subprocess.run(["losetup", "--find", "--show", "--partscan", str(card)], capture_output=True, text=True, env={**os.environ, "PATH": PATH})
    if done.returncode:
        pytest.skip(f"no loop device: {done.stderr.strip()}")
    device = Path(done.stdout.strip())
    yield device
    tool("losetup", "--detach", str(device))


@pytest.mark.skipif(os.geteuid() != 0, reason="loop devices need root")
def test_a_block_device_is_written_and_one_that_is_mounted_is_not(tmp_path: Path, loop_device: Path) -> None:
    image = image_in(tmp_path, "dos", b"root")
    assert main(["flash", str(image), str(loop_device), "--yes"]) == 0
    with loop_device.open("rb") as device:
        assert device.read(11 * MIB) == image.read_bytes()[: 11 * MIB]
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    with loop_device.open("r+b") as device:
        device.write((tmp_path / "data.ext4").read_bytes())
    if subprocess.run(["mount", str(loop_device), str(mounted)], capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        with refused("flash.mounted", str(mounted)):
            find_target(loop_device).check(1)
        with refused("flash.busy", "close what uses it"):
            write(find_target(loop_device), [Piece(image, 0, 4096)])
    finally:
        subprocess.run(["umount", str(mounted)], check=True)
