"""The loop on a real file system that fills up, turns read-only or goes away, while the demo's faces come: nothing is announced that is not there."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from device.config import AttendanceSettings, Settings, without_liveness
from device.storage.store import Store
from device.terminal.capture_session import Booth
from device.terminal.enrolment import enrol, sample_picture
from device.terminal.pipeline import Pipeline
from device.terminal.supervisor import Recognition
from device.vision import catalogue
from device.vision.camera.demo import RATE, ROUND_SECONDS, DemoRound, Stage, demo_enrolment
from device.vision.recogniser import Recogniser

EXT4_IOC_SHUTDOWN = 0x8004587D  # _IOR('X', 125, __u32), linux/fs/ext4/ext4.h: from then on every access is an input/output error
NO_LOG_FLUSH = 2
FIRST_VISIT = 9.0  # s of a round, until the enrolled one has left
START = 1_790_000_000.0  # s since the epoch


class Card:
    """An ext4 file system in a file."""

    def __init__(self, folder: Path) -> None:
        self.image, self.place = folder / "card.img", folder / "card"
        self.image.write_bytes(b"")
        os.truncate(self.image, 24 << 20)
        self.place.mkdir()

    def make(self) -> None:
        subprocess.run(["mkfs.ext4", "-q", str(self.image)], check=True)
        self.mount()

    def mount(self) -> None:
        done = subprocess.run(["mount", "-o", "loop", str(self.image), str(self.place)], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")

    def unmount(self) -> None:
        subprocess.run(["umount", str(self.place)], check=False, capture_output=True)

    def break_(self, fault: str) -> None:
        if fault == "full":
            with (self.place / "filler").open("wb", buffering=0) as filler:
                try:
                    while filler.write(bytes(4096)):
                        pass
                except OSError:
                    os.fsync(filler.fileno())
        elif fault == "read-only":  # what the kernel does where the card has errors; files stay open
            subprocess.run(["mount", "-o", "remount,abort", str(self.place)], check=False, capture_output=True)
        else:
            opened = os.open(self.place, os.O_RDONLY)
            fcntl.ioctl(opened, EXT4_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
            os.close(opened)


@pytest.fixture
def card(tmp_path: Path) -> Iterator[Card]:
    if os.geteuid() != 0:
        pytest.skip("only root may mount a file system")
    made = Card(tmp_path)
    made.make()
    yield made
    made.unmount()


class Terminal:
    """The loop of a live camera with frames as fast as they can be drawn; its clock is the frames'."""

    def __init__(self, database: Path, recogniser: Recogniser, stage: Stage) -> None:
        self.store = Store.open(database)
        if not self.store.people():
            name, image = demo_enrolment()
            enrol(self.store, recogniser, name, None, [sample_picture(recogniser, image, "portrait")], ["portrait"])
        self.now, self.said = START, list[str]()
        settings = without_liveness(Settings(attendance=AttendanceSettings(refractory_seconds=2.0)))  # the demo shows photographs
        pipeline = Pipeline(settings, recogniser, self.store, "terminal")
        self.recognition = Recognition(pipeline, Booth(lambda: self.now), lambda: recogniser, self.said.append, monotonic=lambda: self.now)
        self.stage = stage

    def round(self, number: int) -> tuple[list[int], set[str]]:
        """Ids of punches announced while the first visitor of a round came and went, and what was in trouble."""
        announced, troubles = list[int](), set[str]()
        for frame in DemoRound(START + number * ROUND_SECONDS, self.stage):
            if frame.index > FIRST_VISIT * RATE:
                break
            self.now = frame.time
            scene = self.recognition.process(frame)
            announced += [punch.id for _, punch in scene.punches]
            troubles.add(self.recognition.trouble)
        return announced, troubles


@pytest.fixture(scope="module")
def recogniser() -> Recogniser:
    try:
        [catalogue.path(f"portrait-{name}") for name in ("hopper", "collins")]
        return Recogniser(Settings())
    except catalogue.ModelError as error:
        pytest.skip(f"models not pulled: {error}")


@pytest.mark.parametrize("fault", ["full", "read-only", "gone"])
def test_what_was_announced_is_there_after_the_card_failed(card: Card, recogniser: Recogniser, fault: str) -> None:
    stage, database = Stage(), card.place / "clockface.db"
    terminal = Terminal(database, recogniser, stage)
    before, calm = terminal.round(0)
    assert before and calm == {""}
    card.break_(fault)
    during, troubles = terminal.round(1)
    assert not during and "store" in troubles and "store failed" in terminal.said[0]
    if fault == "full":
        (card.place / "filler").unlink()
        after, _ = terminal.round(3)  # the same process; a pause is over by then
        assert after and terminal.recognition.trouble == "" and terminal.said[-1] == "store works again"
        terminal.store.close()
    else:
        terminal.store.close()
        card.unmount()
        card.mount()  # as at the next start: the journal is played back
        again = Terminal(database, recogniser, stage)
        after, calm = again.round(3)
        assert after and calm == {""}
        again.store.close()
    with Store.open(database, must_exist=True) as store:
        kept = [punch.id for punch in store.punches()]
        assert sorted(kept) == sorted(before + after)
        assert store.verify_chain().ok
