"""Rules for every request: a known host name, no cross-site requests, strict response headers."""

from __future__ import annotations

import ipaddress
import platform
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from device.config import WebSettings

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=()",
}
ONLY_TLS = "max-age=31536000; includeSubDomains"  # RFC 6797
SAFE = ("GET", "HEAD", "OPTIONS")


class Guard:
    """ASGI middleware around the whole application.

    Args:
        only_tls: whether browsers shall never again ask without TLS. Not with a certificate that the terminal made itself: a browser that was told to
            trust it would let nobody in after the next change.
    """

    def __init__(self, app: ASGIApp, names: frozenset[str], only_tls: bool = False) -> None:
        self.app = app
        self.names = names
        self.only_tls = only_tls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
                if self.only_tls and scope["scheme"] == "https":
                    headers.setdefault("strict-transport-security", ONLY_TLS)
            await send(message)

        headers = Headers(scope=scope)
        if not known_host(headers.get("host", ""), self.names, (scope.get("server") or ("",))[0]):
            answer = PlainTextResponse("This terminal is not known by this name; add it to [web] hosts in its settings.", 421)
            await answer(scope, receive, send_guarded)
        elif scope["method"] not in SAFE and from_elsewhere(headers):
            await PlainTextResponse("Forms of other sites are not taken.", 403)(scope, receive, send_guarded)
        else:
            await self.app(scope, receive, send_guarded)


def host_names(settings: WebSettings, bound_to: str) -> frozenset[str]:
    """The host names under which browsers may reach this machine."""
    node = platform.node().lower()
    given = {name.strip().lower() for name in settings.hosts.split(",") if name.strip()}
    return frozenset({"localhost", *({bound_to.lower()} - {"0.0.0.0", "::"}), *given, *((node, f"{node}.local") if node else ())})


def known_host(host: str, names: frozenset[str], reached: str = "") -> bool:
    """Whether a host is a known name, or the address `reached` of this machine at which the connection came in. Another site can point its own name at this
    machine (DNS rebinding)."""
    name = without_port(host).lower().rstrip(".")
    return name in names or (bool(reached) and _address(name.strip("[]")) == _address(reached) != "")


def _address(text: str) -> str:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return ""
    return str(getattr(found, "ipv4_mapped", None) or found)


def without_port(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.rpartition(":")[0] if host.count(":") == 1 else host


def from_elsewhere(headers: Headers) -> bool:
    """Whether the browser reports a cross-site request; the form token is the second check."""
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return True
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower()
