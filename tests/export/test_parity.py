"""The same file under another Python: a separate process of this one, and fakes that give other embeddings or none."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from export.__main__ import main
from export.adopt import smooth_crops
from export.parity import compare
from tests.refused import refused


def fake_python(path: Path, change: str) -> list[str]:
    """A Python that changes the program it is given before running it."""
    path.write_text(f"import sys\nprogram = sys.stdin.read()\n{change}\nexec(program)\n")
    return [sys.executable, str(path)]


def test_another_process_gives_the_same_embeddings(float_model: Path) -> None:
    found = compare(float_model, smooth_crops(3), [sys.executable])
    assert (found.precision, found.crops, found.allowed) == ("float32", 3, 1e-3)
    assert abs(found.largest) < 1e-5 and "onnxruntime" in found.where
    assert main(["elsewhere", str(float_model), "--python", shlex.quote(sys.executable), "--most", "2"]) == 0


def test_differing_embeddings_are_reported(float_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The fake turns the crops upside down."""
    python = shlex.join(fake_python(tmp_path / "turned.py", "program = program.replace('crop[None]', 'crop[None, ::-1]')"))
    assert main(["elsewhere", str(float_model), "--python", python, "--most", "2"]) == 1
    assert "net.onnx: the embeddings differ" in capsys.readouterr().err


def test_one_runtime_that_fails_does_not_hide_the_others(float_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = shlex.join(fake_python(tmp_path / "broken.py", "program = 'import no_such_package'"))
    assert main(["elsewhere", str(float_model), "--python", broken, "--python", shlex.quote(sys.executable), "--most", "2"]) == 1
    said = capsys.readouterr()
    assert "onnxruntime" in said.out and "no_such_package" in said.err and "1 of 2 runs" in said.err


@pytest.mark.parametrize(("change", "word"), [("program = 'import no_such_package'", "no_such_package"), ("program = ''", "exit code 0")])
def test_a_failure_of_the_other_python_is_reported(change: str, word: str, float_model: Path, tmp_path: Path) -> None:
    with refused("parity.fails", word, "numpy and onnxruntime"):
        compare(float_model, smooth_crops(1), fake_python(tmp_path / "broken.py", change))
    with refused("parity.no_answer"):
        compare(float_model, smooth_crops(1), [str(tmp_path / "absent")])
