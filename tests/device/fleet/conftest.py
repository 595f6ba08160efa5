"""One PostgreSQL for all tests of the fleet, and a fresh company in a database of its own for each test."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.device.fleet.cluster import Cluster, cluster, programs

NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    if programs() is None:
        pytest.skip("no PostgreSQL 15 or later; install Debian's postgresql")
    with cluster() as made:
        yield made


@pytest.fixture
def company(postgres: Cluster) -> str:
    """The owner's address of a fleet with two sites."""
    from device.fleet import owner, server

    url = postgres.database(f"company_{next(NUMBERS)}")
    server.migrate(url)
    with server.connected(url) as connection:
        owner.add_site(connection, "North")
        owner.add_site(connection, "South")
    return url
