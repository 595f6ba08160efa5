"""The device's key in an emulated TPM: it opens only with this chip and these PCRs, and moving it there and back keeps everybody's templates."""

from __future__ import annotations

import base64
import json
import re
import sqlite3
import stat
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from device.__main__ import main
from device.maintenance import doctor
from device.storage import device_key
from device.storage.device_key import DeviceKey, Kind
from device.storage.key_folder import DEVICE_KEY, NEXT_KEY
from device.storage.keys import PersonKeys, rotate
from device.storage.store import Store, TemplateDraft
from device.system import tpm
from device.system.files import Disk
from tests.device.fakes.chip import VALUE, ask, chip, loaded, measure
from tests.refused import refused

KEY = bytes(range(100, 132))
FILE, TPM, BOUND = Kind(), Kind(True), Kind(True, "sha256:7")


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A chip with a measured PCR 7, and no key cached from another test."""
    device_key.unsealed.cache_clear()
    with chip(tmp_path / "chip") as tcti:
        monkeypatch.setenv("TPM2TOOLS_TCTI", tcti)
        measure()
        yield tmp_path / "chip"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CLOCKFACE_KEYS", str(tmp_path / "keys"))
    return tmp_path / "keys"


@pytest.fixture
def database(tmp_path: Path, place: Path) -> Path:
    path = tmp_path / "data" / "clockface.db"
    with Store.open(path) as store:
        for number, name in enumerate(("Ann", "Bob", "Cem")):
            store.add_person_with_templates(name, None, [TemplateDraft("m1", unit(number), 0.5)])
    return path


def unit(seed: int) -> np.ndarray:
    e = np.random.default_rng(seed).normal(size=64).astype(np.float32)
    return e / np.linalg.norm(e)


def everybody_is_read(database: Path) -> bool:
    with Store.open(database) as store:
        templates = store.templates("m1")
    return templates.person_ids.tolist() == [1, 2, 3] and all((templates.matrix[i] == unit(i)).all() for i in range(3))


def restarted() -> None:
    """As after a restart of the process: no key is cached."""
    device_key.unsealed.cache_clear()


def opened_elsewhere(sealed: bytes, folder: Path) -> bytes:
    """The key, from an independent reading of the file and direct calls of the tools."""
    head, body = sealed.split(b"\n", 1)
    parts = json.loads(body)
    assert head == b"CLOCKFACE-TPM-1" and set(parts) == {"pcrs", "public", "private"}
    for name in ("public", "private"):
        (folder / f"own.{name}").write_bytes(base64.b64decode(parts[name]))
    attributes = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt"
    ask("createprimary", "-Q", "-C", "o", "-G", "ecc256:aes128cfb", "-g", "sha256", "-a", attributes, "-c", "own.parent", cwd=folder)
    ask("flushcontext", "-t")
    ask("load", "-Q", "-C", "own.parent", "-u", "own.public", "-r", "own.private", "-c", "own.sealed", cwd=folder)
    ask("flushcontext", "-t")
    plain = ask("unseal", "-c", "own.sealed", *(["-p", f"pcr:{parts['pcrs']}"] if parts["pcrs"] else []), cwd=folder)
    ask("flushcontext", "-t")
    return plain


@pytest.mark.parametrize("pcrs", ["", "sha256:7", "sha256:7,8"])
def test_what_was_sealed_opens_and_leaves_nothing_in_the_chip(pcrs: str, tmp_path: Path) -> None:
    measure(8)
    sealed = tpm.seal(KEY, pcrs)
    for _ in range(4):  # a chip holds three objects
        assert tpm.unseal(sealed) == KEY
    assert tpm.is_sealed(sealed) and tpm.pcrs_of(sealed) == pcrs and KEY not in sealed and base64.b64encode(KEY)[:40] not in sealed
    assert loaded() == b"" and opened_elsewhere(sealed, tmp_path) == KEY


def test_objects_of_other_programs_stay_in_the_chip(tmp_path: Path) -> None:
    ask("createprimary", "-Q", "-C", "o", "-c", "other", cwd=tmp_path)
    before = loaded()
    assert before and tpm.unseal(tpm.seal(KEY, "sha256:7")) == KEY and loaded() == before


def test_a_key_opens_after_a_reset_of_the_chip_but_not_with_other_pcrs(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free, bound = tpm.seal(KEY), tpm.seal(KEY, "sha256:7")
    measure()  # something else boots
    for _ in range(4):
        with refused("tpm.pcrs_changed"):
            tpm.unseal(bound)
    assert tpm.unseal(free) == KEY and loaded() == b""
    ask("shutdown", "-c")
    with chip(tmp_path / "copy") as tcti:  # a different chip
        monkeypatch.setenv("TPM2TOOLS_TCTI", tcti)
        measure()
        for sealed in (free, bound):
            with refused("tpm.another_chip"):
                tpm.unseal(sealed)


def test_the_policy_is_really_in_the_sealed_object(tmp_path: Path) -> None:
    """Without a PCR session the chip itself refuses, even where the file names no PCRs."""
    sealed = json.loads(tpm.seal(KEY, "sha256:7")[len(tpm.MAGIC) :])
    with refused("tpm") as caught:
        tpm.unseal(tpm.MAGIC + json.dumps({**sealed, "pcrs": ""}).encode())
    assert re.search("policy|auth", str(caught.value))


@pytest.mark.parametrize("pcrs", ["7", "sha256:", "sha256:24", "md5:7", "sha256:7+sha1:7", "sha256:7,", "sha256:7\n", "-o x"])
def test_an_invalid_selection_is_refused(pcrs: str) -> None:
    with refused("tpm.selection", "sha256:7"):
        tpm.seal(KEY, pcrs)


def test_pcrs_without_a_measurement_are_refused() -> None:
    for pcrs in ("sha256:9", "sha256:7,9", "sha256:17"):
        with refused("tpm.not_measured"):
            tpm.seal(KEY, pcrs)


def test_a_changed_file_is_refused() -> None:
    sealed = tpm.seal(KEY)
    for wrong in (tpm.MAGIC, tpm.MAGIC + b"{}", sealed[:-40], sealed.replace(b'"pcrs": ""', b'"pcrs": 7')):
        with refused("tpm.file_changed"):
            tpm.unseal(wrong)


def test_a_lockout_by_wrong_passwords_does_not_affect_the_key(tmp_path: Path) -> None:
    sealed = tpm.seal(KEY)
    ask("dictionarylockout", "-s", "-n", "1", "-t", "1000", "-l", "1000")
    (tmp_path / "plain").write_text("of another program")
    ask("createprimary", "-Q", "-C", "o", "-c", "other", cwd=tmp_path)
    ask("create", "-Q", "-C", "other", "-p", "right", "-i", "plain", "-u", "pub", "-r", "priv", "-c", "guarded", cwd=tmp_path)
    ask("flushcontext", "-t")
    for _ in range(2):
        assert subprocess.run(["tpm2_unseal", "-c", "guarded", "-p", "wrong"], cwd=tmp_path, capture_output=True).returncode
        ask("flushcontext", "-t")
    stderr = subprocess.run(["tpm2_unseal", "-c", "guarded", "-p", "right"], cwd=tmp_path, capture_output=True).stderr
    ask("flushcontext", "-t")
    assert b"0x921" in stderr and tpm.unseal(sealed) == KEY  # the other object is locked out, the key is not


def test_missing_tools_a_missing_chip_and_an_owner_password_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ask("changeauth", "-c", "o", "secret")
    with refused("tpm.owner", "password"):
        tpm.seal(KEY)
    monkeypatch.setenv("TPM2TOOLS_TCTI", f"swtpm:path={tmp_path}/none")
    with refused("tpm.no_chip"):
        tpm.seal(KEY)
    monkeypatch.setenv("PATH", str(tmp_path))
    with refused("tpm.no_tools", "apt install tpm2-tools"):
        tpm.seal(KEY)


def test_a_key_goes_only_to_the_board_s_own_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """By default the tools fall back to any program that listens at a certain port."""
    environment = {}
    monkeypatch.delenv("TPM2TOOLS_TCTI")
    monkeypatch.setattr(subprocess, "run", lambda command, **rest: environment.update(rest["env"]) or subprocess.CompletedProcess(command, 1, b"", b""))
    with refused("tpm"):
        tpm.seal(KEY)
    assert environment["TPM2TOOLS_TCTI"] == "device:/dev/tpmrm0"


def test_a_tool_that_hangs_fails_or_lacks_permission_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(tpm, "SECONDS", 0.3)
    faults = (("sleep 5", "tpm.no_answer", "0 s"), ("echo Permission denied >&2; exit 1", "tpm.no_right", "usermod -aG tss"), ("exit 3", "tpm", "failed"))
    for script, code, word in faults:
        (tmp_path / "tpm2_getcap").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "tpm2_getcap").chmod(0o755)
        with refused(code, word):
            tpm.seal(KEY)


def test_stored_templates_open_only_with_the_chip(database: Path, place: Path, tmp_path: Path) -> None:
    old = (place / DEVICE_KEY).read_bytes()
    assert rotate(kind=BOUND) == (1, 3)
    device = opened_elsewhere((place / DEVICE_KEY).read_bytes(), tmp_path)
    assert device != old and len(device) == 32
    [file] = place.glob("*.keys")
    with closing(sqlite3.connect(file)) as db:
        wrapped = db.execute("SELECT wrapped FROM keys WHERE person_id = 2").fetchone()[0]
    person = AESGCM(device).decrypt(wrapped[:12], wrapped[12:], f"key of 2 in {file.stem}".encode())
    with closing(sqlite3.connect(database)) as db:
        embedding = db.execute("SELECT embedding FROM templates WHERE person_id = 2").fetchone()[0]
    assert AESGCM(person).decrypt(embedding[:12], embedding[12:], b"embedding of 2 for m1") == unit(1).tobytes()
    assert stat.S_IMODE((place / DEVICE_KEY).stat().st_mode) == 0o600


def test_no_file_holds_the_plain_key(database: Path, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Checked at every call of a tool, in the folder of keys and in the tools' folder."""
    seen: list[bytes] = []
    folders: set[Path] = set()
    run = subprocess.run

    def watched(command: list[str], **rest: object) -> subprocess.CompletedProcess[bytes]:
        done = run(command, **rest)  # type: ignore[call-overload]
        folders.add(Path(str(rest["cwd"])))
        files = [file.read_bytes() for folder in (Path(str(rest["cwd"])), place) for file in folder.iterdir()]
        seen.append(b"".join(files) + " ".join(command).encode())
        return done

    monkeypatch.setattr(subprocess, "run", watched)
    rotate(kind=TPM)
    restarted()
    assert everybody_is_read(database)
    monkeypatch.setattr(subprocess, "run", run)
    plain = opened_elsewhere((place / DEVICE_KEY).read_bytes(), tmp_path)
    assert len(seen) > 10 and folders and not any(folder.exists() for folder in folders)
    assert not [form for form in (plain, base64.b64encode(plain)[:40], plain.hex().encode()) if any(form in files for files in seen)]


def test_each_sealed_key_is_unsealed_once(database: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[bytes] = []
    unseal = tpm.unseal
    rotate(kind=TPM)
    restarted()
    monkeypatch.setattr(tpm, "unseal", lambda sealed: calls.append(sealed) or unseal(sealed))
    assert everybody_is_read(database) and everybody_is_read(database) and calls == [(place / DEVICE_KEY).read_bytes()]
    monkeypatch.setattr(tpm, "unseal", unseal)
    rotate()  # another process
    assert everybody_is_read(database) and device_key.opened().name == DeviceKey(tpm.unseal((place / DEVICE_KEY).read_bytes())).name


def test_enrolling_with_the_key_in_the_chip(place: Path, tmp_path: Path) -> None:
    rotate(kind=TPM)
    with Store.open(tmp_path / "new.db") as store:
        for number, name in enumerate(("Ann", "Bob", "Cem")):
            store.add_person_with_templates(name, None, [TemplateDraft("m1", unit(number), 0.5)])
    restarted()
    assert everybody_is_read(tmp_path / "new.db")


@pytest.mark.parametrize(("first", "second"), [(FILE, TPM), (TPM, FILE), (TPM, BOUND), (BOUND, FILE)])
def test_every_move_between_file_and_tpm_gives_a_new_key(first: Kind, second: Kind, database: Path, place: Path) -> None:
    names = []
    for kind in (first, second, None, first):
        rotate(kind=kind)
        restarted()
        assert everybody_is_read(database) and not (place / NEXT_KEY).exists()
        names.append(device_key.opened().name)
        assert device_key.opened().kind == device_key.kind_of(place / DEVICE_KEY) == (kind or second)
    assert len(set(names)) == 4


class PowerCut(Exception):
    pass


@pytest.mark.parametrize("step", range(4))
@pytest.mark.parametrize(("before", "after"), [(FILE, TPM), (TPM, FILE)])
@pytest.mark.parametrize("wish", [None, FILE, TPM, BOUND])
def test_an_interrupted_rotation_loses_no_templates(
    step: int, before: Kind, after: Kind, wish: Kind | None, database: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted before the next key is written, between the two databases, before the rename and after it."""
    with Store.open(database.with_name("second.db")) as store:
        store.add_person_with_templates("Dan", None, [TemplateDraft("m1", unit(9), 0.5)])
    rotate(kind=before)
    old = (place / DEVICE_KEY).read_bytes()
    rewrap, rename = PersonKeys.rewrap, Disk.rename

    def cut(*_: object) -> None:
        raise PowerCut

    def renamed(disk: Disk, source: Path, target: Path) -> None:
        if source.name == NEXT_KEY:
            if step == 3:
                rename(disk, source, target)
            raise PowerCut
        rename(disk, source, target)

    with monkeypatch.context() as patch:
        if step == 0:
            patch.setattr(Disk, "write", cut)
        if step == 1:  # between the two databases
            done: list[int] = []
            patch.setattr(PersonKeys, "rewrap", lambda self, new: cut() if done else done.append(rewrap(self, new)) or 0)
        patch.setattr(Disk, "rename", renamed)
        with pytest.raises(PowerCut):
            rotate(kind=after)
    restarted()
    assert everybody_is_read(database) and ((place / DEVICE_KEY).read_bytes() == old) == (step < 3)
    assert (place / NEXT_KEY).exists() == (step in (1, 2))
    assert rotate(kind=wish) == (2, 4)
    restarted()
    expected = wish or (before if step == 0 else after)
    assert everybody_is_read(database) and device_key.opened().kind == expected and not (place / NEXT_KEY).exists()
    assert (place / DEVICE_KEY).read_bytes() != old


def test_a_next_key_that_neither_opens_nor_wraps_any_keys_is_dropped(database: Path, place: Path) -> None:
    (place / NEXT_KEY).write_bytes(tpm.seal(KEY, "sha256:7"))
    measure()  # the board boots something else
    assert everybody_is_read(database)
    rotate(kind=FILE)
    assert everybody_is_read(database) and not (place / NEXT_KEY).exists()


def test_a_next_key_that_does_not_open_but_wraps_keys_stays(database: Path, place: Path) -> None:
    (place / NEXT_KEY).write_bytes(sealed := tpm.seal(KEY, "sha256:7"))
    [file] = place.glob("*.keys")
    PersonKeys(file.stem).rewrap(DeviceKey(KEY))
    measure()
    for action in (lambda: rotate(kind=FILE), lambda: everybody_is_read(database)):
        with refused("keys.tpm", NEXT_KEY, "PCRs"):
            action()
    assert (place / NEXT_KEY).read_bytes() == sealed


def test_a_chip_that_fails_leaves_the_old_key_in_force(database: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = (place / DEVICE_KEY).read_bytes()
    monkeypatch.setenv("TPM2TOOLS_TCTI", "swtpm:path=/none")
    with refused("tpm.no_chip"):
        rotate(kind=TPM)
    assert (place / DEVICE_KEY).read_bytes() == old and not (place / NEXT_KEY).exists() and everybody_is_read(database)


def test_the_command(database: Path, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Store.open(database) as store:
        store.erase(3)
    for wrong in (["keys", "rotate", "--pcrs", "sha256:7"], ["keys", "rotate", "--to", "file", "--pcrs", "sha256:7"], ["keys", "show", "--to", "tpm"]):
        assert main(wrong) == 1
    assert "--to tpm" in capsys.readouterr().err and device_key.kind_of(place / DEVICE_KEY) == FILE
    assert main(["keys", "rotate", "--to", "tpm", "--pcrs", "sha256:7"]) == 0
    plain = device_key.opened().key
    (place / NEXT_KEY).write_bytes(KEY)
    measure()
    restarted()
    assert main(["keys", "show"]) == 0  # needs no unsealing
    output = capsys.readouterr().out
    for words in ("sealed by the TPM, bound to sha256:7", "2 people have a key, 1 are erased", "a rotation was interrupted, its key is in its file"):
        assert words in output
    assert plain.hex() not in output and base64.b64encode(plain).decode() not in output


def test_doctor(database: Path, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "rotate", "--to", "tpm", "--pcrs", "sha256:7"]) == 0
    capsys.readouterr()
    finding = doctor.check_keys(database)
    assert finding.state == "ok" and "bound to sha256:7, 3 people" in finding.words
    measure()
    restarted()
    finding = doctor.guarded("keys", lambda: doctor.check_keys(database))
    assert finding.state == "FAULT" and "enrol everybody again" in finding.words and DEVICE_KEY in finding.words


def test_the_value_of_a_measured_pcr() -> None:
    """As the standard defines it: SHA-256 over zeros and the measured value."""
    import hashlib

    expected = hashlib.sha256(bytes(32) + bytes.fromhex(VALUE)).hexdigest()
    assert expected in ask("pcrread", "sha256:7").decode().lower()
