"""Who a request comes from where a proxy passes it on: the address, scheme and host name that a trusted proxy names (RFC 7239, or X-Forwarded-*).

What says that it was passed on, and comes from anybody else, counts as nobody's: it opens no kiosk page and shares one rate limit with others like it.
A proxy on this machine that says nothing is told from the machine's own browser by what a browser always does: HTTP/1.1 to a name of this machine itself.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from device.web.access.security import without_port
from device.web.connections import own_machine

PASSED_ON = ("forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "x-forwarded-server", "x-real-ip", "via")
NOBODY = "by proxy"  # stands for, or after, an address that is not to be believed
PAIR = re.compile(r'\s*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)=(?:"((?:[^"\\]|\\.)*)"|([^;,\s"]*))\s*(;|,|$)')  # RFC 7239, section 4
MOST = 20  # proxies one behind the other


class BadForwarding(Exception):
    """The proxy's own words contradict each other or cannot be read."""


@dataclass(frozen=True)
class Hop:
    """What one proxy says of the request that it got."""

    client: str
    scheme: str = ""
    host: str = ""


@dataclass(frozen=True)
class Trusted:
    """The proxies of `[web] trusted_proxies`: addresses or networks, separated by commas."""

    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()

    @staticmethod
    def parsed(text: str) -> Trusted:
        """Raises:
        ValueError: a part is neither an address nor a network.
        """
        return Trusted(tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip()))

    def __contains__(self, address: object) -> bool:
        try:
            found = ipaddress.ip_address(str(address))
        except ValueError:
            return False
        found = getattr(found, "ipv4_mapped", None) or found
        return any(found in network for network in self.networks)


class Proxies:
    """ASGI middleware: puts client, scheme and host of the request where the rest of the application reads them."""

    def __init__(self, app: ASGIApp, trusted: Trusted) -> None:
        self.app = app
        self.trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                self._resolve(scope)
            except BadForwarding as problem:
                await PlainTextResponse(f"{problem} (docs/proxy.md)", 400)(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _resolve(self, scope: Scope) -> None:
        peer, port = scope.get("client") or ("unknown", 0)
        headers = Headers(scope=scope)
        passed_on = any(name in headers for name in PASSED_ON)
        if peer in self.trusted and passed_on:
            hop = said_by(headers, self.trusted)
            scope["client"] = (unbelieved(hop.client) if own_machine(hop.client) else hop.client, 0)
            scope["scheme"] = hop.scheme or scope["scheme"]
            if hop.host:
                MutableHeaders(scope=scope)["host"] = hop.host
        elif own_machine(peer) and (passed_on or not self._own_browser(scope, headers, peer)):
            scope["client"] = (unbelieved(peer), port)

    def _own_browser(self, scope: Scope, headers: Headers, peer: str) -> bool:
        """Whether it can be the browser of this machine's own screen."""
        name = without_port(headers.get("host", ""))
        silent_proxy = peer in self.trusted and peer not in ("127.0.0.1", "::1")
        return scope.get("http_version") == "1.1" and (name == "localhost" or own_machine(name.strip("[]"))) and not silent_proxy


def unbelieved(address: str) -> str:
    return f"{address} {NOBODY}"


def said_by(headers: Headers, trusted: Trusted) -> Hop:
    """The hop nearest to this machine that is not a trusted proxy. What stands before it may be anybody's invention.

    Raises:
        BadForwarding: no address is given, or two headers contradict each other.
    """
    standard, usual = _forwarded(headers.getlist("forwarded")), _x_forwarded(headers)
    if standard and usual and _first(standard, trusted).client != _first(usual, trusted).client:
        raise BadForwarding("Forwarded and X-Forwarded-For name different addresses: let the proxy set one and remove the other")
    hops = standard or usual
    if not hops:
        raise BadForwarding("the proxy does not say whose request this is: let it set X-Forwarded-For or Forwarded")
    return _first(hops, trusted)


def _first(hops: Sequence[Hop], trusted: Trusted) -> Hop:
    return next((hop for hop in reversed(hops) if hop.client not in trusted), hops[0])


def _forwarded(values: Sequence[str]) -> list[Hop]:
    """The elements of the header Forwarded (RFC 7239), the one of the nearest proxy last."""
    text = ",".join(values)
    hops: list[Hop] = []
    pairs: dict[str, str] = {}
    at = 0
    while at < len(text):
        found = PAIR.match(text, at)
        if found is None or found.end() == at or len(hops) >= MOST:
            raise BadForwarding("the header Forwarded cannot be read")
        name, quoted, plain, end = found.groups()
        pairs[name.lower()] = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        at = found.end()
        if end != ";":
            hops.append(Hop(_address(pairs.get("for", "")), _scheme(pairs.get("proto", "")), _host(pairs.get("host", ""))))
            pairs = {}
    return hops


def _x_forwarded(headers: Headers) -> list[Hop]:
    """The addresses of X-Forwarded-For; scheme and host are the nearest proxy's."""
    addresses = [part.strip() for value in headers.getlist("x-forwarded-for") for part in value.split(",")][-MOST:]
    scheme, host = (",".join(headers.getlist(f"x-forwarded-{name}")).rpartition(",")[2].strip() for name in ("proto", "host"))
    return [Hop(_address(text), _scheme(scheme), _host(host)) for text in addresses]


def _address(text: str) -> str:
    """An address without its port; "by proxy" for what is none, such as unknown or a hidden name (RFC 7239, section 6)."""
    bare = text.partition("]")[0].lstrip("[") if text.startswith("[") else text.rpartition(":")[0] if text.count(":") == 1 else text
    try:
        return str(ipaddress.ip_address(bare))
    except ValueError:
        return NOBODY


def _scheme(text: str) -> str:
    if text.lower() not in ("", "http", "https"):
        raise BadForwarding(f"the proxy names the scheme {text[:20]!r}: expected http or https")
    return text.lower()


def _host(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9.:\[\]_-]{0,255}", text):
        raise BadForwarding("the proxy names a host that cannot be one")
    return text
