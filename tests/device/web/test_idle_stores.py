"""Stores that pages leave open: one thread at a time, never another file's, never somebody else's name or half a transaction."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from device.config import StoreSettings
from device.storage.audit import Action
from device.storage.store import Store
from device.web.idle_stores import OLDEST_SECONDS, IdleStores
from tests.device.web.conftest import Desk
from tests.refused import refused


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def stores() -> Iterator[IdleStores]:
    stores = IdleStores(Clock())
    yield stores
    stores.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    Store.open(tmp_path / "a.db").close()
    return tmp_path / "a.db"


def lent(stores: IdleStores, path: Path, actor: str = "desk") -> Store:
    with stores.lent(path, StoreSettings(), actor) as store:
        return store


def test_a_store_is_used_again_by_any_thread_but_by_one_at_a_time(stores: IdleStores, path: Path) -> None:
    first = lent(stores, path)
    found: list[Store] = []
    thread = Thread(target=lambda: found.append(lent(stores, path)))
    thread.start()
    thread.join()
    assert found == [first]
    with stores.lent(path, StoreSettings(), "desk") as one, stores.lent(path, StoreSettings(), "desk") as other:
        assert one is first and other is not first and other.people() == []


def test_it_is_opened_anew_after_a_while_and_where_the_file_was_replaced(stores: IdleStores, path: Path, tmp_path: Path) -> None:
    first = lent(stores, path)
    stores._clock.now = OLDEST_SECONDS  # type: ignore[attr-defined]
    second = lent(stores, path)
    assert second is not first
    with Store.open(tmp_path / "b.db") as other:
        other.add_person("Ada")
    for ending in ("", "-wal", "-shm"):  # as a restore does
        Path(f"{path}{ending}").unlink(missing_ok=True)
    (tmp_path / "b.db").rename(path)
    assert [person.name for person in lent(stores, path).people()] == ["Ada"]
    path.unlink()
    with refused("store.missing"):
        lent(stores, path)


def test_the_next_request_has_its_own_name_and_no_transaction_of_another(stores: IdleStores, path: Path) -> None:
    with stores.lent(path, StoreSettings(), "desk") as store:
        store.act_as("user:1")
    with stores.lent(path, StoreSettings(), "kiosk") as store:
        with store.transaction():
            store.note(Action.PERSON_ADDED, person_id=1)
        with store.reading() as db:
            assert [row[0] for row in db.execute("SELECT actor FROM audit ORDER BY id DESC LIMIT 1")] == ["kiosk"]
    with pytest.raises(KeyError), stores.lent(path, StoreSettings(), "desk") as broken:
        broken._db.execute("BEGIN IMMEDIATE")
        raise KeyError
    assert lent(stores, path) is not broken


def test_a_page_opens_no_store_where_one_is_idle(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = desk.browser("viewer")
    assert browser.get("/today").status_code == 200
    monkeypatch.setattr(Store, "open", lambda *args, **more: pytest.fail("opened"))
    assert browser.get("/today").status_code == 200 and browser.get("/kiosk").status_code == 200


def test_what_one_login_sees_is_not_left_to_the_next(stores: IdleStores, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the end of a narrowed view fails, as with a cursor that is still open, the connection is used by nobody any more."""
    with Store.open(path) as store:
        store.add_person("Ada")
    monkeypatch.setattr("device.storage.visibility.widen", lambda db: db.execute("DROP VIEW temp.nothing"))
    with pytest.raises(Exception, match="nothing"), stores.lent(path, StoreSettings(), "desk") as narrowed, narrowed.seeing(("Line 1",)):
        assert narrowed.people() == []
    with stores.lent(path, StoreSettings(), "desk") as store:
        assert store is not narrowed and [person.name for person in store.people()] == ["Ada"]
