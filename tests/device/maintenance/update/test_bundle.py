"""A bundle is accepted complete, signed and unchanged, or not at all; of any other file nothing is unpacked."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from device.maintenance.update.bundle import END, Bundle, header, padding
from device.maintenance.update.manifest import LARGEST_RELEASE, MANIFEST, SIGNATURES, BundleError
from device.maintenance.update.signatures import key_id, read_trusted
from tests.device.maintenance.update.bundles import KEY, contents, made, manifest_of, trust
from tests.refused import refused

TRUSTED = {key_id(KEY.public_key()): KEY.public_key()}
OTHER = Ed25519PrivateKey.from_private_bytes(b"o" * 32)


def taken(path: Path, folder: Path, trusted: Any = None) -> None:
    """Verify and unpack, as an update does."""
    with Bundle.open(path, TRUSTED if trusted is None else trusted) as bundle:
        bundle.verify()
        bundle.unpack(folder)


def not_taken(data: bytes, folder: Path, code: str = "", *words: str) -> None:
    """The bytes are refused as a bundle and nothing of them is unpacked; without a code, for any reason."""
    path, unpacked = folder / "try.bundle", folder / "unpacked"
    path.write_bytes(data)
    with refused(f"update.{code}", *words) if code else pytest.raises(BundleError, match="bundle"):
        taken(path, unpacked)
    assert not unpacked.exists()


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    made(tmp_path / "good.bundle", contents())
    return tmp_path / "good.bundle"


def signed(manifest: bytes, files: bytes = END, signatures: bytes | None = None) -> bytes:
    """A bundle around any manifest, with a good signature."""
    signatures = json.dumps({key_id(KEY.public_key()): KEY.sign(manifest).hex()}).encode() if signatures is None else signatures
    parts = [(MANIFEST, manifest), (SIGNATURES, signatures)]
    return b"".join(header(name, len(data)) + data + padding(len(data)) for name, data in parts) + files


def changed(**fields: Any) -> bytes:
    """The manifest of a good bundle with other fields."""
    return json.dumps({**json.loads(manifest_of(contents()).to_bytes()), **fields}, sort_keys=True, separators=(",", ":")).encode()


def one_file(**fields: Any) -> bytes:
    return changed(files=[{"path": "device/a.py", "size": 0, "sha256": "0" * 64, "executable": False, **fields}])


def test_a_bundle_unpacks_to_its_contents(bundle: Path, tmp_path: Path) -> None:
    taken(bundle, tmp_path / "out")
    for path, content in contents().items():
        assert (tmp_path / "out" / path).read_bytes() == (content.read_bytes() if isinstance(content, Path) else content)
    assert (tmp_path / "out/clockface").stat().st_mode & 0o777 == 0o755
    assert len([path for path in (tmp_path / "out").rglob("*") if path.is_file()]) == len(contents()) + 2


def test_tar_reads_it_as_well(bundle: Path) -> None:
    """Oracle: the tar reader of the standard library."""
    with tarfile.open(bundle, "r:") as archive:
        members = {member.name: (archive.extractfile(member) or io.BytesIO()).read() for member in archive if member.isreg()}
    assert set(members) == {MANIFEST, SIGNATURES, *contents()}
    assert members["models/net.onnx"] == contents()["models/net.onnx"]


def test_the_same_content_gives_the_same_bytes(bundle: Path, tmp_path: Path) -> None:
    made(tmp_path / "again.bundle", contents())
    assert (tmp_path / "again.bundle").read_bytes() == bundle.read_bytes()


def test_a_changed_byte_anywhere_is_found(tmp_path: Path) -> None:
    """Headers, manifest, signatures, both files, every padding, the end: one byte at a time, each of them, in place."""
    small, unpacked = tmp_path / "small.bundle", tmp_path / "unpacked"
    made(small, {"device/a.py": b"x", "models/empty.onnx": b""})
    data = small.read_bytes()
    with small.open("r+b", buffering=0) as file:
        for place in range(len(data)):
            os.pwrite(file.fileno(), bytes([data[place] ^ 1]), place)
            with pytest.raises(BundleError, match="bundle"):
                taken(small, unpacked)
            os.pwrite(file.fileno(), data[place : place + 1], place)
    assert not unpacked.exists()
    taken(small, unpacked)  # it is the bundle again


def test_a_changed_byte_in_a_larger_bundle_is_found(bundle: Path, tmp_path: Path) -> None:
    """Files of all kinds; only every 97th byte, since each try writes the whole bundle."""
    data = bundle.read_bytes()
    for place in range(0, len(data), 97):
        not_taken(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :], tmp_path)


def test_a_truncated_or_longer_file_is_refused(bundle: Path, tmp_path: Path) -> None:
    data = bundle.read_bytes()
    for kept in [0, 1, 511, *range(512, len(data), 512), len(data) - 1]:
        not_taken(data[:kept], tmp_path, "cut_off")
    for more in (b"\0", b"x" * 512, data):
        not_taken(data + more, tmp_path, "too_long")


def test_files_swapped_or_left_out_are_refused(bundle: Path, tmp_path: Path) -> None:
    made(tmp_path / "other.bundle", contents(word="two"))
    ours, theirs = bundle.read_bytes(), (tmp_path / "other.bundle").read_bytes()
    start = ours.index(header("LICENSE", 0)[:8]) if b"LICENSE" in ours else ours.index(b"clockface\0")
    not_taken(ours[:start] + theirs[start:], tmp_path, "changed")
    not_taken(theirs[:start] + ours[start:], tmp_path, "changed")
    not_taken(ours[:start] + END, tmp_path, "header", "header of")


def test_only_trusted_keys_count(bundle: Path, tmp_path: Path) -> None:
    with refused("update.not_trusted", key_id(KEY.public_key()), key_id(OTHER.public_key())):
        taken(bundle, tmp_path / "out", {key_id(OTHER.public_key()): OTHER.public_key()})
    manifest = manifest_of(contents()).to_bytes()
    not_taken(signed(manifest, signatures=b"{}"), tmp_path, "not_trusted", "nobody")
    not_taken(signed(manifest, signatures=b"[]"), tmp_path, "signature")
    not_taken(signed(manifest, signatures=json.dumps({key_id(KEY.public_key()): "00" * 64}).encode()), tmp_path, "signature")
    stolen = json.dumps({key_id(KEY.public_key()): OTHER.sign(manifest).hex()}).encode()
    not_taken(signed(manifest, signatures=stolen), tmp_path, "signature")


def test_a_key_can_be_replaced(tmp_path: Path) -> None:
    """Signed by the old and the new key: devices that trust either of them install it."""
    made(tmp_path / "both.bundle", contents(), KEY, OTHER)
    for number, key in enumerate((KEY, OTHER)):
        taken(tmp_path / "both.bundle", tmp_path / str(number), {key_id(key.public_key()): key.public_key()})


def test_trusted_keys_are_read_all_or_none(tmp_path: Path) -> None:
    with refused("update.no_key", str(tmp_path)):
        read_trusted(tmp_path)
    trust(tmp_path, KEY, OTHER)
    assert set(read_trusted(tmp_path)) == {key_id(KEY.public_key()), key_id(OTHER.public_key())}
    (tmp_path / "broken.pub").write_text("-----BEGIN PUBLIC KEY-----\n")
    with refused("update.key_file", "broken.pub"):
        read_trusted(tmp_path)


@pytest.mark.parametrize(
    ("manifest", "code", "word"),
    [
        (changed(schema=0), "format", "schema 0"),
        (changed(schema=2), "format", "schema 2"),
        (changed(format="other"), "format", "'other'"),
        (changed(surprise=1), "manifest", "surprise"),
        (changed(files=[]), "files", "1 to"),
        (changed(version="../up"), "manifest", "version"),
        (changed(target="toaster"), "manifest", "target 'toaster'"),
        (changed(built="now"), "manifest", "type"),
        (changed() + b" ", "manifest", "form"),
        (b"hello", "manifest", "read"),
        (b"[" * 100_000, "manifest", "read"),
        (one_file(path="../a"), "path", "may leave the release"),
        (one_file(path="/etc/passwd"), "path", "may leave the release"),
        (one_file(path="device/../../a"), "path", "may leave the release"),
        (one_file(path="device/.venv"), "path", "may leave the release"),
        (one_file(path="device\\a"), "path", "may leave the release"),
        (one_file(path="device//a"), "path", "may leave the release"),
        (one_file(path="device/a\n"), "path", "may leave the release"),
        (one_file(path=""), "path", "may leave the release"),
        (one_file(path="a" * 101), "path", "may leave the release"),
        (one_file(path=7), "path", "may leave the release"),
        (one_file(size=-1), "manifest", "size"),
        (one_file(size=LARGEST_RELEASE + 1), "manifest", "size"),
        (one_file(size=1.5), "manifest", "size"),
        (one_file(sha256="F" * 64), "manifest", "sha256"),
        (one_file(link="/etc/passwd"), "manifest", "link"),
        (changed(files=[{"path": p, "size": LARGEST_RELEASE, "sha256": "0" * 64, "executable": False} for p in ("a", "b")]), "files", "bytes in all"),
        (changed(files=[{"path": p, "size": 0, "sha256": "0" * 64, "executable": False} for p in ("a", "a")]), "files", "each once"),
        (changed(files=[{"path": p, "size": 0, "sha256": "0" * 64, "executable": False} for p in ("A", "a")]), "files", "each once"),
        (changed(files=[{"path": p, "size": 0, "sha256": "0" * 64, "executable": False} for p in ("b", "a")]), "files", "in order"),
        (changed(files=[{"path": p, "size": 0, "sha256": "0" * 64, "executable": False} for p in ("a", "a/b")]), "files", "a file and a folder"),
    ],
)
def test_a_bad_manifest_is_refused_even_when_signed(manifest: bytes, code: str, word: str, tmp_path: Path) -> None:
    not_taken(signed(manifest), tmp_path, code, word)


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.GNUTYPE_SPARSE, tarfile.XHDTYPE]
)
def test_members_that_are_not_regular_files_are_refused(kind: bytes, tmp_path: Path) -> None:
    member = tarfile.TarInfo("device/a.py")
    member.type, member.linkname = kind, "/etc/passwd"
    not_taken(signed(one_file(), member.tobuf(tarfile.USTAR_FORMAT) + END), tmp_path, "header", "device/a.py")


def test_a_manifest_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    not_taken(header(MANIFEST, 8 << 30)[:512] + b"{}", tmp_path, "no_bundle")
    not_taken(b"PK\x03\x04" + bytes(600), tmp_path, "no_bundle")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_changed_bytes_are_refused(data: st.DataObject, bundle: Path, tmp_path: Path) -> None:
    good = bundle.read_bytes()
    place = data.draw(st.integers(0, len(good)))
    piece = data.draw(st.binary(min_size=1, max_size=700))
    cut = data.draw(st.integers(0, 700))
    mutated = good[:place] + piece + good[place + cut :]
    if mutated != good:
        not_taken(mutated, tmp_path)


def test_a_file_that_changes_between_the_two_readings_is_found(bundle: Path, tmp_path: Path) -> None:
    data = bytearray(bundle.read_bytes())
    data[data.index(b"<p>one")] ^= 1
    with refused("update.changed", "page.html"), Bundle.open(bundle, TRUSTED) as opened:
        opened.verify()
        bundle.write_bytes(data)
        opened.unpack(tmp_path / "out")


def test_a_path_that_is_not_a_file_is_reported(tmp_path: Path) -> None:
    for path in (tmp_path / "none.bundle", tmp_path):
        with refused("update.unreadable", str(path)):
            taken(path, tmp_path / "out")
