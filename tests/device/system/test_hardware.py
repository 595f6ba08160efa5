"""The description of the machine from the system files of a Raspberry Pi, of a PC, and without any."""

from __future__ import annotations

from pathlib import Path

import pytest

from device.system import hardware

PI = "processor\t: 0\nFeatures\t: fp asimd evtstrm aes asimdhp asimddp\nCPU part\t: 0xd0b\n\nprocessor\t: 1\nFeatures\t: none\n"


def test_a_raspberry_pi(tmp_path: Path) -> None:
    (tmp_path / "device-tree").mkdir()
    (tmp_path / "device-tree/model").write_bytes(b"Raspberry Pi 5 Model B Rev 1.0\0")
    (tmp_path / "cpuinfo").write_text(PI)
    for number, text in enumerate(("51234\n", "48000\n", "broken")):
        (tmp_path / f"thermal_zone{number}").mkdir()
        (tmp_path / f"thermal_zone{number}/temp").write_text(text)
    assert hardware.lines(tmp_path, tmp_path)[1:] == ["board: Raspberry Pi 5 Model B Rev 1.0; asimd, asimddp", "temperature: 51 degrees Celsius"]


def test_a_pc_and_a_system_without_these_files(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("model name\t: A Processor @ 2.00GHz\nflags\t\t: fpu avx2 avx512_vnni\n")
    assert hardware.lines(tmp_path, tmp_path)[1] == "board: A Processor @ 2.00GHz; avx2, avx512_vnni"
    assert hardware.lines(tmp_path / "none", tmp_path / "none")[1:] == ["board: unknown processor; no relevant CPU flags", "temperature: not known"]


def test_the_hottest_zone_counts(tmp_path: Path) -> None:
    for number, text in enumerate(["45123\n", "61000\n", "nothing\n"]):
        (tmp_path / f"thermal_zone{number}").mkdir()
        (tmp_path / f"thermal_zone{number}/temp").write_text(text)
    assert hardware.temperature(tmp_path) == 61.0 and hardware.temperature(tmp_path / "none") is None


def test_the_board_or_its_processor(tmp_path: Path) -> None:
    assert hardware.board_or_processor(tmp_path)
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Some CPU 3000\n")
    assert hardware.board_or_processor(tmp_path).endswith("Some CPU 3000")
    (tmp_path / "device-tree").mkdir()
    (tmp_path / "device-tree/model").write_bytes(b"Raspberry Pi 5 Model B Rev 1.0\0")
    assert hardware.board_or_processor(tmp_path) == "Raspberry Pi 5 Model B Rev 1.0"


@pytest.mark.parametrize(("word", "emulated"), [("qemu", True), ("uml", True), ("kvm", False), ("none", False)])
def test_an_emulated_processor_is_told_from_a_virtual_machine_on_a_real_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str, emulated: bool) -> None:
    program = tmp_path / "systemd-detect-virt"
    program.write_text(f'#!/bin/sh\n[ "$1" = --vm ] && echo {word}\n[ {word} != none ]\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    assert hardware.emulated() is emulated
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    assert hardware.emulated() is False
