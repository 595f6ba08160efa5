"""Measure this machine: stages, frames per second compared with the plain way, memory, start, search; with --desk the pages under load.

With --people and without --desk: start and enrolment with so many people, a half and a quarter of them.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
from pathlib import Path

from device.commands.benchmark import scale
from device.commands.benchmark.speed import IDLE_RATE, Report, demo_clip, measure
from device.commands.options import add_config, add_json
from device.config import Settings, loader
from device.system import hardware

COMPANY = 2_000  # people
NOT_COMPARED = "the plain way is not measured: its models do not come with an installed bundle"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("clips", nargs="*", type=Path, metavar="CLIP", help="clips; the person of the first is enrolled (without any: one round of the demo)")
    desk = "measure the pages and exports of a year's log of an invented company while the first clip plays as the camera"
    parser.add_argument("--desk", action="store_true", help=desk)
    parser.add_argument("--people", type=whole, metavar="N", help=f"measure start and enrolment with so many; with --desk: in the invented company ({COMPANY})")
    for name, default, words in (
        ("punches", 100_000, "in its log"),
        ("clients", 20, "browsers that ask for pages"),
        ("seconds", 60, "so long they do"),
    ):
        parser.add_argument(f"--{name}", type=whole, default=default, metavar="N", help=f"with --desk: {words} ({default})")
    add_config(parser)
    add_json(parser)


def whole(text: str) -> int:
    """A whole number from 1, for argparse."""
    if not text.isdecimal() or not 1 <= int(text[:9]) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text[:20]!r}: expected a whole number from 1 to 1000000")
    return int(text)


def run(args: argparse.Namespace) -> int:
    if args.desk:
        return _desk(args)
    if args.people:
        return _people(args)
    report = measure(_settings(args), args.clips)
    if args.json:
        print(json.dumps({**dataclasses.asdict(report), "ratio": report.ratio}))
    else:
        _print(report)
    return 0


def _desk(args: argparse.Namespace) -> int:
    from device.commands.benchmark import load  # the web pages: only here

    with tempfile.TemporaryDirectory() as folder:
        clip = args.clips[0] if args.clips else demo_clip(Path(folder) / "demo.avi")
        people = args.people or COMPANY
        report = load.measure(_settings(args), clip, people, args.punches, args.clients, args.seconds, lambda text: print(text, file=sys.stderr))
    if args.json:
        print(json.dumps({**dataclasses.asdict(report), "kept": report.kept, "kept_exporting": report.kept_exporting}))
    else:
        print(_host())
        print("\n".join(report.lines()))
    return 0


def _people(args: argparse.Namespace) -> int:
    found = scale.measure(_settings(args), args.people)
    if args.json:
        print(json.dumps([dataclasses.asdict(one) for one in found]))
    else:
        print("\n".join([_host(), *scale.lines(found)]))
    return 0


def _settings(args: argparse.Namespace) -> Settings:
    """Those of the terminal; the demo shows photographs, so that liveness can only be observed."""
    settings = loader.load(args.config)
    observed = dataclasses.replace(settings.liveness, mode="observe", challenge="none")
    return settings if args.clips or settings.liveness.mode == "off" else dataclasses.replace(settings, liveness=observed)


def _host() -> str:
    return "\n".join(hardware.lines())


def _print(report: Report) -> None:
    print(_host())
    compared = f"the plain way {report.plain_frames_per_second:.1f}; ratio {report.ratio:.1f}" if report.ratio else NOT_COMPARED
    print(f"frames per second: {report.frames_per_second:.1f}; {compared}")
    print(f"punches: {', '.join(report.punches) or 'none'}")
    for stage in report.stages:
        print(f"  {stage.name:<8} {stage.count:>6} times, p50 {stage.p50_ms:6.2f} ms, p95 {stage.p95_ms:6.2f} ms")
    print(f"first frame after {report.first_frame_seconds:.2f} s, peak memory {report.peak_memory_mb:.0f} MB with the pages served")
    print(f"nobody in view: {report.idle_percent:.1f} % of one core at {IDLE_RATE} frames per second")
    print("one crop, p50 / p95 ms:")
    for name, by_threads in report.crop_ms.items():
        times = ", ".join(f"{threads} thread{'s' * (threads > 1)} {p50:.2f} / {p95:.2f}" for threads, (p50, p95) in by_threads.items())
        print(f"  {name:<20} {times}")
    if report.judged_ms:
        print(f"one picture judged for liveness, 1 thread: {report.judged_ms[0]:.2f} / {report.judged_ms[1]:.2f} ms")
    print("search: " + ", ".join(f"{rows:,} people {ms:.2f} ms" for rows, ms in report.search_ms.items()))
    print("chosen: " + "; ".join(report.chose))
