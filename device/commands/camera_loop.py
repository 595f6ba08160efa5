"""The camera loop of `run`: every frame recognised, shown and reported to systemd."""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path

import cv2

from device.maintenance.update.releases import Installation
from device.storage import recovery
from device.storage.store import Store
from device.system.systemd import Watchdog, ready
from device.terminal.annotate import annotate
from device.terminal.background_reembedding import BackgroundReembedding
from device.terminal.model_in_force import ModelInForce
from device.terminal.pipeline import Pipeline, Scene
from device.terminal.status_line import Status
from device.terminal.supervisor import Recognition
from device.terminal.throttle import Pace
from device.vision.camera.source import Source
from device.vision.upright import Hanging, remedy
from device.web.live import Live


class CameraLoop:
    """Every frame of the source: recognised, shown and reported to systemd, until it ends or the terminal is to start again.

    Args:
        model: the recogniser in force, and the one that takes over.
        making: makes templates in the background; None while a recording is played.
        annotated: the folder for the frames with box, name and state, where they are asked for.
    """

    def __init__(
        self, camera: Source, pipeline: Pipeline, live: Live, status: Status, model: ModelInForce, making: BackgroundReembedding | None, annotated: Path | None
    ) -> None:
        self._camera, self._pipeline, self._live, self._status, self._annotated = camera, pipeline, live, status, annotated
        self._model, self._making = model, making
        self._watchdog, self._pace = Watchdog(), Pace()
        damaged = partial(restored_by_start, pipeline.store, live)
        self._hanging = Hanging()
        self._recognition = Recognition(
            pipeline, live.booth, model.loaded_again, status.say, damaged, hanging=self._hanging, between_frames=self._let_coming_model_take_over
        )
        live.camera, live.trouble, camera.on_try = (lambda: camera.state), (lambda: self._recognition.trouble), self._watchdog.tried
        live.late = lambda: self._recognition.late
        live.coarser = lambda: self._pace.coarser
        live.picture_in_view = lambda: pipeline.picture_in_view
        live.reembedded = lambda: self._making.state if self._making else None
        self._healthy = False

    @property
    def state(self) -> str:
        """The camera, or what else keeps this terminal from recording, in a word or two."""
        trouble = self._recognition.trouble
        return f"{trouble} failed" if trouble else "turned" if self._live.hangs else self._live.camera_state

    def run(self) -> None:
        # A recording that fails is not a part to be kept going.
        process = self._recognition.process if self._camera.live else self._recognition.look
        for frame in self._camera:
            begun = time.monotonic()
            scene = process(frame)
            if self._recognition.decided:
                self._watchdog.decided(frame.index)
            self._show(scene)
            if self._live.codes is not None:
                self._live.codes.look(frame.image)
            self._keep_pace(begun)
            if self._live.restart.is_set():
                break

    def _let_coming_model_take_over(self) -> None:
        making = self._making
        if making is not None and making.ready and making.state is not None and self._model.take_over(making.state, self._pipeline, self._live.booth):
            making.taken_over()

    def _show(self, scene: Scene) -> None:
        self._status.camera(self._camera.state)
        self._live.hangs = remedy(self._hanging.turn(scene.frame.time), self._pipeline.settings.camera)
        self._status.hanging(self._live.hangs)
        self._live.show(scene)
        state = self._making.state if self._making else None
        self._status.show(scene, "" if state is None or state.complete else state.words)
        if not self._healthy and not self._recognition.trouble:
            self._healthy = True
            say_healthy()
        if self._annotated:
            self._annotated.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(self._annotated / f"{scene.frame.index:06d}.jpg"), annotate(scene))

    def _keep_pace(self, begun: float) -> None:
        """Search faces at a smaller width if the machine is slow."""
        if self._camera.live and self._pace.frame(begun, time.monotonic()):
            self._status.say(self._pace.words)
        self._pipeline.recogniser.detector.coarser = self._pace.coarser


def restored_by_start(store: Store, live: Live) -> None:
    """Handle a damaged database: if there is a good copy, restart, which restores it (`device/storage/recovery.py`)."""
    copy = recovery.copy_of(store.path)
    if copy.exists() and not recovery.damage(copy) and recovery.damage(store.path):
        live.restart.set()


def say_healthy() -> None:
    """Called after the first processed frame: report it to systemd and confirm a release on trial."""
    ready()
    installation = Installation.here()
    if installation and installation.on_trial and os.access(installation.root, os.W_OK):  # otherwise the unit confirms it, as root
        from device.maintenance.update.install import confirm  # needs the library for signatures: only here

        confirm(installation, print)
