"""The columns of a punch in everything that leaves the device: log, exports, webhook, files."""

from __future__ import annotations

from typing import Any

COLUMNS = ("punch_id", "person_id", "name", "code", "occurred_at", "direction", "method", "score", "lead", "threshold", "clock_synchronised", "device")


def harmless(cell: Any) -> Any:
    """A text that a spreadsheet would run as a formula gets an apostrophe in front (OWASP, CSV injection)."""
    return "'" + cell if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell
