"""The CSV drop folder, local and by SFTP: whole files, each line once, also while others read them."""

from __future__ import annotations

import csv
import io
import os
import stat
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from device.config import OutboxSettings
from device.delivery.connectors import Connector, build, read_settings
from device.delivery.connectors.csv_folder import HEADER
from device.storage.store import Store
from tests.device.fakes.sftp import PASSWORD, SftpServer, serving_sftp
from tests.device.fakes.terminal import Clock, courier, punch, sample_event
from tests.refused import refused

EVENING = datetime.fromisoformat("2026-11-24T22:30:00+00:00").timestamp()  # 23:30 in Berlin


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "clockface.db") as opened:
        opened.outbox.set_targets(["drop"])
        opened.add_person('=HYPERLINK("http://x.invalid")', "E1")
        opened.add_person("Zoë, Bob; 张", "E2")
        yield opened


@pytest.fixture(scope="module")
def sftp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SftpServer]:
    pytest.importorskip("paramiko")
    with serving_sftp(tmp_path_factory.mktemp("sftp")) as made:
        yield made


def local(place: Path, **more: Any) -> Connector:
    return build(read_settings("drop", {"kind": "csv", "folder": str(place), "timezone": "Europe/Berlin", **more}))


def remote(sftp: SftpServer, **more: Any) -> Connector:
    place = {"host": "127.0.0.1", "port": sftp.port, "folder": "/in", "user": "clock", "password": "env:SFTP_PASSWORD"}
    table = {"kind": "sftp", "timezone": "Europe/Berlin", "known_hosts": str(sftp.known_hosts), "timeout_seconds": 2.0, **place, **more}
    return build(read_settings("drop", table))


@pytest.fixture(params=["local", "sftp"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Any]:
    """The folder that files are written to, and a function that makes a connector for it."""
    monkeypatch.setenv("SFTP_PASSWORD", PASSWORD)
    if request.param == "local":
        folder = tmp_path / "drop"
        folder.mkdir()
        return folder, lambda: local(folder)
    server: SftpServer = request.getfixturevalue("sftp")
    for file in server.folder.iterdir():
        file.unlink()
    return server.folder, lambda: remote(server)


def drained(store: Store, connector: Connector) -> list[str]:
    with courier(store.path, connector, OutboxSettings(), Clock(EVENING + 100_000)) as made:
        made.drain()
        made.tick()
        return made.said  # type: ignore[attr-defined,no-any-return]


def rows(path: Path, delimiter: str = ",") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline=""), delimiter=delimiter))


def test_one_file_per_day_in_local_time(store: Store, place: tuple[Path, Any]) -> None:
    folder, make = place
    punch(store, 1, EVENING)
    punch(store, 2, EVENING + 3600, "out")
    drained(store, make())
    punch(store, 1, EVENING + 60, "out")
    drained(store, make())
    assert sorted(file.name for file in folder.iterdir()) == ["clockface-2026-11-24.csv", "clockface-2026-11-25.csv"]
    first, second = rows(folder / "clockface-2026-11-24.csv")
    assert list(first) == list(HEADER)
    assert (first["punch_id"], first["name"], first["local_time"], first["direction"]) == ("1", '\'=HYPERLINK("http://x.invalid")', "2026-11-24 23:30:00", "in")
    assert (second["punch_id"], second["event"], second["occurred_at"]) == ("3", "punch", "2026-11-24T22:31:00.000Z")
    assert [row["name"] for row in rows(folder / "clockface-2026-11-25.csv")] == ["Zoë, Bob; 张"]


def test_a_line_that_is_sent_again_is_not_written_twice(store: Store, place: tuple[Path, Any]) -> None:
    folder, make = place
    punch(store, 1, EVENING)
    drained(store, make())
    before = (folder / "clockface-2026-11-24.csv").read_bytes()
    store.outbox.fill("drop", 0.0, again=True)
    drained(store, make())
    assert (folder / "clockface-2026-11-24.csv").read_bytes() == before
    assert store.outbox.summary()[0].waiting == 0


def test_corrections_are_in_the_file_of_the_day_they_were_made(store: Store, place: tuple[Path, Any]) -> None:
    folder, make = place
    number = punch(store, 1, EVENING).id
    store.correct(1, number, None, "was not her", "Bob")
    drained(store, make())
    [correction] = [row for file in folder.iterdir() for row in rows(file) if row["event"] == "correction"]
    assert (correction["punch_id"], correction["occurred_at"], correction["direction"], correction["reason"]) == ("1", "", "", "was not her")


def test_events_wait_while_the_folder_is_missing(store: Store, place: tuple[Path, Any]) -> None:
    folder, make = place
    punch(store, 1, EVENING)
    moved = folder.rename(folder.with_name("elsewhere"))
    try:
        said = drained(store, make())
    finally:
        moved.rename(folder)
    assert "clockface-2026-11-24.csv cannot be written" in said[0] and "No such file" in said[0]
    assert store.outbox.summary()[0].waiting == 1
    store.outbox.replay()
    with store.transaction() as db:
        db.execute("UPDATE targets SET next_attempt_at = 0")
    drained(store, make())
    assert len(rows(folder / "clockface-2026-11-24.csv")) == 1


def test_the_test_event(place: tuple[Path, Any]) -> None:
    folder, make = place
    assert make().test(sample_event("CLOCKFACE-TEST")) == "in clockface-test.csv"
    assert rows(folder / "clockface-test.csv")[0]["event"] == "test"


def test_readers_never_see_a_partial_file(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "drop"
    folder.mkdir()
    stop, torn = threading.Event(), []

    def read() -> None:
        while not stop.is_set():
            for file in folder.glob("clockface-*.csv"):
                content = file.read_bytes()
                if not content.endswith(b"\r\n") or not content.startswith(b"id,event,"):
                    torn.append(content)

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(40):
        punch(store, 1, EVENING + number)
        drained(store, local(folder))
    stop.set()
    reader.join()
    assert torn == []
    [file] = folder.iterdir()
    assert len(rows(file)) == 40 and stat.S_IMODE(file.stat().st_mode) == 0o640


def test_a_file_of_another_program_is_not_changed(store: Store, tmp_path: Path) -> None:
    (tmp_path / "clockface-2026-11-24.csv").write_text("my notes")
    punch(store, 1, EVENING)
    said = drained(store, local(tmp_path))
    assert (tmp_path / "clockface-2026-11-24.csv").read_text() == "my notes"
    assert len(rows(tmp_path / "clockface-2026-11-24-2.csv")) == 1 and store.outbox.dead_letters() == []
    assert said == ["outbox drop: clockface-2026-11-24.csv was changed or not written by a terminal; later lines are in clockface-2026-11-24-2.csv"]


CHANGES = {
    "no line end": lambda data: data.removesuffix(b"\r\n"),
    "emptied": lambda data: b"\r\n",
    "saved by a spreadsheet": lambda data: b"\xef\xbb\xbf" + data,
    "other delimiter": lambda data: data.replace(b",", b";"),
    "a column more": lambda data: b"paid," + data,
    "header removed": lambda data: data.partition(b"\r\n")[2],
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_file_is_told_and_costs_no_line(store: Store, place: tuple[Path, Any], change: str) -> None:
    """Every later line can be read, none is written twice, and what somebody made of the file stays."""
    folder, make = place
    punch(store, 2, EVENING)
    drained(store, make())
    file = folder / "clockface-2026-11-24.csv"
    file.write_bytes(CHANGES[change](file.read_bytes()))
    changed = file.read_bytes()
    numbers = [punch(store, 2, EVENING + later, "out").id for later in (60, 120)]
    store.outbox.fill("drop", 0.0, again=True)
    said = drained(store, make())
    files = sorted(folder.iterdir())
    found = [row["punch_id"] for path in files for row in rows(path) if row.get("event") == "punch" and row.get("punch_id")]
    again = ["1"] if change == "emptied" else []
    assert [number for number in found if number != "1"] == list(map(str, numbers)) and found.count("1") <= 1 + len(again)
    if change not in ("emptied", "no line end"):
        assert file.read_bytes() == changed and len(files) == 2
    assert len(said) == (change != "no line end")
    assert store.outbox.dead_letters() == []


def test_a_line_that_was_cut_off_is_written_again(store: Store, tmp_path: Path) -> None:
    punch(store, 2, EVENING)
    drained(store, local(tmp_path))
    file = tmp_path / "clockface-2026-11-24.csv"
    file.write_bytes(file.read_bytes()[:-40])
    store.outbox.fill("drop", 0.0, again=True)
    drained(store, local(tmp_path))
    assert [row["local_time"] for row in rows(file)][-1] == "2026-11-24 23:30:00"


def test_the_delimiter_of_the_settings(store: Store, tmp_path: Path) -> None:
    punch(store, 2, EVENING)
    for _ in range(2):
        drained(store, local(tmp_path, delimiter=";"))
        store.outbox.fill("drop", 0.0, again=True)
    assert [row["name"] for row in rows(tmp_path / "clockface-2026-11-24.csv", ";")] == ["Zoë, Bob; 张"]


@pytest.mark.parametrize(
    ("more", "code", "word"), [({"delimiter": "\t"}, "choice", ",, ;"), ({"prefix": "../x"}, "name", "prefix"), ({"folder": ""}, "missing", "folder")]
)
def test_settings_that_cannot_be_honoured(tmp_path: Path, more: dict[str, Any], code: str, word: str) -> None:
    with refused(f"config.{code}", word):
        local(tmp_path, **more)


# SFTP


def test_a_key_instead_of_a_password(sftp: SftpServer, store: Store) -> None:
    connector = remote(sftp, password="", key_file=str(sftp.client_key))
    assert connector.test(sample_event("X")) == "in clockface-test.csv"
    connector.close()


@pytest.mark.parametrize("wrong", ["password", "host key", "unknown host", "nobody there"])
def test_wrong_credentials_and_hosts_are_named_without_secrets(
    sftp: SftpServer, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    monkeypatch.setenv("SFTP_PASSWORD", "a-wrong-password" if wrong == "password" else PASSWORD)
    known = tmp_path / "known_hosts"
    known.write_text({"host key": sftp.other_host_line, "unknown host": ""}.get(wrong, sftp.known_hosts.read_text()))
    connector = remote(sftp, known_hosts=str(known), **({"port": 9} if wrong == "nobody there" else {}))
    punch(store, 1, EVENING)
    said = drained(store, connector)
    words = {
        "password": "does not accept user and password",
        "host key": "presents another host key than known_hosts has",
        "unknown host": "is not in known_hosts",
        "nobody there": "127.0.0.1: ",
    }
    assert words[wrong] in said[0] and "a-wrong-password" not in str(said) and PASSWORD not in str(said)
    assert store.outbox.summary()[0].waiting == 1
    with refused("connector"):
        connector.test(sample_event("X"))
    connector.close()


def test_an_interrupted_connection_is_opened_again(sftp: SftpServer, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SFTP_PASSWORD", PASSWORD)
    connector = remote(sftp)
    connector.test(sample_event("X"))
    sftp.hang_up()
    with refused("connector"):
        connector.test(sample_event("Y", EVENING))
    assert connector.test(sample_event("Y", EVENING))
    connector.close()


@pytest.mark.parametrize(
    ("more", "code", "word"),
    [
        ({"password": ""}, "together", "password and key_file"),
        ({"key_file": "/no/such/key"}, "together", "password and key_file"),
        ({"known_hosts": "/no/such/file"}, "no_file", "known_hosts: /no/such/file"),
        ({"known_hosts": ""}, "missing", "known_hosts"),
        ({"password": "plain"}, "secret", "password: expected file:PATH or env:NAME"),
    ],
)
def test_sftp_settings_that_cannot_be_honoured(sftp: SftpServer, more: dict[str, Any], code: str, word: str) -> None:
    with refused(f"config.{code}", word):
        remote(sftp, **more)


def test_no_partial_files_are_left_behind(sftp: SftpServer) -> None:
    assert [name for name in os.listdir(sftp.folder) if name.startswith(".")] == []
