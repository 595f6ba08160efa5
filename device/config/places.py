"""Where a checkout or an installation keeps its configuration and its data; an update replaces the release beside them."""

from __future__ import annotations

from pathlib import Path

from device.config import Settings

ROOT = Path(__file__).resolve().parent.parent.parent
RELEASES = "releases"  # the folder of an installation that holds its releases (docs/bundle.md)
HOME = ROOT.parent.parent if ROOT.parent.name == RELEASES else ROOT  # what outlives an update: data, the site's own settings
SITE_FILE = "clockface.toml"


def installed_file(home: Path, release: Path) -> Path | None:
    """The configuration in force in an installation: the site's own before the one that came with the release; a checkout has none."""
    places = [home / SITE_FILE, release / SITE_FILE] if home != release else []
    return next((place for place in places if place.exists()), None)


def database_path(settings: Settings, given: str | None) -> Path:
    """The database named on the command line, or the one of the settings, relative to the project's or the installation's folder."""
    return Path(given) if given else HOME / settings.store.path
