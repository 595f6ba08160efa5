"""`run --desk`: what it refuses, and that it serves until it is told to end; the exchange itself is tested in tests/device/fleet."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from device.__main__ import main
from device.fleet import membership
from device.maintenance.backup import staged_file
from device.storage.store import Store


def joined(path: Path, kind: str) -> None:
    member = membership.Membership("f", "Head office", "", "127.0.0.1", 1, "none", "disable", "", "nobody", "d", kind=kind)
    with Store.open(path) as store, store.transaction() as db:
        membership.set_value(db, membership.MEMBERSHIP, membership.as_json(member))


def test_it_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    joined(tmp_path / "terminal.db", "terminal")
    for more, told in ((["--source", "0"], "--source"), ([], "has not joined"), (["--db", str(tmp_path / "terminal.db")], "as a desk")):
        assert main(["run", "--desk", *(more if "--db" in more else ["--db", str(tmp_path / "new.db"), *more])]) == 1
        assert told in capsys.readouterr().err


def test_a_restore_that_was_cut_off_is_completed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    database = tmp_path / "desk.db"
    joined(staged_file(database), "terminal")  # the power went after the database had been moved aside
    assert main(["run", "--desk", "--db", str(database)]) == 1
    assert "restored" in capsys.readouterr().out and database.is_file() and not staged_file(database).exists()


def test_it_serves_without_its_database_in_reach_until_it_is_stopped(tmp_path: Path) -> None:
    joined(tmp_path / "desk.db", "desk")
    command = [sys.executable, "-m", "device", "run", "--desk", "--db", str(tmp_path / "desk.db"), "--web", "127.0.0.1:0"]
    environment = {**os.environ, "CLOCKFACE_KEYS": str(tmp_path / "keys"), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, preexec_fn=interruptible) as process:
        assert process.stdout is not None
        try:
            line = next(line for line in process.stdout if line.startswith("web: http"))
            assert [status(int(line.rsplit(":", 1)[1]), page) for page in ("/login", "/kiosk")] == [200, 404]
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0
        finally:
            process.kill()


def interruptible() -> None:
    """A test suite that was started in the background ignores SIGINT, and so would its child processes."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def status(port: int, page: str) -> int:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("GET", page)
        return connection.getresponse().status
