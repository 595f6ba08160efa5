"""Start the terminal: camera -> faces -> decision -> punch."""

from __future__ import annotations

import argparse
import dataclasses
import os
import platform
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import cv2

from device import config
from device.commands.options import add_config, add_database
from device.config import ConfigError, Settings, database_path
from device.delivery.couriers import delivering
from device.maintenance.backup import apply_staged
from device.maintenance.scheduler import upkeep
from device.maintenance.update.releases import Installation
from device.storage import recovery
from device.storage import settings as stored_settings
from device.storage.store import Store
from device.system.clock import why_silent
from device.system.gpio import Signals, signalling
from device.system.systemd import Watchdog, ready, supervised
from device.terminal.annotate import annotate
from device.terminal.enrolment import enrol, sample_picture
from device.terminal.pipeline import Pipeline, Scene
from device.terminal.reembedding import renew
from device.terminal.supervisor import Recognition
from device.terminal.throttle import Pace
from device.vision.camera.demo import demo_enrolment
from device.vision.camera.source import default_source, open_source
from device.vision.recogniser import Recogniser
from device.web.live import Live

RESTART_SECONDS = 5.0  # the camera loop has so long to see that it was asked to end


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--source", help="0, /dev/v4l/by-id/.., clip.mp4, folder, rtsp://.., demo (without it: camera 0, or the demo)")
    add_database(parser)
    add_config(parser)
    parser.add_argument("--headless", action="store_true", help="log lines in place of the live status")
    parser.add_argument("--once", action="store_true", help="play a clip or folder to its end, every frame, then stop")
    parser.add_argument("--web", action="append", metavar="HOST:PORT", help="serve the kiosk page and the review site here (127.0.0.1:8080); may be repeated")
    parser.add_argument("--no-web", action="store_true", help="serve no pages")
    parser.add_argument("--annotate", type=Path, metavar="DIR", help="write the frames with box, name and state")


def run(args: argparse.Namespace) -> int:
    settings = config.load(args.config)
    source = args.source or default_source()
    if args.source is None:
        print("no camera found: playing the demo (--source demo)" if source == "demo" else f"camera: {source}", flush=True)
    database = database_path(settings, args.db)
    if source == "demo" and not args.db:
        database = database.with_name("demo.db")
    for line in [*apply_staged(database), *recovery.rescue(database)]:
        print(line, flush=True)
    with Store.open(database, settings.store, actor="terminal") as store:
        store.claim_terminal()
        settings = config.load(args.config, stored_settings.read(store))
        recogniser = Recogniser(settings)
        if source == "demo":
            _enrol_demo(store, recogniser)
        for line in renew(store, recogniser).lines(recogniser.embedder.card.name):
            print(line, flush=True)
        targets = () if source == "demo" else settings.connectors  # what a demo records is nobody's working time
        deliveries = delivering(store.path, dataclasses.replace(settings, connectors=targets), say=lambda text: print(f"\r{text}", flush=True))
        looked_after = upkeep(store.path, settings, say=lambda text: print(f"\r{text}", flush=True))
        with deliveries, looked_after, open_source(source, settings.camera, once=args.once, patient=supervised()) as camera:
            print(f"source: {camera.describe()}; embedder: {recogniser.embedder.card.name} on {recogniser.embedder.provider}", flush=True)
            print(f"artefact {recogniser.choice}", flush=True)
            for line in recogniser.embedder.provider_report:
                print(f"provider {line}", flush=True)
            pipeline = Pipeline(settings, recogniser, store, platform.node() or "terminal", recording=not camera.live)
            if reason := why_silent():
                print(f"clock: the system does not say whether it is set ({reason}): every punch counts as one of an unset clock", flush=True)
            status = Status(args.headless)
            signals = signalling(settings.signals, camera.live and source != "demo", say=lambda text: print(f"\r{text}", flush=True))
            with signals as signs, serving(args, settings, pipeline, signs) as live:
                watchdog, pace = Watchdog(), Pace()
                recognition = Recognition(pipeline, live.booth, lambda: Recogniser(settings), status.say, damaged=lambda: restored_by_start(store, live))
                live.camera, live.trouble, camera.on_try = (lambda: camera.state), (lambda: recognition.trouble), watchdog.tried
                live.coarser = lambda: pace.coarser
                process = recognition.process if camera.live else recognition.look  # a recording that fails is not a part to be kept going
                healthy = False
                for frame in camera:
                    begun = time.monotonic()
                    scene = process(frame)
                    if recognition.decided:
                        watchdog.decided(frame.index)
                    status.camera(camera.state)
                    live.show(scene)
                    status.show(scene)
                    if not healthy and not recognition.trouble:
                        healthy = True
                        say_healthy()
                    if args.annotate:
                        args.annotate.mkdir(parents=True, exist_ok=True)
                        cv2.imwrite(str(args.annotate / f"{frame.index:06d}.jpg"), annotate(scene))
                    if camera.live and pace.frame(begun, time.monotonic()):
                        status.say(pace.words)
                    pipeline.recogniser.detector.coarser = pace.coarser
                    if live.restart.is_set():
                        break
            status.end()
    if live.restart.is_set():
        start_again()
    return 0


def restored_by_start(store: Store, live: Live) -> None:
    """The database is damaged: where a sound copy of it is there, start again, which restores it (`device/storage/recovery.py`)."""
    copy = recovery.copy_of(store.path)
    if copy.exists() and not recovery.damage(copy) and recovery.damage(store.path):
        live.restart.set()


def start_again() -> None:
    """The same command in this process's place; every file of the old one is closed by that."""
    print("starting again", flush=True)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def start_again_without_camera(live: Live, seconds: float = RESTART_SECONDS, again: Callable[[], None] = start_again) -> None:
    """A loop that waits for a lost camera does not see that it was asked: then this thread starts again."""
    live.restart.wait()
    time.sleep(seconds)
    again()


@contextmanager
def serving(args: argparse.Namespace, settings: Settings, pipeline: Pipeline, signals: Signals) -> Iterator[Live]:
    """The pages, for as long as the terminal runs; a clip that is only played needs none unless told."""
    if args.no_web and args.web:
        raise ConfigError("--web and --no-web: give one of them", code="config.together")
    if args.no_web or (args.once and not args.web):
        if settings.attendance.direction == "asked":
            raise ConfigError(
                '[attendance] direction = "asked" needs the buttons of the kiosk page: serve it (--web), or choose another direction', code="config.together"
            )
        yield Live(accepted=signals.accepted)
        return
    from device.web import start

    with start.web_server(settings, pipeline, args.web or [start.DEFAULT], args.config, signals.accepted) as terminal:
        threading.Thread(target=start_again_without_camera, args=[terminal.live], name="restart", daemon=True).start()
        yield terminal.live


def say_healthy() -> None:
    """A picture has gone through: whoever waits for it is told, a release on trial is kept."""
    ready()
    installation = Installation.here()
    if installation and installation.on_trial and os.access(installation.root, os.W_OK):  # else the unit confirms it, as root
        from device.maintenance.update.install import confirm  # needs the library for signatures: only here

        confirm(installation, print)


def _enrol_demo(store: Store, recogniser: Recogniser) -> None:
    name, image = demo_enrolment()
    if all(person.name != name for person in store.people(active_only=True)):
        enrol(store, recogniser, name, None, [sample_picture(recogniser, image, "portrait")], ["portrait"])


class Status:
    """Punches as lines; who is in view on one line that is drawn over, unless headless."""

    def __init__(self, headless: bool) -> None:
        self.headless = headless
        self._started = self._drawn = time.monotonic()
        self._frames = 0
        self._camera = "ok"

    def show(self, scene: Scene) -> None:
        self._frames += 1
        if self._frames == 1:
            self._line("first frame seen; stop with Ctrl-C")
        for person, punch in scene.punches:
            at = datetime.fromtimestamp(punch.occurred_at).strftime("%H:%M:%S")
            self._line(f"recorded {at} {person.name} {punch.direction} (score {punch.score:.2f}, threshold {punch.threshold:.2f})")
        now = time.monotonic()
        if not self.headless and now - self._drawn > 0.2:
            self._drawn = now
            faces = ", ".join(subject.words for subject in scene.subjects) or "nobody in view"
            print(f"\r\033[K{self._frames / (now - self._started):5.1f} frames/s  {faces}", end="", flush=True)

    def end(self) -> None:
        self._line(f"end: {self._frames} frames in {time.monotonic() - self._started:.1f} s")

    def camera(self, state: str) -> None:
        """Say it when the camera turns black or slow, and when it is well again."""
        if state != self._camera:
            self._camera = state
            self._line(f"camera: {state}")

    def say(self, text: str) -> None:
        self._line(text)

    def _line(self, text: str) -> None:
        print(text if self.headless else f"\r\033[K{text}", flush=True)
