"""The stand-ins of ERPNext and Odoo, a store whose people both know, and a courier with a scripted target."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from device.storage.store import Store
from tests.device.delivery.erpnext_terminal import SECRETS
from tests.device.delivery.scripted import Stage
from tests.device.fakes.erpnext import ErpNext
from tests.device.fakes.odoo import API_KEY, Odoo
from tests.device.fakes.site import serving


@pytest.fixture
def erpnext(monkeypatch: pytest.MonkeyPatch) -> Iterator[ErpNext]:
    monkeypatch.setenv("ERP_KEY", SECRETS[0])
    monkeypatch.setenv("ERP_SECRET", SECRETS[1])
    with serving(ErpNext()) as made:
        yield made


@pytest.fixture(params=[16, 17, 18, 19])
def any_odoo(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Odoo]:
    monkeypatch.setenv("ODOO_KEY", API_KEY)
    with serving(Odoo(request.param)) as made:
        yield made


@pytest.fixture
def odoo(monkeypatch: pytest.MonkeyPatch) -> Iterator[Odoo]:
    monkeypatch.setenv("ODOO_KEY", API_KEY)
    with serving(Odoo()) as made:
        yield made


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "clockface.db") as opened:
        opened.outbox.set_targets(["hr"])
        for name, code in (("Ann", "E1"), ("Bob", "E2"), ("Cid", "E3")):
            opened.add_person(name, code)
        yield opened


@pytest.fixture(params=[1, 4], ids=["one lane", "four lanes"])
def stage(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Stage]:
    with ExitStack() as stack:
        yield Stage(tmp_path / "clockface.db", stack, request.param)
