"""What `doctor` says of a fleet."""

from __future__ import annotations

from pathlib import Path

import pytest

from device.fleet.membership import MEMBERSHIP, Membership, as_json
from device.maintenance.fleet_check import check_fleet
from device.storage import findings
from device.storage.store import Store


@pytest.mark.parametrize(
    ("values", "twins", "state", "words"),
    [
        ({"heard": "1790000000"}, False, "ok", "Gate A, Plant north, last heard of 2026-"),
        ({"trouble": "the database cannot be reached: no route"}, False, "warning", "no route; never connected yet, 2 rows wait"),
        ({"heard": "1790000000"}, True, "warning", "Ada (E1) and Bob (E2) have faces as alike as one person's (score 0.71), found at Gate B"),
        ({"fault.punches": "gap"}, True, "FAULT", "punches are not sent: rows of it are missing here"),
    ],
)
def test_the_state_of_the_exchange(tmp_path: Path, values: dict[str, str], twins: bool, state: str, words: str) -> None:
    with Store.open(tmp_path / "a.db") as store:
        people = [store.add_person(name, code).id for name, code in (("Ada", "E1"), ("Bob", "E2"))]
        with store.transaction() as db:
            member = Membership("f", "Gate A", "Plant north", "h", 1, "d", "disable", "", "r", "d")
            for key, value in {MEMBERSHIP: as_json(member), **values}.items():
                db.execute("INSERT INTO fleet VALUES (?, ?)", [key, value])
            if twins:
                uuids = [row[0] for row in db.execute("SELECT uuid FROM people ORDER BY id")]
                findings.tell(db, *uuids, 0.71, "Gate B")
            if "trouble" in values:
                db.execute("INSERT INTO fleet_changes (kind, key) VALUES ('person', 'x'), ('person', 'y')")
    found = check_fleet(tmp_path / "a.db")
    assert found.state == state and words in found.words and people == [1, 2]


def test_alone_or_not_there(tmp_path: Path) -> None:
    assert check_fleet(tmp_path / "none.db").state == "ok"
    Store.open(tmp_path / "a.db").close()
    assert check_fleet(tmp_path / "a.db").words == "this terminal stands alone"
