"""In a process of its own, since a filter stays for good."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from device.system import seccomp

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = """
import os, signal, subprocess, threading
from device.system.seccomp import threads_only
victim = subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
threads_only()
def refused(what, *given):
    try:
        what(*given)
    except OSError as error:
        return error.errno
print(refused(os.fork), refused(os.execv, "/bin/true", ["true"]), refused(os.kill, victim.pid, signal.SIGTERM), refused(subprocess.run, ["true"]))
seen = []
thread = threading.Thread(target=seen.append, args=(7,))
thread.start()
thread.join()
print(seen, open("/proc/self/status").read().partition("Seccomp:")[2].split()[0])
print(victim.pid)
"""


@pytest.mark.skipif(platform.machine() not in seccomp.CALLS, reason="no filter is known for this machine")
def test_a_process_starts_threads_and_no_process() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True)
    refusals, threads, victim = done.stdout.splitlines()
    subprocess.run(["kill", victim], check=True)  # it outlived the attempt
    assert refusals == "1 1 1 1" and threads == "[7] 2"


def test_each_machine_has_a_filter_whose_jumps_stay_inside() -> None:
    for architecture, clone, refused in seccomp.CALLS.values():
        program = [seccomp.struct.unpack("HBBI", step) for step in seccomp._program(architecture, clone, refused)]
        for at, (code, then, otherwise, _) in enumerate(program):
            assert code == seccomp.RETURN or max(then, otherwise) + at + 1 < len(program)
        assert [code for code, *_ in program[-3:]] == [seccomp.RETURN] * 3


def test_an_unknown_machine_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(OSError, match="riscv64"):
        seccomp.threads_only()
