"""How many connections the pages hold, and whose: a cap in all and for each address, and places that only this machine may take.

Where a cap is reached, the connection of that address (or of anybody) that has waited longest without a request is closed for the new one; so
silent connections lock nobody out. Pure: nothing here reads or writes a socket.
"""

from __future__ import annotations

import ipaddress
import logging
import resource
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

log = logging.getLogger(__name__)

MOST = 512  # connections in all; fewer where the limit of descriptors is low
OF_ONE_ADDRESS = 128  # a building behind one router is one address
RESERVED = 32  # the last places, which only the terminal's own screen may take: it needs about eight
SCREEN = ("127.0.0.1", "::1")  # where the terminal's own browser comes from; a proxy there cannot be told from it before it has said something
SAID_SECONDS = 60.0  # a flood is logged at most this often


def most_connections() -> int:
    """Half of the descriptors at most: cameras, databases and models need some, too."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if soft == resource.RLIM_INFINITY else max(2, min(MOST, soft // 2))


def own_machine(address: str) -> bool:
    """Whether an address is one of this machine itself (loopback)."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return (mapped or found).is_loopback


def household(address: str) -> str:
    """What counts as one address: an IPv4 address, or the /64 of an IPv6 address, all of which one host can take."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is None and not found.is_loopback:
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(getattr(found, "ipv4_mapped", None) or found)


@dataclass(eq=False)
class Held:
    """One connection. `busy` while a request is answered, else it may be closed for another one."""

    address: str
    close: Callable[[], None]
    own: bool
    busy: bool = False


@dataclass
class Connections:
    """All connections of the pages; used on the server's event loop alone.

    Args:
        most: in all.
        of_one_address: at most.
        reserved: of `most`, for the terminal's own screen only.
        proxy: whether an address is that of a trusted proxy, behind which are many people and not this machine's screen.
        clock: s.
    """

    most: int = field(default_factory=most_connections)
    of_one_address: int = OF_ONE_ADDRESS
    reserved: int = RESERVED
    proxy: Callable[[str], bool] = lambda address: False
    clock: Callable[[], float] = time.monotonic
    _held: dict[Held, None] = field(default_factory=dict)  # the one that has waited longest first
    _turned_away: int = 0
    _said_at: float = float("-inf")

    def __len__(self) -> int:
        return len(self._held)

    def admit(self, address: str, close: Callable[[], None]) -> Held | None:
        """A place for a connection from an address, or None if it must be closed; `close` is called where its place is taken by another."""
        proxy = self.proxy(address)
        new = Held(household(address), close, household(address) in SCREEN)
        if not proxy and not self._room(self._of(new), self.of_one_address):
            self._count(new.address)
            return None
        if not self._room(self._held, self.most) or (not new.own and not self._room(self._strangers(), self._for_strangers())):
            self._count(new.address)
            return None
        self._held[new] = None
        return new

    def leave(self, held: Held) -> None:
        """The connection is closed."""
        self._held.pop(held, None)

    def forget(self) -> None:
        """None is left: the server that held them has ended."""
        self._held.clear()

    def waits(self, held: Held) -> None:
        """Its request is answered, and it waits for another."""
        if held in self._held:
            held.busy = False
            self._held[held] = self._held.pop(held)

    def _for_strangers(self) -> int:
        return self.most - min(self.reserved, self.most // 4)

    def _of(self, new: Held) -> list[Held]:
        return [held for held in self._held if held.address == new.address]

    def _strangers(self) -> list[Held]:
        return [held for held in self._held if not held.own]

    def _room(self, among: Iterable[Held], most: int) -> bool:
        """Whether there is room for one more, if need be after the one that has waited longest without a request is closed."""
        among = list(among)
        if len(among) < most:
            return True
        silent = next((held for held in among if not held.busy), None)
        if silent is None:
            return False
        self.leave(silent)
        silent.close()
        self._count(silent.address)
        return True

    def _count(self, address: str) -> None:
        self._turned_away += 1
        if self.clock() - self._said_at >= SAID_SECONDS:
            self._said_at = self.clock()
            log.warning("too many connections: %d closed since this was last said, the newest from %s; %d are open", self._turned_away, address, len(self))
            self._turned_away = 0
