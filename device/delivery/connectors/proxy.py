"""Proxies: which one leads to a target, and a connection through it (HTTP CONNECT, RFC 9110, 9.3.6)."""

from __future__ import annotations

import base64
import socket
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from device.config.fields import ConfigError

DIRECT = "none"
HELP = "Proxy, such as http://proxy.example.com:3128; empty takes the environment's, none connects directly"
LONGEST_HEAD = 65536  # bytes of a proxy's answer that are read


def proxy_for(setting: str, wanted: str, scheme: str, host: str) -> str:
    """The address of the proxy to this host; '' for a direct connection.

    Args:
        setting: "[connectors.NAME] proxy", for an error.
        wanted: what the setting says: an address, "none", or "" for HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY of the environment.
        scheme: "http", "https", or "all" for what is not HTTP: only ALL_PROXY leads there.

    Raises:
        ConfigError: not the address of an HTTP proxy.
    """
    loopback = host == "localhost" or host.startswith("127.") or host == "::1"
    if wanted == DIRECT or (loopback and not wanted):
        return ""
    if wanted and "@" in wanted:
        raise ConfigError(f"{setting}: user and password do not belong in the settings; put the address into HTTPS_PROXY of the service", code="config.secret")
    found = getproxies()
    address = wanted or ("" if proxy_bypass(host) else found.get(scheme) or found.get("all") or "")
    parts = urlsplit(address)
    if address and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise ConfigError(f"{setting}: expected the address of an HTTP proxy such as http://proxy.example.com:3128, or none", code="config.address")
    return address


def credentials(proxy: str) -> str:
    """The value of `Proxy-Authorization` for an address with user and password; '' without."""
    parts = urlsplit(proxy)
    if parts.username is None:
        return ""
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def tunnel(proxy: str, host: str, port: int, timeout_seconds: float) -> socket.socket:
    """A connection to a host through a proxy. Raises: OSError."""
    parts = urlsplit(proxy)
    made = socket.create_connection((str(parts.hostname), parts.port or 3128), timeout_seconds)
    try:
        allowed = credentials(proxy)
        lines = [f"CONNECT {host}:{port} HTTP/1.1", f"Host: {host}:{port}", *([f"Proxy-Authorization: {allowed}"] if allowed else [])]
        made.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        head = b""
        while b"\r\n\r\n" not in head and len(head) < LONGEST_HEAD:
            byte = made.recv(1)  # one at a time: what follows is the target's
            if not byte:
                break
            head += byte
        status = head.split(b" ", 2)[1:2]
        if status != [b"200"]:
            said = status[0].decode("ascii", "replace")[:20] if status else "nothing"
            raise OSError(0, f"the proxy {parts.hostname} does not lead to {host}:{port}: it answered {said}")
    except BaseException:
        made.close()
        raise
    return made
