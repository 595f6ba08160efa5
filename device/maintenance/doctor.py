"""Checks of this machine: what it has, what is wrong and what to do, one finding per check; nothing is changed."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from device.config import Settings
from device.config.places import HOME, ROOT
from device.contract import ClockfaceError, ModelCard, phrase
from device.maintenance.camera_check import check_camera
from device.maintenance.certificate_check import check_certificate
from device.maintenance.database_check import Finding, check_database, read_only
from device.maintenance.fleet_check import check_fleet
from device.maintenance.font_check import check_fonts
from device.maintenance.liveness_check import check_liveness
from device.maintenance.machine_check import check_network
from device.maintenance.people_check import check_keys, check_logins, check_templates
from device.maintenance.update.manifest import MANIFEST, Manifest
from device.maintenance.updates_check import check_updates
from device.maintenance.zone_check import check_zone
from device.storage import outbox_rows
from device.storage.database import explained
from device.storage.outbox_rows import TargetHealth
from device.storage.schema import SCHEMA_VERSION
from device.storage.standing import MORE_ROOM, room_words
from device.system.clock import ClockState, iso_utc, read_clock_state
from device.vision.catalogue import Catalogue, ModelFile, sha256

LITTLE_DISK, NO_DISK = 1_000, 100  # MB free; a year of punches of 50 people takes 30 MB
STUCK_SECONDS = 3600  # an event that waits for longer is reported
EARLIEST = 1_767_225_600  # 2026-01-01: no terminal ran before this date


Check = Callable[[], Finding]


def examine(settings: Settings, database: Path, source: str | None, skip: Collection[str] = ()) -> Iterable[Finding]:
    """Run all checks in order; each finding is given as soon as it is there.

    Args:
        settings: those the terminal would run with.
        database: the file the terminal would write.
        source: the camera to be tried; None: the one `run` would take.
        skip: checks that are left out.

    Raises:
        ClockfaceError: `skip` names a check that does not exist.
    """
    embedder_checks = EmbedderChecks(settings, lambda: load_embedder(settings), lambda: count_people(database))
    checks: dict[str, Check] = {
        "camera": lambda: check_camera(source, settings.camera, settings.detector, settings.quality),
        "models": lambda: check_models(Catalogue.load(), settings.embedder.model, settings.liveness.model),
        "artefact": embedder_checks.check_artefact,
        "card": embedder_checks.check_card,
        "provider": embedder_checks.check_provider,
        "liveness": lambda: check_liveness(settings.liveness),
        "clock": lambda: check_clock(read_clock_state(), time.time()),
        "zone": lambda: check_zone(database, time.time()),
        "network": check_network,
        "disk": lambda: check_disk(database),
        "database": lambda: check_database(database),
        "keys": lambda: check_keys(database),
        "templates": lambda: check_templates(database, embedder_checks.card),
        "logins": lambda: check_logins(database),
        "fleet": lambda: check_fleet(database, settings.retention.punches_days),
        "certificate": lambda: check_certificate(settings, database, time.time()),
        "fonts": lambda: check_fonts(settings.web.offered),
        "updates": check_updates,
        "outbox": lambda: check_outbox(settings, database, time.time()),
    }
    if HOME != ROOT:
        checks["release"] = lambda: check_release(ROOT)
    if unknown := set(skip) - set(checks):
        raise ClockfaceError(f"--skip {min(unknown)}: no such check; the checks are {', '.join(checks)}")
    for name, check in checks.items():
        if name not in skip:
            yield guarded(name, check)


def guarded(name: str, check: Check) -> Finding:
    """The finding of a check; an error that it raises becomes a fault."""
    try:
        return check()
    except (ClockfaceError, OSError, ImportError) as error:
        return Finding(name, "FAULT", " ".join(str(error).split()))


def check_models(catalogue: Catalogue, *named: str) -> Finding:
    """Compare every file that the terminal may load with its sha256; of the embedders and liveness models only those that the settings name must be here."""
    loaded = (entry for entry in catalogue.entries.values() if entry.kind != "source")
    entries = [entry for entry in loaded if _present(catalogue, entry) or {entry.name, entry.family} & set(named)]
    faults = [fault for entry in entries if (fault := catalogue.fault(entry))]
    if faults:
        return Finding("models", "FAULT", "; ".join(faults))
    return Finding("models", "ok", f"{', '.join(entry.name for entry in entries)}: verified")


def _present(catalogue: Catalogue, entry: ModelFile) -> bool:
    return not entry.sources or entry.kind not in ("embedder", "liveness") or catalogue.place(entry).exists()


def load_embedder(settings: Settings) -> Any:
    from device.vision.precision import open_embedder  # here, so that a board whose onnxruntime does not load gets its report

    return open_embedder(settings, remember=False)


class EmbedderChecks:
    """The checks of artefact, card and provider; they load the model once."""

    def __init__(self, settings: Settings, load: Callable[[], Any], people: Callable[[], int]) -> None:
        self._settings = settings
        self._load = load
        self._people = people
        self._opened: Any = None

    def _loaded(self) -> Any:
        self._opened = self._opened or self._load()
        return self._opened

    def card(self) -> ModelCard:
        """Of the model that the settings name."""
        card: ModelCard = self._loaded().embedder.card
        return card

    def check_artefact(self) -> Finding:
        """Which artefact of the model family runs on this board, with the measurement behind the choice."""
        return Finding("artefact", "ok", self._loaded().words)

    def check_card(self) -> Finding:
        """Whether the card has a threshold for the people in the gallery, and room for more."""
        card, fpir, people = self._loaded().embedder.card, self._settings.decision.fpir, self._people()
        capacity = card.capacity(fpir)
        point = card.operating_point(max(self._settings.decision.at_least_templates, min(people, capacity)), fpir)
        words = f"{card.name} {card.embedding_size}-D {card.precision} {card.model_id[:12]}, threshold {point.threshold:.3f}"
        words = f"{words} for up to {point.gallery_size} people at FPIR {point.fpir:g} ({point.method})"
        if full := room_words(people, capacity, card.name):
            return Finding("card", "FAULT" if people > capacity else "warning", f"{words}; {full}: {MORE_ROOM}")
        return Finding("card", "ok", words)

    def check_provider(self) -> Finding:
        """Which provider the embedder runs on, and why not a faster one."""
        embedder = self._loaded().embedder
        report = embedder.provider_report
        passed_over = report if isinstance(report, str) else "; ".join(map(str, report))
        return Finding("provider", "ok", f"{embedder.provider}{f' ({passed_over})' if passed_over else ''}")


def check_clock(state: ClockState, now: float) -> Finding:
    """Whether the times in the log can be trusted."""
    if now < EARLIEST:
        return Finding("clock", "FAULT", f"it says {iso_utc(now)}: connect the network or set the time (`sudo date -s ...`)", "clock_wrong")
    if not state.synchronised:
        words = f"{iso_utc(now)}, not synchronised: each punch says so; connect the network, `timedatectl` shows more"
        return Finding("clock", "warning", words, "clock_unset")
    return Finding("clock", "ok", f"{iso_utc(now)}, synchronised", "clock")


def check_disk(database: Path) -> Finding:
    """Whether the folder of the database has free space and can be written."""
    folder = next(parent for parent in database.resolve().parents if parent.is_dir())
    free = shutil.disk_usage(folder).free // 1_000_000
    read_only = os.statvfs(folder).f_flag & os.ST_RDONLY or not os.access(folder, os.W_OK)
    if read_only:
        english = "{folder} cannot be written: mount it writable or give it to this user"
        return Finding("disk", "FAULT", phrase("disk.read_only", english, folder=str(folder)), "disk_read_only")
    values = {"free": f"{free / 1000:.1f}"}
    if free < LITTLE_DISK:
        words = phrase("disk.little", "{free} MB free at {folder}: free some space", free=free, folder=str(folder))
        return Finding("disk", "FAULT" if free < NO_DISK else "warning", words, "disk_full", values)
    return Finding("disk", "ok", f"{free} MB free at {folder}", "disk", values)


def check_release(release: Path) -> Finding:
    """Compare every file of this release with its signed manifest: a worn card is noticed here first."""
    manifest = Manifest.from_bytes((release / MANIFEST).read_bytes())
    files = [file for file in manifest.files if not file.path.startswith("wheels/")]  # these became the environment
    wrong = [file.path for file in files if not (release / file.path).is_file() or sha256(release / file.path) != file.sha256]
    if wrong:
        return Finding("release", "FAULT", f"{manifest.release_id}: {len(wrong)} files are missing or changed ({wrong[0]}): install the bundle again")
    return Finding("release", "ok", f"{manifest.release_id} for {manifest.target}, {len(files)} files as signed")


def check_outbox(settings: Settings, database: Path, now: float) -> Finding:
    """Whether punches reach the company's systems: secrets are available, nothing is stuck, nothing was given up."""
    from device.delivery.connectors import build, configured

    for target in configured(settings):
        build(target)
    names = {target.name for target in settings.connectors}
    targets = _targets(database)
    problems = [problem for target in targets if (problem := problem_of(target, names, now))]
    if problems:
        return Finding("outbox", "warning", "; ".join(problems) + ": `python -m device outbox` shows more")
    return Finding("outbox", "ok", f"{', '.join(sorted(names))}: nothing stuck" if names else "no connector is configured (docs/connectors.md)")


def _targets(database: Path) -> list[TargetHealth]:
    if not database.exists():
        return []
    with explained(database), closing(read_only(database)) as connection:
        if connection.execute("PRAGMA user_version").fetchone()[0] != SCHEMA_VERSION:
            return []
        return outbox_rows.health(Database(connection, execute_plugins=False))


def problem_of(target: TargetHealth, configured: set[str], now: float) -> str:
    """What is wrong with a target; empty if nothing is."""
    if target.connector not in configured:
        left = target.waiting + target.dead
        remedy = f"`outbox move {target.connector} NEW` gives them to the target's new name, `outbox discard {target.connector} --all` gives them up"
        return f"{left} events wait for {target.connector}, which is not configured: {remedy}" if left else ""
    problems = []
    if target.oldest_waiting_at is not None and now - target.oldest_waiting_at > STUCK_SECONDS:
        error = f" ({target.error})" if target.error else ""
        problems.append(f"{target.waiting} events wait for {target.connector}, the oldest since {iso_utc(target.oldest_waiting_at)}{error}")
    if target.dead:
        problems.append(f"{target.dead} dead letters of {target.connector}")
    if target.error and not target.failures:
        problems.append(f"{target.connector}: {target.error}")
    return "; ".join(problems)


def count_people(database: Path) -> int:
    """Number of active people with templates; 0 if the database is missing or cannot be read, which its own check reports."""
    try:
        with closing(read_only(database)) as connection:
            return int(connection.execute("SELECT count(DISTINCT person_id) FROM templates JOIN people ON people.id = person_id WHERE active").fetchone()[0])
    except sqlite3.Error:
        return 0
