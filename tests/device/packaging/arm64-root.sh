#!/bin/bash
# A root with Debian's Python for arm64 and the board's wheels, for tests/device/packaging/test_arm64.py: unpacked only, nothing of it is configured, so it takes
# a minute or two and runs by qemu-user without binfmt or chroot. As root:   tests/device/packaging/arm64-root.sh [DIR]
set -euo pipefail
cd "$(dirname "$0")/../../.."
root=${1:-runs/arm64} suite=${SUITE:-bookworm} python=${PYTHON_VERSION:-3.11}
[ "$(id -u)" = 0 ] || { echo "error: run it as root: sudo $0" >&2; exit 1; }
for program in debootstrap qemu-aarch64-static; do
    command -v "$program" > /dev/null || { echo "error: $program is missing: apt install debootstrap qemu-user-static" >&2; exit 1; }
done
if [ ! -e "$root/usr/bin/python$python" ]; then
    rm -rf "$root" "$root.part"
    mkdir -p "$(dirname "$root")"
    debootstrap --foreign --arch=arm64 --variant=minbase --include=python3 "$suite" "$root.part" ${MIRROR:+"$MIRROR"} > /dev/null
    for package in "$root.part"/var/cache/apt/archives/*python*.deb "$root.part"/var/cache/apt/archives/lib*.deb; do
        dpkg-deb --extract "$package" "$root.part"
    done
    rm -rf "$root.part"/var/cache/apt/archives "$root.part/proc"
    mkdir "$root.part/proc" # else a link to this machine's
    mv "$root.part" "$root"
fi
rm -rf "$root/wheels" "$root/wheels.part"
.venv/bin/python - "$python" "$root/wheels.part" << 'PYTHON'
import sys, zipfile
from pathlib import Path
from export.wheels import Platform, fetch

platform = Platform("aarch64", sys.argv[1])
for wheel in fetch(platform, Path("runs/wheels") / f"{platform.machine}-{platform.python}"):
    zipfile.ZipFile(wheel).extractall(sys.argv[2])
PYTHON
mv "$root/wheels.part" "$root/wheels" # whole or not there
echo "$root: Python $python and $(find "$root/wheels" -maxdepth 1 -name '*.dist-info' | wc -l) packages for arm64"
