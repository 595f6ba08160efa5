"""An ADMS server as the attendance PUSH protocol 2.4 has it: options, ATTLOG, commands and their answers."""

from __future__ import annotations

import re
from collections import deque

from tests.device.fakes.site import Reply, Request, StandIn

RECORD = re.compile(r"[^\t\n]+\t\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\t\d+\t\d+\t[^\t\n]*\t[^\t\n]*\t[^\t\n]*")


def text(words: str) -> Reply:
    return Reply(200, words.encode(), {"Content-Type": "text/plain"})


class Adms(StandIn):
    """Keeps each record once, as servers do: by PIN and time."""

    def __init__(self, serial: str = "CLKF0001") -> None:
        super().__init__()
        self.serial = serial
        self.options = "ATTLOGStamp=None\nOPERLOGStamp=9999\nErrorDelay=30\nDelay=10\nTransFlag=TransData AttLog\tOpLog\nTimeZone=8\nRealtime=1\nEncrypt=None"
        self.records: dict[tuple[str, str], list[str]] = {}
        self.refused_pins: set[str] = set()
        self.poison_pins: set[str] = set()  # the server falls over them
        self.counts_only_new = False
        self.plain_ok = False
        self.commands: deque[str] = deque()
        self.replies: list[str] = []
        self.introduced = False
        self.greeting, self.accepts = "GET OPTION FROM: {serial}", "OK: {taken}"

    def answer(self, request: Request) -> Reply:
        if request.query.get("SN") != self.serial:
            return text("UNKNOWN DEVICE")
        asked = (request.method, request.path)
        if asked == ("GET", "/iclock/cdata") and request.query.get("options") == "all":
            assert request.query["pushver"] >= "2.2.14"
            self.introduced = True
            return text(self.greeting.format(serial=self.serial) + f"\n{self.options}")
        if not self.introduced:
            return Reply(400, b"who are you?")
        if asked == ("POST", "/iclock/cdata") and request.query.get("table") == "ATTLOG" and "Stamp" in request.query:
            return self._keep(request.body.decode())
        if asked == ("GET", "/iclock/getrequest"):
            return text(self.commands.popleft() if self.commands else "OK")
        if asked == ("POST", "/iclock/devicecmd"):
            self.replies += request.body.decode().split("\n")
            return text("OK")
        return Reply(404)

    def _keep(self, body: str) -> Reply:
        lines = body.splitlines()
        taken = 0
        if any(line.split("\t")[0] in self.poison_pins for line in lines):
            return Reply(500, b"Internal Server Error")
        for line in lines:
            assert RECORD.fullmatch(line), line
            fields = line.split("\t")
            new = (fields[0], fields[1]) not in self.records
            if fields[0] not in self.refused_pins and (new or not self.counts_only_new):
                self.records[fields[0], fields[1]] = fields
                taken += 1
        return text("OK" if self.plain_ok else self.accepts.format(taken=taken))
