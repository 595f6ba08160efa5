"""The outbox of an open store: what waits for which target. Each method that writes is one transaction."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from pathlib import Path

from sqlite_utils import Database

from device.storage import outbox_rows
from device.storage.audit import Action, Audit
from device.storage.database import StoreError, explained, writing
from device.storage.outbox_rows import DeadLetter, Mark, TargetHealth, TargetState, Waiting
from device.system.clock import to_ms


class OutboxTable:
    """Part of an open store (`store.outbox`). Times are s since the epoch, UTC."""

    def __init__(self, db: Database, path: Path, audit: Audit) -> None:
        self._db = db
        self._path = path
        self._audit = audit

    # targets

    def set_targets(self, connectors: Sequence[str], alarms: Collection[str] = (), apart: Collection[str] = ()) -> None:
        """Queue each punch and correction from now on for these targets and no others; what waits already stays.

        Args:
            alarms: those of them that take alarms of refused attempts as well.
            apart: those that take neither punches nor corrections, but notices alone.
        """
        targets = {connector: outbox_rows.Takes(connector not in apart, connector in alarms) for connector in connectors}
        with explained(self._path):
            if outbox_rows.active_targets(self._db) == targets:
                return
        with writing(self._db, self._path):
            outbox_rows.set_targets(self._db, targets)
            self._audit(Action.TARGETS_SET, connectors=sorted(connectors))

    def fill(self, connector: str, since: float, until: float = float("inf"), again: bool = False) -> int:
        """Queue punches recorded before the target was configured, with their corrections; returns how many were new.

        Args:
            since, until: since <= occurred_at < until.
            again: delivered punches are sent once more, under the same key.

        Raises:
            StoreError: no such target.
        """
        with writing(self._db, self._path):
            takes = outbox_rows.active_targets(self._db).get(connector)
            if takes is not None and not takes.punches:
                raise StoreError(f"{connector} takes no punches, only notices: there is nothing to queue for it", code="store.no_target")
            if takes is None:
                raise StoreError(
                    f"no target {connector!a} is configured; give the configuration with its table [connectors.{connector}] to --config", code="store.no_target"
                )
            count = outbox_rows.fill(self._db, connector, to_ms(since), to_ms(min(until, 1e12)), to_ms(time.time()), again)
            self._audit(Action.OUTBOX_FILLED, connector=connector, count=count)
        return count

    # state

    def summary(self) -> list[TargetHealth]:
        """Every target that is or was configured: waiting, oldest, dead, last delivered, last error."""
        with explained(self._path):
            return outbox_rows.health(self._db)

    def dead_letters(self, connector: str | None = None, limit: int = 1000) -> list[DeadLetter]:
        with explained(self._path):
            return outbox_rows.dead_letters(self._db, connector, limit)

    def complete_until(self, connector: str, dead_count: bool = True) -> float | None:
        """The time before which every punch is delivered; None: all are. `dead_count`: dead letters count as missing."""
        with explained(self._path):
            return outbox_rows.complete_until(self._db, connector, dead_count)

    def never_queued(self, connector: str, since: float) -> float | None:
        """The time of the first punch after `since` that was never queued for this target; None: all were."""
        with explained(self._path):
            return outbox_rows.never_queued(self._db, connector, to_ms(since))

    # targets that were renamed or removed

    def move(self, old: str, new: str) -> int:
        """Give everything of a target that is not configured any more to the one that it is called now; returns how many events wait.

        Raises:
            StoreError: the old target is still configured, or the new one is not.
        """
        with writing(self._db, self._path):
            active = outbox_rows.active_targets(self._db)
            if old in active:
                raise StoreError(f"{old} is still configured; remove its table [connectors.{old}] first", code="store.target_in_use")
            if new not in active:
                raise StoreError(f"no target {new!a} is configured; give the configuration with its table to --config", code="store.no_target")
            count = outbox_rows.move(self._db, old, new)
            self._audit(Action.OUTBOX_MOVED, connector=old, to=new, count=count)
        return count

    def forget(self, connector: str) -> int:
        """Give up all that waits for a target that is not configured any more; returns how many events. The punches themselves stay.

        Raises:
            StoreError: it is still configured.
        """
        with writing(self._db, self._path):
            if connector in outbox_rows.active_targets(self._db):
                raise StoreError(f"{connector} is still configured; only its dead letters can be discarded", code="store.target_in_use")
            count = outbox_rows.forget(self._db, connector)
            self._audit(Action.OUTBOX_FORGOTTEN, connector=connector, count=count)
        return count

    # dead letters

    def replay(self, connector: str | None = None, ids: Sequence[int] | None = None) -> int:
        """Queue dead letters again, all or those with these ids; returns how many."""
        return self._decide(Action.DEAD_LETTERS_REPLAYED, connector, ids, "waiting")

    def discard(self, connector: str | None = None, ids: Sequence[int] | None = None) -> int:
        """Give dead letters up, so that they are never sent; returns how many. The punches themselves stay."""
        return self._decide(Action.DEAD_LETTERS_DISCARDED, connector, ids, "discarded")

    def _decide(self, action: Action, connector: str | None, ids: Sequence[int] | None, state: str) -> int:
        with writing(self._db, self._path):
            count = outbox_rows.change_dead(self._db, connector, ids, state)
            if count:
                self._audit(action, connector=connector, ids=None if ids is None else list(ids), count=count)
        return count

    # for the courier

    def due(self, connector: str, now: float, limit: int, around: float = 0.0) -> list[Waiting]:
        """Events to be tried now, in order; none of a person who has an event waiting for its retry.

        Args:
            around: how many seconds before and after an event the person's other punches come with it (`Event.around`).
        """
        with explained(self._path):
            return outbox_rows.due(self._db, connector, to_ms(now), limit, around)

    def target(self, connector: str) -> TargetState:
        """The state of a target.

        Raises:
            StoreError: it was never configured.
        """
        with explained(self._path):
            state = outbox_rows.state(self._db, connector)
        if state is None:
            raise StoreError(f"no target {connector!a} was ever configured", code="store.no_target")
        return state

    def conclude(self, marks: Sequence[Mark], target: TargetState) -> None:
        """Store the results of one round: its events and the state of the target, in one transaction."""
        with writing(self._db, self._path):
            outbox_rows.mark(self._db, target.connector, marks)
            outbox_rows.set_state(self._db, target)
