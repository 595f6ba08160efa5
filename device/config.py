"""Settings of the terminal: frozen dataclasses read from TOML, each field with its unit and range.

An unknown key, a wrong type or a value out of range stops the start with the key, the value and what is allowed.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from device.contract import ClockfaceError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

T = TypeVar("T")
ROOT = Path(__file__).resolve().parent.parent
RELEASES = "releases"  # the folder of an installation that holds its releases (docs/bundle.md)
HOME = ROOT.parent.parent if ROOT.parent.name == RELEASES else ROOT  # what outlives an update: data, the site's own settings
SITE_FILE = "clockface.toml"


class ConfigError(ClockfaceError):
    """A setting that cannot be honoured."""


def ranged(default: T, low: float | None = None, high: float | None = None) -> T:
    """A field with a default and an inclusive range."""
    return field(default=default, metadata={"low": low, "high": high})


def chosen(default: str, *choices: str) -> str:
    """A field with a default out of a few words."""
    return field(default=default, metadata={"choices": choices})


def needed() -> str:
    """A text that must be given."""
    return field(default="", metadata={"needed": True})


def hidden(needed: bool = True) -> str:
    """Where a secret is read from, `file:PATH` or `env:NAME`; the secret itself never stands in the settings."""
    return field(default="", metadata={"secret": True, "needed": needed})


@dataclass(frozen=True)
class CameraSettings:
    width: int = ranged(640, 160, 7680)  # px, asked of a live camera
    height: int = ranged(480, 120, 4320)  # px
    rate: int = ranged(30, 1, 240)  # frames a second
    stall_seconds: float = ranged(5.0, 1.0, 25.0)  # a live camera that gives no new picture for so long is opened again, before WatchdogSec has passed


@dataclass(frozen=True)
class DetectorSettings:
    min_eye_distance: int = ranged(24, 8, 400)  # px between the eyes in the frame: the smallest face to be found
    min_score: float = ranged(0.6, 0.05, 0.99)  # YuNet score
    interval_ms: int = ranged(90, 0, 1000)  # frames nearer than this to the last one searched are shown, not searched
    settled_ms: int = ranged(180, 0, 1000)  # the same while everybody in view is known or unknown


@dataclass(frozen=True)
class TrackerSettings:
    max_lost_seconds: float = ranged(0.7, 0.05, 10.0)  # a face that is not seen for longer comes back as a new track


@dataclass(frozen=True)
class QualitySettings:
    min_eye_distance: float = ranged(20.0, 8.0, 400.0)  # px between the eyes
    min_sharpness: float = ranged(0.065, 0.0, 1.0)  # share of fine detail in the crop's contrast
    min_brightness: float = ranged(45.0, 0.0, 255.0)  # mean grey level of the face
    max_brightness: float = ranged(215.0, 0.0, 255.0)
    min_contrast: float = ranged(12.0, 0.0, 128.0)  # standard deviation of the grey level
    max_yaw: float = ranged(0.35, 0.05, 1.0)  # nose off the middle between the eyes, in eye distances
    max_pitch: float = ranged(0.20, 0.05, 1.0)  # nose off its usual height, in eye-to-mouth distances
    max_roll_degrees: float = ranged(35.0, 1.0, 90.0)
    min_score: float = ranged(0.7, 0.05, 0.99)  # YuNet


@dataclass(frozen=True)
class EmbedderSettings:
    model: str = "sface"  # family or artefact in device/vision/models.toml, or a path to an .onnx file
    sha256: str = ""  # pins a model that is not in the list
    provider: str = chosen("auto", "auto", "tensorrt", "cuda", "cpu")
    threads: int = ranged(0, 0, 64)  # 0: as many as there are cores, at most 4


@dataclass(frozen=True)
class DecisionSettings:
    fpir: float = ranged(0.01, 0.00001, 0.5)  # target false-positive identification rate, per search
    agree: int = ranged(3, 1, 20)  # crops that must name the same person
    window: int = ranged(6, 1, 50)  # latest crops of a track that count
    at_least_templates: int = ranged(100, 1, 50000)  # a smaller gallery takes the threshold for so many
    min_lead: float = ranged(0.05, 0.0, 1.0)  # cosine; best minus best of another person
    clear_miss: float = ranged(0.15, 0.0, 2.0)  # cosine; `agree` crops, all of them so far below the threshold, are nobody enrolled
    interval_ms: int = ranged(90, 0, 5000)  # the best crop of each interval is embedded
    recheck_ms: int = ranged(1000, 0, 60000)  # the same, once a track is known or unknown

    def __post_init__(self) -> None:
        if self.agree > self.window:
            raise ConfigError(f"[decision] agree = {self.agree}: allowed range 1 to window = {self.window}; nobody would ever be recognised")


@dataclass(frozen=True)
class AttendanceSettings:
    refractory_seconds: float = ranged(60.0, 0.0, 86400.0)  # after a punch, and while still in view, the same person is not recorded again
    direction: str = chosen("alternate", "alternate", "in", "out", "schedule", "asked")  # asked: the kiosk's buttons decide
    schedule: str = ""  # for direction = "schedule": "05:00 in, 12:00 break_start, 12:30 break_end, 13:30 out", local time
    ask_seconds: float = ranged(8.0, 2.0, 60.0)  # for direction = "asked": how long the buttons wait
    unanswered: str = chosen("auto", "auto", "none")  # when nobody pressed one: recorded without a direction, or not at all
    alternate_reset_hours: float = ranged(16.0, 1.0, 168.0)  # after a longer pause the next punch is an "in" again

    def __post_init__(self) -> None:
        if self.direction == "schedule" or self.schedule:
            scheduled(self.schedule)


def scheduled(text: str) -> list[tuple[int, str]]:
    """ "05:00 in, 13:30 out" -> [(minute of the day, direction), ...], by time.

    Raises:
        ConfigError: it is not written like this.
    """
    found: dict[int, str] = {}
    for entry in text.split(","):
        time, _, direction = entry.strip().partition(" ")
        hour, _, minute = time.partition(":")
        fits = hour.isdecimal() and minute.isdecimal() and len(minute) == 2 and int(hour) < 24 and int(minute) < 60
        if not fits or direction.strip() not in ("in", "out", "break_start", "break_end"):
            raise ConfigError(f"[attendance] schedule: {entry.strip()!r}: expected a time and in, out, break_start or break_end, such as 05:00 in, 13:30 out")
        if found.setdefault(int(hour) * 60 + int(minute), direction.strip()) != direction.strip():
            raise ConfigError(f"[attendance] schedule: {time} stands there twice")
    return sorted(found.items())


@dataclass(frozen=True)
class StoreSettings:
    path: str = "data/clockface.db"  # relative to the project's root, in an installation to its folder
    busy_timeout_ms: int = ranged(5000, 0, 60000)  # how long to wait for another process that writes
    copy_hours: int = ranged(6, 1, 168)  # how old the copy beside the database may get, from which a damaged one is restored


@dataclass(frozen=True)
class RetentionSettings:
    sightings_days: int = ranged(0, 0, 3650)  # how long the counts of unknown faces are kept; 0: for ever
    crops_days: int = ranged(0, 0, 3650)  # how long enrolment crops are kept; after a change of model who has none is enrolled again; 0: as long as the person
    punches_days: int = ranged(0, 0, 36500)  # how long punches and their corrections are kept; working-time law asks for years; 0: for ever
    erased_punches: str = chosen("keep", "keep", "remove")  # of erased people: kept under a pseudonym, or removed with the next daily look
    inactive_days: int = ranged(0, 0, 3650)  # how long templates of deactivated people are kept after their last punch; 0: until they are erased


@dataclass(frozen=True)
class WebSettings:
    idle_minutes: int = ranged(30, 1, 1440)  # a login at a desk ends after so long without a click...
    longest_hours: int = ranged(12, 1, 168)  # ... and after so long in any case
    kiosk: str = chosen("local", "local", "anywhere")  # who may open the kiosk page with its live picture: this machine, or the network
    language: str = chosen("en", "en", "de")  # of the kiosk page; a file in device/web/messages each
    consent: str = ""  # TOML file with the company's own wording of the consent; see device/web/messages/consent.toml
    picture_rate: int = ranged(10, 1, 30)  # pictures a second on the kiosk page
    hosts: str = ""  # further names of this machine, with commas between: what a browser may have in its address bar
    certificate: str = ""  # PEM file for TLS; without one the terminal makes its own where it is needed
    key: str = ""  # PEM file with the key of that certificate
    plain_http: bool = False  # allow HTTP without TLS beyond this machine, for a proxy that adds it

    def __post_init__(self) -> None:
        if bool(self.certificate) != bool(self.key):
            raise ConfigError("[web] certificate and key: give both or neither")


@dataclass(frozen=True)
class SignalSettings:
    chip: str = "/dev/gpiochip0"  # whose lines these are; `gpioinfo` names what there is
    door: int = ranged(-1, -1, 1023)  # line of the door's relay on that chip; -1: none
    door_ms: int = ranged(3000, 50, 30000)  # how long it is active after an accepted punch
    lamp: int = ranged(-1, -1, 1023)
    lamp_ms: int = ranged(1500, 50, 30000)
    buzzer: int = ranged(-1, -1, 1023)
    buzzer_ms: int = ranged(120, 20, 5000)
    active_low: bool = False  # for relay boards that switch on at 0 V

    def __post_init__(self) -> None:
        wired = [line for line in (self.door, self.lamp, self.buzzer) if line >= 0]
        if len(set(wired)) != len(wired):
            raise ConfigError(f"[signals] door, lamp and buzzer need a line each: {wired}")

    @property
    def lengths(self) -> dict[int, float]:
        """Line -> s that it is active."""
        pairs = ((self.door, self.door_ms), (self.lamp, self.lamp_ms), (self.buzzer, self.buzzer_ms))
        return {line: ms / 1000 for line, ms in pairs if line >= 0}


@dataclass(frozen=True)
class OutboxSettings:
    first_retry_seconds: float = ranged(2.0, 0.05, 60.0)  # doubled after each failure, with jitter
    longest_retry_seconds: float = ranged(3600.0, 1.0, 86400.0)
    attempts: int = ranged(12, 1, 100)  # failures of one event while the target takes others; then it is a dead letter
    poll_seconds: float = ranged(1.0, 0.05, 60.0)  # how often a target whose queue is empty looks for new punches


@dataclass(frozen=True, kw_only=True)
class ConnectorSettings:
    """What every `[connectors.NAME]` table has; each kind adds its own keys in `device/delivery/connectors/`."""

    name: str  # of the table
    kind: str
    timeout_seconds: float = ranged(10.0, 0.1, 120.0)  # for a connection, and for an answer


@dataclass(frozen=True)
class ConnectorTable:
    """A `[connectors.NAME]` table as it stands in the file; `device.delivery.connectors.configured` reads it."""

    name: str
    table: Any


@dataclass(frozen=True)
class Settings:
    camera: CameraSettings = CameraSettings()
    detector: DetectorSettings = DetectorSettings()
    tracker: TrackerSettings = TrackerSettings()
    quality: QualitySettings = QualitySettings()
    embedder: EmbedderSettings = EmbedderSettings()
    decision: DecisionSettings = DecisionSettings()
    attendance: AttendanceSettings = AttendanceSettings()
    store: StoreSettings = StoreSettings()
    retention: RetentionSettings = RetentionSettings()
    web: WebSettings = WebSettings()
    signals: SignalSettings = SignalSettings()
    outbox: OutboxSettings = OutboxSettings()
    connectors: tuple[ConnectorTable, ...] = ()


def database_path(settings: Settings, given: str | None) -> Path:
    """The database named on the command line, or the one of the settings, relative to the project's or the installation's folder."""
    return Path(given) if given else HOME / settings.store.path


def load(path: Path | None, stored: Mapping[str, Mapping[str, Any]] | None = None) -> Settings:
    """Read settings from a TOML file. None: in an installation its clockface.toml, else the release's, else the defaults.

    Args:
        stored: section -> key -> value of what was set on the web pages (`device.storage.settings`). It fills in what the
            file leaves open; a key that stands in both with different values is an error, so nothing is silently ignored.

    Raises:
        ConfigError: the file is missing, is not TOML, or holds a setting that cannot be honoured.
    """
    tables = file_tables(path)
    for section, values in (stored or {}).items():
        if section not in {f.name for f in dataclasses.fields(Settings)}:
            raise ConfigError(f"[{section}] was set on the settings page and is unknown; `python -m device settings unset {section}.{next(iter(values))}`")
        given = tables.setdefault(section, {})
        for key, value in values.items():
            if given.setdefault(key, value) != value:
                both = f"[{section}] {key} is {given[key]!r} in the configuration file and {value!r} on the settings page"
                raise ConfigError(f"{both}; take it out of the file, or `python -m device settings unset {section}.{key}`")
    targets = tuple(ConnectorTable(name, table) for name, table in tables.pop("connectors", {}).items())
    return Settings(connectors=targets, **{name: read_section(type(getattr(Settings(), name)), name, table) for name, table in tables.items()})


def file_tables(path: Path | None) -> dict[str, dict[str, Any]]:
    """The tables of the file as they stand there; for None see `load`."""
    if path is None:
        path = installed_file(HOME, ROOT)
    if path is None:
        return {}
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"configuration {path} does not exist; give an existing file to --config") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"configuration {path} cannot be read: {error}") from error
    sections = {f.name: f for f in dataclasses.fields(Settings)}
    known = ", ".join(sections)
    for name, table in tables.items():
        if name not in sections or not isinstance(table, dict):
            raise ConfigError(f"configuration {path}: unknown section [{name}]; known: {known}")
    return tables


def installed_file(home: Path, release: Path) -> Path | None:
    """The configuration in force in an installation: the site's own before the one that came with the release; a checkout has none."""
    places = [home / SITE_FILE, release / SITE_FILE] if home != release else []
    return next((place for place in places if place.exists()), None)


def read_section(form: type[T], section: str, table: Mapping[str, Any], **given: Any) -> T:
    """One table of the file as frozen settings; `given` are fields that are no keys of the table."""
    fields = {f.name: f for f in dataclasses.fields(form) if f.name not in given}  # type: ignore[arg-type]
    for key, value in table.items():
        if key not in fields:
            raise ConfigError(f"[{section}] {key}: unknown setting; known: {', '.join(fields)}")
        _check(f"[{section}] {key}", value, fields[key])
    for key, spec in fields.items():
        if spec.metadata.get("needed") and not table.get(key):
            raise ConfigError(f"[{section}] {key} is missing; docs/connectors.md says what it is")
    return form(**given, **{key: tuple(value) if isinstance(value, list) else value for key, value in table.items()})


def _check(name: str, value: Any, spec: dataclasses.Field[Any]) -> None:
    if spec.metadata.get("secret") and value != "" and not (isinstance(value, str) and value.startswith(("file:", "env:"))):
        raise ConfigError(f"{name}: expected file:PATH or env:NAME; a secret does not stand in the configuration")
    if isinstance(spec.default, tuple):
        if not (isinstance(value, list) and all(isinstance(item, str) and item for item in value)):
            raise ConfigError(f"{name} = {value!r}: expected a list of texts")
        return
    kind = type(spec.default)
    fits = type(value) is kind or (kind is float and type(value) is int)
    if not fits:
        raise ConfigError(f"{name} = {value!r}: expected {kind.__name__}, got {type(value).__name__}")
    choices = spec.metadata.get("choices")
    if choices and value not in choices:
        raise ConfigError(f"{name} = {value!r}: expected one of {', '.join(choices)}")
    low, high = spec.metadata.get("low"), spec.metadata.get("high")
    if (low is not None and value < low) or (high is not None and value > high) or value != value:
        raise ConfigError(f"{name} = {value!r}: allowed range {low} to {high}")
