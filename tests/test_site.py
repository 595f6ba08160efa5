"""The documentation as a site: built strictly, whole, and loading nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("material", reason="docs/requirements.txt is not installed")
ROOT = Path(__file__).resolve().parent.parent
FROM_THE_ROOT = {"changelog", "contributing", "security"}  # pages that lie beside the README
LOADED = re.compile(r"<(?:script|img|iframe)\b[^>]*\bsrc=\W?(?:https?:)?//|<link\b[^>]*\bhref=\W?(?:https?:)?//|@import|url\(\W?(?:https?:)?//")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def test_every_page_is_in_the_site(site: Path) -> None:
    pages = {path.relative_to(ROOT / "docs").with_suffix("").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert {name for name in pages | FROM_THE_ROOT if not (site / f"{name}.html").is_file()} == set()


def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    texts = {path: path.read_text(encoding="utf-8") for suffix in ("html", "css") for path in site.rglob(f"*.{suffix}")}
    assert {path.relative_to(site).as_posix() for path, text in texts.items() if LOADED.search(text)} == set()
    assert "mermaid" not in {name for text in texts.values() for name in re.findall(r'class="([\w-]+)"', text)}  # its script would be loaded from a host


def test_a_page_that_loads_something_is_found() -> None:
    assert LOADED.search('<script defer src="https://example.com/a.js">') and LOADED.search("<link rel=stylesheet href=//example.com/a.css>")
    assert not LOADED.search('<a href="https://example.com">a link may lead there</a> <img src="pictures/a.png">')
