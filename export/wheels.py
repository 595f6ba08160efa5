"""`python -m export wheels`: pin the wheels that boards need by version and SHA-256 in export/pins/; `bundle` packs exactly these.

After a change of device/requirements.txt run it again, review the difference and commit it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

from device.contract import ClockfaceError
from device.vision.catalogue import sha256
from training import arguments

ROOT = Path(__file__).resolve().parent.parent
PINS = Path(__file__).with_name("pins")
REQUIREMENTS = ROOT / "device/requirements.txt"
PYTHONS = {  # target -> Python versions of its systems: Raspberry Pi OS 12 and 13, JetPack 6, Debian and Ubuntu
    "rpi": ("3.11", "3.13"),
    "jetson": ("3.10",),
    "x86": ("3.10", "3.11", "3.12", "3.13"),
}
GLIBC = ("2_28", "2_27", "2_26", "2_24", "2_17")  # manylinux tags up to what the oldest of these systems has (2.31 and more)
INSTALLER = "pip"  # packed as well, for systems without ensurepip


class WheelError(ClockfaceError):
    """The wheels of a board cannot be obtained."""

    code = "wheels"


@dataclass(frozen=True)
class Platform:
    """The machine and Python version that wheels must fit."""

    machine: str  # aarch64 or x86_64
    python: str  # such as 3.11

    @property
    def pins(self) -> Path:
        return PINS / f"{self.machine}-{self.python}.txt"

    @property
    def arguments(self) -> list[str]:
        """Arguments for `pip download` that select this platform on any machine."""
        tags = [f"manylinux_{glibc}_{self.machine}" for glibc in GLIBC] + [f"manylinux2014_{self.machine}"]
        abis = [f"cp{self.python.replace('.', '')}", "abi3", "none"]
        options = ["--only-binary=:all:", "--implementation", "cp", "--python-version", self.python]
        return options + [word for abi in abis for word in ("--abi", abi)] + [word for tag in tags for word in ("--platform", tag)]

    @property
    def markers(self) -> dict[str, str]:
        """Values for conditions such as `python_version < "3.11"`; pip would use those of the Python it runs in."""
        return {
            "implementation_name": "cpython", "os_name": "posix", "platform_machine": self.machine, "platform_python_implementation": "CPython",
            "platform_system": "Linux", "python_full_version": f"{self.python}.0", "python_version": self.python, "sys_platform": "linux", "extra": "",
        }  # fmt: skip


def platforms(target: str, machine: str) -> list[Platform]:
    return [Platform(machine, python) for python in PYTHONS[target]]


def required(lines: Iterable[str], platform: Platform) -> list[Requirement]:
    """The requirements that hold on this platform."""
    wanted = [Requirement(text) for line in lines if (text := line.partition("#")[0].strip())]
    return [one for one in wanted if one.marker is None or one.marker.evaluate(platform.markers)]


def resolve(platform: Platform, folder: Path) -> list[Path]:
    """Download the wheels for device/requirements.txt on a platform until none is missing, and return them.

    Raises:
        WheelError: pip finds no wheel for a requirement.
    """
    wanted = [*(_bare(one) for one in required(REQUIREMENTS.read_text(encoding="utf-8").splitlines(), platform)), INSTALLER]
    while True:
        pip_download([*platform.arguments, *wanted], folder)
        wheels = sorted(folder.glob("*.whl"))
        missing = missing_in(wheels, platform)
        if not missing:
            return wheels
        wanted += missing


def missing_in(wheels: Sequence[Path], platform: Platform) -> list[str]:
    """Requirements of the wheels that are not among them; needed because pip evaluates conditions for its own Python."""
    have = {name_of(wheel) for wheel in wheels}
    needed = [one for wheel in wheels for one in required(_requires(wheel), platform)]
    return sorted({_bare(one) for one in needed if canonicalize_name(one.name) not in have})


def at_odds(wheels: Sequence[Path], platform: Platform) -> list[str]:
    """Requirements of the wheels that another of them does not meet; pip on the board refuses such a set."""
    have = {name_of(wheel): parse_wheel_filename(wheel.name)[1] for wheel in wheels}
    needed = [(name_of(wheel), one) for wheel in wheels for one in required(_requires(wheel), platform)]
    found = [(name, one, have[canonicalize_name(one.name)]) for name, one in needed if canonicalize_name(one.name) in have]
    return sorted(f"{name} needs {_bare(one)}, not {version}" for name, one, version in found if not one.specifier.contains(version, prereleases=True))


def _requires(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA") and name.count("/") == 1)
        return HeaderParser().parsestr(archive.read(name).decode("utf-8")).get_all("Requires-Dist") or []


def _bare(requirement: Requirement) -> str:
    """The requirement without its condition, which is known to hold."""
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    return f"{requirement.name}{extras}{requirement.specifier}"


def name_of(wheel: Path) -> str:
    return str(parse_wheel_filename(wheel.name)[0])


def pinned(wheels: Iterable[Path]) -> str:
    """The pins in the format of pip's requirements files, one wheel per line."""
    lines = [f"{name_of(wheel)}=={parse_wheel_filename(wheel.name)[1]} --hash=sha256:{sha256(wheel)}" for wheel in wheels]
    return "# Written by `python -m export wheels`.\n" + "".join(f"{line}\n" for line in sorted(lines))


def fetch(platform: Platform, folder: Path) -> list[Path]:
    """Download the pinned wheels of a platform into a folder that keeps them for the next build, and return them.

    Raises:
        WheelError: there are no pins, they do not fit device/requirements.txt or each other, or pip does not deliver exactly these wheels.
    """
    if not platform.pins.is_file():
        raise WheelError(f"no pins for {platform.machine} and Python {platform.python}; run `python -m export wheels`", code="wheels.no_pins")
    lines = platform.pins.read_text(encoding="utf-8").splitlines()
    if outdated := unpinned(lines, platform):
        raise WheelError(
            f"{platform.pins} does not fit {', '.join(outdated)} in device/requirements.txt; run `python -m export wheels`", code="wheels.outdated"
        )
    folder.mkdir(parents=True, exist_ok=True)
    pip_download([*platform.arguments, "--no-deps", "--require-hashes", "-r", str(platform.pins)], folder)
    hashes = {line.rpartition(":")[2] for line in lines if "--hash" in line}
    wheels = [wheel for wheel in sorted(folder.glob("*.whl")) if sha256(wheel) in hashes]
    if len(wheels) != len(hashes):
        raise WheelError(f"{folder} has {len(wheels)} of the {len(hashes)} wheels in {platform.pins}; empty it and try again")
    if odds := [*at_odds(wheels, platform), *(f"{one} is missing" for one in missing_in(wheels, platform))]:
        raise WheelError(f"no board can install {platform.pins}: {'; '.join(odds)}; run `python -m export wheels`", code="wheels.at_odds")
    return wheels


def unpinned(lines: Iterable[str], platform: Platform) -> list[str]:
    """Requirements in device/requirements.txt that the pins do not meet."""
    pins = dict(line.split(" ")[0].split("==") for line in lines if "==" in line)
    needed = required(REQUIREMENTS.read_text(encoding="utf-8").splitlines(), platform)
    return [str(one) for one in needed if not one.specifier.contains(pins.get(canonicalize_name(one.name), "0"), prereleases=True)]


def pip_download(arguments: Sequence[str], folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--dest", str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise WheelError(f"pip does not deliver the wheels: {' '.join(errors) or done.stderr.strip()[-300:]}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--wheels", type=arguments.folder, default=ROOT / "runs/wheels", metavar="DIR", help="where wheels are kept (default: runs/wheels)")


def run(args: argparse.Namespace) -> int:
    from device.maintenance.update.manifest import TARGETS

    PINS.mkdir(exist_ok=True)
    for platform in sorted({platform for target in PYTHONS for platform in platforms(target, TARGETS[target])}, key=str):
        folder = args.wheels / f"{platform.machine}-{platform.python}"
        for old in folder.glob("*.whl"):
            old.unlink()  # otherwise an older version would be pinned together with the newer one
        wheels = resolve(platform, folder)
        platform.pins.write_text(pinned(wheels), encoding="utf-8")
        print(f"{platform.pins}: {len(wheels)} wheels, {sum(wheel.stat().st_size for wheel in wheels) / 1e6:.0f} MB")
    return 0
