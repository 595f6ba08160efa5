"""An invitation as QR codes (`device/system/qr_codes.py`), and as the text that stands in them."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import asdict
from typing import Any

from device.fleet.owner import Invitation
from device.fleet.server import FleetError
from device.system import qr_codes
from device.system.qr_codes import Bits, PartsReader

HEAD = "clockface"
PEM = re.compile(r"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)
BEGIN, END = "-----BEGIN CERTIFICATE-----\n", "\n-----END CERTIFICATE-----\n"


def parts(invitation: Invitation) -> list[str]:
    """The texts of the codes, in order."""
    return qr_codes.parts(json.dumps(as_list(invitation), separators=(",", ":"), ensure_ascii=True), HEAD)


def as_list(invitation: Invitation) -> list[Any]:
    """The values of its fields, in their order; of the certificates only what differs from one to the other."""
    fields = asdict(invitation)
    fields["authority"] = [re.sub(r"\s", "", body) for body in PEM.findall(invitation.authority)]
    return list(fields.values())


class CodeReader:
    """Collects the codes of one invitation from pictures until it is whole."""

    def __init__(self) -> None:
        self._reader = PartsReader(HEAD)

    @property
    def found(self) -> int:
        """How many codes were read so far."""
        return self._reader.found

    def take(self, image: Bits) -> Invitation | None:
        """Read the codes in a picture, (H, W, 3) or (H, W) uint8; the invitation once all of its codes were seen."""
        whole = self._reader.take(image)
        return None if whole is None else _invitation(whole)


def _invitation(text: str) -> Invitation:
    try:
        return of_list(json.loads(text))
    except ValueError as error:
        raise _no_invitation(error) from error


def of_list(values: Any) -> Invitation:
    """The invitation of what `as_list` gave.

    Raises:
        FleetError: it is none.
    """
    try:
        fields: dict[str, Any] = dict(zip(Invitation.__dataclass_fields__, values, strict=True))
        bodies = [base64.b64encode(base64.b64decode(body)).decode() for body in fields["authority"]]
    except (ValueError, TypeError) as error:
        raise _no_invitation(error) from error
    fields["authority"] = "".join(BEGIN + "\n".join(body[at : at + 64] for at in range(0, len(body), 64)) + END for body in bodies)
    return Invitation(**fields)


def _no_invitation(error: Exception) -> FleetError:
    return FleetError(f"this code is no invitation ({error}); make one with `python -m device fleet invite --qr`", code="fleet.invitation")
