"""A company's database with millions of punches: how long generating, Today, a month page, an export by site and a desk's copying take, with their plans.

    python -m tests.device.fleet.scale --punches 10000000 --plans plans.txt          about 1 GB for a million punches; docs/scale.md carries the figures on

Four punches a day of each of 10,000 people, at 100 terminals of 10 sites; content and hashes have the form in which terminals send them, but for the chain.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from device.fleet import server
from device.fleet.server import Connection
from tests.device.fleet.cluster import Cluster, cluster
from tests.device.fleet.load import cpu, timed

SITES, PER_SITE, PEOPLE = 10, 10, 10_000
A_DAY = 4 * PEOPLE  # four punches each
FIRST = "2026-01-01"
REPEATS = 5

PREPARE = f"""
INSERT INTO sites (name) SELECT 'Site ' || n FROM generate_series(0, {SITES - 1}) n;
INSERT INTO devices (name, kind, site_id, role, invited_until, joined_at)
    SELECT s.name || ' gate ' || n, 'terminal', s.id, 'clockface_s' || right(s.name, 1) || 'g' || n, now(), now()
    FROM sites s, generate_series(0, {PER_SITE - 1}) n;
INSERT INTO state (kind, key, sites, body, xid, seq)
    SELECT 'person', md5('p' || n)::uuid, ARRAY[(SELECT id FROM sites WHERE name = 'Site ' || n % {SITES})],
        jsonb_build_object('name', 'Person ' || n, 'code', 'E' || n, 'active', true, 'created_at', 0), pg_current_xact_id(), nextval('arrivals')
    FROM generate_series(0, {PEOPLE - 1}) n;
"""
DAY = f"""
INSERT INTO punches (device_id, id, occurred_at, person, direction, method, content, hash, seq)
SELECT d.id, r.id, r.at, md5('p' || r.n)::uuid, r.direction, 'face', r.content, encode(sha256(convert_to(r.content, 'UTF8')), 'hex'), nextval('arrivals')
FROM (
    SELECT q.*, format(
        '{{"boot_id":"%%s","clock_synchronised":1,"device":"gate","direction":"%%s","id":%%s,"lead":0.31240000,"liveness":0.98320000,"method":"face","model_id":"%%s",'
        '"monotonic_ms":%%s,"occurred_at":%%s,"person_id":%%s,"previous_hash":"%%s","score":0.71230000,"threshold":0.57000000}}',
        md5(q.n::text), q.direction, q.id, repeat('a', 64), q.at, q.at, q.n, md5(q.id::text) || md5(q.at::text)) AS content
    FROM (
        SELECT n, %(first)s::bigint + %(day)s::bigint * 86400000 + (6 + slot * 3) * 3600000 + n %% 3000 * 1000 AS at,
            (%(day)s::bigint * 4 + slot) * ({PEOPLE} / {SITES * PER_SITE}) + n / {SITES * PER_SITE} + 1 AS id,
            CASE slot %% 2 WHEN 0 THEN 'in' ELSE 'out' END AS direction
        FROM generate_series(0, 3) slot, generate_series(0, {PEOPLE - 1}) n
    ) q
) r JOIN gates d ON d.number = r.n %% {SITES * PER_SITE}
"""
SITE = "(SELECT id FROM sites WHERE name = 'Site 3')"
PEOPLE_OF = f"SELECT key::uuid AS person, body ->> 'name' AS name FROM state WHERE kind = 'person' AND NOT deleted AND sites @> ARRAY[{SITE}]"
PAGE = "the next 1,000 rows for a terminal"
QUERIES = {
    "Today of a site": f"""WITH p AS MATERIALIZED ({PEOPLE_OF}) SELECT p.name, q.direction, q.occurred_at FROM p JOIN punches q ON q.person = p.person
        WHERE q.occurred_at >= %(day)s AND q.occurred_at < %(day)s + 86400000 ORDER BY p.name, q.occurred_at""",
    "a month page of one person": """SELECT occurred_at, direction, method FROM punches
        WHERE person = md5('p3')::uuid AND occurred_at >= %(month)s AND occurred_at < %(next)s ORDER BY occurred_at""",
    "a month of one site, as an export": f"""WITH p AS MATERIALIZED ({PEOPLE_OF}) SELECT p.name, q.direction, q.occurred_at, q.method, q.hash
        FROM p JOIN punches q ON q.person = p.person WHERE q.occurred_at >= %(month)s AND q.occurred_at < %(next)s ORDER BY p.name, q.occurred_at""",
    PAGE: """SELECT d.name, p.id, p.person, p.occurred_at, p.direction, p.method, p.xid, p.seq
        FROM punches p JOIN devices d ON d.id = p.device_id
        WHERE (p.xid, p.seq) > (%(xid)s::xid8, %(seq)s) AND p.xid < pg_snapshot_xmin(pg_current_snapshot()) AND p.occurred_at >= %(month)s
        ORDER BY p.xid, p.seq LIMIT 1000""",
}


def prepare(connection: Connection) -> int:
    """Sites, terminals and people; returns ms of the first day."""
    connection.execute(PREPARE)
    connection.execute("CREATE TEMPORARY TABLE gates AS SELECT id, row_number() OVER (ORDER BY right(name, 1), name) - 1 AS number FROM devices")
    row = connection.execute("SELECT extract(epoch FROM %s::timestamptz)::bigint * 1000 AS first", [f"{FIRST} 00:00Z"]).fetchone()
    assert row is not None
    return int(row["first"])


def stage(made: Cluster, connection: Connection, first: int, days: range, plans: list[str]) -> None:
    """Generate some days, each in one transaction, and measure."""
    with timed(made, f"{len(days) * A_DAY:,} punches written"):
        for day in days:
            connection.execute("SELECT month_of(%s::bigint)", [first + day * 86400000])
            connection.execute(DAY, {"first": first, "day": day})
    with timed(made, "VACUUM ANALYZE"):
        connection.execute("VACUUM ANALYZE punches")
    print(f"{days.stop * A_DAY:,} punches: {sizes(connection)}", flush=True)
    plans.clear()
    measure(connection, plans)


def measure(connection: Connection, plans: list[str]) -> None:
    """Each query several times: the first, then the median of the others, from memory; and its plan."""
    row = connection.execute("SELECT max(occurred_at) / 86400000 * 86400000 AS day, max(occurred_at) AS last FROM punches").fetchone()
    assert row is not None
    asked = "SELECT extract(epoch FROM date_trunc('month', to_timestamp(%s / 1000) AT TIME ZONE 'UTC'))::bigint * 1000 AS month"
    found = connection.execute(asked, [row["day"]]).fetchone()
    place = connection.execute("SELECT xid::text AS xid, seq FROM punches WHERE occurred_at >= %s ORDER BY occurred_at LIMIT 1", [row["day"]]).fetchone()
    assert found is not None and place is not None
    values: dict[str, Any] = {"day": row["day"], "month": found["month"], "next": found["month"] + 31 * 86400000, **place}
    for name, text in QUERIES.items():
        connection.execute(f"SET enable_sort = {'off' if name == PAGE else 'on'}")  # as the function `doors` has it
        times, rows = [], 0
        for _ in range(REPEATS):
            began = time.perf_counter()
            rows = len(connection.execute(text, values).fetchall())
            times.append((time.perf_counter() - began) * 1000)
        print(f"  {name}: first {times[0]:.0f} ms, then {sorted(times[1:])[len(times) // 2 - 1]:.1f} ms, {rows:,} rows", flush=True)
        lines = connection.execute(f"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) {text}", values).fetchall()
        plans += [f"-- {name}", *(next(iter(line.values())) for line in lines), ""]


def sizes(connection: Connection) -> str:
    row = connection.execute(
        "SELECT sum(pg_relation_size(i.inhrelid)) AS rows, sum(pg_indexes_size(i.inhrelid)) AS indexes, count(*) AS parts"
        " FROM pg_inherits i WHERE i.inhparent = 'clockface.punches'::regclass"
    ).fetchone()
    assert row is not None
    return f"{row['parts']} partitions, rows {float(row['rows']) / 1e9:.2f} GB, indexes {float(row['indexes']) / 1e9:.2f} GB"


def push(made: Cluster, url: str) -> None:
    """What one terminal's punches cost on the way in, with all that is there already."""
    from tests.device.fleet.test_server import chain, joined
    from tests.device.fleet.test_server import push as send

    with joined(url, "Gate of its own", "Site 3") as gate:
        rows = chain(5000, at=int(time.time() * 1000))
        with timed(made, "5,000 punches pushed, 500 at a time"):
            for at in range(0, len(rows), 500):
                assert send(gate, rows[at : at + 500])[1] is None
        with timed(made, "500 punches pushed, one at a time"):
            for row in chain(500, previous=rows[-1]["hash"], first=5001, at=int(time.time() * 1000)):
                send(gate, [row])


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--punches", type=int, default=2_000_000)
    parser.add_argument("--plans", type=Path, help="write the plans into this file")
    args = parser.parse_args(argv)
    free = shutil.disk_usage("/tmp").free
    if free < args.punches * 2000:
        sys.exit(f"{args.punches:,} punches need about {args.punches * 2000 / 1e9:.0f} GB in /tmp, there are {free / 1e9:.0f}")
    print(f"load of this machine before: {', '.join(f'{one:.1f}' for one in os.getloadavg())} on {os.cpu_count()} cores", flush=True)
    plans: list[str] = []
    with cluster() as made:
        url = made.database("scale")
        server.migrate(url)
        with server.connect(url) as connection:
            first, days = prepare(connection), max(2, args.punches // A_DAY)
            for part in (range(days // 4 + 1), range(days // 4 + 1, days)):
                stage(made, connection, first, part, plans)
        push(made, url)
        print(f"PostgreSQL took {cpu(made)[1]:.0f} CPU seconds in all")
    if args.plans:
        args.plans.write_text("\n".join(plans))
    return 0


if __name__ == "__main__":
    sys.exit(main())
