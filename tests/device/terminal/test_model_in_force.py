"""A change of model with two shipped files and the demo's portraits: the former one recognises until the new one can take over; nobody is lost unnamed."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx
import pytest

from device.config import AttendanceSettings, EmbedderSettings, Settings
from device.contract import CARD_KEY
from device.storage.store import Store
from device.terminal import model_in_force
from device.terminal.background_reembedding import BackgroundReembedding, reembedding_of
from device.terminal.enrolment import enrol, sample_picture
from device.terminal.model_in_force import ModelInForce, recogniser_in_force
from device.terminal.pipeline import Pipeline
from device.vision import catalogue
from device.vision.camera.demo import Stage
from device.vision.camera.frame import Frame
from device.vision.catalogue import sha256
from device.vision.embedder import card_in
from device.vision.images import read_image
from device.vision.recogniser import Recogniser
from tests.device.terminal.drawn import OFF

EDGE, MOBILE = "clockface-edge-int8", "clockface-mobile-int8"
HOPPER, COLLINS = 4.0, 11.0  # s in the demo at which she is alone in view
START = 1_800_000_000.0
QUICK = Settings(attendance=AttendanceSettings(refractory_seconds=0), liveness=OFF)


def using(model: str, **more: Any) -> Settings:
    return replace(QUICK, embedder=EmbedderSettings(model=model, threads=1, **more))


@pytest.fixture(scope="module")
def portraits() -> dict[str, Any]:
    return {name: read_image(catalogue.path(f"portrait-{name}")) for name in ("hopper", "collins")}


@pytest.fixture(scope="module")
def edge() -> Recogniser:
    return Recogniser(using(EDGE))


@pytest.fixture(scope="module")
def enrolled(edge: Recogniser, portraits: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hopper and Collins, by the former model; of Collins no picture is kept."""
    path = tmp_path_factory.mktemp("enrolled") / "clockface.db"
    with Store.open(path) as store:
        for name, image in portraits.items():
            enrol(store, edge, name, name.upper(), [sample_picture(edge, image, name)], [name])
        with store.transaction() as db:
            db.execute("UPDATE templates SET crop = NULL WHERE person_id = 2")
    return path


@pytest.fixture
def store(enrolled: Path, tmp_path: Path, keys: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A copy of that database with keys of its own."""
    monkeypatch.setenv("CLOCKFACE_KEYS", str(shutil.copytree(keys, tmp_path / "keys")))
    with Store.open(Path(shutil.copy(enrolled, tmp_path / "clockface.db"))) as opened:
        yield opened


@pytest.fixture
def said() -> list[str]:
    return []


def in_force(store: Store, settings: Settings, said: list[str] | None = None) -> tuple[str, str | None]:
    """Names of the model that recognises and of the coming one."""
    found = recogniser_in_force(store, settings, (said if said is not None else []).append)
    return found.embedder.card.name, found.coming.card.name if found.coming else None


@dataclass
class Board:
    """A terminal whose camera shows the demo."""

    store: Store
    settings: Settings
    said: list[str]
    stage: Stage = field(default_factory=Stage)
    now: float = START

    def __post_init__(self) -> None:
        self.model = ModelInForce(self.store, self.settings, self.said.append)
        self.pipeline = Pipeline(self.settings, self.model.recogniser, self.store, "test")
        self.booth: Any = SimpleNamespace(recogniser=self.model.recogniser)

    def visit(self, who: float) -> list[tuple[str, str]]:
        """Somebody comes and goes; name and model of each punch."""
        self.now += 60.0
        for step in range(10):
            scene = self.pipeline.process(Frame(self.stage.draw(who + step / 10), self.now + step / 10, step, live=True))
            if scene.punches:
                return [(person.name, self.model_name(punch.model_id)) for person, punch in scene.punches]
        return []

    def model_name(self, model_id: str | None) -> str:
        return next(name for name in (EDGE, MOBILE) if catalogue_id(name) == model_id)

    def let_take_over(self, making: BackgroundReembedding) -> bool:
        return making.ready and making.state is not None and self.model.take_over(making.state, self.pipeline, self.booth)


def catalogue_id(name: str) -> str:
    return card_in(catalogue.path(name)).model_id


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """The embedder of the coming model waits for it."""
    opened = threading.Event()
    make = model_in_force.one_thread

    def slow(embedder: Any, settings: Settings) -> Any:
        found = make(embedder, settings)
        embed = found.embed

        def waiting(crops: Any) -> Any:
            opened.wait()
            return embed(crops)

        found.embed = waiting  # type: ignore[method-assign]
        return found

    monkeypatch.setattr(model_in_force, "one_thread", slow)
    return opened


def test_the_former_model_recognises_until_the_templates_are_made(store: Store, said: list[str], gate: threading.Event) -> None:
    board = Board(store, using(MOBILE), said)
    assert said == [f"{EDGE} recognises until {MOBILE} can take over"]
    with reembedding_of(store.path, board.settings, board.model.recogniser, said.append) as making:
        until(lambda: making.state)
        assert board.visit(HOPPER) == [("hopper", EDGE)] and board.visit(COLLINS) == [("collins", EDGE)]
        assert making.state is not None and making.state.words == f"templates for {MOBILE}: 0 of 1 person" in said and not making.ready
        gate.set()
        until(lambda: making.ready)
        assert f"templates for {MOBILE}: 1 of 1 person" in said
        assert board.visit(HOPPER) == [("hopper", EDGE)], "nothing changes within a frame"
        assert board.let_take_over(making)
        making.taken_over()
        assert not making.ready
    assert board.visit(HOPPER) == [("hopper", MOBILE)] and board.visit(COLLINS) == []
    assert board.booth.recogniser is board.pipeline.recogniser and board.pipeline.recogniser.coming is None
    assert f"{MOBILE} recognises from now on: 1 person" in said
    assert said[-1].startswith(f"1 person cannot be recognised by {MOBILE}, no picture of their enrolment is kept: collins (id 2)")
    assert in_force(store, using(MOBILE)) == (MOBILE, None)


def test_what_was_recorded_stays_and_who_stands_there_is_recognised_anew(store: Store, said: list[str]) -> None:
    board = Board(store, replace(using(MOBILE), attendance=AttendanceSettings(refractory_seconds=60)), said)
    frames = [Frame(board.stage.draw(HOPPER + step / 20), START + step / 10, step, live=True) for step in range(24)]
    for frame in frames[:12]:
        board.pipeline.process(frame)
    with reembedding_of(store.path, board.settings, board.model.recogniser, said.append) as making:
        until(lambda: making.ready)
        assert board.let_take_over(making)
    scenes = [board.pipeline.process(frame) for frame in frames[12:]]
    (subject,) = scenes[-1].subjects
    assert subject.person is not None and subject.person.name == "hopper" and subject.outcome.state == "known"
    assert [board.model_name(punch.model_id) for punch in store.punches()] == [EDGE]


def test_a_change_of_mind_half_way_goes_back_at_once(store: Store, edge: Recogniser, portraits: dict[str, Any]) -> None:
    assert in_force(store, using(MOBILE)) == (EDGE, MOBILE)
    assert in_force(store, using(EDGE)) == (EDGE, None)


def test_everybody_waits_for_who_must_be_enrolled_again(store: Store, said: list[str], portraits: dict[str, Any]) -> None:
    settings = using(MOBILE, change="everybody")
    board = Board(store, settings, said)
    with reembedding_of(store.path, settings, board.model.recogniser, said.append) as making:
        until(lambda: making.state and making.state.complete)
        until(lambda: any("collins" in line for line in said))
        assert not making.ready and board.visit(COLLINS) == [("collins", EDGE)]
        store.withdraw_consent(2)
        again = enrol(store, board.model.recogniser, "collins", None, [sample_picture(board.model.recogniser, portraits["collins"], "photo")], ["photo"])
        until(lambda: making.ready)
        assert board.let_take_over(making)
    assert board.visit(COLLINS) == [("collins", MOBILE)] and making.state and making.state.to_enrol == ()
    assert in_force(store, settings) == (MOBILE, None) and again.id == 3


def test_without_that_setting_nobody_waits_where_nothing_can_be_made(store: Store) -> None:
    store.deactivate(1)  # only Collins is left, without a picture
    assert in_force(store, using(MOBILE)) == (MOBILE, None)
    assert in_force(store, using(MOBILE, change="everybody")) == (EDGE, MOBILE)


def test_who_is_enrolled_meanwhile_gets_templates_of_both_models_and_one_picture(store: Store, portraits: dict[str, Any]) -> None:
    recogniser = recogniser_in_force(store, using(MOBILE), lambda line: None)
    store.erase(2)
    person = enrol(store, recogniser, "new", None, [sample_picture(recogniser, portraits["collins"], "photo")], ["photo"])
    assert store.template_counts_by_person()[person.id] == {catalogue_id(EDGE): 1, catalogue_id(MOBILE): 1}
    with store.reading() as db:
        kept = db.execute("SELECT model_id FROM templates WHERE person_id = ? AND crop IS NOT NULL", [person.id]).fetchall()
    assert kept == [(catalogue_id(MOBILE),)]
    assert in_force(store, using(MOBILE)) == (EDGE, MOBILE), "Hopper has none yet"


def own_copy(path: Path, model_id: str) -> Path:
    """A model that no list has: the shipped one with another id."""
    model = onnx.load(catalogue.path(EDGE))
    entry = next(entry for entry in model.metadata_props if entry.key == CARD_KEY)
    entry.value = json.dumps({**json.loads(entry.value), "model_id": model_id, "name": "own"})
    onnx.save(model, path)
    return path


@pytest.fixture
def own(tmp_path: Path, portraits: dict[str, Any]) -> tuple[Path, Path]:
    """A company's own model outside of the list, and a database of somebody enrolled with it; a terminal has served with it."""
    model, database = own_copy(tmp_path / "own.onnx", "e" * 64), tmp_path / "own.db"
    with Store.open(database) as store:
        found = ModelInForce(store, using(str(model), sha256=sha256(model)), lambda line: None).recogniser
        enrol(store, found, "hopper", None, [sample_picture(found, portraits["hopper"], "photo")], ["photo"])
    return model, database


def test_a_model_outside_of_the_list_is_remembered(own: tuple[Path, Path]) -> None:
    with Store.open(own[1]) as store:
        assert in_force(store, using(MOBILE)) == ("own", MOBILE)


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: own_copy(path, "f" * 64), lambda path: path.write_bytes(b"no model")])
def test_a_former_file_that_is_gone_or_changed_is_not_used(own: tuple[Path, Path], harm: Callable[[Path], object], said: list[str]) -> None:
    harm(own[0])
    with Store.open(own[1]) as store:
        assert in_force(store, using(MOBILE), said) == (MOBILE, None)
        assert said == [f"no usable file of the former model eeeeeeeeeeee is here: {MOBILE} recognises 1 person only as their templates are made"]
        board = Board(store, using(MOBILE), said)
        assert board.visit(HOPPER) == []
        with reembedding_of(store.path, board.settings, board.model.recogniser, said.append) as making:
            until(lambda: making.state and making.state.complete)
            assert board.visit(HOPPER) == [("hopper", MOBILE)] and not making.ready


def test_a_model_that_cannot_take_over_leaves_the_former_one_in_force(store: Store, said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    board = Board(store, using(MOBILE), said)
    with reembedding_of(store.path, board.settings, board.model.recogniser, said.append) as making:
        until(lambda: making.ready)
        board.model._settings = using("missing")
        assert not board.let_take_over(making) and "cannot take over" in said[-1]
        assert not board.let_take_over(making), "not tried with every frame"
    assert board.visit(HOPPER) == [("hopper", EDGE)]


def test_the_audit_names_each_model_in_force_once(store: Store) -> None:
    def noted() -> list[tuple[str, list[int]]]:
        with store.reading() as db:
            rows = [json.loads(text) for (text,) in db.execute("SELECT details FROM audit WHERE action = 'model in force' ORDER BY id")]
        return [(row["name"], row["to_enrol"]) for row in rows]

    for _ in range(2):
        board = Board(store, using(MOBILE), [])
        assert noted() == [(EDGE, [])]
    with reembedding_of(store.path, board.settings, board.model.recogniser, print) as making:
        until(lambda: making.ready)
        assert board.let_take_over(making)
    assert noted() == [(EDGE, []), (MOBILE, [2])]
    Board(store, using(MOBILE), [])
    assert noted() == [(EDGE, []), (MOBILE, [2])] and store.verify_chain("audit").ok
