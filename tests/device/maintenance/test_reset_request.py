"""A reset asked for at the terminal: the right file or button, counted down, ended by pulling it out, never twice, never by accident."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from device.maintenance import factory_reset, reset_request
from device.maintenance.reset_request import FILE, ResetButton, asked_at_start, carry_out, new_file, reset_file
from device.storage.records import PunchDraft
from device.storage.reset_mark import is_marked
from device.storage.store import Store
from device.system.clock import ClockState
from device.web.live import Live

NAME = "clockface-1a2b3c4d"
ORDER = f"erase everything on {NAME}\n"


class Held:
    """A button that is held for so many looks."""

    def __init__(self, looks: int) -> None:
        self.looks = looks
        self.closed = False

    def pressed(self) -> bool:
        self.looks -= 1
        return self.looks >= 0

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("CLOCKFACE_KEYS", str(tmp_path / "keys"))
    path = tmp_path / "data" / "clockface.db"
    with Store.open(path) as store:
        store.add_person("Ann")
    yield path


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    (tmp_path / "media" / "stick").mkdir(parents=True)
    return tmp_path / "media" / "stick" / FILE


def found(database: Path, stick: Path, said: list[str] | None = None) -> reset_request.ResetFile | None:
    """As if the file lay on the card, where it needs no code."""
    return reset_file(NAME, database, [], [f"{stick.parent.parent}/*"], (said if said is not None else []).append)


def found_on_stick(database: Path, stick: Path, said: list[str] | None = None) -> reset_request.ResetFile | None:
    return reset_file(NAME, database, [f"{stick.parent.parent}/*"], [], (said if said is not None else []).append)


def made(database: Path, name: str = NAME) -> bytes:
    with Store.open(database) as store:
        return new_file(store, name, "user:1")


def counted(request: reset_request.ResetRequest, database: Path, shown: list[int]) -> bool:
    return carry_out(request, database, shown.append, lambda text: None, lambda seconds: None)


OTHERS = ["", "erase everything", "erase everything on other-terminal", f"# {ORDER}", f"please\n{ORDER}", ORDER.upper(), ORDER + "x" * 5000]


@pytest.mark.parametrize("text", OTHERS, ids=range(len(OTHERS)))
def test_any_other_file_erases_nothing(text: str, database: Path, stick: Path) -> None:
    stick.write_text(text)
    assert found(database, stick) is None


def test_a_link_or_a_pipe_is_not_read(database: Path, stick: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text(ORDER)
    stick.symlink_to(tmp_path / "elsewhere")
    assert found(database, stick) is None
    stick.unlink()
    os.mkfifo(stick)
    assert found(database, stick) is None


def test_a_file_is_counted_down_and_followed_once(database: Path, stick: Path) -> None:
    stick.write_bytes(b"\xef\xbb\xbf" + ORDER.replace("\n", "\r\n").encode())  # as an editor of Windows writes it
    request, shown, said = found(database, stick), [], []
    assert request is not None and counted(request, database, shown)
    assert shown == list(range(60, 0, -1)) and is_marked(database)
    factory_reset.go_on(database)
    with Store.open(database) as store:
        assert not store.people()
    assert found(database, stick, said) is None and "followed before" in said[0]
    stick.write_text(f"{ORDER}2027-01-01\n")
    assert found(database, stick) is not None


def test_a_stick_needs_the_code_that_was_given_out_last(database: Path, stick: Path) -> None:
    said: list[str] = []
    for text in (ORDER, f"{ORDER}code \n", f"{ORDER}code {'a' * 20}\n"):
        stick.write_text(text)
        assert found_on_stick(database, stick, said) is None  # before any was given out
    former, content = made(database), made(database)
    others = [former, made(database, "other-terminal")[:-1], ORDER.encode(), content.replace(b"code ", b"code"), content[:-4], content.upper()]
    content = made(database)
    for other in others:
        stick.write_bytes(other)
        assert found_on_stick(database, stick, said) is None
    assert any("code that the desk gave out last" in line for line in said)
    stick.write_bytes(content.replace(b"\r\n", b"\n") + b"and lose what is not delivered\n")
    request = found_on_stick(database, stick)
    assert request is not None and request.lose and counted(request, database, [])
    factory_reset.go_on(database)
    with Store.open(database):
        stick.write_bytes(content + b"2027-01-01\n")
    assert found_on_stick(database, stick) is None  # the new terminal has given none out


def test_the_code_is_in_neither_database_nor_audit(database: Path) -> None:
    content = made(database)
    order, _, rest = content.decode().partition("\r\n")
    code = rest.strip().removeprefix("code ")
    assert order == ORDER.strip() and len(set(code) - {"-"}) > 5 and [len(group) for group in code.split("-")] == [5, 5, 5, 5]
    assert all(code.encode() not in file.read_bytes() for file in database.parent.iterdir() if file.is_file())
    with Store.open(database) as store, store.reading() as db:
        assert db.execute("SELECT actor FROM audit WHERE action = 'reset file made'").fetchall() == [("user:1",)]


def test_pulling_the_stick_out_ends_it(database: Path, stick: Path) -> None:
    stick.write_text(ORDER)
    request, shown = found(database, stick), []
    assert request is not None
    assert not carry_out(request, database, shown.append, lambda text: None, lambda seconds: stick.unlink(missing_ok=True))
    assert shown == [60, 0] and not is_marked(database)


def test_undelivered_rows_need_their_line(database: Path, stick: Path) -> None:
    with Store.open(database) as store:
        store.outbox.set_targets(["payroll"])
        store.record_punch(PunchDraft(1, time.time(), "in", NAME, "manual", ClockState(True, "boot", 1)), ["payroll"])
    stick.write_text(ORDER)
    shown: list[int] = []
    request = found(database, stick)
    assert request is not None and not counted(request, database, shown) and shown[-1] == 0 and not is_marked(database)
    assert not counted(ResetButton(Held(99)), database, [])  # type: ignore[arg-type]
    stick.write_text(f"{ORDER}and lose what is not delivered\n")
    request = found(database, stick)
    assert request is not None and counted(request, database, shown) and is_marked(database)


@pytest.mark.parametrize(("looks", "resets"), [(0, False), (5, False), (15, True)])
def test_a_button_is_held_to_the_end(looks: int, resets: bool, database: Path) -> None:
    assert counted(ResetButton(Held(looks)), database, []) is resets and is_marked(database) is resets  # type: ignore[arg-type]


def test_a_terminal_that_starts_shows_it_and_starts_again(database: Path, stick: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stick.write_bytes(made(database))
    monkeypatch.setattr(reset_request.reset_file, "__defaults__", ((f"{stick.parent.parent}/*",), (), print))
    waited = threading.Event()
    monkeypatch.setattr(reset_request.carry_out, "__defaults__", (print, lambda seconds: waited.wait(0.001)))
    live, held = Live(), Held(0)
    seen: list[int] = []

    def show(seconds: int) -> None:
        live.count_down(seconds)
        seen.append(live.view().resetting)

    asked_at_start(NAME, database, True, lambda: held, show, live.restart.set, lambda text: None)  # type: ignore[arg-type, return-value]
    assert live.restart.is_set() and is_marked(database) and seen == list(range(60, 0, -1)) and held.closed


def test_a_button_that_cannot_be_read_stops_nothing(database: Path) -> None:
    said: list[str] = []

    def broken() -> None:
        raise OSError("unplugged")

    asked_at_start(NAME, database, False, broken, lambda seconds: None, lambda: None, said.append)
    assert "unplugged" in said[0] and not is_marked(database)
