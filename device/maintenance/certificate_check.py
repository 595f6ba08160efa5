"""When the certificate of the pages ends. Nothing is changed."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

from device.config import Settings
from device.config.places import HOME
from device.contract import phrase
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
    known = {"file": file.name, "day": f"{datetime.fromtimestamp(end, timezone.utc):%Y-%m-%d}"}
    if days < 0:
        english = "{file} is valid until {day}: browsers refuse it; renew it, it is served without a restart"
        return Finding("certificate", "FAULT", phrase("certificate.ended", english, **known))
    if days < WARNED_DAYS:
        english = "{file} is valid until {day}, for {days:.0f} more days: {remedy}"
        remedy = phrase("certificate.renew", "renew it") if given else phrase("certificate.by_itself", "the terminal renews it by itself")
        return Finding("certificate", "warning", phrase("certificate.ends", english, days=days, remedy=remedy, **known))
    return Finding("certificate", "ok", f"{file.name} is valid until {known['day']}")
