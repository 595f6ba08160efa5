"""A hook of the site (mkdocs.yml): pages that lie in the root for the forge are pages of the site, too; links lead to them in both."""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
PAGES = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md", "SECURITY.md": "security-policy.md"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for there, here in PAGES.items():
        files.append(File.generated(config, here, content=from_docs((ROOT / there).read_text(encoding="utf-8"))))
    return files


def from_docs(text: str) -> str:
    """Links of a page in the root as they are in `docs/`."""
    for there in PAGES:
        text = text.replace(f"]({there}", f"](../{there}")
    return text.replace("](docs/", "](")


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    return re.sub(r"\]\(\.\./([A-Z]+\.md)", lambda link: f"]({PAGES[link[1]]}", markdown)
