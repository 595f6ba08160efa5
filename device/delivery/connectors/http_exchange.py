"""One HTTP exchange: every wait has a time limit, and every failure becomes an outcome."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import urllib3

from device.config.fields import ConfigError
from device.delivery.connectors.proxy import credentials, proxy_for
from device.delivery.outcomes import Delivered, Failed, Outcome, Refused

LONGEST_BODY = 1_000_000  # bytes of an answer that are read
BUSY = (408, 425, 429, 503)  # the target asks for a later attempt with any event
MISCONFIGURED = (401, 403, 404, 405, 407, 410, 501)  # wrong credentials, address or permissions: every other event would fail too
WRONG_CREDENTIALS = (401, 403, 407)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    text: str
    now: float  # s since the epoch, when it arrived

    @property
    def summary(self) -> str:
        """Status and the beginning of the text on one line, without markup."""
        plain = " ".join(re.sub(r"<[^>]*>", " ", self.text).split())
        return f"HTTP {self.status}" + (f": {plain}" if plain else "")


class HttpTarget:
    """The server that a connector sends its requests to: one address, connections kept open, certificates checked.

    Args:
        url: http or https, without user and password.
        ca_file: certificates to trust instead of the system's, for a company's own certificate authority.
        proxy: see `proxy_for`.
    """

    def __init__(self, setting: str, url: str, timeout_seconds: float, connections: int, ca_file: str = "", proxy: str = "") -> None:
        check_url(setting, url)
        self.url = url.rstrip("/")
        self._timeout_seconds = timeout_seconds
        trust = {"ca_certs": _ca_file(setting, ca_file)} if ca_file else {}
        timeout = urllib3.Timeout(connect=timeout_seconds, read=timeout_seconds)
        parts = urlsplit(self.url)
        through = proxy_for(f"{setting.rpartition(' ')[0]} proxy", proxy, parts.scheme, str(parts.hostname))
        self._proxy = str(urlsplit(through).hostname or "")
        shared: dict[str, Any] = {"maxsize": connections, "timeout": timeout, "retries": False, "cert_reqs": "CERT_REQUIRED", **trust}
        allowed = {"proxy-authorization": credentials(through)} if credentials(through) else None
        self._pool = urllib3.ProxyManager(through, proxy_headers=allowed, **shared) if through else urllib3.PoolManager(**shared)

    def call(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None) -> Answer | Failed:
        """Send one request. A redirect is returned as an answer and not followed, since that would send the secrets to another address."""
        try:
            response = self._pool.request(method, self.url + path, body=body, headers=dict(headers), preload_content=False, redirect=False)
            try:
                text = self._read(response)
            finally:
                response.release_conn()
        except urllib3.exceptions.ProxyError as error:
            return Failed(f"no connection to {self._where()} through the proxy {self._proxy}: {_cause(error)}", whole_target=True)
        except urllib3.exceptions.NewConnectionError as error:
            return Failed(f"no connection to {self._where()}: {_cause(error)}", whole_target=True)
        except urllib3.exceptions.ConnectTimeoutError:
            return Failed(f"no connection to {self._where()} within {self._timeout_seconds:g} s", whole_target=True)
        except urllib3.exceptions.SSLError as error:
            return Failed(f"no secure connection to {self._where()}: {_cause(error)}", whole_target=True)
        except (urllib3.exceptions.TimeoutError, TimeoutError):
            return Failed(f"no answer from {self._where()} within {self._timeout_seconds:g} s")
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            return Failed(f"the connection to {self._where()} was interrupted: {type(error).__name__}")
        return Answer(response.status, response.headers, text, time.time())

    def close(self) -> None:
        self._pool.clear()

    def _read(self, response: urllib3.BaseHTTPResponse) -> str:
        """The body, within one time limit for all of it, so that a target that sends single bytes slowly does not block a lane."""
        deadline = time.monotonic() + self._timeout_seconds
        body = b""
        while len(body) < LONGEST_BODY:
            chunk = response.read1(65536)
            if not chunk:
                return body.decode("utf-8", "replace")
            body += chunk
            if time.monotonic() > deadline:
                response.close()
                raise TimeoutError
        response.close()
        return body.decode("utf-8", "replace")

    def _where(self) -> str:
        parts = urlsplit(self.url)
        return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)


def _ca_file(setting: str, ca_file: str) -> str:
    path = Path(ca_file).expanduser()
    if not path.is_file():
        raise ConfigError(f"{setting.rpartition(' ')[0]} ca_file: {ca_file} is not a file", code="config.no_file")
    return str(path)


def check_url(setting: str, url: str) -> None:
    """Raises: ConfigError: not an http(s) address, or one that contains a password."""
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        sound = False
    if not sound:
        raise ConfigError(f"{setting}: expected an http or https address such as https://hr.example.com", code="config.address")
    if "@" in parts.netloc:
        raise ConfigError(f"{setting}: user and password do not belong in the address; the connector has settings for them", code="config.secret")


def judge(answer: Answer | Failed) -> Outcome:
    """The outcome that an answer means for an event, unless the target has rules of its own."""
    if isinstance(answer, Failed):
        return answer
    if 200 <= answer.status < 300:
        return Delivered(answer.summary)
    if answer.status in BUSY:
        return Failed(answer.summary, whole_target=True, retry_after_seconds=retry_after(answer.headers, answer.now))
    if answer.status in MISCONFIGURED or 300 <= answer.status < 400:
        return Failed(f"{answer.summary} ({_hint(answer)})", whole_target=True)
    if answer.status >= 500 or answer.status == 409:
        return Failed(answer.summary, retry_after_seconds=retry_after(answer.headers, answer.now))
    return Refused(answer.summary)


def json_object(answer: Answer) -> dict[str, Any]:
    """The JSON object that an answer is; an empty one if it is anything else."""
    try:
        value = json.loads(answer.text)
    except (ValueError, RecursionError):  # the latter: "[[[[..."
        return {}
    return value if isinstance(value, dict) else {}


def is_page(answer: Answer) -> bool:
    """Whether this is a page for people: what a captive portal or a sign-in page answers, with any status."""
    return "html" in answer.headers.get("Content-Type", "").lower() or bool(re.match(r"\s*<(!doctype html|html|head|body|title)\b", answer.text, re.IGNORECASE))


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """`Retry-After` (RFC 9110, 10.2.3) in s; None if it is missing or cannot be read.

    A date is compared with the target's own `Date`, so that two clocks that disagree do no harm.
    """
    text = headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text[:9])
    try:
        until = parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError):
        return None
    with suppress(ValueError, TypeError):
        now = parsedate_to_datetime(headers.get("Date", "")).timestamp()
    return max(0.0, until - now)


def _hint(answer: Answer) -> str:
    if answer.status in WRONG_CREDENTIALS:
        return "check the credentials and the clock"
    if 300 <= answer.status < 400:
        return "it redirects; put the final address into the settings"
    return "check the address in the settings"


def _cause(error: BaseException) -> str:
    """The operating system's message at the end of a chain of errors, without addresses of objects."""
    text = str(error.__cause__ or error.__context__ or error)
    return " ".join(text.split(":", 1)[-1].split())[:200]
