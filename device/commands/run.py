"""Start the terminal: camera -> faces -> decision -> punch."""

from __future__ import annotations

import argparse
import dataclasses
import os
import platform
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from device.commands import run_desk
from device.commands.camera_loop import CameraLoop
from device.commands.options import add_config, add_database
from device.commands.watching import watching
from device.config import Settings, loader, without_liveness
from device.config.fields import ConfigError
from device.config.places import database_path
from device.delivery.couriers import delivering
from device.fleet.farewell import farewell
from device.maintenance import database_start
from device.maintenance.reset_request import asked_at_start
from device.maintenance.scheduler import upkeep
from device.storage import settings as stored_settings
from device.storage.store import Store
from device.system.clock import why_silent
from device.system.gpio import Button, Signals, signalling
from device.system.systemd import supervised
from device.terminal.background_reembedding import BackgroundReembedding, reembedding_of
from device.terminal.enrolment import enrol, sample_picture
from device.terminal.model_in_force import ModelInForce
from device.terminal.pipeline import Pipeline
from device.terminal.status_line import Status
from device.terminal.twins import Twins
from device.vision.camera.demo import demo_enrolment
from device.vision.camera.source import Source, default_source, is_live, open_source
from device.vision.recogniser import Recogniser
from device.web.letters import written
from device.web.live import Live

if TYPE_CHECKING:
    from device.fleet.courier import Link

SERVICE = True  # what it prints is never a reason to end
DEMO = "demo"  # the source without a camera
RESTART_SECONDS = 5.0  # the camera loop has so long to see that it was asked to end


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--source", help="0, /dev/v4l/by-id/.., clip.mp4, folder, rtsp://.., demo (without it: camera 0, or the demo)")
    add_database(parser)
    add_config(parser)
    parser.add_argument("--headless", action="store_true", help="log lines in place of the live status")
    parser.add_argument("--once", action="store_true", help="play a clip or folder to its end, every frame, as fast as the machine can, then stop")
    parser.add_argument("--loop", action="store_true", help="play a clip or folder again and again; time goes on, so who is in it is recorded in each round")
    parser.add_argument("--web", action="append", metavar="HOST:PORT", help="serve the kiosk page and the review site here (127.0.0.1:8080); may be repeated")
    parser.add_argument("--no-web", action="store_true", help="serve no pages")
    parser.add_argument("--desk", action="store_true", help="no camera: serve the pages over all devices of a fleet (docs/fleet.md)")
    parser.add_argument("--annotate", type=Path, metavar="DIR", help="write the frames with box, name and state")


def run(args: argparse.Namespace) -> int:
    if args.desk:
        if run_desk.run(args, _say):
            start_again()
        return 0
    settings = loader.load(args.config)
    source = _source(args)
    database = _database(settings, args.db, demo=source == DEMO)
    for line in database_start.prepare(database):
        print(line, flush=True)
    with _demo_told(source, database), Store.open(database, settings.store, actor="terminal") as store:
        store.claim_terminal()
        if in_a_fleet(store):
            from device.fleet.courier import catch_up  # needs psycopg: only here

            catch_up(store, _say, args.config)
        restart = _recorded(args, stored_settings.in_force(store, args.config), source, store)
    if restart.is_set():
        start_again()
    return 0


def _recorded(args: argparse.Namespace, settings: Settings, source: str, store: Store) -> threading.Event:
    """Record who is seen until the source ends; returns what is set if the terminal is to start again."""
    demo = source == DEMO
    played = _played(settings, demo)
    model = ModelInForce(store, played, _say, recording=args.once or not is_live(source))
    if demo:
        _enrol_demo(store, model.recogniser)
    told: dict[str, Callable[[], str]] = {}
    looks: list[Callable[[Store], object]] = []
    background = _background(args, settings, store, demo, told, looks, finish=args.once)
    with background as link, opened(args, settings, source) as camera:
        _say_parts(camera, model.recogniser)
        pipeline = Pipeline(played, model.recogniser, store, platform.node() or "terminal", recording=not camera.live)
        _say_clock()
        status = Status(args.headless, store.clock)
        watched = camera.live and not demo
        signals = signalling(settings.signals, watched, _say)
        with signals as signs, serving(args, settings, pipeline, signs) as live, _reembedding(model, store, settings, camera.live, status) as making:
            live.refused = signs.refused
            live.fleet = link
            if watched:
                _look_for_reset(settings, store.path, pipeline.device, live)
            loop = CameraLoop(camera, pipeline, live, status, model, making, args.annotate)
            told.update(camera=lambda: loop.state, model=lambda: pipeline.recogniser.embedder.card.name, version=run_desk.version)
            looks.append(Twins(live.booth, pipeline.device).look)
            loop.run()
        status.end()
    return live.restart


def opened(args: argparse.Namespace, settings: Settings, source: str) -> Source:
    """The source of frames; clips and folders play at their own pace, for somebody who watches, unless they are to end."""
    return open_source(source, settings.camera, once=args.once, patient=supervised(), watched=not args.once, loop=args.loop)


def _source(args: argparse.Namespace) -> str:
    """The requested source, or the one that this machine has, which is printed."""
    source: str = args.source or default_source()
    if args.loop and (args.once or is_live(source)):
        raise ConfigError("--loop is for a clip or a folder that is played without --once", code="config.together")
    if args.source is None:
        print("no camera found: playing the demo (--source demo)" if source == DEMO else f"camera: {source}", flush=True)
    return source


def _database(settings: Settings, given: str | None, demo: bool) -> Path:
    """The database of this terminal; the demo has one of its own."""
    database = database_path(settings, given)
    return database.with_name("demo.db") if demo and not given else database


@contextmanager
def _demo_told(source: str, database: Path) -> Iterator[None]:
    """However the demo ends, say where what it recorded can be read: it is not in the database of a terminal."""
    try:
        yield
    finally:
        if source == DEMO:
            _say(f"the demo's log: {sys.executable} -m device log --db {database}")


@contextmanager
def _reembedding(model: ModelInForce, store: Store, settings: Settings, live: bool, status: Status) -> Iterator[BackgroundReembedding | None]:
    """Make templates while the camera runs; not during a recording, which is to play the same each time."""
    if not live:
        yield None
        return
    with reembedding_of(store.path, settings, model.recogniser, status.say) as making:
        yield making


def _played(settings: Settings, demo: bool) -> Settings:
    """The settings for what the source shows; where liveness is not enforced, it is said."""
    if demo:
        print("liveness is not judged: the demo shows photographs", flush=True)
        return without_liveness(settings)
    if settings.liveness.mode != "enforce":
        print(f'liveness is not enforced ([liveness] mode = "{settings.liveness.mode}"): a photo of an enrolled person is recorded', flush=True)
    return settings


@contextmanager
def _background(
    args: argparse.Namespace,
    settings: Settings,
    store: Store,
    demo: bool,
    told: Mapping[str, Callable[[], str]],
    looks: Sequence[Callable[[Store], object]],
    finish: bool,
) -> Iterator[Link | None]:
    """Deliver punches, run periodic tasks and exchange with the fleet while the block runs.

    Args:
        told: what the fleet is told of this terminal.
        looks: done with what came from the fleet, once nothing more comes.
        finish: what the block has recorded is delivered before it ends, or it is said what waits.
    """
    link = None
    targets = () if demo else settings.connectors  # punches of a demo are nobody's working time
    with ExitStack() as parts:
        played = dataclasses.replace(settings, connectors=targets)
        parts.enter_context(delivering(store.path, played, _say, finish, written(played)))
        watched = () if args.once else watching(played, lambda: told.get("camera"))
        parts.enter_context(upkeep(store.path, settings, _say, watched))
        if in_a_fleet(store):
            from device.fleet.courier import exchanging  # needs psycopg: only here
            from device.fleet.settings_down import Running

            def look(store: Store) -> None:
                for one in looks:
                    one(store)

            running = Running(args.config, settings)
            link = parts.enter_context(exchanging(store.path, running, _say, lambda: {name: words() for name, words in told.items()}, look))
        yield link


def _look_for_reset(settings: Settings, database: Path, name: str, live: Live) -> None:
    """In a thread: whether somebody asks for a reset to factory, by a file on a stick or a button that is held."""
    chip, line = settings.signals.chip, settings.signals.reset
    asked = (name, database, settings.store.reset_file, lambda: Button(chip, line) if line >= 0 else None, live.count_down, live.restart.set, _say)
    part = {"part": partial(farewell, to_factory=True)}
    threading.Thread(target=asked_at_start, args=asked, kwargs=part, name="reset", daemon=True).start()


def in_a_fleet(store: Store) -> bool:
    with store.reading() as db:
        return db.execute("SELECT 1 FROM fleet WHERE key = 'membership'").fetchone() is not None


def _say(text: str) -> None:
    print(text, flush=True)


def _say_parts(camera: Source, recogniser: Recogniser) -> None:
    print(f"source: {camera.describe()}; embedder: {recogniser.embedder.card.name} on {recogniser.embedder.provider}", flush=True)
    print(f"artefact {recogniser.choice}", flush=True)
    for line in recogniser.embedder.provider_report:
        print(f"provider {line}", flush=True)


def _say_clock() -> None:
    if reason := why_silent():
        print(f"clock: the system does not say whether it is set ({reason}): every punch counts as one of an unset clock", flush=True)


def start_again() -> None:
    """Replace this process by the same command; that closes all of its files."""
    print("restarting", flush=True)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def start_again_without_camera(live: Live, seconds: float = RESTART_SECONDS, again: Callable[[], None] = start_again) -> None:
    """Restart from this thread if the loop does not react, since it may wait for a lost camera."""
    live.restart.wait()
    time.sleep(seconds)
    again()


@contextmanager
def serving(args: argparse.Namespace, settings: Settings, pipeline: Pipeline, signals: Signals) -> Iterator[Live]:
    """Serve the pages while the terminal runs; a clip that is only played has none unless requested."""
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


def _enrol_demo(store: Store, recogniser: Recogniser) -> None:
    name, image = demo_enrolment()
    if all(person.name != name for person in store.people(active_only=True)):
        enrol(store, recogniser, name, None, [sample_picture(recogniser, image, "portrait")], ["portrait"])
