"""The menu of the review site: a page appears for users who may open it."""

from __future__ import annotations

from dataclasses import dataclass

from device.storage.matters import KINDS, count_open
from device.storage.store import Store
from device.web.access.accounts import Role, User


@dataclass(frozen=True)
class MenuItem:
    path: str
    label: str
    icon: str  # name in templates/icons.html
    role: Role
    group: str
    teams: bool = False  # for logins of some departments, too; as its page is (`device/web/pages.py`)


ENTRIES = (
    MenuItem("/today", "Today", "today", "viewer", "Attendance", teams=True),
    MenuItem("/matters", "Open matters", "bell", "viewer", "Attendance", teams=True),
    MenuItem("/log", "Log", "log", "viewer", "Attendance", teams=True),
    MenuItem("/timesheets", "Timesheets", "timesheet", "viewer", "Attendance", teams=True),
    MenuItem("/plots", "Plots", "plot", "viewer", "Attendance", teams=True),
    MenuItem("/corrections", "Corrections", "correct", "hr", "Desk", teams=True),
    MenuItem("/schedule", "Shifts and absence", "clock", "hr", "Desk"),
    MenuItem("/periods", "Locked periods", "lock", "hr", "Desk"),
    MenuItem("/exports", "Exports", "export", "hr", "Desk", teams=True),
    MenuItem("/people", "People", "people", "viewer", "Terminal", teams=True),
    MenuItem("/health", "Devices and health", "health", "viewer", "Terminal"),
    MenuItem("/setup", "Set up", "check", "admin", "Administer"),
    MenuItem("/settings", "Settings", "settings", "admin", "Administer"),
    MenuItem("/users", "Users and roles", "users", "admin", "Administer"),
    MenuItem("/notices", "Notices", "mail", "admin", "Administer"),
    MenuItem("/audit", "Audit log", "audit", "admin", "Administer"),
    MenuItem("/backup", "Backup", "backup", "admin", "Administer"),
)


def entries(user: User | None) -> dict[str, list[MenuItem]]:
    """Group -> the entries that this user may open."""
    groups: dict[str, list[MenuItem]] = {}
    for entry in ENTRIES:
        if user is not None and user.may(entry.role) and (entry.teams or not user.departments):
            groups.setdefault(entry.group, []).append(entry)
    return groups


def kinds_seen(user: User) -> list[str]:
    """The kinds of open matters that this user sees: those of the pages that the user may open."""
    return [name for name, kind in KINDS.items() if user.active and kind.needed.fits(user.role, user.departments)]


def open_count(store: Store, user: User) -> int:
    """How many open matters this user sees, for the badge in the menu; the store shows the people whom the user sees."""
    with store.reading() as db:
        return count_open(db, kinds_seen(user))
