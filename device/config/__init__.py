"""Settings of the terminal: one frozen dataclass per section, each field with its unit, range and help."""

from __future__ import annotations

import dataclasses
import ipaddress
from dataclasses import dataclass
from typing import Any

from device.config.fields import ConfigError, chosen, ranged, switched, written

LANGUAGES = ("en", "de", "es", "fr", "tr", "ar", "zh")  # of the kiosk: one folder each in device/web/messages
DESK_LANGUAGES = ("en", "de")


@dataclass(frozen=True)
class CameraSettings:
    width: int = ranged(640, 160, 7680, "px", "Width of the picture, asked of a live camera")
    height: int = ranged(480, 120, 4320, "px", "Height of the picture, asked of a live camera")
    rate: int = ranged(30, 1, 240, "frames/s", "Frame rate, asked of a live camera")
    stall_seconds: float = ranged(5.0, 1.0, 25.0, "s", "A live camera that gives no new picture for this long is opened again, before the watchdog acts")
    rotate: int = ranged(0, 0, 270, "degrees", "The picture of every source is turned clockwise by 0, 90, 180 or 270 degrees, for a camera that hangs turned")
    mirror: bool = switched(False, "The picture of every source is mirrored left to right, after it was turned")

    def __post_init__(self) -> None:
        if self.rotate % 90:
            raise ConfigError(f"[camera] rotate = {self.rotate}: expected one of 0, 90, 180, 270", code="config.choice")


@dataclass(frozen=True)
class DetectorSettings:
    min_eye_distance: int = ranged(24, 8, 400, "px", "Smallest face that is searched for: distance between its eyes in the frame")
    min_score: float = ranged(0.6, 0.05, 0.99, "score", "Lowest score of the face detector (YuNet) that counts as a face")
    interval_ms: int = ranged(90, 0, 1000, "ms", "A frame that comes sooner than this after the last one searched is shown, but not searched for faces")
    settled_ms: int = ranged(180, 0, 1000, "ms", "The same interval while everybody in view is decided, as known or as unknown")


@dataclass(frozen=True)
class TrackerSettings:
    max_lost_seconds: float = ranged(0.7, 0.05, 10.0, "s", "A face that is not seen for longer than this comes back as a new track")


@dataclass(frozen=True)
class QualitySettings:
    min_eye_distance: float = ranged(20.0, 8.0, 400.0, "px", "Smallest distance between the eyes of a face that is used")
    min_sharpness: float = ranged(0.065, 0.0, 1.0, "share", "Smallest share of fine detail in the contrast of the face crop")
    min_brightness: float = ranged(45.0, 0.0, 255.0, "grey levels", "Lowest mean brightness of the face")
    max_brightness: float = ranged(215.0, 0.0, 255.0, "grey levels", "Highest mean brightness of the face")
    min_contrast: float = ranged(12.0, 0.0, 128.0, "grey levels", "Smallest contrast of the face: standard deviation of its brightness")
    max_yaw: float = ranged(0.35, 0.05, 1.0, "eye distances", "Largest turn to the side: how far the nose is off the middle between the eyes")
    max_pitch: float = ranged(0.20, 0.05, 1.0, "eye-to-mouth distances", "Largest tilt up or down: how far the nose is off its usual height")
    max_roll_degrees: float = ranged(35.0, 1.0, 90.0, "degrees", "Largest lean of the head towards a shoulder")
    min_score: float = ranged(0.7, 0.05, 0.99, "score", "Lowest score of the face detector (YuNet) at which a face is used")


@dataclass(frozen=True)
class EmbedderSettings:
    model: str = written(
        "clockface-mobile-int8", "name or path", "Embedding model: a family or file listed in device/vision/models.toml, or the path of an .onnx file"
    )
    sha256: str = written("", "SHA-256", "Checksum that pins a model file which is not in the list")
    provider: str = chosen("auto", "auto", "tensorrt", "cuda", "cpu", help="What computes the embeddings; auto takes the fastest that is there")
    threads: int = ranged(0, 0, 64, "threads", "Processor threads for the embeddings; 0 takes as many as there are cores, at most 4")
    change: str = chosen(
        "made",
        "made",
        "everybody",
        help="When another model takes over: once templates are made for all whose pictures are kept, or once everybody has some, enrolled again if needed",
    )


@dataclass(frozen=True)
class LivenessSettings:
    mode: str = chosen(
        "enforce",
        "enforce",
        "observe",
        "off",
        help="Enforce records nobody whose face may be a picture, observe writes its score beside each punch, off judges nothing",
    )
    model: str = written("liveness", "name or path", "Liveness model: a name listed in device/vision/models.toml, or the path of an .onnx file")
    sha256: str = written("", "SHA-256", "Checksum that pins a model file which is not in the list")
    challenge: str = chosen(
        "none", "none", "turn", help="With turn and mode = enforce, everybody turns the head to one side, chosen at random, before a punch is recorded"
    )
    challenge_seconds: float = ranged(6.0, 2.0, 30.0, "s", "How long the turn of the head is waited for")

    def __post_init__(self) -> None:
        if self.challenge != "none" and self.mode != "enforce":
            raise ConfigError(
                f'[liveness] challenge = "{self.challenge}" needs mode = "enforce", which is "{self.mode}"; set both, or challenge = "none"',
                code="config.together",
            )


@dataclass(frozen=True)
class DecisionSettings:
    fpir: float = ranged(0.001, 0.00001, 0.5, "share", "Target false-positive identification rate: share of strangers' visits that may be recorded as somebody")
    agree: int = ranged(2, 1, 20, "pictures", "Fewest pictures of a visit that somebody is recognised by")
    window: int = ranged(6, 1, 50, "pictures", "A visit of so many pictures whose mean is below the threshold is unknown")
    at_least_templates: int = ranged(200, 1, 50000, "people", "A gallery smaller than this takes the threshold for this many people")
    min_lead: float = ranged(0.05, 0.0, 1.0, "cosine", "Smallest lead of the best person's score over that of anybody else; look-alikes need twice as much")
    clear_miss: float = ranged(0.15, 0.0, 2.0, "cosine", "As many pictures as agree asks for whose mean is this far below the threshold are enough for unknown")
    interval_ms: int = ranged(90, 0, 5000, "ms", "The best crop of each interval of this length is added to the visit")
    recheck_ms: int = ranged(1000, 0, 60000, "ms", "The same interval once somebody is known or unknown")

    def __post_init__(self) -> None:
        if self.agree > self.window:
            raise ConfigError(
                f"[decision] agree = {self.agree}: allowed range 1 to window = {self.window}; nobody would ever be recognised", code="config.range"
            )


@dataclass(frozen=True)
class AttendanceSettings:
    refractory_seconds: float = ranged(60.0, 0.0, 86400.0, "s", "After a punch, and while still in view, a person is not recorded again for this long")
    direction: str = chosen(
        "alternate", "alternate", "in", "out", "schedule", "asked", help="How a punch gets its direction: by turns, fixed, by the time of day, or by a button"
    )
    schedule: str = written("", "times of day", "Local times for direction = schedule, such as 05:00 in, 12:00 break_start, 12:30 break_end, 13:30 out")
    ask_seconds: float = ranged(8.0, 2.0, 60.0, "s", "How long the kiosk's buttons wait for direction = asked")
    unanswered: str = chosen("auto", "auto", "none", help="When nobody pressed a button: auto records the punch without a direction, none does not record it")
    alternate_reset_hours: float = ranged(16.0, 1.0, 168.0, "hours", "After a pause longer than this the next punch is an in again")

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
            raise ConfigError(
                f"[attendance] schedule: {entry.strip()!r}: expected a time and in, out, break_start or break_end, such as 05:00 in, 13:30 out",
                code="config.schedule",
            )
        if found.setdefault(int(hour) * 60 + int(minute), direction.strip()) != direction.strip():
            raise ConfigError(f"[attendance] schedule: {time} stands there twice", code="config.schedule")
    return sorted(found.items())


@dataclass(frozen=True)
class StoreSettings:
    path: str = written("data/clockface.db", "path", "Database file; a relative path starts at the project's root, in an installation at its folder")
    busy_timeout_ms: int = ranged(5000, 0, 60000, "ms", "How long to wait for another process that writes to the database")
    copy_hours: int = ranged(6, 1, 168, "hours", "Oldest age of the copy beside the database, from which a damaged database is restored")
    reset_file: bool = switched(True, "Whether a file clockface-reset.txt erases everything at a start; on a stick it needs the code that the desk gave out")


@dataclass(frozen=True)
class ExportSettings:
    csv_separator: str = chosen(
        "auto",
        "auto",
        "comma",
        "semicolon",
        "tab",
        help="What stands between the columns of a CSV export; auto goes by the language of the pages. With semicolon, a comma separates decimals",
    )
    csv_mark: bool = switched(True, "A CSV export begins with the mark by which Excel knows UTF-8; without it, names with accents look wrong there")


@dataclass(frozen=True)
class RetentionSettings:
    sightings_days: int = ranged(0, 0, 3650, "days", "How long the counts of unknown faces and of refused attempts are kept; 0 keeps them for ever")
    crops_days: int = ranged(
        0, 0, 3650, "days", "How long the pictures of an enrolment are kept; without them a new model needs a new enrolment; 0 keeps them as long as the person"
    )
    punches_days: int = ranged(0, 0, 36500, "days", "How long punches and corrections are kept; working-time law asks for years; 0 keeps them for ever")
    erased_punches: str = chosen("keep", "keep", "remove", help="Punches of erased people: kept under a pseudonym, or removed at the next daily clean-up")
    inactive_days: int = ranged(0, 0, 3650, "days", "How long templates of inactive people are kept after their last punch; 0 keeps them until erasure")


@dataclass(frozen=True)
class WebSettings:
    idle_minutes: int = ranged(30, 1, 1440, "minutes", "A login at a desk ends after this long without a click")
    longest_hours: int = ranged(12, 1, 168, "hours", "A login at a desk ends after this long in any case")
    kiosk: str = chosen("local", "local", "anywhere", help="Who may open the kiosk page with its live picture: this machine only, or the whole network")
    language: str = chosen("en", *LANGUAGES, help="Language of the kiosk page before anybody chooses another, and of what it stores in words")
    languages: str = written("en, de", "languages", "Languages that the kiosk offers by a button beside that one, separated by commas; empty for none")
    consent: str = written("", "path", "TOML file with the company's own wording of the consent, in the form of device/web/messages/consent.toml")
    picture_rate: int = ranged(10, 1, 30, "pictures/s", "Rate of the live picture on the kiosk page")
    hosts: str = written("", "host names", "Further names of this machine that may stand in a browser's address bar, separated by commas")
    password_words: str = written("", "words", "Words that no password may have in it, such as the company's name and its products, separated by commas")
    certificate: str = written("", "path", "PEM file with the TLS certificate; without one the terminal makes its own where it is needed")
    key: str = written("", "path", "PEM file with the key of that certificate")
    plain_http: bool = switched(False, "Allow HTTP without TLS beyond this machine, for a proxy that adds TLS")
    trusted_proxies: str = written("", "addresses", "Addresses or networks of proxies that are believed whose request they pass on, separated by commas")

    def __post_init__(self) -> None:
        for part in filter(None, (part.strip() for part in self.trusted_proxies.split(","))):
            try:
                ipaddress.ip_network(part)
            except ValueError as error:
                raise ConfigError(f"[web] trusted_proxies: {part!r} is no address or network, such as 10.1.0.0/24", code="config.address") from error
        if unknown := [name for name in self.offered if name not in LANGUAGES]:
            raise ConfigError(f"[web] languages: {unknown[0]!r} is none of {', '.join(LANGUAGES)}", code="config.choice")
        if bool(self.certificate) != bool(self.key):
            raise ConfigError("[web] certificate and key: give both or neither", code="config.together")

    @property
    def offered(self) -> tuple[str, ...]:
        """The languages of the kiosk, the first one first, each once."""
        named = (part.strip() for part in self.languages.split(","))
        return tuple(dict.fromkeys((self.language, *filter(None, named))))


@dataclass(frozen=True)
class SignalSettings:
    chip: str = written("/dev/gpiochip0", "path", "GPIO chip whose lines are used; the command gpioinfo lists what there is")
    door: int = ranged(-1, -1, 1023, "line number", "Line of the door's relay on that chip; -1 for none")
    door_ms: int = ranged(3000, 50, 30000, "ms", "How long the door's relay is active after an accepted punch")
    lamp: int = ranged(-1, -1, 1023, "line number", "Line of the lamp on that chip; -1 for none")
    lamp_ms: int = ranged(1500, 50, 30000, "ms", "How long the lamp is lit after an accepted punch")
    buzzer: int = ranged(-1, -1, 1023, "line number", "Line of the buzzer on that chip; -1 for none")
    buzzer_ms: int = ranged(120, 20, 5000, "ms", "How long the buzzer sounds after an accepted punch")
    refused_ms: int = ranged(0, 0, 5000, "ms", "How long lamp and buzzer are active after a refused attempt ([liveness]), the door never; 0 for no signal")
    active_low: bool = switched(False, "For relay boards that switch on at 0 V")
    reset: int = ranged(-1, -1, 1023, "line number", "Line of a button to ground; held for 15 s while the terminal starts, it erases everything; -1 for none")

    def __post_init__(self) -> None:
        if len(set(wired := [line for line in (self.door, self.lamp, self.buzzer, self.reset) if line >= 0])) != len(wired):
            raise ConfigError(f"[signals] door, lamp, buzzer and reset need a line each: {wired}", code="config.clash")

    @property
    def lengths(self) -> dict[int, float]:
        """Line -> s that it is active after an accepted punch."""
        return {line: ms / 1000 for line, ms in ((self.door, self.door_ms), (self.lamp, self.lamp_ms), (self.buzzer, self.buzzer_ms)) if line >= 0}

    @property
    def refused_lengths(self) -> dict[int, float]:
        """Line -> s that it is active after a refused attempt."""
        return {line: self.refused_ms / 1000 for line in (self.lamp, self.buzzer) if line >= 0 and self.refused_ms}


@dataclass(frozen=True)
class OutboxSettings:
    first_retry_seconds: float = ranged(2.0, 0.05, 60.0, "s", "Wait before the first retry of a delivery; it doubles with each failure and varies at random")
    longest_retry_seconds: float = ranged(3600.0, 1.0, 86400.0, "s", "Longest wait between two retries")
    attempts: int = ranged(12, 1, 100, "failures", "Failures of one event, while the target takes others, after which it is a dead letter")
    poll_seconds: float = ranged(1.0, 0.05, 60.0, "s", "How often a target whose queue is empty looks for new punches")


@dataclass(frozen=True, kw_only=True)
class ConnectorSettings:
    """What every `[connectors.NAME]` table has; each kind adds its own keys in `device/delivery/connectors/`."""

    name: str  # of the table
    kind: str  # a key of `device.delivery.connectors.KINDS`
    timeout_seconds: float = ranged(10.0, 0.1, 120.0, "s", "Longest wait for a connection, and for an answer")


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
    liveness: LivenessSettings = LivenessSettings()
    decision: DecisionSettings = DecisionSettings()
    attendance: AttendanceSettings = AttendanceSettings()
    store: StoreSettings = StoreSettings()
    retention: RetentionSettings = RetentionSettings()
    export: ExportSettings = ExportSettings()
    web: WebSettings = WebSettings()
    signals: SignalSettings = SignalSettings()
    outbox: OutboxSettings = OutboxSettings()
    connectors: tuple[ConnectorTable, ...] = ()


def without_liveness(settings: Settings) -> Settings:
    """The same for what shows photos or judges nobody."""
    return dataclasses.replace(settings, liveness=LivenessSettings(mode="off"))
