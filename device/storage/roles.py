"""The roles of logins, in the order of their rights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

Role = Literal["viewer", "operator", "hr", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)  # each role includes the rights of those before it


@dataclass(frozen=True)
class Needed:
    """What somebody needs to see something."""

    role: Role
    teams: bool  # logins of some departments see it as well, of their people

    def fits(self, role: Role, departments: Sequence[str]) -> bool:
        return ROLES.index(role) >= ROLES.index(self.role) and (self.teams or not departments)
