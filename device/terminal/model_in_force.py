"""Which model recognises: the one that the settings name; after a change of it the former one, until templates of the new one are made.

Why one at a time: docs/decisions/0006-a-change-of-model.md.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection
from pathlib import Path

from device.config import Settings
from device.contract import ClockfaceError, ModelCard
from device.storage.audit import Action
from device.storage.standing import Standing, counted, to_enrol_words
from device.storage.store import Store
from device.terminal.capture_session import Booth
from device.terminal.pipeline import Pipeline
from device.terminal.reembedding import Reembedded, Reembedding
from device.vision.catalogue import Catalogue, sha256
from device.vision.embedder import Embedder
from device.vision.model_files import ServedFile, file_of
from device.vision.precision import Opened, open_embedder
from device.vision.recogniser import Recogniser

Say = Callable[[str], None]
RETRY_SECONDS = 60.0  # after a model could not take over


def recogniser_in_force(store: Store, settings: Settings, say: Say) -> Recogniser:
    """The recogniser of the model that knows the people, with the coming model where the settings name another one.

    Raises:
        ModelError, ContractError, EmbedderError, ChoiceError: the model that the settings name cannot be used.
    """
    wanted = open_embedder(settings)
    former = former_model(store, settings, wanted.embedder.card, say)
    return Recogniser(settings, wanted) if former is None else Recogniser(settings, former, one_thread(wanted.embedder, settings))


def check_covered(store: Store, settings: Settings, changed: Collection[str]) -> None:
    """Refuse changed settings for which the model's card has no threshold, or none for so many people.

    Raises:
        ContractError: it says which thresholds there are.
    """
    if {"decision.fpir", "decision.at_least_templates"} & set(changed):
        card = open_embedder(settings, remember=False).embedder.card
        people = store.people_by_model().get(card.model_id, 0)
        card.operating_point(max(people, settings.decision.at_least_templates), settings.decision.fpir)


def one_thread(embedder: Embedder, settings: Settings) -> Embedder:
    """The same model for work in the background: it takes one processor, and the priority of the thread that uses it."""
    return Embedder(embedder.path, settings.embedder.provider, threads=1)


def former_model(store: Store, settings: Settings, wanted: ModelCard, say: Say) -> Opened | None:
    """The model that recognises until the wanted one takes over: that which knows most people, if it knows more of them; None: the wanted one recognises."""
    if not awaited(store.standing(wanted.model_id), settings):
        return None
    people = store.people_by_model()
    better = sorted((model_id for model_id in people if people[model_id] > people.get(wanted.model_id, 0)), key=lambda model_id: -people[model_id])
    served, catalogue = served_files(store), Catalogue.load()
    for model_id in better:
        path = file_of(model_id, served, catalogue)
        opened = None if path is None else _opened(path, settings, people[model_id], say)
        if opened is not None:
            return opened
    if better:
        known, model_id = counted(people[better[0]]), better[0][:12]
        say(f"no usable file of the former model {model_id} is here: {wanted.name} recognises {known} only as their templates are made")
    return None


def awaited(standing: Standing, settings: Settings) -> bool:
    """Whether the wanted model is to wait for somebody."""
    return bool(standing.to_make) or (settings.embedder.change == "everybody" and bool(standing.to_enrol))


def _opened(path: Path, settings: Settings, people: int, say: Say) -> Opened | None:
    try:
        embedder = Embedder(path, settings.embedder.provider, settings.embedder.threads)
        embedder.card.operating_point(max(people, settings.decision.at_least_templates), settings.decision.fpir)
    except ClockfaceError as error:
        say(f"the former model cannot be used: {error}")
        return None
    return Opened(embedder, f"{path.name}: in force until another model takes over")


def served_files(store: Store) -> list[ServedFile]:
    """The files of the models that have recognised here, the latest first."""
    with store.reading() as db:
        rows = db.execute("SELECT details FROM audit WHERE action = ? ORDER BY id DESC", [Action.MODEL_IN_FORCE.value]).fetchall()
    return [ServedFile(entry["model"], Path(entry["file"]), entry["sha256"]) for entry in (json.loads(text) for (text,) in rows)]


def make_all(store: Store, recogniser: Recogniser, say: Say) -> None:
    """Make what is missing of the templates of the coming model, or else of the one in force, and wait for it."""
    embedder = recogniser.coming or recogniser.embedder
    for state in Reembedding(store, embedder.card, lambda: embedder).one_pass():
        if not state.complete:
            say(state.words)
    if state.to_enrol:
        say(to_enrol_words(state.model, state.to_enrol))


class ModelInForce:
    """The recogniser of a terminal: chosen at the start, remembered in the audit, and replaced when the coming model can take over.

    Args:
        store: of the camera loop's thread.
        say: takes the lines of the log.
        recording: make all templates before anything is recognised, since a recording is to play the same each time.
    """

    def __init__(self, store: Store, settings: Settings, say: Say, recording: bool = False) -> None:
        self._store, self._settings, self._say = store, settings, say
        self._retry_at = float("-inf")
        self.recogniser = recogniser_in_force(store, settings, say)
        if recording:
            make_all(store, self.recogniser, say)
            self.recogniser = self.recogniser if self.recogniser.coming is None else recogniser_in_force(store, settings, say)
        self._remember()
        if self.recogniser.coming is not None:
            say(f"{self._name} recognises until {self.recogniser.coming.card.name} can take over")

    @property
    def _name(self) -> str:
        return self.recogniser.embedder.card.name

    def loaded_again(self) -> Recogniser:
        """The same recogniser, loaded anew after a failure."""
        former, coming = self.recogniser.embedder, self.recogniser.coming
        if coming is None:
            self.recogniser = Recogniser(self._settings)
        else:
            opened = Opened(Embedder(former.path, self._settings.embedder.provider, self._settings.embedder.threads), self.recogniser.choice)
            self.recogniser = Recogniser(self._settings, opened, coming)
        return self.recogniser

    def take_over(self, state: Reembedded, pipeline: Pipeline, booth: Booth) -> bool:
        """Recognise with the coming model from the next frame on; where it cannot be loaded, the one in force goes on and it is tried again later.

        Returns:
            Whether it has taken over.
        """
        if time.monotonic() < self._retry_at:
            return False
        try:
            recogniser = self.recogniser.with_embedder(open_embedder(self._settings))
            pipeline.recognise_with(recogniser)
        except ClockfaceError as error:
            self._retry_at = time.monotonic() + RETRY_SECONDS
            self._say(f"{state.model} cannot take over ({error}); {self._name} goes on")
            return False
        self.recogniser = booth.recogniser = recogniser
        self._say(f"{self._name} recognises from now on: {counted(state.made)}")
        self._remember(state)
        if state.to_enrol:
            self._say(to_enrol_words(self._name, state.to_enrol))
        return True

    def _remember(self, state: Reembedded | None = None) -> None:
        """Note in the audit that another model recognises from now on; its file is found by this once it is the former one."""
        embedder = self.recogniser.embedder
        file = ServedFile(embedder.card.model_id, embedder.path.resolve(), sha256(embedder.path))
        if served_files(self._store)[:1] != [file]:
            to_enrol = [person.id for person in state.to_enrol] if state else []
            details = {"model": file.model_id, "name": embedder.card.name, "file": str(file.path), "sha256": file.sha256, "to_enrol": to_enrol}
            self._store.audit("terminal", Action.MODEL_IN_FORCE, details)
