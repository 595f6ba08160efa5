"""The manifest of a bundle: schema, version, target and the sha256 of every file; the part that is signed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from device.contract import ClockfaceError

BUNDLE_SCHEMA = 1
FORMAT = "clockface-bundle"
MANIFEST, SIGNATURES = "manifest.json", "signatures.json"  # the first two members, and their names in the release
TARGETS = {"rpi": "aarch64", "jetson": "aarch64", "x86": "x86_64", "any": ""}  # name -> machine; any: no wheels, any machine
LARGEST_RELEASE = 2 << 30  # bytes, all files together
MOST_FILES = 10_000
LONGEST_PATH = 150  # with parts of at most 100: what a tar header can hold

_PART = "[A-Za-z0-9_+][A-Za-z0-9_.+-]{0,99}"  # starts with no dot, so it is neither .. nor hidden
_PATH = re.compile(f"{_PART}(/{_PART})*")
_VERSION = re.compile(r"[0-9]+(\.[0-9]+){1,3}[a-z0-9]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class BundleError(ClockfaceError):
    """A bundle cannot be trusted, read or used here; nothing of it was unpacked."""

    code = "update"


@dataclass(frozen=True)
class BundledFile:
    """One file of the release."""

    path: str  # relative, parts separated by /
    size: int  # bytes
    sha256: str
    executable: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.path, str) or not _PATH.fullmatch(self.path) or len(self.path) > LONGEST_PATH:
            raise BundleError(
                f"bundle: path {self.path!a:.120} may leave the release or cannot be stored; build the bundle with `python -m export bundle`",
                code="update.path",
            )
        if type(self.size) is not int or not 0 <= self.size <= LARGEST_RELEASE:
            raise BundleError(f"bundle: {self.path}: size {self.size!a:.40} expected 0 to {LARGEST_RELEASE}", code="update.manifest")
        if not isinstance(self.sha256, str) or not _SHA256.fullmatch(self.sha256) or type(self.executable) is not bool:
            raise BundleError(f"bundle: {self.path}: sha256 or mode is not valid", code="update.manifest")


@dataclass(frozen=True)
class Manifest:
    """The manifest of a bundle."""

    version: str  # of the program, such as 0.2.0
    built: int  # s since the epoch: of the commit, so that the same commit gives the same bytes
    commit: str
    target: str  # one of TARGETS
    python: tuple[str, ...]  # versions there are wheels for, such as 3.11; empty: no wheels
    database_schema: int  # what the program's store needs
    files: tuple[BundledFile, ...]  # by path, in the order of the archive
    schema: int = BUNDLE_SCHEMA
    format: str = FORMAT

    def __post_init__(self) -> None:
        texts, numbers = (self.version, self.commit, self.target, *self.python), (self.built, self.database_schema, self.schema)
        if not all(isinstance(text, str) for text in texts) or any(type(number) is not int or number < 0 for number in numbers):
            raise BundleError("bundle: the manifest has a field of a wrong type", code="update.manifest")
        if not _VERSION.fullmatch(self.version) or self.target not in TARGETS:
            raise BundleError(
                f"bundle: version {self.version!a:.40} or target {self.target!a:.40} is not known; targets: {', '.join(TARGETS)}", code="update.manifest"
            )
        paths = [file.path for file in self.files]
        if paths != sorted(set(paths)) or len({path.lower() for path in paths}) != len(paths) or not 0 < len(paths) <= MOST_FILES:
            raise BundleError(f"bundle: expected 1 to {MOST_FILES} files in order, each once", code="update.files")
        folders = {path[:end] for path in paths for end in range(len(path)) if path[end] == "/"}
        if clash := folders & set(paths):
            raise BundleError(f"bundle: {min(clash)} is a file and a folder", code="update.files")
        if (total := sum(file.size for file in self.files)) > LARGEST_RELEASE:
            raise BundleError(f"bundle: {total} bytes in all, at most {LARGEST_RELEASE} are allowed", code="update.files")

    @property
    def release_id(self) -> str:
        """Folder name of the release: version and the first digits of the manifest's sha256."""
        return f"{self.version}-{hashlib.sha256(self.to_bytes()).hexdigest()[:12]}"

    def to_bytes(self) -> bytes:
        """The canonical form, which is signed: sorted keys, no spaces, ASCII."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, separators=(",", ":")).encode("ascii")

    @classmethod
    def from_bytes(cls, data: bytes) -> Manifest:
        """Read a manifest.

        Raises:
            BundleError: another schema, an unknown or missing field, or not the canonical form.
        """
        try:
            fields: dict[str, Any] = json.loads(data)
            kind, schema = fields["format"], fields["schema"]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise BundleError("bundle: the manifest cannot be read; build the bundle again with `python -m export bundle`", code="update.manifest") from error
        if kind != FORMAT or schema != BUNDLE_SCHEMA:
            older = isinstance(schema, int) and schema < BUNDLE_SCHEMA
            remedy = "build it again with this version of Clockface" if older else "update the device to an intermediate version first"
            raise BundleError(
                f"bundle: format {kind!a:.40} schema {schema!a:.40}, this device accepts {FORMAT!r} schema {BUNDLE_SCHEMA}; {remedy}", code="update.format"
            )
        try:
            files = tuple(BundledFile(**file) for file in fields.pop("files"))
            manifest = cls(**{**fields, "python": tuple(fields["python"])}, files=files)
        except (TypeError, KeyError) as error:
            raise BundleError(f"bundle: the manifest has other fields than schema {BUNDLE_SCHEMA} ({error})", code="update.manifest") from error
        if manifest.to_bytes() != data:
            raise BundleError("bundle: the manifest is not in its canonical form", code="update.manifest")
        return manifest
