"""Detector, quality gate, enrolment and identify on real portraits, and what each refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from device.__main__ import main
from device.config import QualitySettings, Settings
from device.contract import align
from device.storage import consents
from device.storage.store import Store
from device.terminal.enrolled import gallery_of
from device.terminal.enrolment import EnrolmentError, enrol, sample_picture
from device.vision import catalogue
from device.vision.camera.frame import turned
from device.vision.detector import Face
from device.vision.images import read_image
from device.vision.quality import assess
from device.vision.recogniser import Recogniser, Sample
from device.vision.upright import UNCLEAR
from device.web.consent_text import wording
from tests.refused import refused


@pytest.fixture(scope="module")
def recogniser() -> Recogniser:
    try:
        return Recogniser(Settings())
    except catalogue.ModelError as error:
        pytest.skip(f"models not pulled: {error}")


@pytest.fixture(scope="module")
def portraits(recogniser: Recogniser) -> dict[str, Any]:
    try:
        return {name: read_image(catalogue.path(f"portrait-{name}")) for name in ("hopper", "collins")}
    except catalogue.ModelError as error:
        pytest.skip(f"models not pulled: {error}")


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with Store.open(tmp_path / "clockface.db") as opened:
        yield opened


def face_px(image: Any, recogniser: Recogniser) -> tuple[Any, Any]:
    sample = recogniser.still(image)[0]
    x, y, width, height = (round(value) for value in sample.face.box)
    return sample, image[max(0, y - height // 8) : y + height + height // 8, max(0, x - width // 8) : x + width + width // 8]


# detector


def test_a_face_that_fills_the_frame_is_found(recogniser: Recogniser, portraits: dict[str, Any]) -> None:
    for image in portraits.values():
        frame = cv2.resize(face_px(image, recogniser)[1], (640, 480))
        assert len(recogniser.detector.detect(frame)) == 1


@pytest.mark.parametrize("min_eye_distance", [16, 18])
def test_a_face_40_px_wide_is_found(recogniser: Recogniser, portraits: dict[str, Any], min_eye_distance: int) -> None:
    sample = recogniser.still(portraits["hopper"])[0]
    scale = 40 / sample.face.box[2]
    small = cv2.resize(portraits["hopper"], None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    frame = np.full((480, 640, 3), 90, np.uint8)
    frame[200 : 200 + small.shape[0], 300 : 300 + small.shape[1]] = small[:280, :340]
    faces = recogniser.detector.detect(frame, min_eye_distance)
    assert len(faces) == 1 and 30 <= faces[0].box[2] <= 50


def test_the_input_follows_the_smallest_face(recogniser: Recogniser) -> None:
    sizes = [recogniser.detector.input_size(640, 480, eyes) for eyes in (10, 20, 24, 40, 400)]
    assert sizes == [(640, 480), (320, 256), (256, 192), (160, 128), (32, 32)]
    assert all(side % 32 == 0 for size in sizes for side in size)


def test_landmarks_read_again_are_nearer_to_those_of_the_full_picture(recogniser: Recogniser, portraits: dict[str, Any]) -> None:
    image = portraits["hopper"]
    exact = recogniser.still(image)[0].face.landmarks
    coarse = recogniser.detector.detect(image, 80.0)[0]
    fine = recogniser.detector.refine(image, coarse)
    assert np.abs(fine.landmarks - exact).mean() < np.abs(coarse.landmarks - exact).mean()


# quality


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("too_dark", lambda crop: (crop * 0.15).astype(np.uint8)),
        ("too_bright", lambda crop: (255 - (255 - crop.astype(int)) // 8).astype(np.uint8)),
        ("flat", lambda crop: (120 + (crop.astype(int) - 120) // 12).astype(np.uint8)),
        ("blurred", lambda crop: cv2.GaussianBlur(crop, (0, 0), 6)),
    ],
)
def test_a_spoilt_crop_is_refused_by_its_reason(recogniser: Recogniser, portraits: dict[str, Any], reason: str, change: Any) -> None:
    sample = recogniser.still(portraits["hopper"])[0]
    assert sample.quality.acceptable
    assert reason in assess(sample.face, change(sample.crop), QualitySettings()).reasons


def test_a_turned_tilted_or_small_face_is_refused_by_its_reason(recogniser: Recogniser, portraits: dict[str, Any]) -> None:
    image = portraits["hopper"]
    face = recogniser.still(image)[0].face
    centre = face.landmarks.mean(axis=0)

    def reasons(landmarks: Any) -> tuple[str, ...]:
        moved = type(face)(face.box, landmarks.astype(np.float32), face.score)
        return assess(moved, align(image, moved.landmarks), QualitySettings()).reasons

    turned, nodding = face.landmarks.copy(), face.landmarks.copy()
    turned[2, 0] += 0.5 * face.eye_distance
    nodding[2, 1] -= 0.4 * face.eye_distance
    angle = np.radians(50)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    assert "turned" in reasons(turned)
    assert "nodding" in reasons(nodding)
    assert "tilted" in reasons((face.landmarks - centre) @ turn.T + centre)
    assert "too_small" in reasons((face.landmarks - centre) * 15 / face.eye_distance + centre)


# enrolment


def test_two_faces_none_and_poor_quality_are_refused_by_name(recogniser: Recogniser, portraits: dict[str, Any]) -> None:
    hopper, collins = (cv2.resize(image, (400, 500)) for image in portraits.values())
    nobody, blurred = np.full((300, 300, 3), 128, np.uint8), cv2.GaussianBlur(hopper, (0, 0), 9)
    cases = {("many_faces", "2"): np.hstack([hopper, collins]), ("no_face", ""): nobody, ("quality", "blurred"): blurred}
    for (code, word), image in cases.items():
        with refused(f"enrolment.{code}", "photo.jpg", word):
            sample_picture(recogniser, image, "photo.jpg")


def test_a_photo_upside_down_is_turned_and_enrols_the_same_person(recogniser: Recogniser, portraits: dict[str, Any], store: Store) -> None:
    upright = sample_picture(recogniser, portraits["hopper"], "upright")
    enrol(store, recogniser, "Grace", None, [upright], ["upright"])
    for turn in (90, 180, 270):
        found = sample_picture(recogniser, turned(portraits["hopper"], 360 - turn), "turned")
        assert found.picture_turn == turn
        assert float(recogniser.embed([found])[0] @ recogniser.embed([upright])[0]) > 0.999
        with refused("enrolment.known_face", "Grace"):
            enrol(store, recogniser, "Somebody else", None, [found], ["turned"])


def test_a_photo_of_unclear_turn_is_refused_in_words(recogniser: Recogniser, portraits: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("device.vision.recogniser.turn_of", lambda detector, image, face, photo: UNCLEAR)
    with refused("enrolment.not_upright", "photo.jpg", "head upright"):
        sample_picture(recogniser, portraits["hopper"], "photo.jpg")


def test_enroll_and_identify_say_that_they_turned_a_photo(portraits: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    db, photo = str(tmp_path / "clockface.db"), tmp_path / "photo.png"
    cv2.imwrite(str(photo), turned(portraits["hopper"], 180))
    assert main(["enroll", "Grace", str(photo), "--db", db]) == 0
    said = capsys.readouterr().err
    assert "photo.png: the picture was turned by 180 degrees" in said and said.count("from files it cannot be judged") == 1
    assert main(["identify", str(photo), "--db", db, "--json"]) == 0
    (face,) = json.loads(capsys.readouterr().out)["faces"]
    assert face["name"] == "Grace" and face["reason"].endswith("the picture was turned by 180 degrees to be upright")
    height = portraits["hopper"].shape[0]
    (left_eye, *_, mouth) = face["landmarks"]
    assert left_eye[1] > mouth[1] and 0 < mouth[1] < height  # where they are in the picture that was given


@pytest.mark.parametrize("side", [1600, 3000])
def test_large_portraits_show_one_face_and_two_people_show_two(recogniser: Recogniser, shared: Path, side: int) -> None:
    photos = [read_image(sorted(person.iterdir())[0]) for person in sorted((shared / "faces/dev").iterdir())[:40]]
    poor = []
    for image in photos:
        scale = side / max(image.shape[:2])
        try:
            sample_picture(recogniser, cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC), "photo.jpg")
        except EnrolmentError as error:
            poor.append(error.code)
    assert poor in ([], ["enrolment.quality"]), "one portrait is at the limit of turned"
    for left, right in zip(photos[:10:2], photos[1:10:2], strict=True):
        both = cv2.resize(np.hstack([cv2.resize(left, (300, 320)), cv2.resize(right, (300, 320))]), (side, side * 320 // 600), interpolation=cv2.INTER_CUBIC)
        with refused("enrolment.many_faces", "2 faces"):
            sample_picture(recogniser, both, "photo.jpg")


def test_a_second_face_counts_if_it_is_sure_and_large(recogniser: Recogniser, portraits: dict[str, Any]) -> None:
    [found] = recogniser.still(portraits["hopper"])

    def beside(size: float, score: float) -> Any:
        """A recogniser that finds the portrait and another face of this size and score."""
        face = Face(found.face.box, found.face.landmarks * np.float32(size), score)
        other = Sample(face, found.crop, assess(face, found.crop, QualitySettings()))
        return SimpleNamespace(still=lambda image: sorted([found, other], key=lambda sample: -sample.face.eye_distance))

    for size, score in ((0.4, 0.95), (1.0, 0.65), (1.5, 0.65)):
        assert sample_picture(beside(size, score), portraits["hopper"], "photo.jpg") is found
    for size in (0.6, 1.0, 1.5):
        with refused("enrolment.many_faces", "photo.jpg", "2 faces"):
            sample_picture(beside(size, 0.85), portraits["hopper"], "photo.jpg")


def test_a_face_that_is_enrolled_already_and_pictures_of_two_people_are_refused(recogniser: Recogniser, portraits: dict[str, Any], store: Store) -> None:
    hopper, collins = (sample_picture(recogniser, image, name) for name, image in portraits.items())
    with refused("enrolment.another_person"):
        enrol(store, recogniser, "Both", None, [hopper, collins], ["a.jpg", "b.jpg"])
    assert store.people() == []
    mirrored = sample_picture(recogniser, np.ascontiguousarray(portraits["hopper"][:, ::-1]), "mirrored")
    first = enrol(store, recogniser, "Hopper", "E1", [hopper, mirrored], ["a.jpg", "c.jpg"])
    assert sum(store.template_counts_by_person()[first.id].values()) == 2
    with refused("enrolment.known_face", "again.jpg", "'Hopper'"):
        enrol(store, recogniser, "Another", None, [mirrored], ["again.jpg"])
    assert [person.name for person in store.people()] == ["Hopper"]


@pytest.mark.parametrize("name", ['O\'Brien "Bob"', "Zoë 😀", "x'); DROP TABLE people; --"])
def test_names_are_kept_as_they_are(recogniser: Recogniser, portraits: dict[str, Any], store: Store, name: str) -> None:
    person = enrol(store, recogniser, name, None, [sample_picture(recogniser, portraits["collins"], "a")], ["a"])
    assert store.person(person.id).name == name


def test_a_name_of_10000_characters_is_refused(recogniser: Recogniser, portraits: dict[str, Any], store: Store) -> None:
    with refused("store.text", "name"):
        enrol(store, recogniser, "x" * 10_000, None, [sample_picture(recogniser, portraits["collins"], "a")], ["a"])
    assert store.people() == [] and store.template_counts() == {}


def test_the_code_may_stand_between_name_and_images(portraits: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    database = tmp_path / "clockface.db"
    assert main(["enroll", "Hopper", "--code", "E17", str(catalogue.path("portrait-hopper")), "--db", str(database)]) == 0
    with Store.open(database) as store:
        assert [(person.name, person.code) for person in store.people()] == [("Hopper", "E17")]
        with store.reading() as db:
            [consent] = consents.of(db, 1)
    assert (consent.way, consent.version, consent.withdrawn_at) == ("declared", wording("en").version, None)
    assert f"consent to version {consent.version} is stored as declared by you" in capsys.readouterr().err
    assert main(["enroll", "--wording"]) == 0
    assert wording("en").text in capsys.readouterr().out


def test_a_folder_enrols_everybody_it_can(recogniser: Recogniser, portraits: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("Hopper", "Collins", "Nobody", "Hopper again"):
        (tmp_path / "staff" / name).mkdir(parents=True)
    shutil.copy(catalogue.path("portrait-hopper"), tmp_path / "staff/Hopper/1.jpg")
    shutil.copy(catalogue.path("portrait-hopper"), tmp_path / "staff/Hopper again/1.jpg")
    shutil.copy(catalogue.path("portrait-collins"), tmp_path / "staff/Collins/1.png")
    (tmp_path / "staff/Nobody/1.jpg").write_text("no picture")
    database = tmp_path / "clockface.db"
    assert main(["enroll", "--folder", str(tmp_path / "staff"), "--db", str(database)]) == 1
    said = capsys.readouterr()
    assert "2 enrolled, 2 refused" in said.out
    assert "Nobody/1.jpg" in said.err and "already enrolled as 'Hopper'" in said.err
    with Store.open(database) as store:
        assert [person.name for person in store.people()] == ["Collins", "Hopper"]
        with store.reading() as db:
            assert consents.in_force(db) == {person.id for person in store.people()}


def test_a_list_enrols_everybody_it_can(recogniser: Recogniser, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "photos").mkdir()
    shutil.copy(catalogue.path("portrait-hopper"), tmp_path / "photos/h.jpg")
    shutil.copy(catalogue.path("portrait-collins"), tmp_path / "photos/c.png")
    (tmp_path / "photos/poor.jpg").write_text("no picture")
    staff = tmp_path / "staff.csv"
    rows = ("Mitarbeiter;Personalnummer;Foto", "Grace Höpper;E1;photos/h.jpg", "Grace Höpper;E1;photos/poor.jpg", "Nobody;E2;photos/x.jpg", "")
    staff.write_bytes("\r\n".join(rows).encode("cp1252"))
    database = tmp_path / "clockface.db"
    assert main(["enroll", "--list", str(staff), "--check", "--db", str(database)]) == 1
    said = capsys.readouterr()
    assert "Windows-1252, separated by ;" in said.err and "Grace Höpper (E1): photos/h.jpg, photos/poor.jpg" in said.out
    with Store.open(database) as store:
        assert store.people() == []
    assert main(["enroll", "--list", str(staff), "--db", str(database)]) == 1
    said = capsys.readouterr()
    assert "1 enrolled, 1 refused" in said.out and "poor.jpg" in said.err and "refused: Nobody (E2): not in the folder: photos/x.jpg" in said.err
    with Store.open(database) as store:
        assert [(person.name, person.code) for person in store.people()] == [("Grace Höpper", "E1")]


# identify


def test_identify_prints_what_others_rely_on(recogniser: Recogniser, portraits: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    database = str(tmp_path / "clockface.db")
    with Store.open(Path(database)) as store:
        hopper = enrol(store, recogniser, "Hopper", None, [sample_picture(recogniser, portraits["hopper"], "a")], ["a"])
    broken, blurred = tmp_path / "broken.jpg", tmp_path / "blurred.png"
    broken.write_text("text")
    cv2.imwrite(str(blurred), cv2.GaussianBlur(portraits["hopper"], (0, 0), 12))
    images = [catalogue.path("portrait-hopper"), broken, catalogue.path("portrait-collins"), blurred]
    assert main(["identify", *map(str, images), "--db", database, "--json"]) == 1
    said = capsys.readouterr()
    assert "broken.jpg" in said.err
    rows = [json.loads(line) for line in said.out.splitlines()]
    assert [Path(row["image"]).name for row in rows] == ["grace_hopper.jpg", "astronaut.png", "blurred.png"]
    known, unknown, poor = (row["faces"][0] for row in rows)
    assert set(known) == {"box", "landmarks", "quality", "liveness", "person", "name", "score", "lead", "threshold", "reason"}
    assert (known["person"], known["name"]) == (hopper.id, "Hopper") and known["score"] > known["threshold"]
    assert unknown["person"] is None and unknown["name"] is None and unknown["score"] < unknown["threshold"]
    assert poor["person"] is None and poor["reason"].startswith("quality: ") and "blurred" in poor["reason"]


def test_every_reading_of_templates_is_audited(recogniser: Recogniser, portraits: dict[str, Any], store: Store) -> None:
    person = enrol(store, recogniser, "Hopper", None, [sample_picture(recogniser, portraits["hopper"], "a")], ["a"])
    store.act_as("terminal")
    gallery_of(store, recogniser)
    with store.reading() as db:
        actor, action, details = db.execute("SELECT actor, action, details FROM audit ORDER BY id DESC LIMIT 1").fetchone()
    assert (actor, action) == ("terminal", "templates read")
    assert json.loads(details) == {"templates": 1, "model": recogniser.embedder.card.model_id[:12]} and person.name not in details
