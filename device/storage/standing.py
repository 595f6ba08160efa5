"""Whom a model can recognise, and who must be enrolled again for it; in words for the log, `doctor` and the pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from device.contract import phrase
from device.storage.records import Person

MORE_ROOM = phrase("room.more", "deactivate those who have left, or choose a larger [decision] fpir")
FULL = 0.8  # of a limit: from here on it is warned of
NAMED = 10  # people that one line names
AGAIN = "give new pictures on their page under People, enrol them at the kiosk with the same name and code, or `enroll --again`"


@dataclass(frozen=True)
class Standing:
    """Which of the active people who have templates one model can recognise; people without any template are in none of the groups."""

    known: tuple[Person, ...]
    to_make: tuple[Person, ...]  # not known, but pictures of their enrolment are kept, from which templates can be made
    to_enrol: tuple[Person, ...]  # not known, and their pictures or their key are missing: they must be enrolled again


def counted(number: int) -> str:
    return f"{number} {'person' if number == 1 else 'people'}"


def named(people: Sequence[Person]) -> str:
    """The first people by name and id, and how many more there are."""
    names = ", ".join(f"{person.name} (id {person.id})" for person in people[:NAMED])
    more = len(people) - NAMED
    return phrase("people.more", "{names} and {number} more", names=names, number=more) if more > 0 else names


def room_words(enrolled: int, capacity: int, model: str) -> str:
    """How near the number of enrolled people is to what the model's card has a threshold for; "" where there is much room."""
    if enrolled > capacity:
        english = "{enrolled:,} people are enrolled and {model} has a threshold for {capacity:,}: the last {beyond:,} to be enrolled cannot be recognised"
        return phrase("room.beyond", english, enrolled=enrolled, model=model, capacity=capacity, beyond=enrolled - capacity)
    if enrolled < FULL * capacity:
        return ""
    english = "{enrolled:,} of at most {capacity:,} people that {model} has a threshold for"
    return phrase("room.near", english, enrolled=enrolled, capacity=capacity, model=model)


def to_enrol_words(model: str, people: Sequence[Person]) -> str:
    """Who must come to the camera again, and how."""
    return f"{counted(len(people))} cannot be recognised by {model}, no picture of their enrolment is kept: {named(people)}. To enrol them again, {AGAIN}"
