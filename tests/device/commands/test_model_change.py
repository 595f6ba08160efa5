"""A change of the model as an administrator does it: the setting, a start, kill -9 half-way, another start; with two shipped files and a live source."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from device.__main__ import main
from device.config import EmbedderSettings, Settings
from device.storage.store import Store, TemplateDraft
from device.terminal.enrolment import encoded, enrol, sample_picture
from device.vision import catalogue
from device.vision.embedder import card_in
from device.vision.images import read_image
from device.vision.recogniser import Recogniser

ROOT = Path(__file__).resolve().parents[3]
EDGE, MOBILE = "clockface-edge-int8", "clockface-mobile-int8"
FEW, MANY = 200, 4  # people whose templates take a while to make, and templates of each


@pytest.fixture(scope="module")
def recogniser() -> Recogniser:
    return Recogniser(Settings(embedder=EmbedderSettings(model=EDGE)))


@pytest.fixture
def database(recogniser: Recogniser, tmp_path: Path) -> Path:
    """Hopper, Collins without a kept picture, and many more, enrolled with the former model."""
    path = tmp_path / "clockface.db"
    random, model_id = np.random.default_rng(5), recogniser.embedder.card.model_id
    with Store.open(path) as store:
        for name in ("Grace Hopper", "Eileen Collins"):
            image = read_image(catalogue.path(f"portrait-{name.split()[1].lower()}"))
            enrol(store, recogniser, name, None, [sample_picture(recogniser, image, name)], [name])
        crop = encoded(np.repeat(np.repeat(random.integers(0, 255, (8, 8, 3), dtype=np.uint8), 14, 0), 14, 1))  # of nobody
        for number in range(FEW):
            rows = random.normal(size=(MANY, recogniser.embedder.card.embedding_size)).astype(np.float32)
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
            store.add_person_with_templates(f"P{number}", None, [TemplateDraft(model_id, row, 0.9, crop, "test") for row in rows])
        with store.transaction() as db:
            db.execute("UPDATE templates SET crop = NULL WHERE person_id = 2")
    return path


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """The configuration after the change."""
    file = tmp_path / "clockface.toml"
    file.write_text(f'[embedder]\nmodel = "{MOBILE}"\n[attendance]\nrefractory_seconds = 0\n')
    return file


class Running:
    """A terminal in another process and what it has said."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said: list[str] = []

    def until(self, words: str) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line.strip())
            if words in line:
                return line
        raise AssertionError(f"ended without {words!r}: {self.said}")


@contextmanager
def running(database: Path, site: Path) -> Iterator[Running]:
    command = [sys.executable, "-u", "-m", "device", "run", "--source", "demo", "--db", str(database), "--config", str(site), "--headless", "--no-web"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT) as process:
        try:
            yield Running(process)
        finally:
            process.kill()


def made(database: Path) -> int:
    with Store.open(database) as store:
        return len(store.standing(card_in(catalogue.path(MOBILE)).model_id).known)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.timeout(300)
def test_a_change_of_model_is_killed_half_way_and_goes_on(database: Path, site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    of = FEW + 1
    with running(database, site) as terminal:
        terminal.until(f"{EDGE} recognises until {MOBILE} can take over")
        terminal.until(f"templates for {MOBILE}: 0 of {of} people")
        with Store.open(database) as store:
            until(lambda: bool(store.template_owners(card_in(catalogue.path(MOBILE)).model_id)))
        terminal.process.send_signal(signal.SIGKILL)
        terminal.process.wait()
    half = made(database)
    assert 0 < half < of, "the machine is too fast for this test: more people, please"
    assert main(["doctor", "--db", str(database), "--config", str(site), "--json", "--skip", "camera"]) in (0, 1)
    (found,) = [check for check in json.loads(capsys.readouterr().out)["checks"] if check["check"] == "templates"]
    assert found["state"] == "warning" and f"{half} of {of} people with templates of {MOBILE}" in found["words"] and "Eileen Collins (id 2)" in found["words"]
    with running(database, site) as terminal:
        terminal.until(f"{EDGE} recognises until {MOBILE} can take over")
        terminal.until(f"templates for {MOBILE}: {half} of {of} people")
        terminal.until(f"{MOBILE} recognises from now on: {of} people")
        assert "Eileen Collins (id 2)" in terminal.until("1 person cannot be recognised")
        terminal.until("Grace Hopper")
    with Store.open(database) as store:
        assert store.punches()[-1].model_id == card_in(catalogue.path(MOBILE)).model_id
        assert store.faults() == [] and store.verify_chain("audit").ok
    with running(database, site) as terminal:
        terminal.until("first frame seen")
        assert not any("recognises until" in line or "templates for" in line for line in terminal.said)


def test_a_recording_waits_for_the_templates_and_plays_with_the_new_model(database: Path, site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Store.open(database) as store, store.transaction() as db:
        db.execute("DELETE FROM templates WHERE person_id > 2")
    assert main(["run", "--source", "demo", "--once", "--db", str(database), "--config", str(site), "--headless"]) == 0
    said = capsys.readouterr().out
    assert f"templates for {MOBILE}: 0 of 1 person" in said and "Eileen Collins (id 2)" in said and "recorded" in said
    with Store.open(database) as store:
        assert {punch.model_id for punch in store.punches()} == {card_in(catalogue.path(MOBILE)).model_id}


def test_the_commands_use_the_model_that_knows_the_people(database: Path, site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """During the change nobody is enrolled twice, and whoever is enrolled gets templates of both models."""
    hopper, collins = (str(catalogue.path(f"portrait-{name}")) for name in ("hopper", "collins"))
    options = ["--db", str(database), "--config", str(site)]
    assert main(["enroll", "Somebody else", hopper, *options]) == 1
    assert "already enrolled as 'Grace Hopper'" in capsys.readouterr().err
    assert main(["identify", collins, "--json", *options]) == 0
    assert json.loads(capsys.readouterr().out)["faces"][0]["name"] == "Eileen Collins"
    with Store.open(database) as store:
        store.erase(2)
    assert main(["enroll", "New", collins, "--json", *options]) == 0
    assert json.loads(capsys.readouterr().out)["templates"] == 1
    with Store.open(database) as store:
        assert sorted(store.template_counts_by_person()[FEW + 3].values()) == [1, 1] and made(database) == 1
