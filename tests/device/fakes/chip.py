"""An emulated TPM 2.0 (Debian's swtpm), its state in a folder, asked over a socket of its own.

`python -m tests.device.fakes.chip` prints how long it takes to open a sealed key.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from device.system import tpm

VALUE = "a5" * 32  # what is measured into a PCR


def needed() -> None:
    for program, package in (("swtpm", "swtpm"), ("tpm2_unseal", "tpm2-tools")):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed (apt install {package})")


@contextmanager
def chip(state: Path) -> Iterator[str]:
    """A chip that has just started; gives what TPM2TOOLS_TCTI must be. The same state is the same chip."""
    needed()
    state.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="swtpm-") as name:  # a socket's path is short
        at = f"{name}/s"
        sockets = ["--server", f"type=unixio,path={at}", "--ctrl", f"type=unixio,path={at}.ctrl"]
        command = ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={state}", *sockets, "--flags", "startup-clear,not-need-init"]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)  # it tells of every caller that leaves
        try:
            for _ in range(200):
                if os.path.exists(f"{at}.ctrl"):
                    break
                time.sleep(0.02)
            assert os.path.exists(f"{at}.ctrl"), "swtpm does not start"
            yield f"swtpm:path={at}"
        finally:
            process.terminate()
            process.wait()


def ask(tool: str, *arguments: str, cwd: Path | None = None) -> bytes:
    """Call a tool as somebody else would."""
    return subprocess.run([f"tpm2_{tool}", *arguments], check=True, capture_output=True, cwd=cwd).stdout


def measure(pcr: int = 7) -> None:
    ask("pcrextend", f"{pcr}:sha256={VALUE}")


def loaded() -> bytes:
    """Objects and sessions that the chip holds."""
    return ask("getcap", "handles-transient") + ask("getcap", "handles-loaded-session")


def main() -> None:
    with tempfile.TemporaryDirectory() as name, chip(Path(name) / "state") as os.environ["TPM2TOOLS_TCTI"]:
        measure()
        for pcrs in ("", "sha256:7"):
            sealed = tpm.seal(bytes(32), pcrs)
            seconds = []
            for _ in range(20):
                begin = time.perf_counter()
                tpm.unseal(sealed)
                seconds.append(time.perf_counter() - begin)
            print(f"unseal, {pcrs or 'no PCRs'}: median {1000 * statistics.median(seconds):.0f} ms, slowest {1000 * max(seconds):.0f} ms of {len(seconds)}")


if __name__ == "__main__":
    main()
