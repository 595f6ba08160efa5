"""Description of this machine for reports: board, processor, instruction sets, temperature and load."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from pathlib import Path

PROC, THERMAL = Path("/proc"), Path("/sys/class/thermal")
HOT, VERY_HOT = 70.0, 80.0  # degrees Celsius; a Raspberry Pi slows down from 80
EMULATORS = ("qemu", "bochs", "uml")  # in the words of systemd-detect-virt(1); "kvm" and the like run on the processor itself
SPEED_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "asimd", "asimddp", "i8mm", "fphp")  # int8 and float speed depend on them


def lines(proc: Path = PROC, thermal: Path = THERMAL) -> list[str]:
    """Three lines: the host with its load, the board or processor with its flags, and the temperature."""
    cpu = processor(proc)
    name = board(proc) or cpu.get("model name") or cpu.get("CPU part") or "unknown processor"
    flags = set((cpu.get("flags") or cpu.get("Features") or "").split())
    celsius = temperature(thermal)
    return [
        f"host: {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}",
        f"board: {name}; {', '.join(flag for flag in SPEED_FLAGS if flag in flags) or 'no relevant CPU flags'}",
        f"temperature: {'not known' if celsius is None else f'{celsius:.0f} degrees Celsius'}",
    ]


def board(proc: Path = PROC) -> str:
    """The board's name in the device tree, such as "Raspberry Pi 5 Model B Rev 1.0"; "" on a PC."""
    try:
        return (proc / "device-tree/model").read_text(encoding="ascii", errors="replace").rstrip("\0\n")
    except OSError:
        return ""


def emulated() -> bool:
    """Whether a program stands in for this machine's processor, which makes it up to a hundred times slower than a board."""
    try:
        done = subprocess.run(["systemd-detect-virt", "--vm"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.stdout.strip() in EMULATORS


def own_id(proc: Path = PROC, etc: Path = Path("/etc")) -> str:
    """Six hexadecimal digits that tell two machines of one host name apart: from the board's serial number, else the machine id; "" without both."""
    for file in (proc / "device-tree/serial-number", etc / "machine-id"):
        try:
            text = file.read_text(encoding="ascii", errors="replace").strip("\0\n ")
        except OSError:
            continue
        if text:
            return hashlib.sha256(text.encode()).hexdigest()[:6]
    return ""


def board_or_processor(proc: Path = PROC) -> str:
    """The board's name; on a PC the machine type and the name of the processor."""
    return board(proc) or f"{platform.machine()} {processor(proc).get('model name') or platform.processor()}".strip()


def processor(proc: Path = PROC) -> dict[str, str]:
    """The entry of the first processor in /proc/cpuinfo: key -> value."""
    try:
        text = (proc / "cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


HOT, VERY_HOT = 70.0, 80.0  # degrees Celsius; a Raspberry Pi slows down from 80


def temperature(thermal: Path = THERMAL) -> float | None:
    """Degrees Celsius of the warmest thermal zone; None where the system has none."""
    readings = []
    for file in thermal.glob("thermal_zone*/temp"):
        try:
            readings.append(int(file.read_text()) / 1000)
        except (OSError, ValueError):
            continue
    return max(readings, default=None)
