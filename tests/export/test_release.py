"""A release of a commit: the same bytes each time, verified by openssl and sha256sum as by the project itself, refused where anything differs."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from device.maintenance.update.signatures import read_public_key
from export import bundle, release, release_check
from export.__main__ import main
from export.keygen import read_private_key
from export.release import SIGNATURE, SUMS
from tests.refused import refused

BUILT = 1_780_000_000  # s since the epoch


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    assert main(["keygen", str(folder / "sign")]) == main(["keygen", str(folder / "foreign")]) == 0
    return folder


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with one commit."""
    root = tmp_path_factory.mktemp("checkout")
    (root / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n')
    (root / "device").mkdir()
    (root / "device/program.py").write_text("print()\n")
    date = f"{BUILT} +0000"
    stamp = {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    author = ["-c", "user.name=Test", "-c", "user.email=test@localhost"]
    for words in (["init", "-q"], ["add", "."], [*author, "commit", "-qm", "One"]):
        subprocess.run(["git", *words], cwd=root, check=True, env={**os.environ, **stamp})
    return root


@pytest.fixture(scope="module")
def signed(checkout: Path, keys: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(checkout, keys, tmp_path_factory.mktemp("out"))


@pytest.fixture
def copy(signed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(signed, tmp_path / signed.name))


def made(checkout: Path, keys: Path, out: Path) -> Path:
    model = out / "model.onnx"
    model.write_bytes(b"weights")
    return release.write(checkout, out, read_private_key(keys / "sign"), [model])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def unpack(folder: Path, target: Path) -> None:
    subprocess.run(["tar", "-xf", str(folder / "clockface-1.2.3.tar"), "-C", str(target)], check=True)


def test_the_same_commit_gives_the_same_bytes(signed: Path, checkout: Path, keys: Path, tmp_path: Path) -> None:
    """Whatever the umask of whoever makes it."""
    before = os.umask(0o077)
    try:
        assert contents(made(checkout, keys, tmp_path)) == contents(signed)
    finally:
        os.umask(before)


def test_it_holds_source_models_lists_bill_and_checksums(signed: Path) -> None:
    found = contents(signed)
    assert found["models/model.onnx"] == b"weights" and len([name for name in found if name.startswith("wheels/")]) == len(list(release.PINS.glob("*.txt")))
    assert json.loads(found["sbom.cdx.json"])["specVersion"] == "1.6"
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in found.items() if name not in (SUMS, SIGNATURE)}
    assert dict(reversed(line.split("  ")) for line in found[SUMS].decode().splitlines()) == sums
    with tarfile.open(signed / "clockface-1.2.3.tar") as archive:
        files = {member.name.removeprefix("clockface-1.2.3/") for member in archive if member.isfile()}
        assert files == {"pyproject.toml", "device/program.py", "release.json"}
        assert {member.mtime for member in archive.getmembers()} == {BUILT}


def test_openssl_and_sha256sum_verify_it(signed: Path, keys: Path) -> None:
    """The command of docs/bundle.md, with the user's own tools."""
    page = (bundle.ROOT / "docs/bundle.md").read_text(encoding="utf-8")
    command = next(line for line in page.splitlines() if line.startswith("openssl pkeyutl"))
    for key, code in (("sign", 0), ("foreign", 1)):
        done = subprocess.run(command.replace("KEY.pub", str(keys / f"{key}.pub")), shell=True, cwd=signed, capture_output=True, text=True)
        assert min(done.returncode, 1) == code, done.stderr


def test_commands_write_and_check_it(checkout: Path, keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(release, "ROOT", checkout)
    monkeypatch.setattr(release_check, "ROOT", checkout)
    monkeypatch.setattr(release, "model_files", list)
    words = ["release", "--out", str(tmp_path), "--key", str(keys / "sign")]
    assert main(words) == 0 and main(words) == 1 and "never overwritten" in capsys.readouterr().err
    check = ["check-release", str(tmp_path / "clockface-1.2.3"), "--key"]
    assert main([*check, str(keys / "sign.pub")]) == 0 and "whole and signed" in capsys.readouterr().out
    assert main([*check, str(keys / "foreign.pub")]) == 1 and "is not signed by key" in capsys.readouterr().err
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(BUILT + 1))  # a copy that is one second newer
    assert main([*check, str(keys / "sign.pub")]) == 1 and "before this copy" in capsys.readouterr().err
    assert main([*check, str(keys / "sign.pub"), "--older"]) == 0


def change_a_byte(folder: Path) -> None:
    data = bytearray((folder / "clockface-1.2.3.tar").read_bytes())
    data[-1] ^= 1
    (folder / "clockface-1.2.3.tar").write_bytes(data)


def point_elsewhere(folder: Path) -> None:
    (folder / "models/model.onnx").rename(folder.parent / "model.onnx")
    (folder / "models/model.onnx").symlink_to(folder.parent / "model.onnx")


def change_the_sums(folder: Path) -> None:
    change_a_byte(folder)
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sorted(contents(folder).items()) if name not in (SUMS, SIGNATURE))
    (folder / SUMS).write_text(sums)


SPOILT: dict[str, tuple[str, Callable[[Path], object]]] = {
    "a changed byte": ("project_release.changed", change_a_byte),
    "a file that ends early": ("project_release.changed", lambda folder: os.truncate(folder / "sbom.cdx.json", 100)),
    "a missing file": ("project_release.files", lambda folder: (folder / "models/model.onnx").unlink()),
    "a further file": ("project_release.files", lambda folder: (folder / "wheels/more.txt").write_text("more")),
    "a link instead of a file": ("project_release.files", point_elsewhere),
    "sums made anew": ("project_release.signature", change_the_sums),
    "no signature": ("project_release.signature", lambda folder: (folder / SIGNATURE).unlink()),
    "a cut signature": ("project_release.signature", lambda folder: os.truncate(folder / SIGNATURE, 63)),
    "no sums": ("project_release.signature", lambda folder: (folder / SUMS).unlink()),
    "sums without end": ("project_release.signature", lambda folder: os.truncate(folder / SUMS, 1 << 30)),
    "a pipe": ("project_release.signature", lambda folder: ((folder / SUMS).unlink(), os.mkfifo(folder / SUMS))),
}


@pytest.mark.parametrize("name", SPOILT)
def test_whatever_differs_is_refused(name: str, copy: Path, keys: Path) -> None:
    code, spoil = SPOILT[name]
    spoil(copy)
    with refused(code):
        release_check.check(copy, read_public_key(keys / "sign.pub"))


@pytest.mark.parametrize("line", ["../../outside", "/etc/passwd", "models/../release.json", "release.json\n" + "0" * 64 + "  release.json", "-rf"])
def test_a_signed_list_names_files_in_the_folder_alone(line: str, copy: Path, keys: Path) -> None:
    sums = f"{'0' * 64}  {line}\n".encode()
    (copy / SUMS).write_bytes(sums)
    (copy / SIGNATURE).write_bytes(read_private_key(keys / "sign").sign(sums))
    with refused("project_release.form"):
        release_check.check(copy, read_public_key(keys / "sign.pub"))


def test_a_later_form_is_refused(copy: Path, keys: Path) -> None:
    (copy / "release.json").write_text(json.dumps({**json.loads((copy / "release.json").read_bytes()), "schema": 2}))
    (copy / SUMS).unlink()
    (copy / SIGNATURE).unlink()
    release.sign(copy, read_private_key(keys / "sign"))
    with refused("project_release.form", "schema 1"):
        release_check.check(copy, read_public_key(keys / "sign.pub"))


def test_only_a_clean_commit_is_released(checkout: Path, signed: Path, keys: Path, tmp_path: Path) -> None:
    changed = Path(shutil.copytree(checkout, tmp_path / "changed"))
    (changed / "device/program.py").write_text("print(1)\n")
    with refused("project_release.changes"):
        made(changed, keys, tmp_path)
    unpack(signed, tmp_path)
    with refused("project_release.no_git"):
        made(tmp_path / "clockface-1.2.3", keys, tmp_path)
    assert not list(tmp_path.glob(".release-*"))


def test_the_unpacked_source_knows_its_commit_and_time(signed: Path, checkout: Path, tmp_path: Path) -> None:
    """So a bundle can be built of it without git, and stands in order with others."""
    unpack(signed, tmp_path)
    assert bundle.commit(tmp_path / "clockface-1.2.3") == bundle.commit(checkout) == (bundle.commit(checkout)[0], BUILT)
