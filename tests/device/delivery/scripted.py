"""A target that answers as the test says, and a courier with three people for it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

from device.config import OutboxSettings
from device.delivery.connectors import Connector, Queue
from device.delivery.outcomes import Delivered, Failed, Outcome
from device.storage.events import Event
from device.storage.store import Store
from tests.device.fakes.terminal import START, Clock, courier, punch

Rule = Callable[[Event], Outcome]


class Scripted(Connector):
    """Answers as `rule` says and keeps the events that it was sent."""

    def __init__(self, name: str = "payroll", lanes: int = 1) -> None:
        super().__init__(SimpleNamespace(name=name))
        self.lanes = lanes
        self.rule: Rule = lambda event: Delivered("ok")
        self.sent: list[Event] = []
        self.ticked: Outcome | None = None

    def send(self, event: Event) -> Outcome:
        self.sent.append(event)
        return self.rule(event)

    def tick(self, now: float, queue: Queue) -> Outcome | None:
        return self.ticked


class Stage:
    """Three people, a target, a clock that stands still and a courier."""

    def __init__(self, path: Path, stack: ExitStack, lanes: int) -> None:
        self.path = path
        self.clock = Clock()
        self.target = Scripted(lanes=lanes)
        with Store.open(path) as store:
            self.people = [store.add_person(name, code).id for name, code in (("Ann", "E1"), ("Bob", "E2"), ("Cid", "E3"))]
        self.settings = OutboxSettings(first_retry_seconds=10.0, attempts=3)
        self.courier = stack.enter_context(courier(path, self.target, self.settings, self.clock))
        self.store = self.courier.store

    def punches(self, *people: int) -> list[int]:
        return [punch(self.store, self.people[person], START + number).id for number, person in enumerate(people)]

    def sent(self) -> list[int]:
        sent, self.target.sent = [event.id for event in self.target.sent], []
        return sent


def failing(*numbers: int, outcome: Outcome | None = None) -> Rule:
    failed = outcome or Failed("HTTP 500")
    return lambda event: failed if event.id in numbers and event.kind == "punch" else Delivered("ok")
