"""Where a checkout or an installation keeps its configuration and its data; an update replaces the release beside them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from device.config import Settings
from device.config.fields import ConfigError

ROOT = Path(__file__).resolve().parent.parent.parent
RELEASES = "releases"  # the folder of an installation that holds its releases (docs/bundle.md)
HOME = ROOT.parent.parent if ROOT.parent.name == RELEASES else ROOT  # what outlives an update: data, the site's own settings
SITE_FILE = "clockface.toml"
LONGEST_NAME = 200  # bytes of a database's name: a file may have 255, and what lies beside the database has longer names


def installed_file(home: Path, release: Path) -> Path | None:
    """The configuration in force in an installation: the site's own before the one that came with the release; a checkout has none."""
    places = [home / SITE_FILE, release / SITE_FILE] if home != release else []
    return next((place for place in places if place.exists()), None)


def database_path(settings: Settings, given: str | None) -> Path:
    """The database named on the command line, or the one of the settings, relative to the project's or the installation's folder.

    Raises:
        ConfigError: no database can have this path, whether or not its folder is there.
    """
    path = Path(given) if given else HOME / settings.store.path
    if fault := _path_fault(path):
        raise ConfigError(f"database {path}: {fault}; give the path of a file to --db, or as [store] path", code="config.database")
    return path


def _path_fault(path: Path) -> str:
    """Why no database can have this path; "": it can."""
    if path.name in ("", ".."):
        return "it is a folder"
    if len(os.fsencode(path.name)) > LONGEST_NAME:
        return f"its name has more than {LONGEST_NAME} bytes"
    try:
        return "it is a folder" if stat.S_ISDIR(os.stat(path).st_mode) else ""
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
