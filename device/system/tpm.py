"""A key sealed by a TPM 2.0: the file on disk opens only with the chip that sealed it and, if requested, only while its PCRs are unchanged.

Debian's tpm2-tools do the work. The plain key goes through pipes only; the files that the tools write are not secret. The parent key is
derived anew for each use from a fixed ECC template in the owner hierarchy, so that nothing is left in the chip.
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
DEVICE = "device:/dev/tpmrm0"  # by default the tools fall back to any program that listens at 127.0.0.1:2321, which would get the key
MANAGED = ("device:/dev/tpmrm", "tabrmd")  # resource managers, which flush the objects of each program
SECONDS = 30.0  # a discrete chip takes up to a few seconds per command
PARENT = ("-C", "o", "-g", "sha256", "-G", "ecc256:aes128cfb", "-a", "restricted|decrypt|fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda")
PCRS = re.compile(r"sha(1|256|384|512):(\d|1\d|2[0-3])(,(\d|1\d|2[0-3]))*")


class TpmError(ClockfaceError):
    """The TPM is missing, does not answer or does not unseal a key; the message says what to do."""

    code = "tpm"


FAULTS = {  # part of a tool's error message -> the error, with what to do
    "Permission denied": partial(
        TpmError,
        "this user may not use the TPM: run `usermod -aG tss USER` (install.sh does so for clockface), then log in again or restart the service",
        code="tpm.no_right",
    ),
    "Operation not permitted": partial(TpmError, "this service may not use the TPM: its unit needs DeviceAllow=/dev/tpmrm0 rw", code="tpm.no_right"),
    "Could not load tcti": partial(
        TpmError,
        "no TPM answers (at TPM2TOOLS_TCTI, or at /dev/tpmrm0 where that is not set): enable it in the firmware setup, or keep the key in a file",
        code="tpm.no_chip",
    ),
    "(0x99D)": partial(
        TpmError, "the PCRs have changed since the key was sealed: boot the same software as then, or enrol everybody again", code="tpm.pcrs_changed"
    ),
    "(0x1DF)": partial(
        TpmError,
        "another TPM sealed this key, or this one was cleared: use the board that sealed the key, or enrol everybody again (docs/privacy.md)",
        code="tpm.another_chip",
    ),
    "(0x9A2)": partial(TpmError, "the TPM's owner hierarchy has a password: remove it (`tpm2_changeauth -c o -p PASSWORD`)", code="tpm.owner"),
    "(0x185)": partial(TpmError, "the TPM's owner hierarchy is disabled: enable it in the firmware setup", code="tpm.owner"),
}


def check_pcrs(pcrs: str) -> str:
    """The selection of PCRs, unchanged, such as `sha256:7` or `sha256:0,2,7`; empty: bound to the chip alone.

    Raises:
        TpmError: it is not a valid selection.
    """
    if pcrs and not PCRS.fullmatch(pcrs):
        raise TpmError(f"PCRs {pcrs!r}: expected one bank and numbers from 0 to 23, such as sha256:7 or sha256:0,2,7", code="tpm.selection")
    return pcrs


def is_sealed(content: bytes) -> bool:
    return content.startswith(MAGIC)


def pcrs_of(content: bytes) -> str:
    """The PCRs that a sealed key is bound to, read without the TPM.

    Raises:
        TpmError: the content is damaged.
    """
    return _parts(content)[0]


def seal(key: bytes, pcrs: str = "") -> bytes:
    """Seal up to 128 bytes; the result is unsealed once before it is returned, so it is known to open.

    Raises:
        TpmError: no TPM, no tools, or nothing was measured into these PCRs.
    """
    with _tools() as tools:
        policy = ["-a", "fixedtpm|fixedparent|userwithauth|noda"]
        if check_pcrs(pcrs):
            tools.must_be_measured(pcrs)
            tools.run("createpolicy", "--policy-pcr", "-l", pcrs, "-L", "policy")
            policy = ["-a", "fixedtpm|fixedparent|noda", "-L", "policy"]
        tools.run("createprimary", *PARENT, "-c", "parent")
        tools.run("create", "-C", "parent", *policy, "-i", "-", "-u", "public", "-r", "private", stdin=key)
        parts = {name: base64.b64encode((tools.folder / name).read_bytes()).decode() for name in ("public", "private")}
    sealed = MAGIC + json.dumps({"pcrs": pcrs, **parts}).encode() + b"\n"
    if unseal(sealed) != key:
        raise TpmError("the TPM does not return the key that it sealed: keep the key in a file", code="tpm.not_sealed")
    return sealed


def unseal(sealed: bytes) -> bytes:
    """The plain key.

    Raises:
        TpmError: no TPM, no tools, another TPM, or PCRs that have changed since the key was sealed.
    """
    pcrs, public, private = _parts(sealed)
    with _tools() as tools:
        (tools.folder / "public").write_bytes(public)
        (tools.folder / "private").write_bytes(private)
        tools.run("createprimary", *PARENT, "-c", "parent")
        tools.run("load", "-C", "parent", "-u", "public", "-r", "private", "-c", "sealed")
        return tools.run("unseal", "-c", "sealed", *(["-p", f"pcr:{pcrs}"] if pcrs else []))


def _parts(content: bytes) -> tuple[str, bytes, bytes]:
    """PCRs, public and private part of a sealed key."""
    try:
        fields = json.loads(content[len(MAGIC) :])
        public, private = (base64.b64decode(fields[name], validate=True) for name in ("public", "private"))
        return check_pcrs(fields["pcrs"]), public, private
    except (ValueError, KeyError, TypeError) as error:
        raise TpmError("the sealed key is damaged: restore the file from before it was changed", code="tpm.file_changed") from error


class _Tools:
    """The programs of tpm2-tools, run in a private folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._tcti = os.environ.get("TPM2TOOLS_TCTI") or DEVICE
        self._managed = self._tcti.startswith(MANAGED)
        self._before: set[str] = set() if self._managed else self._loaded()

    def run(self, tool: str, *arguments: str, stdin: bytes = b"") -> bytes:
        """The output of a tool; without a resource manager, objects that it left in the chip are flushed."""
        try:
            return self._run(tool, *arguments, stdin=stdin)
        finally:
            if not self._managed:
                for handle in sorted(self._loaded() - self._before):
                    self._run("flushcontext", handle)

    def must_be_measured(self, pcrs: str) -> None:
        """Refuse PCRs that protect nothing: one without a measurement has the same value whatever boots, and one that the chip lacks is left out of a policy.

        Raises:
            TpmError: nothing was measured into one of them.
        """
        values = dict(re.findall(r"^\s*(\d+)\s*:\s*0x([0-9A-Fa-f]+)\s*$", self._run("pcrread", pcrs).decode(), re.MULTILINE))
        for number in pcrs.partition(":")[2].split(","):
            if not set(values.get(number, "0").upper()) - {"0"} or not set(values[number].upper()) - {"F"}:
                raise TpmError(
                    f"nothing was measured into PCR {number} of {pcrs.partition(':')[0]} on this board, so it would not protect the key: name others or none",
                    code="tpm.not_measured",
                )

    def _loaded(self) -> set[str]:
        kinds = ("handles-transient", "handles-loaded-session")
        return {handle for kind in kinds for handle in re.findall(r"0x[0-9A-Fa-f]+", self._run("getcap", kind).decode())}

    def _run(self, tool: str, *arguments: str, stdin: bytes = b"") -> bytes:
        program = shutil.which(f"tpm2_{tool}")
        if program is None:
            raise TpmError(f"tpm2_{tool} is missing, which is needed to use the TPM: apt install tpm2-tools", code="tpm.no_tools")
        command = [program, *arguments] if tool in ("unseal", "getcap", "pcrread", "flushcontext") else [program, "-Q", *arguments]
        environment = {**os.environ, "TPM2TOOLS_TCTI": self._tcti, "LC_ALL": "C"}
        try:
            done = subprocess.run(command, input=stdin, capture_output=True, cwd=self.folder, env=environment, timeout=SECONDS)
        except subprocess.TimeoutExpired as error:
            raise TpmError(f"the TPM did not answer within {SECONDS:.0f} s: switch the board off and on again", code="tpm.no_answer") from error
        except OSError as error:
            raise TpmError(f"{program} cannot be run ({error.strerror}): apt install --reinstall tpm2-tools", code="tpm.no_tools") from error
        if done.returncode:
            raise _explained(f"tpm2_{tool}", done.stderr.decode(errors="replace"))
        return done.stdout


def _explained(tool: str, stderr: str) -> TpmError:
    fault = next((fault for pattern, fault in FAULTS.items() if pattern in stderr), None)
    if fault:
        return fault()
    lines = [line.removeprefix("ERROR: ") for line in stderr.splitlines() if line.startswith("ERROR: ") and "Unable to run" not in line]
    return TpmError(f"{tool}: {' '.join(lines[-1:]) or 'failed'}; `tpm2_getcap properties-fixed` shows whether the TPM works")


@contextmanager
def _tools() -> Iterator[_Tools]:
    with tempfile.TemporaryDirectory(prefix="clockface-tpm-") as name:  # mode 700
        yield _Tools(Path(name))
