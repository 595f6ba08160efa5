"""When the certificate of the pages ends. Nothing is changed."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

from device.config import HOME, Settings
from device.maintenance.database_check import Finding
from device.system.certificates import WARNED_DAYS, ends


def check_certificate(settings: Settings, database: Path, now: float) -> Finding:
    """Whether the certificate that the pages are served with is valid, for how long, and who renews it."""
    given = settings.web.certificate
    file = HOME / given if given else database.with_name(f"{database.name}.crt")
    if not file.is_file() and not given:
        return Finding("certificate", "ok", "none: the pages are served to this machine alone")
    end = ends(file)
    days = (end - now) / 86400
    words = f"{file.name} is valid until {datetime.fromtimestamp(end, timezone.utc):%Y-%m-%d}"
    if days < 0:
        return Finding("certificate", "FAULT", f"{words}: browsers refuse it; renew it, it is served without a restart")
    if days < WARNED_DAYS:
        return Finding("certificate", "warning", f"{words}, for {days:.0f} more days: {'renew it' if given else 'the terminal renews it by itself'}")
    return Finding("certificate", "ok", words)
