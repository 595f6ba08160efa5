"""docs/connectors.md as a reader uses it: every table is accepted, and the receiver runs as printed."""

from __future__ import annotations

import base64
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import urllib3

from device.config.loader import load
from device.delivery.connectors import KINDS, Connector, build, configured, read_settings
from device.delivery.connectors.webhook import signature
from device.storage.store import Store
from tests.device.fakes.terminal import START, courier, punch

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "connectors.md").read_text(encoding="utf-8")
OLD_KEY, NEW_KEY, FOREIGN_KEY = (bytes([number]) * 32 for number in (1, 2, 3))


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def sealed(key: bytes) -> str:
    return "whsec_" + base64.b64encode(key).decode()


@contextmanager
def receiver(folder: Path, *keys: bytes) -> Iterator[str]:
    """Run the receiver of the page in its own process; yields its address."""
    [program] = blocks("python")
    (folder / "receiver.py").write_text(program, encoding="utf-8")
    environment = {"WEBHOOK_SECRET": " ".join(map(sealed, keys))}
    command = [sys.executable, "receiver.py", "0"]
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}/punches"
        finally:
            process.kill()


def stored(folder: Path) -> list[str]:
    with closing(sqlite3.connect(folder / "punches.db")) as db:
        return [row[0] for row in db.execute("SELECT key FROM events ORDER BY key")]


def webhook(url: str, monkeypatch: pytest.MonkeyPatch, **keys: bytes) -> Connector:
    table: dict[str, Any] = {"kind": "webhook", "url": url}
    for setting, key in keys.items():
        monkeypatch.setenv(setting.upper(), sealed(key))
        table[setting] = f"env:{setting.upper()}"
    return build(read_settings("payroll", table))


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "clockface.db"
    with Store.open(path) as store:
        store.outbox.set_targets(["payroll"])
        for number in range(4):
            punch(store, store.add_person(f"P{number}", f"E{number}").id, START + number)
    return path


def test_every_table_of_the_page_is_accepted(tmp_path: Path) -> None:
    """As printed, and with the settings that are commented out."""
    for text in ("\n".join(blocks("toml")), re.sub(r"^# (?=\w+ = )", "", "\n".join(blocks("toml")), flags=re.MULTILINE)):
        (tmp_path / "clockface.toml").write_text(text, encoding="utf-8")
        assert {target.kind for target in configured(load(tmp_path / "clockface.toml"))} == set(KINDS)


def test_the_receiver_is_short() -> None:
    [program] = blocks("python")
    assert len([line for line in program.splitlines() if line]) <= 40


def test_the_receiver_keeps_each_event_once(database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver(tmp_path, NEW_KEY) as url, courier(database, webhook(url, monkeypatch, secret=NEW_KEY)) as made:
        assert made.drain() == 4
        keys = stored(tmp_path)
        made.store.outbox.fill("payroll", 0.0, again=True)
        assert made.drain() == 4
        assert stored(tmp_path) == keys and len(keys) == 4


@pytest.mark.parametrize("known", [[OLD_KEY], [NEW_KEY], [OLD_KEY, NEW_KEY]], ids=["old", "new", "both"])
def test_keys_change_without_interruption(database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: list[bytes]) -> None:
    with receiver(tmp_path, *known) as url:
        connector = webhook(url, monkeypatch, secret=NEW_KEY, previous_secret=OLD_KEY)
        with courier(database, connector) as made:
            assert made.drain() == 4
    assert len(stored(tmp_path)) == 4


def test_a_wrong_key_stores_nothing_and_loses_nothing(database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver(tmp_path, NEW_KEY) as url, courier(database, webhook(url, monkeypatch, secret=FOREIGN_KEY)) as made:
        made.drain()
        [target] = made.store.outbox.summary()
    assert (target.waiting, target.dead, stored(tmp_path)) == (4, 0, [])
    assert target.error == "HTTP 401 (check the credentials and the clock)"


@pytest.mark.parametrize(
    ("skew_seconds", "signed", "status"),
    [(0, b"{}", 200), (-290, b"{}", 200), (-310, b"{}", 401), (310, b"{}", 401), (0, b"[]", 401)],
    ids=["right", "a little late", "replayed", "from the future", "another body"],
)
def test_the_receiver_checks_time_and_body(tmp_path: Path, skew_seconds: int, signed: bytes, status: int) -> None:
    sent_at = str(int(time.time()) + skew_seconds)
    headers = {"webhook-id": "punch-1", "webhook-timestamp": sent_at, "webhook-signature": signature(NEW_KEY, "punch-1", sent_at, signed)}
    with receiver(tmp_path, NEW_KEY) as url, urllib3.PoolManager(retries=False) as http:
        assert http.request("POST", url, body=b"{}", headers=headers).status == status
        assert http.request("POST", url, body=b"{}", headers={**headers, "webhook-signature": "v1,\xe9"}).status == 401
    assert stored(tmp_path) == (["punch-1"] if status == 200 else [])
