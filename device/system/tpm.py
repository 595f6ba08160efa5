"""A key sealed by a TPM 2.0: what lies on the disk opens with the chip that sealed it alone, and, where asked, only while its PCRs stay as they are.

Debian's tpm2-tools do the work. The plain key goes through pipes only; what they write meanwhile is no secret. The parent is made
anew for each use from a fixed ECC template below the owner hierarchy, so nothing is left in the chip.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from device.contract import ClockfaceError

MAGIC = b"CLOCKFACE-TPM-1\n"
DEVICE = "device:/dev/tpmrm0"  # the tools by themselves would go on to any program that listens at 127.0.0.1:2321, and hand it the key
MANAGED = ("device:/dev/tpmrm", "tabrmd")  # these clear up after each program
SECONDS = 30.0  # a discrete chip takes up to some seconds for a command
PARENT = ("-C", "o", "-g", "sha256", "-G", "ecc256:aes128cfb", "-a", "restricted|decrypt|fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda")
PCRS = re.compile(r"sha(1|256|384|512):(\d|1\d|2[0-3])(,(\d|1\d|2[0-3]))*")
SPOILT = "it was changed: put back the right one"


class TpmError(ClockfaceError):
    """A TPM that is not there, does not answer or does not open a key; the message says what to do."""

    code = "tpm"


FAULTS = {  # what the tools say -> the error; what to do
    "Permission denied": partial(
        TpmError, "this user may not use the TPM: `usermod -aG tss USER` (install.sh does it for clockface), then log in or start anew", code="tpm.no_right"
    ),
    "Operation not permitted": partial(TpmError, "this service may not use the TPM: its unit needs DeviceAllow=/dev/tpmrm0 rw", code="tpm.no_right"),
    "Could not load tcti": partial(
        TpmError,
        "no TPM that answers (/dev/tpmrm0, else TPM2TOOLS_TCTI): switch it on in the firmware's setup, or keep the key in its file",
        code="tpm.no_chip",
    ),
    "(0x99D)": partial(
        TpmError, "the PCRs are not what they were when the key was sealed: start what was started then, or enrol everybody again", code="tpm.pcrs_changed"
    ),
    "(0x1DF)": partial(
        TpmError,
        "another TPM sealed this key, or this one was cleared: put back the board it was made on, or enrol everybody again (docs/privacy.md)",
        code="tpm.another_chip",
    ),
    "(0x9A2)": partial(TpmError, "the TPM's owner hierarchy has a password: take it away (`tpm2_changeauth -c o -p PASSWORD`)", code="tpm.owner"),
    "(0x185)": partial(TpmError, "the TPM's owner hierarchy is switched off: switch it on in the firmware's setup", code="tpm.owner"),
}


def check_pcrs(pcrs: str) -> str:
    """The selection as it is kept, such as `sha256:7` or `sha256:0,2,7`; empty: bound to the chip alone.

    Raises:
        TpmError: it is none.
    """
    if pcrs and not PCRS.fullmatch(pcrs):
        raise TpmError(f"PCRs {pcrs!r}: one bank and numbers from 0 to 23 are wanted, such as sha256:7 or sha256:0,2,7", code="tpm.selection")
    return pcrs


def is_sealed(content: bytes) -> bool:
    return content.startswith(MAGIC)


def pcrs_of(content: bytes) -> str:
    """The PCRs that a sealed key is bound to; the TPM is not asked.

    Raises:
        TpmError: the content was changed.
    """
    return _parts(content)[0]


def seal(key: bytes, pcrs: str = "") -> bytes:
    """Seal up to 128 bytes; opened once before it returns, so what it gives does open.

    Raises:
        TpmError: no TPM, no tools, or nothing is measured into these PCRs.
    """
    with _tools() as tools:
        policy = ["-a", "fixedtpm|fixedparent|userwithauth|noda"]
        if check_pcrs(pcrs):
            tools.must_be_measured(pcrs)
            tools.run("createpolicy", "--policy-pcr", "-l", pcrs, "-L", "policy")
            policy = ["-a", "fixedtpm|fixedparent|noda", "-L", "policy"]
        tools.run("createprimary", *PARENT, "-c", "parent")
        tools.run("create", "-C", "parent", *policy, "-i", "-", "-u", "public", "-r", "private", given=key)
        parts = {name: base64.b64encode((tools.folder / name).read_bytes()).decode() for name in ("public", "private")}
    sealed = MAGIC + json.dumps({"pcrs": pcrs, **parts}).encode() + b"\n"
    if unseal(sealed) != key:
        raise TpmError("the TPM does not give back what it sealed: keep the key in its file", code="tpm.not_sealed")
    return sealed


def unseal(sealed: bytes) -> bytes:
    """The plain key.

    Raises:
        TpmError: no TPM, no tools, another TPM, or other PCRs than when it was sealed.
    """
    pcrs, public, private = _parts(sealed)
    with _tools() as tools:
        (tools.folder / "public").write_bytes(public)
        (tools.folder / "private").write_bytes(private)
        tools.run("createprimary", *PARENT, "-c", "parent")
        tools.run("load", "-C", "parent", "-u", "public", "-r", "private", "-c", "sealed")
        return tools.run("unseal", "-c", "sealed", *(["-p", f"pcr:{pcrs}"] if pcrs else []))


def _parts(content: bytes) -> tuple[str, bytes, bytes]:
    """PCRs, public and private part."""
    try:
        read = json.loads(content[len(MAGIC) :])
        public, private = (base64.b64decode(read[name], validate=True) for name in ("public", "private"))
        return check_pcrs(read["pcrs"]), public, private
    except (ValueError, KeyError, TypeError) as error:
        raise TpmError(SPOILT, code="tpm.file_changed") from error


class _Tools:
    """The programs, in a private folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._tcti = os.environ.get("TPM2TOOLS_TCTI") or DEVICE
        self._managed = self._tcti.startswith(MANAGED)
        self._before: set[str] = set() if self._managed else self._loaded()

    def run(self, tool: str, *arguments: str, given: bytes = b"") -> bytes:
        """What a tool prints; without a resource manager, what it left in the chip is removed."""
        try:
            return self._run(tool, *arguments, given=given)
        finally:
            if not self._managed:
                for handle in sorted(self._loaded() - self._before):
                    self._run("flushcontext", handle)

    def must_be_measured(self, pcrs: str) -> None:
        """A PCR that nothing was measured into has the same value whatever boots; one that the chip has not is left out of a policy."""
        found = dict(re.findall(r"^\s*(\d+)\s*:\s*0x([0-9A-Fa-f]+)\s*$", self._run("pcrread", pcrs).decode(), re.MULTILINE))
        for number in pcrs.partition(":")[2].split(","):
            if not set(found.get(number, "0").upper()) - {"0"} or not set(found[number].upper()) - {"F"}:
                raise TpmError(
                    f"nothing was measured into PCR {number} of {pcrs.partition(':')[0]} here: it would bind the key to nothing; name others or none",
                    code="tpm.not_measured",
                )

    def _loaded(self) -> set[str]:
        kinds = ("handles-transient", "handles-loaded-session")
        return {handle for kind in kinds for handle in re.findall(r"0x[0-9A-Fa-f]+", self._run("getcap", kind).decode())}

    def _run(self, tool: str, *arguments: str, given: bytes = b"") -> bytes:
        program = shutil.which(f"tpm2_{tool}")
        if program is None:
            raise TpmError(f"tpm2_{tool} is missing, without which no TPM can be asked: apt install tpm2-tools", code="tpm.no_tools")
        command = [program, *arguments] if tool in ("unseal", "getcap", "pcrread", "flushcontext") else [program, "-Q", *arguments]
        environment = {**os.environ, "TPM2TOOLS_TCTI": self._tcti, "LC_ALL": "C"}
        try:
            done = subprocess.run(command, input=given, capture_output=True, cwd=self.folder, env=environment, timeout=SECONDS)
        except subprocess.TimeoutExpired as error:
            raise TpmError(f"the TPM does not answer within {SECONDS:.0f} s: switch the board off and on again", code="tpm.no_answer") from error
        except OSError as error:
            raise TpmError(f"{program} does not run ({error.strerror}): apt install --reinstall tpm2-tools", code="tpm.no_tools") from error
        if done.returncode:
            raise _explained(f"tpm2_{tool}", done.stderr.decode(errors="replace"))
        return done.stdout


def _explained(tool: str, said: str) -> TpmError:
    fault = next((fault for sign, fault in FAULTS.items() if sign in said), None)
    if fault:
        return fault()
    lines = [line.removeprefix("ERROR: ") for line in said.splitlines() if line.startswith("ERROR: ") and "Unable to run" not in line]
    return TpmError(f"{tool}: {' '.join(lines[-1:]) or 'failed'}; `tpm2_getcap properties-fixed` shows whether the TPM works")


@contextmanager
def _tools() -> Iterator[_Tools]:
    with tempfile.TemporaryDirectory(prefix="clockface-tpm-") as name:  # mode 700
        yield _Tools(Path(name))
