"""A real PostgreSQL in a temporary folder, on a Unix socket and on loopback, for the tests of the fleet."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

VERSIONS = ("17", "16", "15")
ACCOUNT = "postgres"  # the server refuses to run as root


def programs() -> Path | None:
    """The folder of initdb and pg_ctl of Debian's PostgreSQL, the newest that is installed; None without one."""
    places = [Path(f"/usr/lib/postgresql/{version}/bin") for version in VERSIONS]
    return next((place for place in places if (place / "initdb").is_file()), None)


@dataclass(frozen=True)
class Cluster:
    folder: Path
    port: int
    bin: Path

    def url(self, role: str = "owner", database: str = "clockface", password: str = "owner") -> str:
        """Over TCP with a password, as a terminal comes."""
        return f"postgresql://{role}:{password}@127.0.0.1:{self.port}/{database}?sslmode=disable"

    def start(self) -> None:
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c max_connections=200"
        self.run("pg_ctl", "-D", self.folder / "data", "-o", options, "-l", self.folder / "log", "-w", "start")

    def stop(self, mode: str = "immediate") -> None:
        self.run("pg_ctl", "-D", self.folder / "data", "-m", mode, "-w", "stop")

    def psql(self, text: str, role: str = "owner", database: str = "postgres") -> str:
        return self.run("psql", "-h", self.folder, "-p", str(self.port), "-U", role, "-d", database, "-v", "ON_ERROR_STOP=1", "-qtAc", text)

    def database(self, name: str) -> str:
        """The address of a new, empty database that `owner` owns."""
        self.psql(f"CREATE DATABASE {name}")
        return self.url(database=name)

    def run(self, program: str, *words: str | Path) -> str:
        command: Sequence[str] = [str(self.bin / program), *map(str, words)]
        if os.geteuid() == 0:
            command = ["setpriv", f"--reuid={ACCOUNT}", f"--regid={ACCOUNT}", "--clear-groups", *command]
        done = subprocess.run(command, capture_output=True, text=True, cwd="/", stdin=subprocess.DEVNULL, timeout=120)
        assert done.returncode == 0, f"{program}: {done.stderr or done.stdout}"
        return done.stdout.strip()


@contextmanager
def cluster(safe: bool = False) -> Iterator[Cluster]:
    """A running cluster with a role `owner` that may create roles, and no database yet.

    Args:
        safe: with fsync, for tests that kill the server.
    """
    place = programs()
    assert place is not None
    folder = Path(tempfile.mkdtemp(prefix="clockface-pg-", dir="/tmp"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, ACCOUNT, ACCOUNT)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            made = Cluster(folder, free.getsockname()[1], place)
        made.run("initdb", "-D", folder / "data", "-U", ACCOUNT, "-A", "trust", "--no-instructions", "-E", "UTF8", *([] if safe else ["-N"]))
        (folder / "data" / "pg_hba.conf").write_text("local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
        if not safe:
            with (folder / "data" / "postgresql.conf").open("a") as settings:
                settings.write("fsync = off\nsynchronous_commit = off\nfull_page_writes = off\n")
        made.start()
        try:
            made.psql("CREATE ROLE owner LOGIN CREATEROLE CREATEDB PASSWORD 'owner'; GRANT pg_signal_backend TO owner", ACCOUNT)
            yield made
        finally:
            made.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
