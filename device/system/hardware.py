"""What machine this is, for a report that somebody else reads: board, processor, what it can, how warm it is."""

from __future__ import annotations

import os
import platform
from pathlib import Path

PROC, THERMAL = Path("/proc"), Path("/sys/class/thermal")
TELLING = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "asimd", "asimddp", "i8mm", "fphp")  # what int8 and float speed depend on


def lines(proc: Path = PROC, thermal: Path = THERMAL) -> list[str]:
    """A line each for the host, the board or processor with its flags, the temperature and the load."""
    found = processor(proc)
    named = board(proc) or found.get("model name") or found.get("CPU part") or "unknown processor"
    flags = set((found.get("flags") or found.get("Features") or "").split())
    warm = temperature(thermal)
    return [
        f"host: {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}",
        f"board: {named}; {', '.join(flag for flag in TELLING if flag in flags) or 'no telling flags'}",
        f"temperature: {'not known' if warm is None else f'{warm:.0f} degrees Celsius'}",
    ]


def board(proc: Path = PROC) -> str:
    """What the device tree calls it, such as "Raspberry Pi 5 Model B Rev 1.0"; "" on a PC."""
    try:
        return (proc / "device-tree/model").read_text(encoding="ascii", errors="replace").rstrip("\0\n")
    except OSError:
        return ""


def board_or_processor(proc: Path = PROC) -> str:
    """What the board calls itself; on a PC the machine type and the name of the processor."""
    return board(proc) or f"{platform.machine()} {processor(proc).get('model name') or platform.processor()}".strip()


def processor(proc: Path = PROC) -> dict[str, str]:
    """The first processor of cpuinfo: key -> value."""
    try:
        text = (proc / "cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def temperature(thermal: Path = THERMAL) -> float | None:
    """Degrees Celsius of the warmest zone; None where the system tells none."""
    found = []
    for file in thermal.glob("thermal_zone*/temp"):
        try:
            found.append(int(file.read_text()) / 1000)
        except (OSError, ValueError):
            continue
    return max(found, default=None)
