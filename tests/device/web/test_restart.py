"""A whole terminal as a process of its own: first login, settings, backup, restore and the restart for it."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from device.commands.run import start_again_without_camera
from device.storage.store import Store
from device.vision import catalogue
from device.web.live import Live

PASSWORD, PASSPHRASE = "four quiet paper boats", "seven red kites over the yard"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[str, Path, subprocess.Popen[str]]]:
    """It plays the demo."""
    try:
        [catalogue.path(name) for name in ("yunet", "sface", "portrait-hopper", "portrait-collins")]
    except catalogue.ModelError as error:
        pytest.skip(f"models not pulled: {error}")
    port, database, output = free_port(), tmp_path / "clockface.db", tmp_path / "output"
    command = [sys.executable, "-m", "device", "run", "--source", "demo", "--headless", "--web", f"127.0.0.1:{port}", "--db", str(database)]
    with output.open("w") as out, subprocess.Popen(command, stdout=out, stderr=out, text=True, cwd=Path(__file__).parents[3]) as process:
        try:
            yield f"http://127.0.0.1:{port}", database, process
        finally:
            process.kill()
        print(output.read_text()[-2000:])


def answered(client: httpx2.Client, path: str, seconds: float = 120) -> Any:
    """Ask until the terminal is there."""
    end = time.monotonic() + seconds
    while True:
        try:
            return client.get(path)
        except httpx2.TransportError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def send(client: httpx2.Client, path: str, page: str, values: dict[str, str], **more: Any) -> Any:
    token = re.search(r'name="form_token" value="([0-9a-f]+)"', client.get(page).text)
    assert token is not None, page
    return client.post(path, data={"form_token": token[1], **values}, **more)


def test_a_terminal_from_its_first_login_to_a_restore(running: tuple[str, Path, subprocess.Popen[str]]) -> None:
    url, database, process = running
    with httpx2.Client(base_url=url, timeout=30) as admin:
        answered(admin, "/login")
        first = database.with_name("clockface.db.admin-password")
        given = first.read_text().strip()
        reply = send(admin, "/login", "/login", {"login": "admin", "password": given})
        assert reply.headers.get("location") == "/password", (reply.status_code, reply.text)
        assert admin.get("/people").headers["location"] == "/password"  # nothing else before
        changed = {"old": given, "new": PASSWORD, "again": PASSWORD}
        assert send(admin, "/password", "/password", changed).status_code == 303 and not first.exists()
        assert send(admin, "/people", "/people", {"name": "Before", "code": "E1"}).status_code == 303
        assert send(admin, "/settings", "/settings", {"attendance.refractory_seconds": "90"}).status_code == 303
        sealed = send(admin, "/backup", "/backup", {"passphrase": PASSPHRASE, "again": PASSPHRASE})
        assert sealed.content.startswith(b"CLOCKFACE-SEALED-1") and b"Before" not in sealed.content
        send(admin, "/people", "/people", {"name": "After", "code": "E2"})
        device = re.search(r"<code>([^<]+)</code> to confirm", admin.get("/backup").text)
        assert device is not None
        wrong = send(admin, "/restore", "/backup", {"passphrase": "wrong words altogether", "confirm": device[1]}, files={"file": ("b", sealed.content)})
        assert wrong.status_code == 400 and "wrong passphrase" in wrong.text
        restored = send(admin, "/restore", "/backup", {"passphrase": PASSPHRASE, "confirm": device[1]}, files={"file": ("b", sealed.content)})
        assert restored.status_code == 200 and "restarts" in restored.text
        end = time.monotonic() + 120
        while not database.with_name("clockface.db.before-restore").exists():
            assert time.monotonic() < end and process.poll() is None
            time.sleep(0.2)
        reply = answered(admin, "/people")
        assert reply.headers.get("location", "").startswith("/login"), (reply.status_code, reply.text)  # sessions are not brought back
        assert send(admin, "/login", "/login", {"login": "admin", "password": PASSWORD}).status_code == 303
        page = admin.get("/settings").text
        assert 'badge warn">from the next start' not in page and 'value="90"' in page  # in force now
        assert "frames/s" in admin.get("/health").text
    with Store.open(database) as store, Store.open(database.with_name("clockface.db.before-restore")) as before:
        assert [person.name for person in store.people()] == ["Grace Hopper", "Before"]
        assert [person.name for person in before.people()] == ["Grace Hopper", "Before", "After"]


def test_a_restart_needs_no_picture_of_a_lost_camera() -> None:
    live, started = Live(), threading.Event()
    waiting = threading.Thread(target=start_again_without_camera, args=[live, 0.0, started.set])
    waiting.start()
    assert not started.wait(0.2)
    live.restart.set()
    assert started.wait(5)
    waiting.join()
