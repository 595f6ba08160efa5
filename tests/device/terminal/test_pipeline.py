"""The flow with faces drawn by hand, whatever liveness says; `test_liveness_flow.py` has the same with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from device.config import AttendanceSettings, Settings
from device.storage.records import Punch, PunchDraft
from device.storage.store import Store, StoreError, TemplateDraft
from device.system.clock import ClockState
from device.terminal.annotate import annotate
from device.terminal.pipeline import Scene
from device.vision.camera.frame import Frame
from device.vision.decision import Bar
from device.vision.visit import GONE_SECONDS
from tests.device.terminal.drawn import FAR, GOOD, MODEL, OFF, POOR_LIGHT, START, VECTORS, Recogniser, Shown, Terminal, recorded, two_people


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with two_people(tmp_path) as opened:
        yield opened


@pytest.fixture
def terminal(store: Store) -> Terminal:
    return Terminal(store, Settings(attendance=AttendanceSettings(refractory_seconds=60), liveness=OFF))


def sightings(tmp_path: Path) -> int:
    import sqlite3

    with sqlite3.connect(tmp_path / "clockface.db") as raw:
        return int(raw.execute("SELECT count(*) FROM sightings").fetchone()[0])


def test_somebody_known_is_recorded_once_a_visit(terminal: Terminal, store: Store, tmp_path: Path) -> None:
    scenes = terminal.see(5, Shown("A"))
    assert [person.name for scene in scenes for person, _ in scene.punches] == ["A"]
    assert scenes[-1].subjects[0].words == "A: recorded (in)"
    terminal.see(2)
    assert "already recorded" in terminal.see(2, Shown("A"))[-1].subjects[0].words
    terminal.see(61)
    terminal.see(2, Shown("A"))
    assert recorded(store) == [(1, "in"), (1, "out")]
    assert sightings(tmp_path) == 0


@pytest.mark.parametrize("rate", [1.0, 1.4])
def test_one_picture_a_second_is_enough(terminal: Terminal, store: Store, rate: float) -> None:
    """A slow camera: a face that is in two pictures, one after the other, is one face."""
    scenes = terminal.see(8, Shown("A"), rate=rate)
    assert recorded(store) == [(1, "in")] and len({scene.subjects[0].track.id for scene in scenes}) == 1
    terminal.see(4, rate=rate)
    terminal.see(8, Shown("stranger"), rate=rate)
    assert recorded(store) == [(1, "in")]


def test_who_lingers_and_is_lost_for_a_moment_is_not_recorded_again(terminal: Terminal, store: Store) -> None:
    for _ in range(20):
        terminal.see(9, Shown("A"))
        terminal.see(1)  # longer than a track lives
    assert recorded(store) == [(1, "in")]


def test_a_stranger_is_counted_once_and_never_recorded(terminal: Terminal, store: Store, tmp_path: Path) -> None:
    scenes = terminal.see(10, Shown("stranger"))
    assert recorded(store) == [] and sightings(tmp_path) == 1
    assert scenes[-1].subjects[0].words == "unknown"


def frames_until_recorded(scenes: list[Scene]) -> int | None:
    return next((number for number, scene in enumerate(scenes, 1) if scene.punches), None)


def test_a_clear_face_is_recorded_by_its_second_picture_and_a_poor_one_by_the_fourth(terminal: Terminal) -> None:
    assert frames_until_recorded(terminal.see(2, Shown("A"))) == 2
    terminal.see(70)
    assert frames_until_recorded(terminal.see(2, POOR_LIGHT)) == 4


def test_pictures_from_before_a_short_loss_count(terminal: Terminal, store: Store) -> None:
    assert frames_until_recorded(terminal.see(0.2, POOR_LIGHT)) is None
    (first,) = terminal.pipeline.tracker.tracks
    terminal.see(2)
    assert frames_until_recorded(terminal.see(1, POOR_LIGHT)) == 1
    assert terminal.pipeline.tracker.tracks[0].id != first.id


def test_pictures_of_an_earlier_visit_do_not_count(terminal: Terminal) -> None:
    terminal.see(0.2, POOR_LIGHT)
    terminal.see(GONE_SECONDS + 2)
    assert frames_until_recorded(terminal.see(1, POOR_LIGHT)) == 4


def test_pictures_of_somebody_else_do_not_count_after_a_loss(terminal: Terminal) -> None:
    terminal.see(0.2, Shown("B", quality=replace(GOOD, score=0.5)))
    terminal.see(2)
    terminal.see(0.1, Shown("stranger"))
    terminal.see(2)
    assert frames_until_recorded(terminal.see(1, Shown("A"))) == 2


def test_a_clock_that_is_set_back_begins_a_visit_anew(terminal: Terminal) -> None:
    """Otherwise each picture would count as a near-duplicate of one in the future."""
    terminal.see(0.2, POOR_LIGHT)
    terminal.see(2)
    terminal.now -= 3600
    assert frames_until_recorded(terminal.see(1, POOR_LIGHT)) == 4


def test_a_stranger_who_lingers_and_is_lost_now_and_then_is_one_sighting(terminal: Terminal, store: Store, tmp_path: Path) -> None:
    tracks = set()
    for away in (1, 4, 9, 1, 2, 3):
        scenes = terminal.see(10, Shown("stranger"))
        tracks |= {subject.track.id for scene in scenes for subject in scene.subjects}
        assert scenes[-1].subjects[0].words == "unknown"
        terminal.see(away)
    assert recorded(store) == [] and sightings(tmp_path) == 1 and len(tracks) == 6
    terminal.see(GONE_SECONDS + 1)
    terminal.see(3, Shown("stranger"))
    assert recorded(store) == [] and sightings(tmp_path) == 2  # who comes back later is another visit


def test_two_strangers_are_two_sightings(terminal: Terminal, store: Store, tmp_path: Path) -> None:
    store.erase(2)
    for _ in range(3):
        terminal.see(3, Shown("stranger", 50.0), Shown("B", 400.0))
        terminal.see(2)
        terminal.see(3, Shown("B", 50.0), Shown("stranger", 400.0))  # they change places while out of view
        terminal.see(2)
    assert recorded(store) == [] and sightings(tmp_path) == 2


def test_two_people_at_once_are_both_recorded(terminal: Terminal, store: Store) -> None:
    terminal.see(2, Shown("A", 50.0), Shown("B", 400.0))
    assert sorted(recorded(store)) == [(1, "in"), (2, "in")]


def test_a_poor_crop_is_never_embedded_and_the_person_is_told(terminal: Terminal, store: Store) -> None:
    scenes = terminal.see(3, Shown("A", quality=FAR))
    assert recorded(store) == [] and terminal.recogniser.embedded == 0
    assert scenes[-1].subjects[0].words == "come closer"


def test_an_inverted_face_is_never_recorded_is_told_so_and_does_not_stop_others(terminal: Terminal, store: Store, tmp_path: Path) -> None:
    scenes = terminal.see(20, Shown("A", turn=180), Shown("B", 350.0))
    assert recorded(store) == [(2, "in")] and sightings(tmp_path) == 0
    assert scenes[-1].subjects[0].words == "hold your head upright" and scenes[-1].subjects[0].look.turn == 180  # type: ignore[union-attr]
    terminal.see(2, Shown("A"))
    assert recorded(store) == [(2, "in"), (1, "in")]


def test_only_the_best_crop_of_an_interval_is_embedded(terminal: Terminal) -> None:
    terminal.see(10, Shown("A"))
    assert terminal.recogniser.embedded <= 2 + 10  # two pictures, then one a second


def test_a_track_that_turns_into_somebody_else_records_each_once(terminal: Terminal, store: Store) -> None:
    terminal.see(3, Shown("A"))
    terminal.see(12, Shown("B"))
    assert recorded(store) == [(1, "in"), (2, "in")]


def test_who_follows_a_stranger_in_the_same_track_is_recorded_soon(terminal: Terminal, store: Store, tmp_path: Path) -> None:
    before = terminal.see(5, Shown("stranger"))[-1].subjects[0]
    scenes = terminal.see(5, Shown("A"))
    assert scenes[-1].subjects[0].track.id == before.track.id
    number = frames_until_recorded(scenes)
    assert number is not None and number <= 25  # two looks, recheck_ms apart
    assert recorded(store) == [(1, "in")] and sightings(tmp_path) == 1


def test_a_stranger_who_follows_in_the_same_track_is_not_taken_for_who_was_there(terminal: Terminal, store: Store, tmp_path: Path) -> None:
    terminal.see(5, Shown("A"))
    scenes = terminal.see(5, Shown("stranger"))
    assert scenes[-1].subjects[0].words == "unknown" and scenes[-1].subjects[0].person is None
    terminal.see(70, Shown("stranger"))
    assert recorded(store) == [(1, "in")] and sightings(tmp_path) == 1


def test_one_wrong_picture_among_those_of_somebody_known_changes_nothing(terminal: Terminal, store: Store, tmp_path: Path) -> None:
    for _ in range(10):
        terminal.see(1.2, Shown("A"))
        terminal.see(0.1, Shown("B"))
    assert recorded(store) == [(1, "in")] and sightings(tmp_path) == 0


def test_who_is_deactivated_while_in_view_is_not_recorded(terminal: Terminal, store: Store) -> None:
    terminal.see(0.1, Shown("A"))
    store.deactivate(1)
    terminal.see(5, Shown("A"))
    assert recorded(store) == []


def test_templates_of_another_model_do_not_read_the_gallery_again(terminal: Terminal, store: Store) -> None:
    """While thousands of templates are made for a coming model, each transaction would."""
    terminal.see(1, Shown("A"))
    before = terminal.pipeline.gallery
    store.add_template(1, "d" * 64, np.array([1, 0], np.float32), 0.5, None, "")
    terminal.pipeline.reload()
    assert terminal.pipeline.gallery is before
    store.rename(2, "B2")
    terminal.see(2, Shown("B"))
    assert terminal.pipeline.gallery is before and [person_id for person_id, _ in recorded(store)] == [1, 2]
    store.deactivate(1)
    terminal.pipeline.reload()
    assert len(terminal.pipeline.gallery) == 1
    store.activate(1)
    store.deactivate(2)
    terminal.pipeline.reload()
    assert terminal.pipeline.gallery.search(np.array(VECTORS["A"], np.float32)).person_id == 1  # type: ignore[union-attr]


class OtherModel(Recogniser):
    """Gives embeddings of another size."""

    def __init__(self) -> None:
        super().__init__()
        self.embedder = SimpleNamespace(card=SimpleNamespace(model_id="d" * 64, embedding_size=2), cohort=None)

    def embed(self, samples: Any) -> Any:
        return np.ascontiguousarray(super().embed(samples)[:, :2])


def test_another_model_takes_over_between_two_pictures_of_a_visit(terminal: Terminal, store: Store) -> None:
    """Pictures that the former model embedded do not count, nor are they compared with the new one's."""
    for person_id in (1, 2):
        store.add_template(person_id, "d" * 64, np.array(VECTORS["AB"[person_id - 1]][:2], np.float32), 0.5, None, "")
    terminal.see(0.2, Shown("A"))  # not decided yet
    terminal.see(3, Shown("B", 300.0), Shown("A"))
    terminal.see(0.8, Shown("A"))  # B is lost from view and might come back
    terminal.recogniser = OtherModel()
    terminal.pipeline.recognise_with(terminal.recogniser)  # type: ignore[arg-type]
    scenes = terminal.see(3, Shown("A"), Shown("B", 300.0))
    assert [subject.outcome.person_id for subject in scenes[-1].subjects] == [1, 2] and len(recorded(store)) == 2
    terminal.see(61)
    terminal.see(2, Shown("B"))
    assert [punch.model_id for punch in store.punches()] == [MODEL, MODEL, "d" * 64]


def test_a_model_whose_gallery_cannot_be_read_does_not_take_over(terminal: Terminal, store: Store) -> None:
    other, before = OtherModel(), terminal.pipeline.recogniser

    def fails(people: int) -> Bar:
        raise StoreError("no threshold")

    other.bar = fails  # type: ignore[method-assign]
    with pytest.raises(StoreError):
        terminal.pipeline.recognise_with(other)  # type: ignore[arg-type]
    assert terminal.pipeline.recogniser is before
    terminal.see(2, Shown("A"))
    assert recorded(store) == [(1, "in")]


def test_the_gallery_forgets_who_was_erased(terminal: Terminal, store: Store) -> None:
    """Also where nobody is left."""
    new = TemplateDraft(MODEL, np.array(VECTORS["A"], np.float32), 0.9)
    for change, left in ((lambda: store.erase(2), 1), (lambda: store.erase(1), 0), (lambda: store.add_person_with_templates("C", None, [new]), 1)):
        before = terminal.pipeline.gallery._people
        change()
        terminal.pipeline.reload()
        assert len(terminal.pipeline.gallery) == left and (left == 1 or not before.means.any())


def test_who_is_enrolled_while_in_view_is_recorded(terminal: Terminal, store: Store, tmp_path: Path) -> None:
    assert terminal.see(3, Shown("stranger"))[-1].subjects[0].words == "unknown"
    store.add_person_with_templates("C", None, [TemplateDraft(MODEL, np.array(VECTORS["stranger"], np.float32), 0.9, None, "test")])
    terminal.see(2, Shown("stranger"))
    assert recorded(store) == [(3, "in")] and sightings(tmp_path) == 1


def test_who_is_deactivated_between_search_and_punch_is_not_recorded_and_the_loop_goes_on(terminal: Terminal, store: Store) -> None:
    store.deactivate(1)
    terminal.pipeline.reload = lambda: None  # type: ignore[method-assign]  # as if another process did it just now
    terminal.see(5, Shown("A"), Shown("B", 400.0))
    assert recorded(store) == [(2, "in")]


def test_frames_in_quick_succession_show_what_the_last_search_found(store: Store) -> None:
    terminal = Terminal(store, Settings(liveness=OFF))
    first = terminal.see(0.1, Shown("A"))[0]
    second = terminal.pipeline.process(Frame(np.zeros((480, 640, 3), np.uint8), START + 0.01, 1, live=True))
    assert second.subjects == first.subjects and second.punches == ()


def test_the_picture_is_drawn_on_a_copy(terminal: Terminal) -> None:
    scene = terminal.see(2, Shown("A"))[-1]
    picture = annotate(scene)
    assert picture.shape == scene.frame.image.shape and picture.any() and not scene.frame.image.any()


def yesterday(store: Store) -> None:
    store.record_punch(PunchDraft(1, START - 12 * 3600, "in", "test", "manual", ClockState(True, "boot", 1)))


class Failing:
    """The store's `record_punch`, some calls of which fail."""

    def __init__(self, store: Store, *calls: int) -> None:
        self.record, self.calls, self.count = store.record_punch, calls, 0

    def __call__(self, draft: PunchDraft) -> Punch:
        self.count += 1
        if self.count in self.calls:
            raise StoreError("the disk is full")
        return self.record(draft)


def see_on(terminal: Terminal, seconds: float, *shown: Shown) -> list[Scene]:
    """As the supervisor does: after a failure the next frame is tried."""
    scenes: list[Scene] = []
    for _ in range(round(seconds * 10)):
        try:
            scenes += terminal.see(0.1, *shown)
        except StoreError:
            terminal.now, terminal.index = terminal.now + 0.1, terminal.index + 1
    return scenes


def test_a_punch_that_could_not_be_written_is_written_later(store: Store, terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    yesterday(store)
    monkeypatch.setattr(store, "record_punch", Failing(store, 1, 2, 3))
    scenes = see_on(terminal, 3, Shown("A"))
    assert recorded(store) == [(1, "in"), (1, "out")] and scenes[-1].subjects[0].words == "A: recorded (out)"


def test_a_punch_on_disk_is_announced_though_the_next_one_fails(store: Store, terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "record_punch", Failing(store, 2))
    scenes = see_on(terminal, 3, Shown("A"), Shown("B", 400.0))
    assert [person.name for scene in scenes for person, _ in scene.punches] == ["A", "B"] and len(recorded(store)) == 2


def test_faces_that_are_known_are_followed_at_half_the_pace_until_somebody_comes(terminal: Terminal) -> None:
    def searched(scenes: list[Scene]) -> list[bool]:
        return [scene.frame.time in looked for scene in scenes]

    looked: set[float] = set()
    detect = terminal.recogniser.detect
    terminal.recogniser.detector.detect = lambda image: looked.add(terminal.now) or detect(image)

    begin = terminal.see(1.0, Shown("A"))
    known = next(index for index, scene in enumerate(begin) if scene.punches)
    assert all(searched(begin)[: known + 1])
    assert searched(terminal.see(1.0, Shown("A"))).count(True) == 5
    both = terminal.see(1.0, Shown("A"), Shown("B", 400.0))
    punched = next(index for index, scene in enumerate(both) if scene.punches)
    assert all(searched(both)[1 : punched + 1])
    assert searched(terminal.see(1.0)).count(True) >= 9, "nobody in view: who comes is seen at once"
