"""Whatever comes in from outside is taken or refused in words: a configuration, a card, a manifest, a picture, a list of people, a sealed text."""

from __future__ import annotations

import itertools
import json
import os
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from device.config import DecisionSettings, Settings, loader
from device.contract import ClockfaceError, ModelCard
from device.delivery.connectors import build, read_settings
from device.delivery.outcomes import LONGEST_ANSWER, Delivered, Failed, Refused, shortened
from device.maintenance.update.bundle import Bundle
from device.maintenance.update.manifest import BundleError, Manifest
from device.maintenance.update.signatures import key_id
from device.storage.sealing import unseal
from device.storage.store import Store
from device.terminal import bulk_enrolment
from device.terminal.capture_session import Booth
from device.terminal.pipeline import Pipeline
from device.terminal.supervisor import Recognition
from device.vision import catalogue
from device.vision.camera.frame import Frame
from device.vision.images import read_image
from device.vision.recogniser import Recogniser
from tests.device.fakes.terminal import sample_event
from tests.device.maintenance.update.bundles import KEY, contents, made
from tests.refused import refused

MANY = settings(max_examples=150, deadline=None, database=None, suppress_health_check=list(HealthCheck))
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
PICTURE = bytes(cv2.imencode(".png", np.random.default_rng(0).integers(0, 255, (24, 32, 3), np.uint8))[1])


def in_a_file(data: bytes, read: Callable[[Path], object], suffix: str) -> None:
    with tempfile.TemporaryDirectory() as folder, suppress(ClockfaceError):
        (path := Path(folder) / f"given{suffix}").write_bytes(data)
        read(path)


@MANY
@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_any_configuration(data: bytes) -> None:
    in_a_file(data, loader.load, ".toml")


@MANY
@given(st.sampled_from(["camera", "decision", "store", "web", "attendance", "retention", "x"]), st.dictionaries(st.text(max_size=12), JSON, max_size=3))
def test_any_section(section: str, table: dict[str, Any]) -> None:
    with suppress(ClockfaceError):
        loader.read_section(DecisionSettings, section, table)
    for key in ("fpir", "agree", "window"):
        for value in table.values():
            with suppress(ClockfaceError):
                made = loader.read_section(DecisionSettings, section, {key: value})
                assert 0 < made.fpir <= 0.5 and 1 <= made.agree <= made.window <= 50


@MANY
@given(JSON.map(json.dumps) | st.text(max_size=200))
def test_any_card(text: str) -> None:
    with suppress(ClockfaceError):
        ModelCard.from_json(text)


@MANY
@given(JSON.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=200))
def test_any_manifest(data: bytes) -> None:
    with suppress(ClockfaceError):
        Manifest.from_bytes(data)


@MANY
@given(st.integers(0, len(PICTURE) - 1), st.binary(min_size=1, max_size=40), st.integers(1, len(PICTURE)))
def test_any_damage_to_a_picture(at: int, noise: bytes, length: int) -> None:
    in_a_file((PICTURE[:at] + noise + PICTURE[at + len(noise) :])[:length], read_image, ".png")


@MANY
@given(st.text(max_size=300) | st.text(max_size=200).map(lambda text: "name;code;photo\n" + text), st.lists(st.text(max_size=20), max_size=4))
def test_any_list_of_people(text: str, paths: list[str]) -> None:
    with suppress(ClockfaceError):
        bulk_enrolment.from_list(text.encode(), paths)
    bulk_enrolment.from_folders(paths)


@MANY
@given(st.binary(max_size=80))
def test_nothing_made_up_is_unsealed(data: bytes) -> None:
    with pytest.raises(ClockfaceError):
        unseal(bytes(32), data, "embedding of 1 for m1")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    made(path := tmp_path_factory.mktemp("bundle") / "release.bundle", contents())
    return path.read_bytes()


@MANY
@given(st.data())
def test_no_damage_to_a_bundle_passes(bundle: bytes, data: st.DataObject) -> None:
    at, length = data.draw(st.integers(0, len(bundle))), data.draw(st.integers(0, 2000))
    noise = data.draw(st.binary(max_size=600))
    damaged = bundle[:at] + noise + bundle[at + length :]
    trusted = {key_id(KEY.public_key()): KEY.public_key()}
    with tempfile.TemporaryDirectory() as folder:
        (path := Path(folder) / "release.bundle").write_bytes(damaged)
        try:
            with Bundle.open(path, trusted) as opened:
                opened.verify()
        except BundleError:
            assert damaged != bundle
        else:
            assert damaged == bundle


class Raw:
    """A server that answers every request with the same bytes and hangs up."""

    def __init__(self) -> None:
        self.answer = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection, suppress(OSError):
                    connection.recv(65536)
                    connection.sendall(self.answer)

    def close(self) -> None:
        self._listener.close()


@pytest.fixture(scope="module")
def raw() -> Iterator[Raw]:
    made = Raw()
    yield made
    made.close()


ANSWERS = st.one_of(
    st.binary(max_size=400),
    st.tuples(st.integers(0, 999), st.binary(max_size=300)).map(lambda one: b"HTTP/1.1 %03d x\r\nContent-Length: %d\r\n\r\n%s" % (one[0], len(one[1]), one[1])),
    st.tuples(st.text(max_size=40), st.text(max_size=40)).map(lambda one: f"HTTP/1.1 429 x\r\nRetry-After: {one[0]}\r\nDate: {one[1]}\r\n\r\n".encode()),
    JSON.map(lambda one: b"HTTP/1.1 200 OK\r\n\r\n" + json.dumps(one).encode()),
    st.binary(max_size=40).map(lambda one: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + one),
    st.just(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 3_000_000),
)
TARGETS: dict[str, dict[str, Any]] = {
    "webhook": {"secret": "env:FUZZ_KEY"},
    "erpnext": {"api_key": "env:FUZZ_KEY", "api_secret": "env:FUZZ_KEY", "timezone": "UTC"},
    "odoo": {"database": "d", "login": "l", "api_key": "env:FUZZ_KEY"},
    "zkteco": {"serial": "S1", "timezone": "UTC"},
}


@settings(MANY, max_examples=60)
@given(kind=st.sampled_from(list(TARGETS)), answer=ANSWERS)
def test_any_answer_of_a_target_is_an_outcome(raw: Raw, kind: str, answer: bytes) -> None:
    raw.answer = answer
    os.environ["FUZZ_KEY"] = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    connector = build(read_settings("target", {"kind": kind, "url": raw.url, "timeout_seconds": 2.0, **TARGETS[kind]}))
    [outcome] = list(connector.deliver([sample_event("E1")]))
    assert isinstance(outcome, Delivered | Refused | Failed) and len(shortened(outcome.answer)) <= LONGEST_ANSWER
    connector.close()


@pytest.fixture(scope="module")
def recognition(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recognition]:
    """One that says what it does about a fault and never waits."""
    try:
        recogniser = Recogniser(Settings())
    except catalogue.ModelError as error:
        pytest.skip(f"models not pulled: {error}")
    now = itertools.count(0, 1000)
    with Store.open(tmp_path_factory.mktemp("frames") / "a.db") as store:
        pipeline = Pipeline(Settings(), recogniser, store, "fuzz")
        yield Recognition(pipeline, Booth(lambda: 0.0), lambda: recogniser, lambda text: None, monotonic=lambda: float(next(now)))


@settings(MANY, max_examples=80)
@given(shape=st.lists(st.integers(0, 70), min_size=1, max_size=4), kind=st.sampled_from([np.uint8, np.uint16, np.float32, np.bool_]))
def test_no_frame_is_made_of_anything_but_a_colour_picture(shape: list[int], kind: Any) -> None:
    image = np.zeros(shape, kind)
    sound = kind is np.uint8 and len(shape) == 3 and shape[2] == 3 and image.size > 0
    if sound:
        assert Frame(image, 0.0, 0, live=True).image is image
    else:
        with refused("camera.frame"):
            Frame(image, 0.0, 0, live=True)


@settings(MANY, max_examples=80)
@given(height=st.integers(1, 90), width=st.integers(1, 90), seed=st.integers(0, 9), at=st.floats(-1e9, 4e9))
def test_any_frame_leaves_the_loop_running(recognition: Recognition, height: int, width: int, seed: int, at: float) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)
    scene = recognition.process(Frame(image, at, 1, live=True))
    assert (scene.punches, recognition.trouble) == ((), "")
