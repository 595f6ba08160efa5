"""Measure this machine: stages, frames a second beside the plain way, memory, start, search."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
from pathlib import Path

from device import config
from device.bench import Report, measure


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("clips", nargs="*", type=Path, metavar="CLIP", help="clips; the person of the first is enrolled (without any: one round of the demo)")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings in TOML")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    report = measure(config.load(args.config), args.clips)
    if args.json:
        print(json.dumps({**dataclasses.asdict(report), "ratio": report.ratio}))
    else:
        _print(report)
    return 0


def _print(report: Report) -> None:
    print(f"host: {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"frames a second: {report.frames_per_second:.1f}; the plain way {report.plain_frames_per_second:.1f}; ratio {report.ratio:.1f}")
    print(f"punches: {', '.join(report.punches) or 'none'}")
    for stage in report.stages:
        print(f"  {stage.name:<8} {stage.count:>6} times, p50 {stage.p50_ms:6.2f} ms, p95 {stage.p95_ms:6.2f} ms")
    print(f"first frame after {report.first_frame_seconds:.2f} s, peak memory {report.peak_memory_mb:.0f} MB")
    print("search: " + ", ".join(f"{rows:,} people {ms:.2f} ms" for rows, ms in report.search_ms.items()))
