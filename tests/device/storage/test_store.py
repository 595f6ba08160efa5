"""People, templates and punches: what is stored is read back, and a failed write leaves nothing."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from device.config import StoreSettings
from device.storage.audit import Action
from device.storage.records import LastPunch
from device.storage.store import PunchDraft, Store, TemplateDraft
from device.system.clock import ClockState
from tests.refused import refused

CLOCK = ClockState(True, "boot", 123456)
ODD_NAMES = ["O'Brien", 'Anna "Ann" B.', "Zoë 👩‍🔬", "Robert'); DROP TABLE people;--", "张伟", "=1+1", "[red]Bo[/red]", "x" * 200, "-- ; %s {}"]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "clockface.db") as opened:
        yield opened


def unit(seed: int, size: int = 16) -> NDArray[np.float32]:
    vector = np.random.default_rng(seed).normal(size=size)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def draft(person_id: int, occurred_at: float = 1_795_000_000.0) -> PunchDraft:
    return PunchDraft(person_id, occurred_at, "in", "front door", "face", CLOCK, 0.61, 0.33, 0.42, None, "m1")


# people


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_are_kept_as_they_are(store: Store, name: str) -> None:
    person = store.add_person(name, "E17")
    assert store.person(name) == store.person("E17") == store.person(person.id) == person
    assert [p.name for p in store.people()] == [name]


@pytest.mark.parametrize(
    ("typed", "kept"),
    [("\u200fعمر\u200f", "عمر"), ("Ada\u202eneB", "AdaneB"), ("Ada\u200b Kern\ufeff ", "Ada Kern"), ("Mül\u00adler", "Müller"),
     ("می\u200cخواهم", "می\u200cخواهم")],
)  # fmt: skip
def test_no_name_has_marks_that_nobody_sees(store: Store, typed: str, kept: str) -> None:
    """With them two codes would look alike, and a name be read backwards; joiners belong to scripts and pictures."""
    assert store.add_person(typed, "\u200eE17\u200b").name == kept and store.person("E17").name == kept
    with refused("store.code_taken"):
        store.add_person("Ben", "E1\u200b7")


@pytest.mark.parametrize("name", ["", " ", "\t\n", "\u200b\u200b", "\u00a0", "a\0b", "a\nb", "a\x1b[31mb", "x" * 201, "x" * 10_000, "\udcff"])
def test_impossible_names_are_refused_in_a_short_message(store: Store, name: str) -> None:
    with refused("store.text", "name") as caught:
        store.add_person(name)
    assert len(str(caught.value)) < 400
    assert store.people() == []


def test_equal_looking_names_are_one_name(store: Store) -> None:
    person = store.add_person("  Zoe\u0308 ")
    assert person.name == "Zo\u00eb"


def test_a_code_belongs_to_one_person(store: Store) -> None:
    store.add_person("Ann", "E17")
    with refused("store.code_taken", "'e17'", "'Ann' (id 1)"):
        store.add_person("Bob", "e17")
    assert len(store.people()) == 1


def test_people_with_the_same_name_are_distinguished_by_id(store: Store) -> None:
    store.add_person("Ann")
    second = store.add_person("Ann", "1")
    with refused("store.ambiguous", "id:1 (Ann), id:2 (Ann)"):
        store.person("Ann")
    with refused("store.ambiguous"):
        store.person("1")  # the code of one, the id of the other
    assert store.person("id:2") == store.person(2) == second


@pytest.mark.parametrize("ref", ["Nobody", "99", "id:99", "id:x", "", "a\0b", "²", 99, 10**30, str(10**30)])
def test_nobody_is_found(store: Store, ref: int | str) -> None:
    store.add_person("Ann")
    with refused("store.nobody"):
        store.person(ref)


def test_rename_deactivate_activate(store: Store) -> None:
    ann = store.add_person("Ann", "E17")
    store.add_template(ann.id, "m1", unit(1), 0.9, None, "camera")
    assert store.rename(ann.id, "Anna").name == "Anna"
    assert not store.deactivate(ann.id).active
    assert store.people(active_only=True) == []
    assert len(store.templates("m1").ids) == 0
    assert store.activate(ann.id).active
    assert len(store.templates("m1").ids) == 1


def test_erasing_leaves_no_trace_in_the_files(store: Store) -> None:
    crop = bytes(np.random.default_rng(0).integers(0, 256, 20_000, np.uint8))
    ann = store.add_person_with_templates("Annabel Secret", "E-1717", [TemplateDraft("m1", unit(1), 0.9, crop, "annabel.jpg")])
    bob = store.add_person("Bob")
    store.record_punch(draft(ann.id))
    traces = [b"Annabel Secret", b"E-1717", b"annabel.jpg"]
    with store.reading() as db:
        sealed = db.execute("SELECT embedding, crop FROM templates").fetchone()
    traces += [sealed[0][:40], sealed[1][:100], sealed[1][-100:]]
    files = sorted(store.path.parent.glob("clockface.db*"))
    before = b"".join(file.read_bytes() for file in files)
    assert all(trace in before for trace in traces)
    unsealed = [unit(1).tobytes()[:16], crop[:100], crop[-100:]]
    assert [trace for trace in unsealed if trace in before] == []
    [wrapped] = sqlite3.connect(store.keys.file).execute("SELECT wrapped FROM keys WHERE person_id = ?", [ann.id]).fetchone()

    erased = store.erase(ann.id)

    after = b"".join(file.read_bytes() for file in [*files, *store.keys.place.iterdir()])
    assert [trace for trace in [*traces, *unsealed, wrapped] if trace in after] == []
    assert (erased.name, erased.code, erased.active, erased.erased) == ("erased-1", None, False, True)
    assert [p.person_id for p in store.punches()] == [ann.id]
    assert store.verify_chain().ok
    assert store.person("Bob") == bob
    assert store.erase(ann.id) == erased  # erasing again changes nothing
    for change in (lambda: store.rename(ann.id, "Ann"), lambda: store.activate(ann.id), lambda: store.add_template(ann.id, "m1", unit(2), 1.0, None, "")):
        with refused("store.erased"):
            change()


def test_erasing_while_another_process_reads_is_an_error(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a.db", StoreSettings(busy_timeout_ms=50)) as store:
        ann = store.add_person("Ann")
        reader = sqlite3.connect(store.path, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM people").fetchall()
        with refused("store.not_emptied"):
            store.erase(ann.id)
        reader.close()
        assert store.erase(ann.id).erased


# templates


def test_templates_are_read_back_exactly_and_ordered_by_person(store: Store) -> None:
    ann, bob, cid = (store.add_person(name) for name in ("Ann", "Bob", "Cid"))
    added = [(bob, 1, "m1"), (ann, 2, "m1"), (bob, 3, "m1"), (cid, 4, "m1"), (ann, 5, "m2")]
    for person, seed, model in added:
        store.add_template(person.id, model, unit(seed), 0.5, None, "x")
    store.deactivate(cid.id)
    ids, person_ids, matrix = store.templates("m1")
    assert person_ids.tolist() == [ann.id, bob.id, bob.id]
    assert ids.tolist() == [2, 1, 3]
    assert (ids.dtype, person_ids.dtype, matrix.dtype) == (np.int64, np.int64, np.float32)
    assert np.array_equal(matrix, np.stack([unit(2), unit(1), unit(3)]))
    assert store.template_counts() == {"m1": 3, "m2": 1}
    assert store.template_counts_by_person() == {1: {"m1": 1, "m2": 1}, 2: {"m1": 2}, 3: {"m1": 1}}
    assert [store.template_owners(model) for model in ("m1", "m2", "m3")] == [[(1, 2), (2, 1), (3, 2)], [(5, 1)], []]
    assert store.people_by_model() == {"m1": 2, "m2": 1}


def test_whom_a_model_knows(store: Store) -> None:
    known, kept, bare, never, gone = (store.add_person(name) for name in ("known", "kept", "bare", "never", "gone"))
    for person, model, crop in [(known, "m2", None), (known, "m1", b"x"), (kept, "m1", None), (kept, "m1", b"x"), (bare, "m1", None), (gone, "m1", b"x")]:
        store.add_template(person.id, model, unit(1), 0.5, crop, "x")
    store.deactivate(gone.id)
    standing = store.standing("m2")
    assert (standing.known, standing.to_make, standing.to_enrol) == ((known,), (kept,), (bare,)), never
    assert store.standing("m1").known == (known, kept, bare) and store.people_by_model() == {"m1": 3, "m2": 1}


def test_no_templates_give_an_empty_matrix(store: Store) -> None:
    ids, person_ids, matrix = store.templates("m1")
    assert (ids.shape, person_ids.shape, matrix.shape) == ((0,), (0,), (0, 0))


@pytest.mark.parametrize(
    "embedding",
    [unit(1).astype(np.float64), unit(1)[None], unit(1) * 2, unit(1) * np.nan, np.zeros(16, np.float32), np.empty(0, np.float32)],
    ids=["float64", "2-D", "long", "nan", "zero", "empty"],
)
def test_an_invalid_embedding_is_refused(embedding: NDArray[np.float32]) -> None:
    with refused("store.template"):
        TemplateDraft("m1", embedding, 0.5)


def test_enrolment_is_all_or_nothing(store: Store) -> None:
    store.add_person_with_templates("Ann", None, [TemplateDraft("m1", unit(1, 16), 0.5)])
    with refused("store.template", "16", "8"):
        store.add_person_with_templates("Bob", None, [TemplateDraft("m1", unit(2, 16), 0.5), TemplateDraft("m1", unit(3, 8), 0.5)])
    assert [p.name for p in store.people()] == ["Ann"]
    assert len(store.templates("m1").ids) == 1


def test_kept_crops_are_those_of_the_last_model(store: Store) -> None:
    ann = store.add_person("Ann")
    for model, crop in [("m1", b"old"), ("m2", b"new"), ("m2", b"newer"), ("m3", None)]:
        store.add_template(ann.id, model, unit(1), 0.5, crop, "x")
    assert [kept.crop for kept in store.kept_crops(ann.id)] == [b"new", b"newer"]


def test_data_version_counts_people_and_templates_but_not_punches(store: Store) -> None:
    ann = store.add_person("Ann")
    with Store.open(store.path) as other:
        seen = [other.data_version()]
        for change in (lambda: store.add_template(ann.id, "m1", unit(1), 1.0, None, ""), lambda: store.rename(ann.id, "Anna"), lambda: store.erase(ann.id)):
            change()
            seen.append(other.data_version())
        assert seen == sorted(set(seen))
        bob = store.add_person("Bob")
        before = other.data_version()
        store.record_punch(draft(bob.id))
        store.add_sighting(time.time(), 2, 0.2)
        assert other.data_version() == before


# punches


def test_a_punch_is_read_back_as_it_was_recorded(store: Store) -> None:
    ann = store.add_person("Ann")
    given = PunchDraft(ann.id, 1_795_000_000.1234, "break_start", "front door", "face", CLOCK, np.float32(0.61), None, 0.42, 0.99, "m1")  # type: ignore[arg-type]
    punch = store.record_punch(given)
    assert store.punches() == [punch]
    assert punch.occurred_at == 1_795_000_000.123
    assert (punch.id, punch.score, punch.lead, punch.threshold, punch.liveness) == (1, float(np.float32(0.61)), None, 0.42, 0.99)
    assert (punch.clock, punch.direction, punch.device, punch.method, punch.model_id) == (CLOCK, "break_start", "front door", "face", "m1")
    assert store.last_punch(ann.id) == LastPunch(1_795_000_000.123, "break_start")


def test_the_last_punch_is_the_one_recorded_last_whatever_its_time(store: Store) -> None:
    ann, bob = store.add_person("Ann"), store.add_person("Bob")
    for person, at in [(ann, 5000.0), (ann, 1000.0), (bob, 9000.0)]:
        store.record_punch(draft(person.id, at))
    assert store.last_punch(ann.id) == LastPunch(1000.0, "in")
    assert store.last_punch(99) is None


def test_punches_between_two_times(store: Store) -> None:
    ann, bob = store.add_person("Ann"), store.add_person("Bob")
    for person, at in [(ann, 30.0), (bob, 10.0), (ann, 20.0), (ann, 20.0)]:
        store.record_punch(draft(person.id, at))
    assert [p.id for p in store.punches()] == [2, 3, 4, 1]
    assert [p.id for p in store.punches(20.0, 30.0)] == [3, 4]
    assert [p.id for p in store.punches(person_id=bob.id)] == [2]


def test_outbox_rows_are_in_the_same_transaction(store: Store) -> None:
    ann = store.add_person("Ann")
    store.record_punch(draft(ann.id), connectors=["payroll", "door"])
    with refused("store", "UNIQUE"):
        store.record_punch(draft(ann.id), connectors=["payroll", "payroll"])  # the second row violates UNIQUE
    raw = sqlite3.connect(store.path)
    assert raw.execute("SELECT punch_id, connector FROM outbox ORDER BY id").fetchall() == [(1, "payroll"), (1, "door")]
    assert raw.execute("SELECT count(*) FROM punches").fetchone() == (1,)
    raw.close()


@pytest.mark.parametrize(
    "wrong",
    [
        {"direction": "up"},
        {"method": "guess"},
        {"occurred_at": -1.0},
        {"occurred_at": float("nan")},
        {"score": float("nan")},
        {"lead": float("inf")},
        {"score": None},
    ],
    ids=str,
)
def test_an_invalid_punch_is_refused(wrong: dict[str, object]) -> None:
    with refused("store.punch"):
        PunchDraft(**{**vars(draft(1)), **wrong})  # type: ignore[arg-type]


def test_people_who_are_not_active_are_not_recorded(store: Store) -> None:
    ann = store.add_person("Ann")
    store.deactivate(ann.id)
    for person_id, code in ((ann.id, "store.not_active"), (99, "store.nobody")):
        with refused(code, str(person_id)):
            store.record_punch(draft(person_id))
    assert store.punches() == []


def test_a_correction_is_a_new_row(store: Store) -> None:
    ann, bob = store.add_person("Ann"), store.add_person("Bob")
    punch = store.record_punch(draft(ann.id))
    assert store.correct(ann.id, punch.id, LastPunch(1000.0, "out"), "wrong way round", "Bob") == 1
    assert store.correct(ann.id, None, LastPunch(2000.0, "in"), "camera was off", "Bob") == 2
    assert store.correct(ann.id, punch.id, None, "was not her", "Bob") == 3
    with refused("store.no_punch"):
        store.correct(bob.id, punch.id, None, "not his", "Bob")
    with refused("store.correction"):
        store.correct(ann.id, None, None, "says nothing", "Bob")
    assert store.punches() == [punch]
    assert store.verify_chain("corrections").count == 3


def test_sightings_hold_no_biometrics(store: Store) -> None:
    store.add_sighting(1000.0, 2, np.float32(0.25))  # type: ignore[arg-type]
    store.add_sighting(1001.0, 1, None)
    raw = sqlite3.connect(store.path)
    assert raw.execute("SELECT occurred_at, count, best_score FROM sightings ORDER BY id").fetchall() == [(1_000_000, 2, 0.25), (1_001_000, 1, None)]
    raw.close()


def test_the_audit_holds_who_did_what_but_no_names(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a.db", actor="kiosk") as store:
        ann = store.add_person("Ann Secret")
        store.rename(ann.id, "Ann Hidden")
        store.audit("chief", Action.SETTING_CHANGED, {"key": "refractory_seconds"})
        raw = sqlite3.connect(store.path)
        rows = raw.execute("SELECT actor, action, details FROM audit ORDER BY id").fetchall()
        raw.close()
    assert [row[:2] for row in rows] == [("kiosk", "person added"), ("kiosk", "person renamed"), ("chief", "setting changed")]
    assert not any("Secret" in text or "Hidden" in text for row in rows for text in row)
