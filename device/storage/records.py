"""Records that the store takes and returns, validated on construction."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from device.contract import phrase
from device.storage.database import StoreError
from device.storage.hash_chain import Value
from device.system.clock import ClockState, to_ms

Direction = Literal["in", "out", "break_start", "break_end", "auto"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
Method = Literal["face", "pin", "manual", "imported"]  # imported: from the log of another terminal
METHODS: tuple[Method, ...] = get_args(Method)
LONGEST_NAME = 200  # characters
LONGEST_CODE = 64
LATEST = 253402300800.0  # s since the epoch: the year 10000


INVISIBLE = "\u00ad\u061c\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff"  # marks of direction, no width; joiners stay
UNSEEN = dict.fromkeys(map(ord, INVISIBLE))


def clean_text(field: str, text: str, longest: int) -> str:
    """Name or code as it is stored: Unicode NFC, one line, no blanks at the ends, and no invisible marks, as copying from messages leaves them:
    with them two codes would look alike, and a name be read backwards.

    Raises:
        StoreError: empty, invisible, too long, or with control characters.
    """
    cleaned = unicodedata.normalize("NFC", text.translate(UNSEEN).strip())
    if len(cleaned) > longest:
        words = "{field} has {length} characters, at most {longest} are allowed; shorten it"
        raise StoreError(phrase("text.long", words, field=field, length=len(cleaned), longest=longest), code="store.text")
    kinds = {unicodedata.category(character) for character in cleaned}
    if kinds & {"Cc", "Cs", "Zl", "Zp"}:
        raise StoreError(phrase("text.control", "{field} {text!a} has a control character; leave it out", field=field, text=text), code="store.text")
    if not kinds - {"Zs", "Cf", "Mn"}:
        words = "{field} {text!a} has no visible character; give a {field}"
        raise StoreError(phrase("text.empty", words, field=field, text=text[:longest]), code="store.text")
    return cleaned


@dataclass(frozen=True)
class LastPunch:
    """The last recorded punch of a person."""

    occurred_at: float  # s since the epoch, UTC
    direction: Direction


@dataclass(frozen=True)
class Person:
    """Somebody who is or was enrolled; after an erasure only the id and a pseudonym remain."""

    id: int
    name: str
    code: str | None
    active: bool
    created_at: float  # s since the epoch, UTC
    erased: bool = False

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Person:
        return cls(row["id"], row["name"], row["code"], row["active"] == 1, row["created_at"] / 1000, row["erased_at"] is not None)


@dataclass(frozen=True)
class TemplateDraft:
    """A template to be stored.

    embedding: (D,) float32, unit length. quality: 0..1. crop: the encoded aligned crop, kept so that another
    model can make its template from it. source: where the image came from ("camera", a file name).
    """

    model_id: str
    embedding: NDArray[np.float32]
    quality: float
    crop: bytes | None = None
    source: str = ""
    taken_at: float | None = None  # s since the epoch; None: now

    def __post_init__(self) -> None:
        e = self.embedding
        if e.ndim != 1 or e.dtype != np.float32 or e.size == 0:
            raise StoreError(f"template: expected a (D,) float32 embedding, got {e.shape} {e.dtype}; embed the crop again", code="store.template")
        if not abs(float(np.linalg.norm(e)) - 1) < 1e-3:  # NaN fails too
            raise StoreError(
                f"template: expected an embedding of unit length, got {float(np.linalg.norm(e)):.4f}; check the model's card", code="store.template"
            )
        if not self.model_id:
            raise StoreError("template: expected the id of the model that made it, got none", code="store.template")
        if not math.isfinite(self.quality):
            raise StoreError(f"template: expected a finite quality, got {self.quality}", code="store.template")


class Templates(NamedTuple):
    """The templates of one model, of active people, ordered by person; N = 0 gives a (0, 0) matrix."""

    ids: NDArray[np.int64]  # (N,)
    person_ids: NDArray[np.int64]  # (N,)
    matrix: NDArray[np.float32]  # (N, D), each row of unit length


class KeptCrop(NamedTuple):
    """An enrolment crop from which a template can be made again."""

    crop: bytes  # encoded image; never logged or exported
    quality: float
    source: str
    taken_at: float  # s since the epoch: retention counts from here, also after a change of model


@dataclass(frozen=True)
class PunchDraft:
    """A punch to be recorded. `lead` is None while only one person is enrolled; all results of the model are None for pin and manual."""

    person_id: int
    occurred_at: float  # s since the epoch, UTC; stored in ms
    direction: Direction
    device: str
    method: Method
    clock: ClockState
    score: float | None = None
    lead: float | None = None
    threshold: float | None = None
    liveness: float | None = None
    model_id: str | None = None

    def __post_init__(self) -> None:
        if self.direction not in DIRECTIONS:
            raise StoreError(f"punch: direction expected one of {', '.join(DIRECTIONS)}, got {self.direction!r}", code="store.punch")
        if self.method not in METHODS:
            raise StoreError(f"punch: method expected one of {', '.join(METHODS)}, got {self.method!r}", code="store.punch")
        if not 0 <= self.occurred_at < LATEST:
            raise StoreError(f"punch: occurred_at expected s since 1970, got {self.occurred_at!r}", code="store.punch")
        for name in ("score", "lead", "threshold", "liveness"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise StoreError(f"punch: {name} expected a finite number or None, got {value!r}", code="store.punch")
        if self.method == "face" and None in (self.score, self.threshold, self.model_id):
            raise StoreError("punch: method face needs score, threshold and model_id", code="store.punch")

    def row(self) -> dict[str, Value]:
        """The columns of `punches` except those of the hash chain; numpy numbers become Python's, since only those can be hashed."""
        scores = {key: None if (value := getattr(self, key)) is None else float(value) for key in ("score", "lead", "threshold", "liveness")}
        clock = {"clock_synchronised": int(self.clock.synchronised), "boot_id": self.clock.boot_id, "monotonic_ms": self.clock.monotonic_ms}
        texts = {key: getattr(self, key) for key in ("direction", "device", "method", "model_id")}
        return {"person_id": int(self.person_id), "occurred_at": to_ms(self.occurred_at), **texts, **scores, **clock}


@dataclass(frozen=True, kw_only=True)
class Punch(PunchDraft):
    """A recorded punch."""

    id: int
    previous_hash: str
    hash: str

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Punch:
        rest = dict(row)
        clock = ClockState(bool(rest.pop("clock_synchronised")), rest.pop("boot_id"), rest.pop("monotonic_ms"))
        return cls(**{**rest, "occurred_at": rest["occurred_at"] / 1000, "clock": clock})
