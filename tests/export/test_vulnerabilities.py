"""Nothing looked up is never "no vulnerabilities": a stand-in for pip-audit answers in its form."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from export import vulnerabilities
from export.__main__ import main

SOUND = {"name": "numpy", "version": "2.4.6", "vulns": []}
FAULTY = {"name": "anyio", "version": "4.16.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["4.17"], "aliases": [], "description": ""}]}
UNKNOWN = {"name": "rich", "skip_reason": "Dependency not found on PyPI and could not be audited: rich (15.0.0)"}
Tool = Callable[..., str]


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tool:
    pins = tmp_path / "pins"
    pins.mkdir()
    for name in ("aarch64-3.11.txt", "x86_64-3.11.txt"):
        (pins / name).write_text("")
    monkeypatch.setattr(vulnerabilities, "PINS", pins)

    def made(*answers: dict[str, Any], writes: bool = True) -> str:
        program = tmp_path / "pip-audit"
        answer = json.dumps({"dependencies": answers, "fixes": []})
        write = f"open(sys.argv[sys.argv.index('--output') + 1], 'w').write({answer!r})" if writes else "pass"
        program.write_text(f"#!{sys.executable}\nimport sys\n{write}\nsys.exit('no route')\n")
        program.chmod(0o755)
        return str(program)

    return made


def test_what_was_looked_up_is_counted(tool: Tool, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["vulnerabilities", "--tool", tool(SOUND)]) == 0
    assert "1 versions looked up, no known vulnerability" in capsys.readouterr().out


def test_a_known_vulnerability_is_an_error_in_any_case(tool: Tool, capsys: pytest.CaptureFixture[str]) -> None:
    for more in ([], ["--where-possible"]):
        assert main(["vulnerabilities", "--tool", tool(SOUND, FAULTY, UNKNOWN), *more]) == 1
        assert "anyio 4.16.0: PYSEC-1" in capsys.readouterr().err


def test_nothing_looked_up_is_said_to_be_skipped(tool: Tool, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["vulnerabilities", "--tool", tool(UNKNOWN)]) == 1 and "not looked up" in capsys.readouterr().err
    for program in (tool(UNKNOWN), tool(writes=False), "/nowhere/pip-audit"):
        assert main(["vulnerabilities", "--tool", program, "--where-possible"]) == 0
        said = capsys.readouterr().out
        assert said.startswith("skipped: ") and "no known vulnerability" not in said
    assert main(["vulnerabilities", "--tool", tool(SOUND, UNKNOWN), "--where-possible"]) == 0
    assert "1 packages were not looked up, the service does not know them: rich" in capsys.readouterr().out
