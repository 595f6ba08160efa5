"""Makes templates while the terminal recognises: on a thread of low priority, with its own connection to the database, in small transactions."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from device.config import Settings
from device.storage.standing import to_enrol_words
from device.storage.store import Store
from device.system.priority import yield_to_others
from device.system.restart import Say, kept_running
from device.terminal.model_in_force import one_thread
from device.terminal.reembedding import Reembedded, Reembedding
from device.vision.recogniser import Recogniser

POLL_SECONDS = 2.0  # how often changes of people and templates are looked for
TOLD_SECONDS = 15.0  # between two lines of progress


class BackgroundReembedding(threading.Thread):
    """Keeps the templates of the coming model complete; where no model is coming, those of the model in force.

    Args:
        path: of the database.
        recogniser: in force at the start.
        say: takes the lines of the log.
        monotonic: s.
    """

    def __init__(self, path: Path, settings: Settings, recogniser: Recogniser, say: Say, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__(name="re-embedding", daemon=True)
        self.stop = threading.Event()
        self.state: Reembedded | None = None  # None until the first look at the database
        self._path, self._settings, self._say, self._monotonic = path, settings, say, monotonic
        self._former, self._coming = recogniser.embedder.card, recogniser.coming
        self._model = recogniser.coming or recogniser.embedder
        self._told_at = float("-inf")
        self._enough = False  # templates of the coming model

    @property
    def ready(self) -> bool:
        """Whether the coming model can take over."""
        return self._enough and self._coming is not None

    def taken_over(self) -> None:
        """The coming model is in force; no other is coming."""
        self._coming = None

    def run(self) -> None:
        yield_to_others()
        kept_running(self.name, self._work_on, self.stop, self._say)

    def _work_on(self) -> None:
        with Store.open(self._path, self._settings.store, must_exist=True, actor="terminal") as store:
            work = Reembedding(store, self._model.card, lambda: self._coming or one_thread(self._model, self._settings))
            seen = -1
            while not self.stop.is_set():
                version = store.data_version()
                if version != seen:
                    self._pass(store, work)
                seen = version
                self.stop.wait(POLL_SECONDS)

    def _pass(self, store: Store, work: Reembedding) -> None:
        first = self.state is None
        for state in work.one_pass():
            self.state = state
            self._tell(state)
            if self.stop.is_set():
                return
        if first and state.to_enrol:
            until = f"; {self._former.name} recognises them until {state.model} takes over" if self._coming else ""
            self._say(to_enrol_words(state.model, state.to_enrol) + until)
        self._enough = self._enough or self._may_take_over(store, state)

    def _may_take_over(self, store: Store, state: Reembedded) -> bool:
        if not state.complete or self._settings.embedder.change == "made":
            return state.complete
        known = {person.id for person in store.standing(self._model.card.model_id).known}
        return all(person.id in known for person in store.standing(self._former.model_id).known)

    def _tell(self, state: Reembedded) -> None:
        """Tell the progress now and then, and the end of what was told."""
        begun = self._told_at > float("-inf")
        if state.complete and begun or not state.complete and self._monotonic() - self._told_at >= TOLD_SECONDS:
            self._say(state.words)
            self._told_at = float("-inf") if state.complete else self._monotonic()


@contextmanager
def reembedding_of(path: Path, settings: Settings, recogniser: Recogniser, say: Say) -> Iterator[BackgroundReembedding]:
    """Make templates in the background while the block runs."""
    thread = BackgroundReembedding(path, settings, recogniser, say)
    thread.start()
    try:
        yield thread
    finally:
        thread.stop.set()
        thread.join()
