"""ZKTeco ADMS: this terminal pushes its log to any server that accepts ZKTeco terminals.

The attendance PUSH protocol, version 2.4: the terminal introduces itself (`GET /iclock/cdata?options=all`), posts
records of the table ATTLOG, one per line with tabs between fields, asks for commands (`GET /iclock/getrequest`) and
answers them (`POST /iclock/devicecmd`). The server knows the terminal by its serial number alone: use https if it can.

Only commands that ask for the log or for a new introduction are carried out; all others (shell, files, users, templates,
restart) are answered with -1002, "not supported by the device". Whatever a server says is input: what cannot be understood
is answered with -1, "wrong parameter", and the terminal goes on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from urllib.parse import quote

from device.config import ConnectorSettings
from device.config.fields import needed, ranged, switched, written
from device.delivery.connectors import Connector, Queue
from device.delivery.connectors import proxy as proxies
from device.delivery.connectors.http_exchange import Answer, HttpTarget, judge
from device.delivery.connectors.local_time import naive, zone
from device.delivery.outcomes import Delivered, Failed, Outcome, Refused, expect
from device.storage.events import Event
from device.storage.records import LastPunch

PUSH_VERSION = "2.4.1"
STATUS = {"in": 0, "out": 1, "break_start": 2, "break_end": 3, "auto": 255}  # Status of ATTLOG; 255 is "none chosen"
VERIFY = {"face": 15, "pin": 3, "manual": 200}  # appendix "verification modes"
NO_STAMP = "9999"  # stamps are for old servers only: the outbox knows which records were accepted
UNSUPPORTED, WRONG_ARGUMENT = -1002, -1  # appendix "error codes"
COMMAND = re.compile(r"C:([0-9A-Za-z_-]{1,32}):(.*)", re.IGNORECASE)
ACCEPTED = re.compile(r"OK(?:\s*:\s*(-?\d{1,9}))?", re.IGNORECASE)
LIMIT = re.compile(r"(StartTime|EndTime)=(\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d:\d\d)?)", re.IGNORECASE)
GREETING = "get option from"


@dataclass(frozen=True, kw_only=True)
class Settings(ConnectorSettings):
    url: str = needed("http or https address", "Address and push port of the server, without /iclock")
    serial: str = needed("text", "Serial number by which the server knows this terminal")
    timezone: str = needed("time zone", "Time zone of the site on the server, such as Europe/Berlin; records carry local times")
    count_checked: bool = switched(True, "An answer of OK: 3 for 4 records means that one was not taken; false for servers that count only new ones")
    poll_seconds: float = ranged(30.0, 1.0, 600.0, "s", "How often the server is asked for commands, unless it names another interval")
    ca_file: str = written("", "path", "PEM file with certificates to trust in place of the system's, for a company's own authority")
    proxy: str = written("", "http address", proxies.HELP)


class Target(Connector):
    settings: Settings
    batch: ClassVar[int] = 100
    test_code: ClassVar[str] = "999999999"  # servers expect numbers

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        where = f"[connectors.{self.name}]"
        self._zone = zone(f"{where} timezone", settings.timezone)
        self._site = HttpTarget(f"{where} url", settings.url, settings.timeout_seconds, 1, settings.ca_file, settings.proxy)
        self._serial = quote(settings.serial, safe="")
        self._introduced = False
        self._options: dict[str, str] = {}  # as the server named them, keys in lower case
        self._pause_seconds = settings.poll_seconds
        self._polled_at = float("-inf")

    def deliver(self, events: Sequence[Event]) -> Iterator[Outcome | None]:
        """One request for all; if the server accepted fewer or failed, one request per record, to find out which ones."""
        outcome = self._introduce()
        if not isinstance(outcome, Delivered):
            yield outcome
            return
        todo = [self._todo(event) for event in events]
        lines = [entry for entry in todo if isinstance(entry, str)]
        outcome = self._post(lines)
        if isinstance(outcome, Failed) and (outcome.whole_target or len(todo) == 1):
            yield outcome
            return
        failed: set[int | None] = set()  # people whose later records wait
        for event, entry in zip(events, todo, strict=True):
            if event.person_id in failed:
                yield None
            elif not isinstance(entry, str):
                yield entry
            else:
                single = outcome if isinstance(outcome, Delivered) or len(lines) == 1 else self._post([entry])
                if isinstance(single, Failed):
                    failed.add(event.person_id)
                yield Delivered(single.answer, named(entry)) if isinstance(single, Delivered) else single

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
        return f"the server knows {self.settings.serial} and accepted a record of PIN {event.code}: {answer}{self._zone_note()}"

    def _zone_note(self) -> str:
        """Records carry local times: the server names the zone of this terminal as it has it, in hours (or minutes, beyond 14)."""
        try:
            hours = float(self._options["timezone"])
            theirs = hours * 60 if abs(hours) <= 14 else hours
        except (KeyError, ValueError):
            return ""
        offset = datetime.now(self._zone).utcoffset()
        ours = offset.total_seconds() / 60 if offset is not None else 0.0
        return "" if theirs == ours else f"; but the server has this terminal {theirs / 60:+g} h from UTC, timezone is {ours / 60:+g} h: make them the same"

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
        first, *rest = plain(answer).splitlines() or [""]
        serial = first.partition(":")[2].strip()
        if not first.lower().startswith(GREETING) or serial.lower() not in ("", self.settings.serial.lower()):
            return Failed(f"the server does not know the serial number {self.settings.serial}: {outcome.answer}", whole_target=True)
        options = {key.strip().lower(): value.strip() for key, separator, value in (line.partition("=") for line in rest) if separator}
        if options.get("encrypt") == "1":
            return Failed("the server wants the protocol's own encryption, which is not supported; switch it off there and use https", whole_target=True)
        if options.get("delay", "")[:9].isdecimal():
            self._pause_seconds = min(max(float(options["delay"][:9]), 2.0), 600.0)
        self._options = options
        self._introduced = True
        return Delivered()

    def _todo(self, event: Event) -> str | Outcome:
        """The record to be added so that the server has what counts of a punch now, or the outcome if none is to be added.

        A punch that was sent before references were stored counts as sent as it was recorded.
        """
        wanted = self._line(event, event.counts) if event.counts else ""
        had = event.reference
        if had is None and event.punch_id is not None and event.history and event.history.states[0]:
            had = named(self._line(event, event.history.states[0]))
        itself = event.punch_id is None and event.amends is None  # not a correction of it: this one is sent, again if it is asked for
        if wanted and (itself or not had):
            return wanted
        if itself or (named(wanted) if wanted else "") == (had or ""):
            return Delivered("the server has it" if wanted else "it does not count and was not sent", had or "")
        return Refused("this protocol only adds records; correct it on the server by hand, then discard this")

    def _line(self, event: Event, state: LastPunch) -> str:
        """PIN, time, status, verification, work code, two reserved fields."""
        method = event.method if event.kind != "correction" else "manual"
        fields = (event.code, naive(state.occurred_at, self._zone), STATUS[state.direction], VERIFY.get(method, 200), 0, 0, 0)
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
        accepted = ACCEPTED.fullmatch(plain(answer).strip())
        if not accepted:
            self._introduced = False
            return Failed(f"expected OK, got {outcome.answer}; something else may answer at this address", whole_target=plain(answer).lstrip().startswith("<"))
        taken = int(accepted[1]) if accepted[1] is not None else len(lines)
        if taken < 0 or (self.settings.count_checked and taken < len(lines)):
            return Refused(f"the server accepted {max(taken, 0)} of {len(lines)} records: {outcome.answer}", cause="not accepted")
        return outcome

    def _poll(self, queue: Queue) -> Outcome:
        answer = self._site.call("GET", f"/iclock/getrequest?SN={self._serial}", {"Accept": "*/*"})
        outcome = judge(answer)
        if not isinstance(outcome, Delivered) or not isinstance(answer, Answer):
            self._introduced = False
            return outcome
        commands = [(number, command.split()) for number, command in COMMAND.findall(plain(answer))]
        replies = [f"ID={number}&Return={self._execute(words, queue)}&CMD={(words or [''])[0].upper()[:32]}" for number, words in commands]
        if not replies:
            return Delivered()
        return judge(self._site.call("POST", f"/iclock/devicecmd?SN={self._serial}", {"Content-Type": "text/plain"}, "\n".join(replies).encode()))

    def _execute(self, words: list[str], queue: Queue) -> int:
        """Carry out a command; returns its return code."""
        command = " ".join(words).upper()
        if command in ("CHECK", "LOG", "RELOAD OPTIONS"):
            self._introduced = False
            return 0
        if command.startswith("DATA QUERY ATTLOG"):
            limits = {key.lower(): text for key, text in LIMIT.findall(" ".join(words))}
            try:
                since, until = self._moment(limits["starttime"], "00:00:00"), self._moment(limits["endtime"], "23:59:59")
            except (KeyError, ValueError, OverflowError, OSError):
                return WRONG_ARGUMENT
            queue.requeue(since, until + 1.0)
            return 0
        return UNSUPPORTED if command else WRONG_ARGUMENT

    def _moment(self, text: str, of_day: str) -> float:
        """A local time, or a day with the time of day that is meant; `T` may stand between them. Raises: ValueError, OverflowError, OSError."""
        return datetime.fromisoformat(f"{text[:10]} {text[11:] or of_day}").replace(tzinfo=self._zone).timestamp()


def plain(answer: Answer) -> str:
    """The text of an answer, without a byte order mark."""
    return answer.text.lstrip("\ufeff")


def named(line: str) -> str:
    """A record by which the server tells it from others, as it is stored: time and status."""
    return " ".join(line.split("\t")[1:3])
