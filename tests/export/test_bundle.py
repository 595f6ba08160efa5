"""Bundles are deterministic, complete and installable, and are never written without a key or a threshold."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
from pathlib import Path

import onnx
import pytest

from device.__main__ import main as device
from device.config import EmbedderSettings, LivenessSettings, Settings
from device.contract import CARD_KEY
from device.maintenance.update.bundle import Bundle
from device.maintenance.update.manifest import Manifest
from device.maintenance.update.releases import Installation
from device.maintenance.update.signatures import read_public_key, read_trusted
from device.storage.schema import SCHEMA_VERSION
from device.storage.store import Store, TemplateDraft
from device.vision import catalogue as models
from device.vision.catalogue import Catalogue, ModelFile
from export import deb
from export.__main__ import main
from export.bundle import BESIDE, ROOT, chosen_models, device_package, listed, model_files, model_list, write, write_installer
from export.keygen import read_private_key
from tests.refused import refused


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "sign"
    assert main(["keygen", str(path)]) == 0
    return path


@pytest.fixture
def pulled() -> None:
    try:
        for entry in Catalogue.load().entries.values():
            if entry.kind != "source":
                models.path(entry.name)
    except models.ModelError as error:
        pytest.skip(f"models not pulled: {error}")


def bundle_in(out: Path, key: Path, *more: str) -> Path:
    assert main(["bundle", "--out", str(out), "--key", str(key), *more]) == 0
    (path,) = out.glob("*.bundle")
    return path


def test_keys_are_private_and_never_overwritten(key: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    public = key.with_name("sign.pub")
    assert key.stat().st_mode & 0o777 == 0o600
    assert read_private_key(key).public_key() == read_public_key(public)
    before = key.read_bytes()
    assert main(["keygen", str(key)]) == 1 and key.read_bytes() == before
    assert "never overwritten" in capsys.readouterr().err
    assert main(["keygen", str(tmp_path / "none/key")]) == 1
    shown = tmp_path / "shown"
    shown.write_bytes(before)
    shown.chmod(0o644)
    for path, code in ((shown, "key_file.open"), (public, "key_file.unreadable"), (tmp_path / "none", "key_file.unreadable")):
        with refused(code, str(path)):
            read_private_key(path)


def test_the_same_commit_gives_the_same_bytes(pulled: None, key: Path, tmp_path: Path) -> None:
    first, second = bundle_in(tmp_path / "a", key), bundle_in(tmp_path / "b", key)
    assert first.name == second.name and first.read_bytes() == second.read_bytes()


def test_a_bundle_holds_the_program_its_settings_and_models(pulled: None, key: Path, tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text("[decision]\nagree = 4\n")
    path = bundle_in(tmp_path, key, "--config", str(tmp_path / "site.toml"))
    with Bundle.open(path, read_trusted(key.parent)) as bundle:
        bundle.verify()
        bundle.unpack(tmp_path / "out")
    listed = subprocess.run(["git", "ls-files", "device"], cwd=ROOT, capture_output=True, text=True).stdout
    tracked = set(listed.replace("device/packaging/", "device/board/").split())
    files = {file.path for file in bundle.manifest.files}
    assert tracked <= files and not any("pycache" in file or file.endswith(".pyc") for file in files)
    assert {"clockface", "clockface.py", "clockface.toml", "LICENSE"} <= files
    catalogue = Catalogue.load(tmp_path / "out/device/vision/models.toml", shipped=tmp_path / "out/models")
    assert {"yunet", Settings().embedder.model} <= set(catalogue.entries) and "sface-original" not in catalogue.entries
    assert all(catalogue.fault(entry) is None for entry in catalogue.entries.values())


def test_only_the_models_of_the_settings_are_bundled() -> None:
    """Another liveness model of the list stays out; a file of this machine is refused, since no board would have it."""
    catalogue = Catalogue.load()
    other = dataclasses.replace(catalogue.entry("liveness"), name="liveness-own")
    catalogue.entries["liveness-own"] = other
    names = {entry.name for entry in chosen_models(catalogue, Settings(), [])}
    assert {"yunet", "liveness", Settings().embedder.model} <= names and not {"liveness-own", "sface"} & names
    settings = dataclasses.replace(Settings(), liveness=LivenessSettings(model="liveness-own"))
    assert {"liveness-own"} == {entry.name for entry in chosen_models(catalogue, settings, []) if entry.kind == "liveness"}
    for settings in (
        dataclasses.replace(Settings(), liveness=LivenessSettings(model="/data/own.onnx")),
        dataclasses.replace(Settings(), embedder=EmbedderSettings(model="/data/own.onnx")),
    ):
        with refused("bundle", "/data/own.onnx"):
            chosen_models(catalogue, settings, [])


def test_from_this_checkout_to_a_running_terminal(pulled: None, key: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The real program is installed, started by its launcher from another folder and checked by its own doctor."""
    path, root = bundle_in(tmp_path, key), tmp_path / "inst"
    assert device(["update", "trust", f"{key}.pub", "--root", str(root)]) == 0
    assert device(["update", str(path), "--root", str(root)]) == 0
    run = subprocess.run([str(root / "clockface"), "doctor", "--skip", "camera"], capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 0 and "files as signed" in run.stdout and str(root / "data/clockface.db") in run.stdout
    with (root / "current/device/system/clock.py").open("a") as file:
        file.write("# worn\n")
    run = subprocess.run([str(root / "clockface"), "doctor", "--skip", "camera"], capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 1 and "(device/system/clock.py): install the bundle again" in run.stdout


def relabelled(folder: Path, model_id: str) -> ModelFile:
    """The default model with another id, so that the device treats it as another model."""
    name = Settings().embedder.model
    model = onnx.load(models.path(name))
    card = next(entry for entry in model.metadata_props if entry.key == CARD_KEY)
    card.value = json.dumps({**json.loads(card.value), "model_id": model_id})
    file = folder / Catalogue.load().entry(name).file
    onnx.save(model, file)
    return dataclasses.replace(Catalogue.load().entry(name), sha256=models.sha256(file), size=file.stat().st_size)


def test_templates_follow_the_model_across_an_update_and_back(pulled: None, key: Path, tmp_path: Path) -> None:
    """Old model, new model, back: templates are made again from the kept crops and never mixed; a person without crops is named and keeps the old template."""
    root, settings, signing = tmp_path / "inst", Settings(), [read_private_key(key)]
    old = Catalogue.load()
    entries = [dataclasses.replace(entry, sources=()) for entry in old.entries.values() if entry.kind != "embedder"]
    new = Catalogue([*entries, dataclasses.replace(relabelled(tmp_path, "e" * 64), sources=())], tmp_path, tmp_path)
    for entry in entries:
        (tmp_path / entry.file).symlink_to(old.place(old.entry(entry.name)))
    ids = []
    for built, catalogue in ((1, old), (2, new)):
        contents = device_package(ROOT) | model_files(catalogue, chosen_models(catalogue, settings, []), settings)
        manifest = Manifest("0.1.0", built, "0" * 40, "any", (), SCHEMA_VERSION, listed(contents))
        write(tmp_path / f"{built}.bundle", manifest, contents, signing)
        ids.append(manifest.release_id)
    portrait = str(models.path("portrait-hopper"))

    def launched(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([str(root / "clockface"), *words], capture_output=True, text=True, cwd=tmp_path)

    def seen() -> tuple[str | None, str]:
        done = launched("identify", portrait, "--json")
        return json.loads(done.stdout)["faces"][0]["name"], done.stderr

    assert device(["update", "trust", f"{key}.pub", "--root", str(root)]) == 0
    assert device(["update", str(tmp_path / "1.bundle"), "--root", str(root)]) == 0
    assert launched("enroll", "Hopper", portrait).returncode == 0 and seen() == ("Hopper", "")
    with Store.open(root / "data/clockface.db") as store:
        (model_id,) = store.template_counts()
        embedding = store.templates(model_id).matrix[0]
        store.add_person_with_templates("Unkept", None, [TemplateDraft(model_id, -embedding, 0.5, None, "photo.jpg")])

    assert launched("update", str(tmp_path / "2.bundle")).returncode == 0
    assert seen()[0] is None and "not known to clockface-mobile-int8 yet: 2 people (id 1, id 2)" in seen()[1]  # the old templates do not count
    first = launched("run", "--source", portrait, "--once", "--headless")
    assert "templates for clockface-mobile-int8: 0 of 1 person" in first.stdout
    assert "no picture of their enrolment is kept: Unkept (id 2)" in first.stdout
    assert f"{ids[1]} is kept" in first.stdout
    assert seen()[0] == "Hopper"
    with Store.open(root / "data/clockface.db") as store:
        assert store.template_counts() == {model_id: 2, "e" * 64: 1}

    assert launched("update", "rollback").returncode == 0 and seen() == ("Hopper", "")
    assert launched("run", "--source", portrait, "--once", "--headless").returncode == 0
    assert Installation(root).named("proven") == ids[0]


def test_a_model_without_a_threshold_is_not_bundled(pulled: None, key: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "site.toml").write_text("[decision]\nfpir = 0.00002\n")
    assert main(["bundle", "--out", str(tmp_path), "--key", str(key), "--config", str(tmp_path / "site.toml")]) == 1
    assert "no operating point" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.bundle"))


def test_hidden_and_compiled_files_stay_out(tmp_path: Path) -> None:
    for name in ("a.py", ".secret", "__pycache__/a.cpython-311.pyc", ".cache/x", "web/page.html", "packaging/launcher.sh"):
        place = tmp_path / "device" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    added = {"clockface", "clockface.py", "LICENSE", "NOTICE"}
    assert set(device_package(tmp_path)) == {"device/a.py", "device/web/page.html", "device/board/launcher.sh", *added}


def test_the_list_of_models_can_be_read_back(tmp_path: Path) -> None:
    entries = list(Catalogue.load().entries.values())
    (tmp_path / "list.toml").write_text(model_list(entries))
    again = Catalogue.load(tmp_path / "list.toml").entries
    assert {name: (entry.sha256, entry.about, entry.sources) for name, entry in again.items()} == {e.name: (e.sha256, e.about, ()) for e in entries}


def test_without_git_a_build_time_must_be_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from export.bundle import commit

    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with refused("bundle.no_time", "SOURCE_DATE_EPOCH"):
        commit(tmp_path)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert commit(tmp_path) == ("unknown", 1_700_000_000)


def test_a_debian_package_is_complete_and_reproducible(key: Path, tmp_path: Path) -> None:
    """dpkg's own tools read its fields and files; the same build gives the same bytes."""
    if shutil.which("dpkg-deb") is None:
        pytest.skip("dpkg-deb is missing: apt install dpkg")
    contents = {"clockface.py": b"x"}
    manifest = Manifest("0.1.0", 1_800_000_000, "c" * 40, "rpi", ("3.11", "3.13"), SCHEMA_VERSION, listed(contents))
    packages = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        write(folder / "one.bundle", manifest, contents, [read_private_key(key)])
        write_installer(folder, [read_private_key(key)])
        (folder / "notes.sh").write_text("not ours")
        packages.append(deb.write(folder, ["one.bundle", *BESIDE, "trusted.pub"], manifest))
    assert packages[0].name == packages[1].name == "clockface-rpi_0.1.0+1800000000_arm64.deb"
    assert packages[0].read_bytes() == packages[1].read_bytes()
    fields = subprocess.run(["dpkg-deb", "--field", str(packages[0]), "Architecture", "Depends"], capture_output=True, text=True, check=True).stdout
    assert "arm64" in fields and "python3.11 | python3.13" in fields
    listing = subprocess.run(["dpkg-deb", "--contents", str(packages[0])], capture_output=True, text=True, check=True, env={**os.environ, "TZ": "UTC"}).stdout
    assert listing.count("2027-01-15 08:00") == len(listing.splitlines()) > 8  # the build time, not the time at which a file was written
    subprocess.run(["dpkg-deb", "--raw-extract", str(packages[0]), str(tmp_path / "out")], check=True)
    place = tmp_path / "out/usr/share/clockface"
    assert {path.name for path in place.iterdir()} == {"one.bundle", *BESIDE, "trusted.pub"}
    assert (place / "one.bundle").read_bytes() == (tmp_path / "a/one.bundle").read_bytes()
    for script in ("postinst", "prerm", "postrm"):
        subprocess.run(["sh", "-n", str(tmp_path / "out/DEBIAN" / script)], check=True)


def test_a_package_needs_a_board(key: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bundle", "--out", str(tmp_path), "--key", str(key), "--deb"]) == 1
    assert "--deb needs a board" in capsys.readouterr().err and not list(tmp_path.iterdir())
