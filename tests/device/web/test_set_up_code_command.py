"""A set-up code from the command line of one terminal sets another one up, as long as that one is new."""

from __future__ import annotations

from pathlib import Path

import pytest

from device.__main__ import main
from device.attendance.planning import Planning
from device.storage import settings as stored_settings
from device.storage.audit import Action
from device.storage.store import Store
from device.system.qr_codes import picture
from device.web.access import accounts, passwords


def test_one_terminal_makes_it_and_another_is_set_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new, file = tmp_path / "old.db", tmp_path / "new.db", tmp_path / "code.png"
    with Store.open(old) as store:
        stored_settings.change(store, None, {"web.language": "tr"})
    assert main(["settings", "--code", "--admin", "--zone", "Asia/Tokyo", "--out", str(file), "--db", str(old)]) == 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert main(["settings", "--from-code", str(file), "--db", str(new)]) == 0
    said = capsys.readouterr().out
    assert "time zone Asia/Tokyo; language tr" in said
    with Store.open(new) as store:
        assert Planning(store).site().zone == "Asia/Tokyo" and stored_settings.read(store) == {"web": {"language": "tr"}}
        assert [(user.login, user.must_change) for user in accounts.users(store)] == [("admin", True)]
    assert main(["settings", "--from-code", str(file), "--db", str(new)]) == 1
    assert "is set up already" in capsys.readouterr().err


def test_the_password_that_is_shown_is_the_one_of_the_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Store.open(tmp_path / "old.db"):
        pass
    file, new = tmp_path / "code.png", tmp_path / "new.db"
    main(["settings", "--code", "--admin", "--out", str(file), "--db", str(tmp_path / "old.db")])
    password = capsys.readouterr().out.partition("admin, password ")[2].split(" (")[0]
    with Store.open(tmp_path / "old.db") as store, store.reading() as db:
        rows = db.execute("SELECT actor, details FROM audit WHERE action = ?", [Action.SET_UP_CODE_MADE.value]).fetchall()
    assert [row[0] for row in rows] == ["settings"] and '"first_password":true' in rows[0][1].replace(" ", "") and password not in str(rows)
    assert main(["settings", "--from-code", str(file), "--db", str(new)]) == 0 and password not in capsys.readouterr().out
    with Store.open(new) as store:
        found = accounts.by_login(store, "admin")
        assert found is not None and passwords.matches(found[1], password)


def test_the_wifis_password_is_not_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with Store.open(tmp_path / "a.db"):
        pass
    for secret, status in (("eight or more", 0), ("short", 1)):
        monkeypatch.setenv("CLOCKFACE_WIFI_PASSWORD", secret)
        assert main(["settings", "--code", "--wifi", "Hall", "--db", str(tmp_path / "a.db")]) == status
        shown = capsys.readouterr()
        assert secret not in shown.out + shown.err and ("good for one hour" in shown.out) == (status == 0)


def test_a_picture_without_a_code_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "other.png"
    file.write_bytes(picture(["https://example.org"]))
    assert main(["settings", "--from-code", str(file), "--db", str(tmp_path / "a.db")]) == 1
    assert "no set-up code" in capsys.readouterr().err
