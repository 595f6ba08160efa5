"""Naive local times, for targets that have no time zones."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from device.config.fields import ConfigError


def zone(setting: str, name: str) -> ZoneInfo:
    """Raises: ConfigError: no such zone."""
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError) as error:
        raise ConfigError(f"{setting} = {name!r}: no such time zone; expected one such as Europe/Berlin", code="config.time_zone") from error


def naive(seconds: float, where: ZoneInfo) -> str:
    """s since the epoch -> local time in that zone, as 2026-11-24 08:31:05."""
    return datetime.fromtimestamp(seconds, where).strftime("%Y-%m-%d %H:%M:%S")


def moment(text: str, where: ZoneInfo) -> float:
    """Local time in that zone, as 2026-11-24 08:31:05 with or without a fraction -> s since the epoch.

    Raises:
        ValueError: it is not such a time.
    """
    return datetime.fromisoformat(text[:19]).replace(tzinfo=where).timestamp()


def repeated(seconds: float, where: ZoneInfo) -> bool:
    """Whether this local time occurs for the second time, in the hour that is repeated when clocks go back."""
    return datetime.fromtimestamp(seconds, where).fold == 1
