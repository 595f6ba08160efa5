"""The entries of the review site's side bar: a page appears there for whoever may open it."""

from __future__ import annotations

from dataclasses import dataclass

from device.web.access.accounts import Role, User


@dataclass(frozen=True)
class Entry:
    path: str
    label: str
    icon: str  # a name in templates/icons.html
    role: Role
    group: str


ENTRIES = (
    Entry("/today", "Today", "today", "viewer", "Attendance"),
    Entry("/log", "Log", "log", "viewer", "Attendance"),
    Entry("/timesheets", "Timesheets", "timesheet", "viewer", "Attendance"),
    Entry("/plots", "Plots", "plot", "viewer", "Attendance"),
    Entry("/corrections", "Corrections", "correct", "hr", "Desk"),
    Entry("/schedule", "Shifts and absence", "clock", "hr", "Desk"),
    Entry("/periods", "Locked periods", "lock", "hr", "Desk"),
    Entry("/exports", "Exports", "export", "hr", "Desk"),
    Entry("/people", "People", "people", "viewer", "Terminal"),
    Entry("/health", "Devices and health", "health", "viewer", "Terminal"),
    Entry("/settings", "Settings", "settings", "admin", "Administer"),
    Entry("/users", "Users and roles", "users", "admin", "Administer"),
    Entry("/audit", "Audit log", "audit", "admin", "Administer"),
    Entry("/backup", "Backup", "backup", "admin", "Administer"),
)


def entries(user: User | None) -> dict[str, list[Entry]]:
    """group -> the entries this user may open."""
    groups: dict[str, list[Entry]] = {}
    for entry in ENTRIES:
        if user is not None and user.may(entry.role):
            groups.setdefault(entry.group, []).append(entry)
    return groups
