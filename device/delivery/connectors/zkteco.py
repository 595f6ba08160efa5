"""ZKTeco ADMS: this terminal pushes its log to any server that accepts ZKTeco terminals.

The attendance PUSH protocol, version 2.4: the terminal introduces itself (`GET /iclock/cdata?options=all`), posts
records of the table ATTLOG, one per line with tabs between fields, asks for commands (`GET /iclock/getrequest`) and
answers them (`POST /iclock/devicecmd`). The server knows the terminal by its serial number alone: use https if it can.

Only commands that ask for the log or for a new introduction are carried out; all others (shell, files, users, templates,
restart) are answered with -1002, "not supported by the device".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from urllib.parse import quote

from device.config import ConnectorSettings, needed, ranged, switched, written
from device.delivery.connectors import Connector, Queue
from device.delivery.connectors.http_exchange import Answer, HttpTarget, judge
from device.delivery.connectors.local_time import naive, zone
from device.delivery.outcomes import Delivered, Failed, Outcome, Refused, expect
from device.storage.events import Event

PUSH_VERSION = "2.4.1"
STATUS = {"in": 0, "out": 1, "break_start": 2, "break_end": 3, "auto": 255}  # Status of ATTLOG; 255 is "none chosen"
VERIFY = {"face": 15, "pin": 3, "manual": 200}  # appendix "verification modes"
NO_STAMP = "9999"  # stamps are for old servers only: the outbox knows which records were accepted
UNSUPPORTED, WRONG_ARGUMENT = -1002, -1  # appendix "error codes"
COMMAND = re.compile(r"C:([0-9A-Za-z_-]{1,32}):(.+)")
ACCEPTED = re.compile(r"OK(?:\s*:\s*(\d+))?", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Settings(ConnectorSettings):
    url: str = needed("http or https address", "Address and push port of the server, without /iclock")
    serial: str = needed("text", "Serial number by which the server knows this terminal")
    timezone: str = needed("time zone", "Time zone of the site on the server, such as Europe/Berlin; records carry local times")
    count_checked: bool = switched(True, "An answer of OK: 3 for 4 records means that one was not taken; false for servers that count only new ones")
    poll_seconds: float = ranged(30.0, 1.0, 600.0, "s", "How often the server is asked for commands, unless it names another interval")
    ca_file: str = written("", "path", "PEM file with certificates to trust in place of the system's, for a company's own authority")


class Target(Connector):
    settings: Settings
    batch: ClassVar[int] = 100
    test_code: ClassVar[str] = "999999999"  # servers expect numbers

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        where = f"[connectors.{self.name}]"
        self._zone = zone(f"{where} timezone", settings.timezone)
        self._site = HttpTarget(f"{where} url", settings.url, settings.timeout_seconds, 1, settings.ca_file)
        self._serial = quote(settings.serial, safe="")
        self._introduced = False
        self._pause_seconds = settings.poll_seconds
        self._polled_at = float("-inf")

    def deliver(self, events: Sequence[Event]) -> Iterator[Outcome | None]:
        """One request for all; if the server accepted fewer or failed, one request per record, to find out which ones."""
        outcome = self._introduce()
        if not isinstance(outcome, Delivered):
            yield outcome
            return
        lines = [self._line(event) for event in events]
        outcome = self._post([line for line in lines if line])
        if isinstance(outcome, Failed) and (outcome.whole_target or len(lines) == 1):
            yield outcome
            return
        failed: set[int | None] = set()  # people whose later records wait
        for event, line in zip(events, lines, strict=True):
            if event.person_id in failed:
                yield None
            elif not line:
                yield Refused("this protocol only adds records; correct it on the server by hand, then discard this")
            elif isinstance(outcome, Delivered) or len(lines) == 1:
                yield outcome
            else:
                single = self._post([line])
                if isinstance(single, Failed):
                    failed.add(event.person_id)
                yield single

    def tick(self, now: float, queue: Queue) -> Outcome | None:
        """Ask for commands, at the interval that the server names."""
        if now - self._polled_at < self._pause_seconds:
            return None
        outcome = self._introduce()
        if isinstance(outcome, Delivered):
            outcome = self._poll(queue)
        self._polled_at = now
        return outcome

    def test(self, event: Event) -> str:
        answer = expect(next(self.deliver([event])))
        return f"the server knows {self.settings.serial} and accepted a record of PIN {event.code}: {answer}"

    def close(self) -> None:
        self._site.close()

    def _introduce(self) -> Outcome:
        """Read the server's options; the terminal may send records only after that."""
        if self._introduced:
            return Delivered()
        path = f"/iclock/cdata?SN={self._serial}&options=all&pushver={PUSH_VERSION}&DeviceType=att&language=69"
        answer = self._site.call("GET", path, {"Accept": "*/*"})
        outcome = judge(answer)
        if not isinstance(outcome, Delivered) or not isinstance(answer, Answer):
            return Failed(outcome.answer, whole_target=True) if isinstance(outcome, Refused) else outcome
        first, *rest = answer.text.splitlines() or [""]
        if not first.startswith("GET OPTION FROM"):
            return Failed(f"the server does not know the serial number {self.settings.serial}: {outcome.answer}", whole_target=True)
        options = {key.strip(): value.strip() for key, separator, value in (line.partition("=") for line in rest) if separator}
        if options.get("Encrypt") == "1":
            return Failed("the server wants the protocol's own encryption, which is not supported; switch it off there and use https", whole_target=True)
        if options.get("Delay", "").isdecimal():
            self._pause_seconds = min(max(float(options["Delay"]), 2.0), 600.0)
        self._introduced = True
        return Delivered()

    def _line(self, event: Event) -> str:
        """PIN, time, status, verification, work code, two reserved fields; '' for an event that the protocol cannot express."""
        if event.occurred_at is None or event.punch_id is not None or event.amends is not None:
            return ""
        fields = (event.code, naive(event.occurred_at, self._zone), STATUS[event.direction or "auto"], VERIFY.get(event.method, 200), 0, 0, 0)
        return "\t".join(map(str, fields)) + "\n"

    def _post(self, lines: Sequence[str]) -> Outcome:
        if not lines:
            return Delivered()
        path = f"/iclock/cdata?SN={self._serial}&table=ATTLOG&Stamp={NO_STAMP}"
        answer = self._site.call("POST", path, {"Content-Type": "text/plain; charset=utf-8"}, "".join(lines).encode())
        outcome = judge(answer)
        if not isinstance(outcome, Delivered) or not isinstance(answer, Answer):
            self._introduced = False  # the server may have been reinstalled
            return outcome
        accepted = ACCEPTED.match(answer.text.strip())
        if not accepted:
            self._introduced = False
            return Failed(f"expected OK, got {outcome.answer}")
        if self.settings.count_checked and accepted[1] is not None and int(accepted[1]) < len(lines):
            return Refused(f"the server accepted {accepted[1]} of {len(lines)} records: {outcome.answer}")
        return outcome

    def _poll(self, queue: Queue) -> Outcome:
        answer = self._site.call("GET", f"/iclock/getrequest?SN={self._serial}", {"Accept": "*/*"})
        outcome = judge(answer)
        if not isinstance(outcome, Delivered) or not isinstance(answer, Answer):
            self._introduced = False
            return outcome
        commands = COMMAND.findall(answer.text)
        replies = [f"ID={number}&Return={self._execute(command.strip(), queue)}&CMD={command.split()[0]}" for number, command in commands]
        if not replies:
            return Delivered()
        return judge(self._site.call("POST", f"/iclock/devicecmd?SN={self._serial}", {"Content-Type": "text/plain"}, "\n".join(replies).encode()))

    def _execute(self, command: str, queue: Queue) -> int:
        """Carry out a command; returns its return code."""
        if command in ("CHECK", "LOG", "RELOAD OPTIONS"):
            self._introduced = False
            return 0
        if command.startswith("DATA QUERY ATTLOG"):
            limits = dict(re.findall(r"(StartTime|EndTime)=(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)", command))
            if len(limits) != 2:
                return WRONG_ARGUMENT
            queue.requeue(self._moment(limits["StartTime"]), self._moment(limits["EndTime"]) + 1.0)
            return 0
        return UNSUPPORTED

    def _moment(self, text: str) -> float:
        return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=self._zone).timestamp()
